"""A process of its own that transfers a package with a program, until it is killed: `python -m ... ROOT`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from cdbfs.hcp.transport import Order, Watch
from tests.store.packages.doubles import MIB, PACKAGE, Scripted, content, files_of, opened

WRITE_ON = (
    "import sys, time\nwith open(sys.argv[1], 'ab') as f:\n while True: f.write(b'x'); f.flush(); time.sleep(0.05)"
)


def start_a_program(order: Order, watch: Watch) -> None:
    """As ascp does: the program has the lock, too, and does not notice that we are killed."""
    part = order.into / PACKAGE.zip
    part.write_bytes(content(PACKAGE)[:1000])
    program = subprocess.Popen([sys.executable, "-c", WRITE_ON, str(part)], pass_fds=order.hold)
    watch.started(program.pid)
    watch.moved(PACKAGE.zip, 1000, MIB)
    print(program.pid, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    with opened(Path(sys.argv[1]), Scripted(files_of(PACKAGE), [start_a_program])) as store:
        store.fetch(PACKAGE)
