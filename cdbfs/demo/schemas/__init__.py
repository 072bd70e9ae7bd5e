"""The XML Schemas of the stand-in's documents, and the display documents of its types.

Those of XNAT's own types lie in ``xsd``: they were written for the stand-in, after the documents it sends, and
have no more than these and their clients need. Those of a data set's types are made of the fields it names
or, where it names none, of those that its experiments hold. Used by ``routes.schemas``. Pure functions, any
thread.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cdbfs.demo.schemas import types

if TYPE_CHECKING:
    from cdbfs.demo.world import World

_FILES = (
    *("assessments/assessments.xsd", "birn/birnprov.xsd", "catalog/catalog.xsd", "pipeline/repository.xsd"),
    *("pipeline/workflow.xsd", "project/project.xsd", "screening/screeningAssessment.xsd"),
    *("security/security.xsd", "validation/protocolValidation.xsd", "xdat/display.xsd", "xdat/xdat.xsd"),
    "xnat/xnat.xsd",
)
_END = b"</xs:schema>"


def paths(world: World) -> list[str]:
    """Where below ``/schemas`` there is a schema: ``xnat/xnat.xsd``, ``nt/nontoolbox.xsd``."""
    return sorted({*_FILES, *types.places(world.data)})


def schema(world: World, path: str) -> bytes | None:
    """The schema at a path, or None."""
    written = _written(path) if path in _FILES else None
    kinds = types.places(world.data).get(path, [])
    if written is None:
        return types.schema(world, kinds) if kinds else None
    added = [kind for kind in kinds if f'complexType name="{types.local(kind)}"'.encode() not in written]
    if not added:
        return written
    head, _, _ = written.rpartition(_END)
    return head + types.definitions(world, added) + _END + b"\n"


@cache
def _written(path: str) -> bytes:
    return files("cdbfs.demo.schemas").joinpath("xsd").joinpath(path).read_bytes()
