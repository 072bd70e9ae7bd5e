"""Synthetic Non-Toolbox scores: plausible in range and form, and nobody's data.

The groups and fields are those of ConnectomeDB's nt:scores; the distributions are working estimates, not
taken from any subject. Sums agree (ER40_CR is the sum of its five parts, SCPT_SEN is TP / (TP + FN)).
Used by ``synthetic``. Pure functions, any thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

from cdbfs.demo import tutorial
from cdbfs.demo.dataset import Group, Score

DELAYS = ("1mo", "6mo", "1yr", "3yr", "5yr", "10yr")
_MONTHS = (1, 6, 12, 36, 60, 120)
_DDISC = (
    *(f"SV_{delay}_200" for delay in DELAYS),
    *(f"SV_{delay}_40000" for delay in DELAYS),
    *("AUC_200", "AUC_40000"),
)

FIELDS: Mapping[str, Mapping[str, str]] = {
    "HCPPNP": {"MARS_Log_Score": "float", "MARS_Errs": "int", "MARS_Final": "float"},
    "DDISC": dict.fromkeys(_DDISC, "float"),
    "NEO": {"NEO": "string", **{f"NEOFAC_{factor}": "int" for factor in "AOCNE"}},
    "SPCPTNL": {
        **{f"SCPT_{name}": "int" for name in ("TP", "TN", "FP", "FN")},
        **{f"SCPT_{name}": "float" for name in ("TPRT", "SEN", "SPEC", "LRNR")},
    },
    "CPW": {"IWRD_TOT": "int", "IWRD_RTC": "float"},
    "PMAT24A": {"PMAT24_A_CR": "int", "PMAT24_A_SI": "int", "PMAT24_A_RTCR": "float"},
    "VSPLOT24": {"VSPLOT_TC": "int", "VSPLOT_CRTE": "float", "VSPLOT_OFF": "int"},
    "ER40": {
        "ER40_CR": "int",
        "ER40_CRT": "float",
        **{f"ER40{name}": "int" for name in ("ANG", "FEAR", "HAP", "NOE", "SAD")},
    },
}
_ODDS_OF_A_GAP = 0.03
_NEVER_BLANK = ("NEOFAC_A", "IWRD_TOT")
_INCOMPLETE_GROUPS = ("HCPPNP", "DDISC", "SPCPTNL", "PMAT24A", "VSPLOT24")
"""Only these lose scores: the others hold what the tutorial's queries read."""


def non_toolbox(random: Random, label: str) -> tuple[Group, ...]:
    """All eight groups for a subject, the tutorial's values planted."""
    makers = (_hcppnp, _ddisc, _neo, _spcptnl, _cpw, _pmat24a, _vsplot24, _er40)
    made = {group: maker(random, label) for group, maker in zip(FIELDS, makers)}
    for scores in made.values():
        scores.update({n: v for n, v in tutorial.PLANTED.get(label, {}).items() if n in scores})
    return tuple((group, _with_gaps(random, group, label, scores)) for group, scores in made.items())


def _with_gaps(random: Random, group: str, label: str, scores: Mapping[str, str]) -> tuple[Score, ...]:
    """A few scores are missing: as an empty element or as none at all."""
    kept: list[Score] = []
    for name, value in scores.items():
        gap = random.random() < _ODDS_OF_A_GAP
        blank = None if random.random() < 0.5 else ""
        planted = name in tutorial.PLANTED.get(label, {})
        kept.append((name, blank if gap and group in _INCOMPLETE_GROUPS and not planted else value))
    return tuple(kept)


def _whole(random: Random, mean: float, spread: float, low: int, high: int) -> int:
    return min(high, max(low, round(random.gauss(mean, spread))))


def _real(random: Random, mean: float, spread: float, low: float, high: float) -> str:
    return str(round(min(high, max(low, random.gauss(mean, spread))), 1))


def _hcppnp(random: Random, label: str) -> dict[str, str]:
    log_score = round(min(1.92, max(1.2, random.gauss(1.80, 0.07))), 2)
    errors = _poisson(random, 0.5)
    final = round(log_score - 0.04 * errors, 2)
    return {"MARS_Log_Score": str(log_score), "MARS_Errs": str(errors), "MARS_Final": str(final)}


