"""Imports go down the list of layers only; only the commands print; one folder knows FUSE."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cdbfs"

BASE = ("amounts", "config", "credentials", "caller", "events", "errors")
LAYERS = (
    ("cli", "__main__"),
    ("commands",),
    ("demonstration",),
    ("runtime", "mount"),
    ("tree",),
    ("query",),
    ("store",),
    ("hcp",),
    ("xnat",),
    BASE,
)
"""From the top down; those of one line may import each other."""
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ABOVE_DEMO = ("cli", "demonstration", "demo")
MAY_PRINT = ("cli", "commands")
FUSE = ("fuse", "mfusepy", "fusepy")


def modules() -> list[tuple[str, str]]:
    """Every module as (dotted name below cdbfs, source)."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found.append((name.removesuffix(".__init__"), path.read_text(encoding="utf-8")))
    return found


def complaints(module: str, source: str) -> list[str]:
    """What a module does that its layer may not."""
    tree = ast.parse(source)
    said = [*_imports_complained_of(module, tree), *_prints(module, tree)]
    return [f"{module}: {what}" for what in said]


def _imports_complained_of(module: str, tree: ast.Module) -> Iterator[str]:
    layer = module.split(".")[0]
    for name in _imported(tree):
        top, _, below = name.partition(".")
        relative = top == ""
        foreign = top in FUSE and layer != "mount"
        upward = top == "cdbfs" and not _may(layer, below.split(".")[0])
        if relative or foreign or upward:
            yield f"imports {name}"


def _may(layer: str, target: str) -> bool:
    if target in (layer, "", "__version__"):
        return True
    if target == "demo":
        return layer in ABOVE_DEMO
    if layer == "demo":
        return False
    if layer not in RANK or target not in RANK:
        return False  # a new module or folder: give it its place in LAYERS
    return RANK[layer] <= RANK[target]


def _imported(tree: ast.Module) -> Iterator[str]:
    """Every name that is imported, also within functions; a relative import begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _prints(module: str, tree: ast.Module) -> Iterator[str]:
    if module.split(".")[0] in MAY_PRINT:
        return
    for node in ast.walk(tree):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
            yield f"calls {called}"


@pytest.mark.parametrize(("module", "source"), modules(), ids=[name for name, _ in modules()])
def test_a_module_keeps_to_its_layer(module: str, source: str) -> None:
    assert complaints(module, source) == []


def test_every_layer_that_there_is_was_read() -> None:
    read = {name.split(".")[0] for name, _ in modules()}
    assert {
        "cli",
        "commands",
        "demonstration",
        "runtime",
        "mount",
        "tree",
        "query",
        "store",
        "xnat",
        "demo",
        *BASE,
    } <= read
    assert len(modules()) > 40


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("xnat.session", "from cdbfs.store.flight import Flight", "imports cdbfs.store.flight.Flight"),
        ("store.disk", "import cdbfs.tree.names", "imports cdbfs.tree.names"),
        ("query.run", "from cdbfs.tree import names", "imports cdbfs.tree.names"),
        ("store.disk", "from cdbfs import runtime", "imports cdbfs.runtime"),
        ("tree.tree", "def f():\n    from cdbfs.mount import daemon", "imports cdbfs.mount.daemon"),
        ("config", "if TYPE_CHECKING:\n    from cdbfs.xnat import http", "imports cdbfs.xnat.http"),
        ("runtime", "from cdbfs import cli", "imports cdbfs.cli"),
        ("mount.daemon", "from cdbfs.commands import common", "imports cdbfs.commands.common"),
        ("commands.fetch", "from cdbfs import cli", "imports cdbfs.cli"),
        ("errors", "from cdbfs import newcomer", "imports cdbfs.newcomer"),
        ("newcomer", "from cdbfs import errors", "imports cdbfs.errors"),
        ("tree.tree", "from . import names", "imports ..names"),
        ("runtime", "from cdbfs.demo import StandIn", "imports cdbfs.demo.StandIn"),
        ("demo.app", "from cdbfs.errors import CdbfsError", "imports cdbfs.errors.CdbfsError"),
        ("tree.tree", "import mfusepy", "imports mfusepy"),
        ("runtime", "from fuse import FUSE", "imports fuse.FUSE"),
        ("tree.tree", "print('x')", "calls print"),
        ("demonstration", "import click\nclick.echo('x')", "calls click.echo"),
        ("mount.daemon", "sys.stderr.write('x')", "calls sys.stderr.write"),
    ],
)
def test_a_bad_module_is_seen(module: str, source: str, complaint: str) -> None:
    assert complaints(module, source) == [f"{module}: {complaint}"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tree.tree", "from cdbfs.store.flight import Flight\nfrom cdbfs.tree import names\nimport os"),
        ("mount.daemon", "from cdbfs.runtime import Runtime\nimport mfusepy"),
        ("xnat.http", "from cdbfs import __version__, errors"),
        ("cli", "from cdbfs import demonstration\nprint('x')"),
        ("commands.status", "from cdbfs.mount import asking\nprint('x')"),
        ("demonstration", "from cdbfs.demo import StandIn"),
        ("demo.app", "from cdbfs.demo import pages"),
    ],
)
def test_a_good_module_is_let_be(module: str, source: str) -> None:
    assert complaints(module, source) == []
