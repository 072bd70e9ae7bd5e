"""What is told of a transfer while it goes on: frames on the management port, and the line on the terminal.

Used by ``receiver`` and ``session``. For one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdbfs.demo.ascp.clock import Meter

if TYPE_CHECKING:
    from cdbfs.demo.ascp.console import Console
    from cdbfs.demo.ascp.errors import Failure
    from cdbfs.demo.ascp.management import Manager
    from cdbfs.demo.ascp.options import Options
    from cdbfs.demo.ascp.wire import Source


class Report:
    """Counts of a session, and how they are told."""

    def __init__(self, options: Options, manager: Manager, console: Console, meter: Meter) -> None:
        self.passed = self.failed = self.skipped = 0
        self.expected = 0
        self._options = options
        self._manager = manager
        self._console = console
        self._meter = meter

    def began(self) -> None:
        self._manager.frame("INIT", Direction="Receive", Operation="Transfer")

    def admitted(self, files: int) -> None:
        options = self._options
        self._manager.frame(
            "SESSION",
            Cipher="aes-128" if options.encrypts else "none",
            Direction="Receive",
            Host=options.host,
            MinRate=options.least_rate // 1000,
            Policy=options.policy,
            Port=options.fasp_port,
            SourceFiles=files,
            TargetRate=options.rate // 1000,
            User=options.user,
        )
        self._manager.frame("NOTIFICATION", RateCapacity=options.rate // 1000, **self._shape())

    def moved(self, source: Source, target: str, start: int, done: int) -> None:
        """So far a file has come."""
        self._manager.frame("STATS", **self._shape(), **self._of_file(source, target, start, done), **self._sums())
        left = (source.size - done) * 8 / self._meter.speed if self._meter.bytes else None
        self._console.progress(source.name, done, source.size, self._speed(), left, ended=False)

    def arrived(self, source: Source, target: str, start: int) -> None:
        self.passed += 1
        self._manager.frame("STOP", **self._of_file(source, target, start, source.size), **self._sums())
        self._console.progress(
            source.name, source.size, source.size, self._speed(), self._meter.seconds, ended=True
        )

    def skipped_file(self, source: Source, target: str) -> None:
        """It was there already."""
        self.skipped += 1
        self._manager.frame("SKIP", File=target, Size=source.size, **self._sums())

    def failed_file(self, source: Source, target: str, code: int, text: str) -> None:
        self.failed += 1
        self._manager.frame("FILEERROR", File=target, Size=source.size, Code=code, Description=text)

    def failure(self, failure: Failure) -> None:
        told = {"Code": failure.code, "Description": failure.text, "Loss": 0}
        self._manager.frame("ERROR", **told)
        self._manager.frame("DONE", **told)
        self._console.failed(failure, self._meter.bytes, self._meter.seconds)

    def partly_done(self, code: int, text: str) -> None:
        """Some files failed."""
        self._manager.frame("ERROR", Code=code, Description=text, Loss=0)
        self._manager.frame("DONE", Code=code, Description=text, **self._sums())
        self._console.completed(self._meter.bytes, self._meter.seconds, self.passed, self.failed)

    def done(self) -> None:
        self._manager.frame("DONE", **self._sums())
        self._console.completed(self._meter.bytes, self._meter.seconds, self.passed + self.skipped)

    def _speed(self) -> float:
        return self._meter.speed if self._meter.bytes >= 1 << 20 else 0.0

    def _shape(self) -> dict[str, object]:
        return {
            "Adaptive": "Adaptive" if self._options.policy == "fair" else "Fixed",
            "Cipher": "aes-128" if self._options.encrypts else "none",
            "ClientUser": self._options.user,
            "ClusterNodeId": 0,
            "ClusterNumNodes": 1,
            "CreatePolicy": 0,
            "DSPipelineDepth": 32,
            "DatagramSize": 0,
            "Direction": "Receive",
            "Encryption": "Yes" if self._options.encrypts else "No",
        }

    def _of_file(self, source: Source, target: str, start: int, done: int) -> dict[str, object]:
        return {"File": target, "Size": source.size, "StartByte": start, "Bytescont": done, "FileBytes": done}

    def _sums(self) -> dict[str, object]:
        return {
            "Elapsedusec": int(self._meter.seconds * 1_000_000),
            "Loss": 0,
            "PreTransferBytes": self.expected,
            "Rate": int(self._meter.speed / 1000),
            "TransferBytes": self._meter.bytes,
            "TransfersFailed": self.failed,
            "TransfersPassed": self.passed,
            "TransfersSkipped": self.skipped,
            "Written": self._meter.bytes,
        }
