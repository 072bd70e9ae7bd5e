"""The bytes of a made-up file: as many as were planned, and the same ones whenever they are asked for.

Images are valid NIfTI: noise that no compression shrinks within ``.nii.gz``, numbers that it does within ``.nii``.
Files of any size are made piece by piece. Used by ``zips``. Pure functions, any thread.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, cycle
from random import Random
from typing import Callable

from cdbfs.demo.packages.layout import Kind, Member

PIECE = 1 << 20
_HEADER = 352
"""Bytes of a NIfTI header, with the four that say that no extension follows."""
_SLICE = 64 * 64 * 2
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
_GZIP_ENDS = len(_GZIP_HEADER) + 8
_BLOCK = 0xFFFF
_BLOCK_HEAD = 5
_FEW = bytes(value & 7 for value in range(256))


def pieces(member: Member, seed: str) -> Iterator[bytes]:
    """The file's bytes in pieces of 1 MiB at most; ``seed`` tells files of one kind and size apart."""
    return _MAKERS[member.kind](member.size, seed)


# --- images


def _gzipped_image(size: int, seed: str) -> Iterator[bytes]:
    return _gzipped(_image(_payload(size), _noise(seed)), size)


def _plain_image(size: int, seed: str) -> Iterator[bytes]:
    return _image(size, (piece.translate(_FEW) for piece in _noise(seed)))


def _image(size: int, noise: Iterator[bytes]) -> Iterator[bytes]:
    """What does not fill a whole slice stands between header and voxels, where NIfTI allows anything.

    Voxels begin at a multiple of 16, as SPM wants them, so that a few bytes may follow them.
    """
    shape = _shape((size - _HEADER) // 2)
    voxels = 2
    for length in shape:
        voxels *= length
    yield _nifti_header(shape, (size - voxels) // 16 * 16)
    left = size - _HEADER
    while left:
        piece = next(noise)[:left]
        left -= len(piece)
        yield piece


def _shape(voxels: int) -> tuple[int, ...]:
    slices = voxels * 2 // _SLICE
    if slices == 0:
        return (max(voxels, 1), 1, 1)
    return (64, 64, slices) if slices <= 64 else (64, 64, 64, slices // 64)


def _nifti_header(shape: tuple[int, ...], offset: int) -> bytes:
    """A NIfTI-1 header of 16-bit integers, 2 mm voxels, centred, in one file with its data."""
    dim = (len(shape), *shape, *(1,) * (7 - len(shape)))
    pixdim = (1.0, 2.0, 2.0, 2.0, 0.72, 0.0, 0.0, 0.0)
    int16 = 4
    return b"".join(
        (
            struct.pack("<i35xb", 348, 0),
            struct.pack("<8h", *dim),
            struct.pack("<3f4h", 0, 0, 0, 0, int16, 16, 0),
            struct.pack("<8f", *pixdim),
            struct.pack("<f2fhbb", float(offset), 1.0, 0.0, 0, 0, 10),
            struct.pack("<4f2i", 0, 0, 0, 0, 0, 0),
            struct.pack("<80s24s", b"cdbfs demo: synthetic, not HCP data", b""),
            struct.pack("<2h6f", 0, 2, 0, 0, 0, -64, -64, -64),
            struct.pack("<12f", 2, 0, 0, -64, 0, 2, 0, -64, 0, 0, 2, -64),
            struct.pack("<16s4s4s", b"", b"n+1\0", bytes(4)),
        )
    )


def _noise(seed: str) -> Iterator[bytes]:
    """Endless pieces, no two alike, in which no repetition is near enough for deflate to see it."""
    base = _noise_piece()
    for number in count():
        start = f"{seed}:{number}:".encode()
        yield zlib.crc32(start).to_bytes(4, "little") + start + base[len(start) + 4 :]


@lru_cache(1)
def _noise_piece() -> bytes:
    return Random("noise").randbytes(PIECE)  # noqa: S311 - no secret


# --- gzip


def _payload(size: int) -> int:
    """How many bytes come to a gzip file of so many, stored in blocks."""
    blocks = -(-(size - _GZIP_ENDS) // (_BLOCK + _BLOCK_HEAD))
    return size - _GZIP_ENDS - _BLOCK_HEAD * blocks


def _gzipped(plain: Iterator[bytes], size: int) -> Iterator[bytes]:
    """As ``gzip -n`` writes what it cannot compress: no name, no time, stored blocks."""
    length, checksum, done = _payload(size), 0, 0
    yield _GZIP_HEADER
    rest = b""
    for piece in plain:
        checksum = zlib.crc32(piece, checksum)
        done += len(piece)
        rest += piece
        whole = len(rest) if done == length else len(rest) // _BLOCK * _BLOCK
        yield b"".join(_blocks(rest[:whole], last=done == length))
        rest = rest[whole:]
    yield struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _blocks(data: bytes, *, last: bool) -> Iterator[bytes]:
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        final = last and start + _BLOCK >= len(data)
        yield struct.pack("<BHH", final, len(block), len(block) ^ 0xFFFF)
        yield block


# --- text


def _binary(size: int, seed: str) -> Iterator[bytes]:
    return _cut(_noise(seed), size)


def _numbers(size: int, seed: str) -> Iterator[bytes]:
    random = Random(seed)  # noqa: S311 - no secret
    lines = (" ".join(f"{random.gauss(0, 1):.6f}" for _ in range(6)) for _ in count())
    return _text((f"{line}\n" for line in lines), size)


def _csv(size: int, seed: str) -> Iterator[bytes]:
    random = Random(seed)  # noqa: S311 - no secret
    kinds = ("T1w", "T2w", "rfMRI_REST1", "tfMRI_WM", "DWI_dir95")
    lines = (
        f"Day {1 + row // 20},2012-11-03 14:{row % 60:02d}:10,{row},{random.choice(kinds)},complete,100.0\n"
        for row in count(1)
    )
    return _text(lines, size)


def _notes(size: int, seed: str) -> Iterator[bytes]:
    lines = ("This package was made by the demo of cdbfs.\n", "It is synthetic: nobody's data.\n", f"{seed}\n")
    return _text(cycle(lines), size)


def _xml(size: int, seed: str) -> Iterator[bytes]:
    start, end = b'<?xml version="1.0" encoding="UTF-8"?>\n<Synthetic>\n', b"</Synthetic>\n"
    yield start
    yield from _numbers(size - len(start) - len(end), seed)
    yield end


def _text(lines: Iterator[str], size: int) -> Iterator[bytes]:
    """Whole lines but perhaps for the last one, which ends where the file is full."""
    yield from _cut((line.encode() for line in lines), size - 1)
    yield b"\n"


def _cut(endless: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left > 0:
        piece = next(endless)[:left]
        left -= len(piece)
        yield piece


_MAKERS: dict[Kind, Callable[[int, str], Iterator[bytes]]] = {
    "nii.gz": _gzipped_image,
    "nii": _plain_image,
    "csv": _csv,
    "numbers": _numbers,
    "text": _notes,
    "xml": _xml,
    "binary": _binary,
}