def _poisson(random: Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


def _ddisc(random: Random, label: str) -> dict[str, str]:
    made: dict[str, str] = {}
    areas: dict[str, str] = {}
    for amount, mean, spread in ((200, 0.25, 0.2), (40000, 0.5, 0.28)):
        steepness = min(0.98, max(0.02, random.gauss(mean, spread)))
        values = [round(amount / (1 + months * (1 - steepness) / (20 * steepness)), 2) for months in _MONTHS]
        for delay, value in zip(DELAYS, values):
            made[f"SV_{delay}_{amount}"] = f"{value:.2f}"
        areas[f"AUC_{amount}"] = str(round(_area(values, amount), 4))
    return {**made, **areas}


def _area(values: list[float], amount: int) -> float:
    """The area under the subjective values by trapezoids, the whole amount at no delay, 1 at most."""
    points = [(0.0, 1.0), *((m / 120, v / amount) for m, v in zip(_MONTHS, values))]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points, points[1:]))


def _neo(random: Random, label: str) -> dict[str, str]:
    agreeable = _whole(random, 32, 5.5, 0, 40)
    if label in tutorial.AGREEABLE:
        agreeable = random.randint(41, 46)
    return {
        "NEO": "1",
        "NEOFAC_A": str(agreeable),
        "NEOFAC_O": str(_whole(random, 28, 6, 0, 48)),
        "NEOFAC_C": str(_whole(random, 34, 6, 0, 48)),
        "NEOFAC_N": str(_whole(random, 17, 7.5, 0, 48)),
        "NEOFAC_E": str(_whole(random, 30.5, 6, 0, 48)),
    }


def _spcptnl(random: Random, label: str) -> dict[str, str]:
    hits, rejections = _whole(random, 57, 2, 40, 60), _whole(random, 117, 2, 90, 120)
    misses, alarms = 60 - hits, 120 - rejections
    return {
        "SCPT_TP": str(hits),
        "SCPT_TN": str(rejections),
        "SCPT_FP": str(alarms),
        "SCPT_FN": str(misses),
        "SCPT_TPRT": _real(random, 460, 50, 300, 800),
        "SCPT_SEN": str(round(hits / (hits + misses), 4)),
        "SCPT_SPEC": str(round(rejections / (rejections + alarms), 4)),
        "SCPT_LRNR": _real(random, 2.5, 1.5, 0, 20),
    }


def _cpw(random: Random, label: str) -> dict[str, str]:
    total = _whole(random, 35.5, 3, 25, 40)
    if label in tutorial.IWRD_30_TO_34:
        total = random.randint(30, 34)
    elif label in tutorial.LABELS[: tutorial.FIRST_RELEASE]:
        total = random.choice((*range(25, 30), *range(35, 41), *range(35, 41)))
    return {"IWRD_TOT": str(total), "IWRD_RTC": _real(random, 1550, 230, 900, 3500)}


def _pmat24a(random: Random, label: str) -> dict[str, str]:
    time = min(50_000.0, max(2_500.0, random.lognormvariate(math.log(15_500), 0.45)))
    return {
        "PMAT24_A_CR": str(_whole(random, 17, 5, 4, 24)),
        "PMAT24_A_SI": str(_whole(random, 2.5, 4, 0, 19)),
        "PMAT24_A_RTCR": str(round(time, 1)),
    }


def _vsplot24(random: Random, label: str) -> dict[str, str]:
    return {
        "VSPLOT_TC": str(_whole(random, 15, 4.5, 0, 24)),
        "VSPLOT_CRTE": _real(random, 1150, 300, 400, 3500),
        "VSPLOT_OFF": str(_whole(random, 30, 15, 0, 165)),
    }


def _er40(random: Random, label: str) -> dict[str, str]:
    parts = {
        f"ER40{name}": sum(random.random() < 0.89 for _ in range(8))
        for name in ("ANG", "FEAR", "HAP", "NOE", "SAD")
    }
    return {
        "ER40_CR": str(sum(parts.values())),
        "ER40_CRT": _real(random, 1800, 300, 900, 4000),
        **{name: str(value) for name, value in parts.items()},
    }
