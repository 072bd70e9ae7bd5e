"""Which files a made-up package has, named as HCP names them, and how large each is.

Only the largest file differs in size between subjects: it takes what the others leave. So what a package comes to
is known without a look at its files. Used by ``vault`` and ``stock``. Pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["nii.gz", "nii", "csv", "numbers", "text", "xml", "binary"]

SMALLEST = {"nii.gz": 1024, "nii": 1024}
"""Bytes of an image, at least."""


@dataclass(frozen=True)
class Member:
    """A file of a package: its path, with ``{s}`` for the subject, and its size in bytes."""

    path: str
    kind: Kind
    size: int


@dataclass(frozen=True)
class _File:
    """``share``: so many 1024ths of the package; 0: as small as such files are; None: what the others leave."""

    path: str
    kind: Kind
    share: int | None = 0


_TEXT_SIZES = {"csv": 1800, "numbers": 4000, "text": 700, "xml": 1500, "binary": 3000}
_UNPROCESSED = "{s}/unprocessed/3T"
_RESULTS = "{s}/MNINonLinear/Results"


def members(package: str, subject: str, size: int, total: int) -> list[Member]:
    """The files of a package, in the order of the zip; ``size`` is the usual sum, ``total`` this one's."""
    left = total - _others(package, size)
    return [
        Member(
            file.path.replace("{s}", subject),
            file.kind,
            _size(file, size) if file.share is not None else max(left, SMALLEST["nii.gz"]),
        )
        for file in _files(package)
    ]


def count(package: str) -> int:
    """How many files a package has."""
    return len(_files(package))


def total(package: str, size: int, wanted: int) -> int:
    """What the sizes of a package's files really come to, if they are to come to ``wanted``."""
    others = _others(package, size)
    return others + max(wanted - others, SMALLEST["nii.gz"])


@lru_cache(1024)
def _others(package: str, size: int) -> int:
    return sum(_size(file, size) for file in _files(package) if file.share is not None)


