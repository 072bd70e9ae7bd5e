"""Numbers as people read them."""

from __future__ import annotations

import pytest

from cdbfs import amounts


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1000 B"),
        (1024, "1 KiB"),
        (1023 * 2**10, "1023 KiB"),
        (2**20 - 1, "1 MiB"),
        (1_276_000_000, "1.19 GiB"),
        (50 * 2**30, "50 GiB"),
        (2.5e15, "2.22 PiB"),
        (1e18, "888 PiB"),
    ],
)
def test_sizes(amount: float, text: str) -> None:
    assert amounts.size(amount) == text
    assert amounts.rate(amount) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (86400, "24 h")]
)
def test_times(seconds: float, text: str) -> None:
    assert amounts.time(seconds) == text


def test_counts_and_paces() -> None:
    assert (amounts.count(1, "package"), amounts.count(0, "package")) == ("1 package", "0 packages")
    assert amounts.pace({"rate": 5 * 2**20, "seconds_left": 70}) == "5 MiB/s, 70 s left"
    assert amounts.pace({"rate": 0, "seconds_left": None}) == ""
