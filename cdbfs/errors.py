"""What can go wrong, as exceptions; every layer raises these, and only mount/ turns them into errno.

    CdbfsError                EIO           anything of ours
    ├── ConfigError           EINVAL        a setting, flag or profile that cannot be used
    ├── QueryError            EIO           a query that cannot be run as it is written
    ├── NotFound              ENOENT        the server knows no such thing, or does not show it to this user
    │   └── NoSuchName        ENOENT        nothing of that name in a directory: everyday, never reported
    ├── NotADirectory         ENOTDIR
    ├── IsADirectory          EISDIR
    ├── ReadOnly              EROFS         the server's data are read-only here
    ├── AccessRefused         EACCES        the server forbids this item: 401 or 403
    ├── SessionRefused        EACCES        the server lets us have no session that works
    │   └── LoginRefused      EACCES        the login itself; not tried again until the credentials change
    ├── TimedOut              ETIMEDOUT     a deadline passed
    ├── Unreachable           EHOSTUNREACH  no connection, or it broke
    │   ├── Dropped           EHOSTUNREACH  a connection that broke before the answer began
    │   └── StillUnreachable  EHOSTUNREACH  as a moment ago, and not tried again yet
    ├── ServerFault           EIO           5xx, or an answer that is not what was asked for
    │   ├── BadRequest        EIO           400 to 422: the server does not take the question as it is
    │   └── BrokeOff          EIO           an answer that ended early, or a gateway's 502 to 504: worth a retry
    ├── TooLarge              EFBIG         an answer over its bound
    ├── TooManyWaiters        EAGAIN        so many readers wait already that one more would starve the mount
    ├── NotPermitted          EPERM         not in search/: it belongs to a query, or is no file or directory
    ├── NoSpace               ENOSPC        the disk is full, or what cdbfs may take of it
    ├── TooManyPackages       EDQUOT        one process opened package after package
    ├── Cancelled             ECANCELED     a transfer that somebody ended
    └── Interrupted           EINTR         the caller was interrupted, or the mount is ending
        └── GivenUp           EINTR         what was waited for is not wanted any more

Threads: exceptions carry strings only, so one may be raised in several waiting threads.
"""

from __future__ import annotations

import errno as codes


class CdbfsError(Exception):
    """Base of all; `str()` is the reason in plain words, fit for a user, without secrets."""

    errno = codes.EIO


def ours(error: BaseException) -> CdbfsError:
    """`error`, or where it is none of these, one that tells of a fault in cdbfs itself."""
    return error if isinstance(error, CdbfsError) else CdbfsError(f"a fault in cdbfs itself: {error!r}")


class ConfigError(CdbfsError):
    errno = codes.EINVAL


class QueryError(CdbfsError):
    """`place`, where known, is the line and column of what is wrong, both from 1; column 0 is none known."""

    def __init__(self, reason: str, place: tuple[int, int] | None = None) -> None:
        line, column = place or (0, 0)
        where = f"line {line}, column {column}: " if column else f"line {line}: " if line else ""
        super().__init__(where + reason)
        self.place = place


class NotFound(CdbfsError):
    errno = codes.ENOENT


class NoSuchName(NotFound):
    pass


class NotADirectory(CdbfsError):
    errno = codes.ENOTDIR


class IsADirectory(CdbfsError):
    errno = codes.EISDIR


class ReadOnly(CdbfsError):
    errno = codes.EROFS


class AccessRefused(CdbfsError):
    errno = codes.EACCES


class SessionRefused(CdbfsError):
    errno = codes.EACCES


class LoginRefused(SessionRefused):
    pass


class TimedOut(CdbfsError):
    errno = codes.ETIMEDOUT


class Unreachable(CdbfsError):
    errno = codes.EHOSTUNREACH


class Dropped(Unreachable):
    pass


class StillUnreachable(Unreachable):
    pass


class ServerFault(CdbfsError):
    errno = codes.EIO


class BadRequest(ServerFault):
    pass


class BrokeOff(ServerFault):
    pass


class TooLarge(CdbfsError):
    errno = codes.EFBIG


class TooManyWaiters(CdbfsError):
    errno = codes.EAGAIN


class NotPermitted(CdbfsError):
    errno = codes.EPERM


class NoSpace(CdbfsError):
    errno = codes.ENOSPC


class TooManyPackages(CdbfsError):
    errno = codes.EDQUOT


class Cancelled(CdbfsError):
    errno = codes.ECANCELED


class Interrupted(CdbfsError):
    errno = codes.EINTR


class GivenUp(Interrupted):
    pass
