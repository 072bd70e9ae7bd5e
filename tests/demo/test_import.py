"""Importing the package is cheap: no werkzeug, and nothing else of cdbfs."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, sys
import cdbfs.demo
cdbfs.demo.connectomedb(2)
before = list(sys.modules)
cdbfs.demo.StandIn
print(json.dumps([before, list(sys.modules)]))
"""


def test_werkzeug_is_imported_with_the_server_and_no_other_part_of_cdbfs_is() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert "werkzeug" not in before
    assert "werkzeug" in after
    ours = [name for name in after if name.startswith("cdbfs.")]
    assert all(name == "cdbfs.demo" or name.startswith("cdbfs.demo.") for name in ours)
