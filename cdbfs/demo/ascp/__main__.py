"""The program. The packages above are entered by hand, which spares the import of all that they import."""

from __future__ import annotations

import os
import sys
import types


def _enter(name: str, folder: str) -> None:
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    demo = os.path.dirname(here)
    sys.path.pop(0)  # this directory, whose modules are to be found by their full names only
    _enter("cdbfs", os.path.dirname(demo))
    _enter("cdbfs.demo", demo)
    from cdbfs.demo.ascp.main import main

    sys.exit(main(sys.argv[1:], os.environ))
