"""Fetching packages of a stand-in with its ascp, by hand. Used by the tests of packages and of ascp."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from cdbfs.demo import StandIn

SUBJECT, OTHER = "100307", "103515"
STRUCTURAL, WM = "3T_Structural_preproc", "3T_tfMRI_WM_unproc"
ZIP = f"{SUBJECT}_{STRUCTURAL}.zip"
LOGIN = ("mylogin", "mypasswd")
Spec = dict[str, Any]


def ask(
    server: StandIn, query: str = "", method: str = "POST", login: tuple[str, str] = LOGIN
) -> requests.Response:
    """A request of the package service; the query goes out as it stands here."""
    url = f"{server.url}/spring/download" + (f"?{query}" if query else "")
    return requests.request(method, url, auth=login, timeout=20, allow_redirects=False)


def order(server: StandIn, subjects: str = SUBJECT, packages: str = STRUCTURAL) -> Spec:
    """A transfer specification."""
    answer = ask(server, f"subjects={subjects}&package={packages}")
    assert answer.status_code == 200
    spec: Spec = answer.json()
    return spec


def command(server: StandIn, spec: Spec, into: Path, *options: str, key: str = "") -> list[str]:
    """The command line of ascp: options, sources, destination."""
    return [
        *(server.ascp, "-p", "-i", key or server.ascp_key, "-k", "2", "-l", str(spec["target_rate_kbps"])),
        *("-O", str(spec["fasp_port"]), "-P", str(spec["ssh_port"]), f"--policy={spec['rate_policy']}"),
        *(f"--host={spec['remote_host']}", f"--user={spec['remote_user']}", "--mode=recv", *options),
        *(path["source"] for path in spec["paths"]),
        str(into),
    ]


def variables(spec: Spec) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "ASPERA_SCP_TOKEN": spec["token"]}


def run(server: StandIn, spec: Spec, into: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ascp to its end."""
    into.mkdir(exist_ok=True)
    return subprocess.run(
        command(server, spec, into, *options),
        env=variables(spec),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def started(server: StandIn, spec: Spec, into: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """An ascp that runs, and is killed at the end if it still does."""
    into.mkdir(exist_ok=True)
    running = subprocess.Popen(
        command(server, spec, into, *options),
        env=variables(spec),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


Frame = dict[str, str]


class Listener:
    """The other end of a management port."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = str(self._server.getsockname()[1])
        self.text = ""
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        self._connection, _ = self._server.accept()
        while data := self._connection.recv(1 << 16):
            self.text += data.decode()

    def send(self, frame: str) -> None:
        assert self._connection is not None
        self._connection.sendall(f"FASPMGR 2\n{frame}\n\n".encode())

    def frames(self) -> list[Frame]:
        """All that came, once ascp has ended."""
        self._thread.join(10)
        self._server.close()
        if self._connection is not None:
            self._connection.close()
        found = []
        for block in self.text.split("\n\n"):
            if block:
                head, *lines = block.split("\n")
                assert head == "FASPMGR 2"
                found.append(dict(line.split(": ", 1) for line in lines))
        return found


def of(frames: list[Frame], kind: str) -> list[Frame]:
    return [frame for frame in frames if frame["Type"] == kind]
