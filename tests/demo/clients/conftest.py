"""Running stand-ins of both dialects: one with what the recorded server held, one with the tutorial's data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdbfs.demo import StandIn, connectomedb
from tests.demo import recordings


@pytest.fixture(scope="package")
def recorded_server(dialect: str) -> Iterator[StandIn]:
    with StandIn(recordings.data(), dialect=dialect) as standin:
        yield standin


@pytest.fixture(scope="package")
def tutorial_server(dialect: str) -> Iterator[StandIn]:
    with StandIn(connectomedb(), dialect=dialect) as standin:
        yield standin
