"""The packages of HCP's second release, as its service offers them.

Used by ``synthetic``. Constant.
"""

from __future__ import annotations

from collections.abc import Iterator

from cdbfs.demo.packages.offers import Offer

_SCANS = {
    "Structural": ("Structural", ("structural",)),
    "rfMRI_REST1": ("Resting State fMRI 1", ("resting", "fMRI")),
    "rfMRI_REST2": ("Resting State fMRI 2", ("resting", "fMRI")),
    **{
        f"tfMRI_{task}": (f"{name} Task fMRI", ("task", "fMRI"))
        for task, name in {
            "EMOTION": "Emotion",
            "GAMBLING": "Gambling",
            "LANGUAGE": "Language",
            "MOTOR": "Motor",
            "RELATIONAL": "Relational",
            "SOCIAL": "Social",
            "WM": "Working Memory",
        }.items()
    },
    "Diffusion": ("Diffusion", ("diffusion",)),
}


def _offers() -> Iterator[Offer]:
    for scan, (name, keywords) in _SCANS.items():
        for ending, state in (("preproc", "Preprocessed"), ("unproc", "Unprocessed")):
            yield Offer(
                f"3T_{scan}_{ending}",
                f"HCP Q2 {name} {state}",
                f"HCP Q2 Data Release {name} {state}",
                (state.lower(), *keywords),
            )


Q2 = tuple(_offers())
"""All 22, in the order of the release."""
