"""A zip that was damaged anywhere: each of its members reads right, or is refused. Never are its bytes wrong."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from cdbfs.errors import CdbfsError
from tests.store.zips.handmade import STORED, Part, extra, opened, zipped

TRUE = {
    "s/text": b"some text that can be packed, packed, packed\n" * 20,
    "s/stored": bytes(range(256)),
    "s/d/empty": b"",
    "s/last": b"x" * 2000,
}


def by_hand(wide: bool) -> bytes:
    times = extra(0x5455, b"\1\1\2\3\4")
    kinds = {"s/stored": STORED, "s/d/empty": STORED}
    parts = [
        Part(path.encode(), data, kinds.get(path, 8), extra=times, descriptor=path == "s/last")
        for path, data in TRUE.items()
    ]
    return zipped(Part(b"s/"), *parts, comment=b"a comment", wide=wide)


def by_zipfile() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for path, data in TRUE.items():
            file.writestr(path, data)
    return buffer.getvalue()


ZIPS = {"by hand": by_hand(False), "zip64": by_hand(True), "by zipfile": by_zipfile()}


def check(content: bytes, scratch: Path) -> tuple[int, int]:
    """How many members read right, and how many are refused. A member may have got another name or time by it."""
    right = refused = 0
    with contextlib.suppress(CdbfsError), opened(content, scratch) as it:
        for outcome in it.everything().values():
            right += isinstance(outcome, bytes)
            refused += not isinstance(outcome, bytes)
            assert isinstance(outcome, type) or outcome in TRUE.values()
        it.refused()
    return right, refused


@pytest.mark.parametrize("kind", ZIPS)
def test_one_byte_anywhere(kind: str, tmp_path: Path) -> None:
    good = ZIPS[kind]
    source = random.Random(kind)
    right = 0
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= source.randrange(1, 256)
        right += check(bytes(damaged), tmp_path)[0]
    assert right > 2 * len(good)  # damage to one leaves the others: to the bytes and headers of members, at least


@pytest.mark.parametrize("kind", ZIPS)
def test_cut_anywhere(kind: str, tmp_path: Path) -> None:
    good = ZIPS[kind]
    for length in range(len(good) - len(b"a comment")):
        assert check(good[:length], tmp_path) == (0, 0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=some.sampled_from(sorted(ZIPS)),
    start=some.floats(0, 1),
    removed=some.integers(0, 40),
    put=some.binary(max_size=40),
)
def test_a_region_anywhere(tmp_path: Path, kind: str, start: float, removed: int, put: bytes) -> None:
    good = ZIPS[kind]
    place = int(start * len(good))
    check(good[:place] + put + good[place + removed :], tmp_path)
