"""What the program does when it is started.

Used by ``__main__``. The only thread.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from cdbfs.demo.ascp import options as command_line
from cdbfs.demo.ascp.console import Console
from cdbfs.demo.ascp.errors import Failure
from cdbfs.demo.ascp.options import Options, UsageError
from cdbfs.demo.ascp.session import Session
from cdbfs.demo.ascp.watch import Stopped


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status: 0 or 1, as ascp's."""
    console = Console(quiet="-q" in arguments)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        options = Options(arguments, environment)
        if options.version:
            os.write(1, command_line.version().encode())
            return 0
        return _logged(options, environment)
    except UsageError as error:
        console.error(f"ascp: {error}\n{command_line.USAGE}\n")
    except Failure as failure:  # before anybody could be told of it otherwise
        console.failed(failure, 0, 0.0)
    except (Stopped, BrokenPipeError):
        console.error("ascp: terminated by signal, exiting.\n")
    return 1


def _logged(options: Options, environment: Mapping[str, str]) -> int:
    _log(options, f"FASP session start: {len(options.sources)} sources from {options.host}")
    status = Session(options, Console(quiet=options.quiet), environment).run()
    _log(options, f"FASP session stop, status {status}")
    return status


def _log(options: Options, text: str) -> None:
    """The client's log, in the directory of ``-L``."""
    if not options.log:
        return
    try:
        with open(os.path.join(options.log, "aspera-scp-transfer.log"), "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] LOG {text}\n")
    except OSError:
        pass


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # what is left to write is written in peace
    raise Stopped
