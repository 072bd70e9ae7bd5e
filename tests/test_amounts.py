"""Numbers as people read them."""

from __future__ import annotations

import pytest

from cdbfs import amounts


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_999, "1 MB"),
        (1_276_000_000, "1.28 GB"),
        (26_299_080_498, "26.3 GB"),
        (2e12, "2 TB"),
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
    assert amounts.pace({"rate": 5e6, "seconds_left": 70}) == "5 MB/s, 70 s left"
    assert amounts.pace({"rate": 0, "seconds_left": None}) == ""
