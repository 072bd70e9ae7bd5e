"""How a session of ascp ends before its time. Used by all modules of the program."""

from __future__ import annotations

NO_FILE, NO_LOGIN, CONNECTION_LOST, NO_SPACE, SOME_FAILED, CANCELLED = 4, 19, 16, 25, 27, 28
DISK_WRITE, TCP_CLOSED = 36, 44
NO_FILE_TEXT = "Server aborted session: No such file or directory"


class Failure(Exception):
    """The session fails, with a code and a text of Aspera's."""

    early = False
    """Nothing was transferred yet."""
    blank = False
    """An empty line stands before what is said on standard output, as recorded."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Refusal(Failure):
    """The server lets nobody in."""

    early = True


class Unconnected(Failure):
    """No server was reached."""

    early = blank = True


class FileFailure(Exception):
    """One file fails; others may go on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
