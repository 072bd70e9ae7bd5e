"""The part of the stand-in that packages need beside the REST interface: ascp, its faults, its holds.

A base of ``standin.StandIn``, whose methods these are. Used by the demo command and by tests. Every method may be
called from any thread.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdbfs.demo.app import Application
from cdbfs.demo.aspera import connect
from cdbfs.demo.aspera.faults import make_fault
from cdbfs.demo.aspera.node import PATH, AscpRun, Node
from cdbfs.demo.packages.desk import Change, Desk


class Transfers:
    """Packages of a stand-in, and the ascp that fetches them."""

    _app: Application

    def __init__(self) -> None:
        self._scratch: Path | None = None
        self._desk = Desk(self._directory)
        self._node = Node(self._desk)

    # --- life

    def _open(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="cdbfs-standin-"))
        connect.lay_out(self._scratch / "connect")

    def _close(self) -> None:
        scratch, self._scratch = self._scratch, None
        self._node.holds.set(None)
        self._desk.close()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)

    def _directory(self) -> Path:
        if self._scratch is None:
            raise RuntimeError("the stand-in is not running")
        return self._scratch

    # --- packages

    def package(self, label: str, package: str) -> Path:
        """The zip of a subject's package as the server has it, made if it was not yet; KeyError: there is none.

        It may be given away once a hundred others have been made.
        """
        stock, wanted = self._desk.find(self._app.world, label, package)
        return stock.vault.zip(wanted)

    def package_md5(self, label: str, package: str) -> bytes:
        """What lies beside it: the line of md5sum's."""
        stock, wanted = self._desk.find(self._app.world, label, package)
        return stock.vault.md5(wanted)

    def announced(self, label: str, package: str) -> int:
        """The size that the service tells of it."""
        stock, wanted = self._desk.find(self._app.world, label, package)
        return stock.announced(wanted)

    def downloads(self) -> list[str]:
        """The lines of the server's log, one for each transfer specification."""
        return self._desk.log()

    def tokens(self) -> list[str]:
        """The tokens that were handed out, the latest last."""
        return self._desk.tokens()

    @property
    def next_spec(self) -> Change | None:
        """Set it to change the next transfer specification: fields that replace the true ones, or a function of
        the true one that makes the answer."""
        return self._desk.next_change()

    @next_spec.setter
    def next_spec(self, change: Change | None) -> None:
        self.change_specs(change, times=1)

    def change_specs(self, change: Change | None, *, times: int | None = None) -> None:
        """Change so many specifications, None: all from now on. No change: only true ones from now on."""
        if change is None:
            self._desk.leave_orders()
        else:
            self._desk.change_orders(change, times)

    # --- ascp

    @property
    def ascp(self) -> str:
        """The path of an ascp that works with this server, in a directory like Aspera Connect's."""
        return str(self._directory() / "connect" / "bin" / "ascp")

    @property
    def ascp_key(self) -> str:
        """The path of its key."""
        return str(self._directory() / "connect" / "etc" / "asperaweb_id_dsa.openssh")

    @property
    def ascp_sessions(self) -> int:
        """How many times an ascp has connected, since the counts were reset."""
        return len(self._node.runs())

    @property
    def ascp_runs(self) -> tuple[AscpRun, ...]:
        """What each of them was called with."""
        return self._node.runs()

    @property
    def ascp_running(self) -> tuple[AscpRun, ...]:
        """Those that are connected now."""
        return self._node.running()

    @property
    def ascp_rate(self) -> float | None:
        """Bytes a second that a session may have; None: any."""
        return self._node.rate

    @ascp_rate.setter
    def ascp_rate(self, rate: float | None) -> None:
        self._node.rate = rate

    def ascp_fault(self, kind: str, *, times: int | None = None, file: str | None = None, **more: Any) -> None:
        """Let transfers fail; kinds as in ``aspera.faults``, ``file`` is a name or a pattern of names."""
        self._node.faults.add(make_fault(kind, times, file, more))

    def ascp_faults(self) -> list[dict[str, object]]:
        """The faults of transfers that are in force."""
        return self._node.faults.shown()

    def clear_ascp_faults(self) -> None:
        self._node.faults.clear()

    def pause_ascp(self, at: int = 0, file: str = "*.zip") -> None:
        """Hold files that match at a byte, or at once where they are past it.

        Until ``resume_ascp``, or another hold, which takes its place.
        """
        self._node.holds.set(at, file)

    def resume_ascp(self) -> None:
        self._node.holds.set(None)

    def held(self) -> list[str]:
        """The files that stand still, of which ascp has written all bytes before the hold."""
        return self._node.holds.held()

    def wait_held(self, count: int = 1, seconds: float = 10.0) -> list[str]:
        """Their names, once there are so many; TimeoutError."""
        return self._node.holds.wait_held(count, seconds)

    # --- what the HTTP layer asks

    def is_transfer(self, path: str) -> bool:
        return path == PATH

    def transfer(self, connection: socket.socket, body: bytes) -> None:
        self._node.serve(connection, body)

    # --- what the control interface asks

    def hold(self, at: int | None, file: str) -> None:
        """``pause_ascp``, and ``resume_ascp`` where ``at`` is None."""
        self._node.holds.set(at, file)

    def transfers(self) -> dict[str, Any]:
        """Where ascp is, and what it did; of its environment only the names."""
        runs = [{**asdict(run), "token": "", "environment": sorted(run.environment)} for run in self.ascp_runs]
        running = len(self.ascp_running)
        return {"ascp": self.ascp, "sessions": len(runs), "running": running, "held": self.held(), "runs": runs}
