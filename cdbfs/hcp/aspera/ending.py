"""How a session of ascp ended: well, in part, for good, or such that another may do better.

Its word comes in three ways, none of which can be relied upon alone: the exit status (0 or 1; 127 was seen after a
good transfer), the frames of the management port, and what it prints. Used by transport.

Threads: plain functions; `conclude` looks at the disk and tells the watch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cdbfs.errors import CdbfsError, NoSpace
from cdbfs.hcp.aspera import codes
from cdbfs.hcp.aspera.codes import RULES, SOME_FAILED
from cdbfs.hcp.aspera.progress import Fault, Progress
from cdbfs.hcp.child import Ended
from cdbfs.hcp.disk import is_full
from cdbfs.hcp.spec import TransferSpec
from cdbfs.hcp.transport import Again, Watch
from cdbfs.hcp.words import last_line, plain

GOOD_AFTER_ALL = 127
STOPPED = re.compile(r"Session Stop\s+\(Error: (.*)\)|^ascp: (.*?)(?:, exiting)?\.?\s*$", re.MULTILINE)
PARTLY = re.compile(r"^Partial Completion", re.MULTILINE)
COMPLETED = re.compile(r"^Completed: ", re.MULTILINE)


@dataclass(frozen=True)
class Session:
    """A session that is over."""

    spec: TransferSpec
    files: Sequence[str]
    into: Path
    ended: Ended
    progress: Progress


def conclude(session: Session, watch: Watch) -> None:
    """Return if the files have arrived, or all but those of which the watch is told that they cannot be had.

    Raises Again or CdbfsError, as a Transport does.
    """
    fault, faults = _fault(session), dict(session.progress.faults)
    if fault is not None and _is_partial(session, fault):
        lacking = [file for file in session.files if not session.progress.is_whole(file)]
        faults = {file: faults.get(file, Fault(SOME_FAILED, fault.text)) for file in lacking} or faults
        fault = None
    failed = {file: _meaning(session, each) for file, each in faults.items()}
    if len(failed) == len(session.files):
        raise next(iter(failed.values()))
    of_all = [error for error in failed.values() if isinstance(error, (Again, NoSpace))]
    for file, error in failed.items():
        if error not in of_all and isinstance(error, CdbfsError):
            watch.failed(file, error)
    if fault is not None:
        raise _meaning(session, fault)
    if of_all:
        raise of_all[0]


def _is_partial(session: Session, fault: Fault) -> bool:
    """Whether some files failed, and the others are here: ascp says so, or gives the one's code for all."""
    if (fault.code or codes.of_text(fault.text)) == SOME_FAILED:
        return True
    faults = session.progress.faults
    others = [file for file in session.files if file not in faults]
    return bool(faults) and bool(others) and all(map(session.progress.is_whole, others))


def _fault(session: Session) -> Fault | None:
    """What ended the session before its time; None where nothing did."""
    told, ended = session.progress, _without_token(session)
    text = said(ended)
    if told.fault is not None:
        return Fault(told.fault.code, told.fault.text or text)
    if PARTLY.search(ended.output.replace("\r", "\n")):
        return Fault(SOME_FAILED, text)
    if _is_good(session):
        return None
    how = f"exit status {ended.status}" if ended.status >= 0 else f"ended by signal {-ended.status}"
    return Fault(None, text or how)


def _without_token(session: Session) -> Ended:
    """What ascp printed, of which a part is told to users; removed here, before it is cut to their measure."""
    ended, token = session.ended, session.spec.token
    return replace(ended, output=ended.output.replace(token, "..."), errors=ended.errors.replace(token, "..."))


def _is_good(session: Session) -> bool:
    status = session.ended.status
    if session.progress.done:
        return status in (0, GOOD_AFTER_ALL)
    output = f"{session.ended.output}\n{session.ended.errors}".replace("\r", "\n")
    if STOPPED.search(output):
        return False
    return status == 0 or (status == GOOD_AFTER_ALL and COMPLETED.search(output) is not None)


def said(ended: Ended) -> str:
    """The reason that ascp printed."""
    for text in (ended.output, ended.errors):
        found = list(STOPPED.finditer(text.replace("\r", "\n")))
        if found:
            return plain(found[-1][1] or found[-1][2] or "")
    return last_line(ended.errors) or last_line(ended.output)


def _meaning(session: Session, fault: Fault) -> Again | CdbfsError:
    """What a fault comes to."""
    by_text = codes.of_text(fault.text)
    code = fault.code if fault.code in RULES else by_text
    if by_text == codes.KEY_MISSING or (code == SOME_FAILED and by_text is not None):
        code = by_text
    rule = codes.OTHERWISE if code is None else RULES[code]
    words = plain(fault.text.replace(session.spec.token, "..."))
    number = f", code {fault.code}" if fault.code is not None else ""
    spec = session.spec
    reason = rule.reason.format(host=spec.host, ssh=spec.ssh_port, udp=spec.fasp_port)
    reason = f"{reason} (ascp: {words or 'no word'}{number})"
    if code in (codes.FULL, codes.DISK_WRITE) and (
        _says_full(fault) or is_full(session.into, session.progress.missing)
    ):
        return NoSpace(reason if rule.error is NoSpace else f"{RULES[codes.FULL].reason} (ascp: {words}{number})")
    error = rule.error(reason)
    return Again(error, blocked=rule.blocked) if rule.again else error


def _says_full(fault: Fault) -> bool:
    """Whether it is the errno that says so, and not ascp's code alone."""
    return codes.of_text(fault.text) == codes.FULL