def _size(file: _File, size: int) -> int:
    if not file.share:
        return _TEXT_SIZES.get(file.kind, SMALLEST["nii.gz"])
    return max(SMALLEST.get(file.kind, 1), size * file.share // 1024)


@lru_cache(1024)
def _files(package: str) -> tuple[_File, ...]:
    plain = re.sub(r"^[37]T_", "", package)
    name = re.sub(r"_(un|pre)proc$", "", plain)
    if package.startswith("MEG_"):
        return tuple(_meg(name.removeprefix("MEG_"), raw=package.endswith("_unproc")))
    if package.endswith("_unproc"):
        return (*_unprocessed(name), _notes(plain))
    if name == "Structural":
        return (*_structural(), _notes(plain))
    if name == "Diffusion":
        return (*_diffusion(), _notes(plain))
    return (*_functional(name), _notes(plain))


def _notes(plain: str) -> _File:
    return _File(f"{{s}}/release-notes/{plain}.txt", "text")


def _structural() -> Iterator[_File]:
    mni, native = "{s}/MNINonLinear", "{s}/T1w/Native"
    yield _File(f"{mni}/BiasField.nii.gz", "nii.gz", 60)
    for side in "LR":
        yield _File(f"{mni}/Native/{{s}}.{side}.sphere.MSMSulc.native.surf.gii", "xml")
    yield _File(f"{mni}/T1w_restore.nii.gz", "nii.gz", None)
    yield _File(f"{mni}/T1w_restore_brain.nii.gz", "nii.gz", 120)
    yield _File(f"{mni}/T2w_restore.nii.gz", "nii.gz", 160)
    yield _File(f"{mni}/aparc+aseg.nii", "nii", 80)
    for side in "LR":
        yield _File(f"{mni}/fsaverage_LR32k/{{s}}.{side}.midthickness.32k_fs_LR.surf.gii", "xml")
    yield _File(f"{mni}/fsaverage_LR32k/{{s}}.32k_fs_LR.wb.spec", "xml")
    yield _File(f"{mni}/xfms/acpc_dc2standard.nii.gz", "nii.gz", 60)
    for side in "LR":
        yield _File(f"{native}/{{s}}.{side}.white.native.surf.gii", "xml")
    yield _File(f"{native}/{{s}}.native.wb.spec", "xml")
    yield _File("{s}/T1w/T1w_acpc_dc_restore.nii.gz", "nii.gz", 150)
    yield _File("{s}/T1w/brainmask_fs.nii.gz", "nii.gz")


def _diffusion() -> Iterator[_File]:
    folder = "{s}/T1w/Diffusion"
    yield from (_File(f"{folder}/{name}", "numbers") for name in ("bvals", "bvecs"))
    yield _File(f"{folder}/data.nii.gz", "nii.gz", None)
    yield _File(f"{folder}/eddylogs/eddy_unwarped_images.eddy_parameters", "numbers")
    yield _File(f"{folder}/grad_dev.nii.gz", "nii.gz", 40)
    yield _File(f"{folder}/nodif.nii", "nii", 20)
    yield _File(f"{folder}/nodif_brain_mask.nii.gz", "nii.gz")
    yield _File("{s}/T1w/T1w_acpc_dc_restore_1.25.nii.gz", "nii.gz", 20)


def _functional(name: str) -> Iterator[_File]:
    """Two runs, one in each direction; of a task also its events."""
    for direction in ("LR", "RL"):
        run = f"{name}_{direction}"
        folder = f"{_RESULTS}/{run}"
        if name.startswith("tfMRI"):
            yield from (_File(f"{folder}/EVs/{event}.txt", "numbers") for event in ("Sync", "cue", "stim"))
        yield from (_File(f"{folder}/Movement_{what}.txt", "numbers") for what in ("Regressors", "RelativeRMS"))
        yield _File(f"{folder}/{run}.nii.gz", "nii.gz", None if direction == "LR" else 380)
        yield _File(f"{folder}/{run}_Jacobian.nii", "nii", 60)
        yield _File(f"{folder}/{run}_SBRef.nii.gz", "nii.gz", 30)
    if name.startswith("tfMRI"):
        yield _File(f"{_RESULTS}/{name}/{name}_hp200_s4_level2.fsf", "text")


def _unprocessed(name: str) -> Iterator[_File]:
    yield _File(f"{_UNPROCESSED}/{{s}}_3T.csv", "csv")
    if name == "Structural":
        yield from _weighted("T1w_MPR1", None)
        yield from _weighted("T2w_SPC1", 350)
    elif name == "Diffusion":
        yield from _directions()
    else:
        yield from _run(f"{name}_LR", None)
        yield from _run(f"{name}_RL", 400)


def _bias(folder: str) -> Iterator[_File]:
    for coil in ("32CH", "BC"):
        yield _File(f"{folder}/{{s}}_3T_BIAS_{coil}.nii.gz", "nii.gz", 10)


def _weighted(scan: str, share: int | None) -> Iterator[_File]:
    folder = f"{_UNPROCESSED}/{scan}"
    yield from _bias(folder)
    yield from (_File(f"{folder}/{{s}}_3T_FieldMap_{part}.nii.gz", "nii.gz", 8) for part in ("Magnitude", "Phase"))
    yield _File(f"{folder}/{{s}}_3T_{scan}.nii.gz", "nii.gz", share)


def _run(scan: str, share: int | None) -> Iterator[_File]:
    folder = f"{_UNPROCESSED}/{scan}"
    if scan.startswith("tfMRI"):
        prime = f"{folder}/LINKED_DATA/EPRIME"
        yield from (_File(f"{prime}/EVs/{event}.txt", "numbers") for event in ("cue", "stim"))
        yield _File(f"{prime}/{{s}}_3T_{scan.split('_')[1]}_run1_TAB.txt", "text")
    yield from _bias(folder)
    for field in ("LR", "RL"):
        yield _File(f"{folder}/{{s}}_3T_SpinEchoFieldMap_{field}.nii.gz", "nii.gz", 10)
    yield _File(f"{folder}/{{s}}_3T_{scan}.nii.gz", "nii.gz", share)
    yield _File(f"{folder}/{{s}}_3T_{scan}_Physio_log.txt", "numbers")
    yield _File(f"{folder}/{{s}}_3T_{scan}_SBRef.nii.gz", "nii.gz", 10)


def _directions() -> Iterator[_File]:
    folder = f"{_UNPROCESSED}/Diffusion"
    yield from _bias(folder)
    for number in (95, 96, 97):
        for direction in ("LR", "RL"):
            stem = f"{folder}/{{s}}_3T_DWI_dir{number}_{direction}"
            yield from (_File(f"{stem}.{what}", "numbers") for what in ("bval", "bvec"))
            yield _File(f"{stem}.nii.gz", "nii.gz", None if (number, direction) == (95, "LR") else 130)
            yield _File(f"{stem}_SBRef.nii.gz", "nii.gz", 5)


def _meg(kind: str, *, raw: bool) -> Iterator[_File]:
    """Names with a comma, and with brackets."""
    if raw:
        folder = f"{{s}}/unprocessed/MEG/3-{kind}/4D"
        yield _File(f"{folder}/c,rfDC", "binary", None)
        yield _File(f"{folder}/config", "binary")
        return
    for place, pipeline in enumerate(("icablpenv", "rmegpreproc")):
        name = f"{{s}}_MEG_3-{kind}_{pipeline}_[BT-diff]_[MODE-mag]"
        yield _File(f"{{s}}/MEG/{kind}/{pipeline}/{name}.mat", "binary", 300 if place else None)
        yield _File(f"{{s}}/MEG/{kind}/{pipeline}/{name}.xml", "xml")
