"""Why a member is not served: each refusal has a number, kept in the index, an exception and a reason.

Used by `building`, which decides most of them from a zip's directory, and by `members`, which raises them.

Threads: constants and pure functions.
"""

from __future__ import annotations

import enum

from cdbfs.errors import AccessRefused, CdbfsError, TooLarge


class Refusal(enum.IntEnum):
    """What is wrong with a member. The numbers stand in indexes on disk: a change needs a new version of those."""

    NONE = 0
    # Listed; refused when it is opened.
    ENCRYPTED = 1
    METHOD = 2
    SYMLINK = 3
    SPECIAL = 4
    DAMAGED = 5
    OVERLAP = 6
    TWICE = 7
    BOMB = 8
    ELSEWHERE = 9
    # Not listed: no place in the tree is safe for it.
    ABSOLUTE = 20
    OUTSIDE = 21
    EMPTY = 22
    NUL = 23
    LONG = 24
    DEEP = 25
    DIRECTORY = 26

    @property
    def reason(self) -> str:
        """In plain words."""
        return _REASONS[self]

    def error(self) -> CdbfsError:
        """What opening the member raises."""
        return _ERRORS.get(self, CdbfsError)(self.reason)


_REASONS = {
    Refusal.NONE: "it can be read",
    Refusal.ENCRYPTED: "it is encrypted, and cdbfs has no password for it",
    Refusal.METHOD: "it is packed by a method that cdbfs does not read; it reads stored and deflated members",
    Refusal.SYMLINK: "it is a symbolic link, and links of packages are not followed",
    Refusal.SPECIAL: "it is no regular file, but a device, pipe or the like",
    Refusal.DAMAGED: "what the zip says of it contradicts itself",
    Refusal.OVERLAP: "it lies over another member, or over the directory of the zip",
    Refusal.TWICE: "the zip has several different members of this name",
    Refusal.BOMB: "it would unpack to very many times its packed size (the setting max_member_ratio)",
    Refusal.ELSEWHERE: "it lies in another part of a zip in several parts",
    Refusal.ABSOLUTE: "its name begins at the root or with a drive",
    Refusal.OUTSIDE: "its name holds . or .. as a directory",
    Refusal.EMPTY: "a directory in its name, or the name itself, is empty",
    Refusal.NUL: "its name holds a NUL",
    Refusal.LONG: "its name is longer than a file's can be",
    Refusal.DEEP: "it lies in too many directories within each other",
    Refusal.DIRECTORY: "the zip has a directory of the same name",
}
_ERRORS: dict[Refusal, type[CdbfsError]] = {
    Refusal.ENCRYPTED: AccessRefused,
    Refusal.SYMLINK: AccessRefused,
    Refusal.BOMB: TooLarge,
}
