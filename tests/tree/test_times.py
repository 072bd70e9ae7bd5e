"""The server's dates as nanoseconds since the epoch."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.tree.times import nanoseconds

UTC = timezone.utc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01 00:00:00.0", 0),
        ("2012-11-03 14:22:10.1", 1351952530_100000000),
        ("2012-11-03 14:22:10.123", 1351952530_123000000),
        ("2026-11-22 19:38:03.569448", 1795376283_569448000),
        ("2012-11-03T14:22:10.123456789", 1351952530_123456789),
        ("1969-12-31 23:59:59.5", -500000000),
        ("2012-11-03 14:22:10.1 ", 1351952530_100000000),
    ],
)
def test_a_date_of_the_server_is_read_exactly(text: str, expected: int) -> None:
    assert nanoseconds(text, UTC) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "2012-11-03",
        "2012-13-03 14:22:10",
        "2012-02-30 00:00:00",
        "2012-11-03 25:00:00",
        "0000-01-01 00:00:00",
        "2012-11-03 14:22:10.",
        "2012-11-03 14:22:10.1234567890",
        "2012-11-03 14:22:10 PM",
        "x2012-11-03 14:22:10",
        "2012-11-03 14:22:10\n\nx",
        "٢٠١٢-11-03 14:22:1x",
        "Sat Nov 03 14:22:10 CDT 2012",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert nanoseconds(text, UTC) is None


def test_the_servers_zone_counts_with_its_summer_time() -> None:
    chicago = ZoneInfo("America/Chicago")
    assert nanoseconds("2012-07-01 07:00:00", chicago) == nanoseconds("2012-07-01 12:00:00", UTC)
    assert nanoseconds("2012-12-01 06:00:00", chicago) == nanoseconds("2012-12-01 12:00:00", UTC)


@pytest.mark.parametrize("text", ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999"])
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Tokyo"), ZoneInfo("America/Chicago")], ids=str)
def test_the_first_and_the_last_year_do_no_harm(text: str, zone: ZoneInfo) -> None:
    assert isinstance(nanoseconds(text, zone), int)


@settings(deadline=None, max_examples=200)
@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-14, 14))  # noqa: DTZ001
def test_every_moment_is_exact_to_the_microsecond(moment: datetime, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    expected = (moment.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert nanoseconds(moment.isoformat(" "), zone) == expected * 1000
