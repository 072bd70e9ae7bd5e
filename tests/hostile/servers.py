"""A server that logs everybody in, lists what a test says, and sends what a test scripts for single paths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from cdbfs.credentials import Credentials
from tests.xnat.servers import Request, Scripted, reply

Parts = Iterable[Union[bytes, float]]

LOGIN = Credentials("ana", "hunter2-secret")
SESSION = "5EC4E7000000000000000000000000AB"


def listing(*rows: Mapping[str, Any]) -> bytes:
    """A listing as XNAT sends it."""
    return listing_text(json.dumps(rows))


def listing_text(rows: str) -> bytes:
    """A listing whose rows are this text."""
    return reply(f'{{"ResultSet":{{"Result":{rows}}}}}'.encode("utf-8", "surrogatepass"))


def document(item: str = "", inner: str = "<g><score>1</score></g>") -> str:
    """An experiment's document, with an ID if one is given."""
    said = f' ID="{item}"' if item else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<n:Scores xmlns:n="urn:n"{said}>{inner}</n:Scores>'


def server(answers: Mapping[str, Parts]) -> Scripted:
    """`answers` by path, without its query; what is not there is 404."""

    def script(request: Request) -> Parts:
        path = request.target.partition("?")[0]
        if path == "/data/JSESSION":
            return [reply(SESSION.encode())]
        if path == "/data/version":
            return [reply(b"1.6.4")]
        return answers.get(path, [reply(b"", 404)])

    return Scripted(script)


def peak_memory(mount: Path) -> int:
    """The most memory that a mount's daemon ever had, in bytes."""
    status = Path(f"/proc/{daemon(mount)}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def daemon(mount: Path) -> int:
    """The process behind a mount."""
    found: int = json.loads((mount / ".cdbfs/status.json").read_text())["pid"]
    return found


def check_errors(mount: Path) -> str:
    """What `.cdbfs/errors` says, which must be lines of plain text of a bearable length, without secrets."""
    text = (mount / ".cdbfs/errors").read_text()
    for line in text.splitlines():
        assert line.isprintable(), ascii(line)
        assert len(line) < 1200
    for secret in (LOGIN.password, SESSION):
        assert secret not in text
    return text
