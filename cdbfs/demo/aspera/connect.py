"""A directory laid out like Aspera Connect's, with the stand-in ``ascp`` in place of the real one.

Used by ``standin``. Keys and licence are needed where the real ones are, and are plainly none. Pure but for the
files that it writes.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cdbfs.demo import ascp

_FAKE = "This is no {}: it belongs to the stand-in of cdbfs, whose ascp only looks whether it is here.\n"
_FILES = {
    "asperaweb_id_dsa.openssh": "private key",
    "aspera_tokenauth_id_rsa": "private key",
    "aspera-license": "licence",
}


def lay_out(directory: Path) -> Path:
    """Write ``bin/ascp`` and ``etc`` there; the path of ascp."""
    for folder in ("bin", "etc"):
        (directory / folder).mkdir(parents=True)
    for name, kind in _FILES.items():
        _write(directory / "etc" / name, _FAKE.format(kind), 0o600)
    program = directory / "bin" / "ascp"
    main = Path(ascp.__file__).with_name("__main__.py")
    # Without the environment's and the site's modules it needs nothing, and starts in a few milliseconds.
    command = shlex.join((sys.executable, "-E", "-s", "-S", str(main)))
    _write(program, f'#!/bin/sh\nexec {command} "$@"\n', 0o700)
    return program


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
