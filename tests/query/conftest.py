"""Fixtures for the tests of queries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.xnat.client import Client
from tests.demo import recordings
from tests.xnat.conftest import swept

__all__ = ["LOGIN", "swept"]

LOGIN = Credentials("mylogin", "mypasswd")


@pytest.fixture(scope="module", params=["1.6", "1.8"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """The recorded server, in both dialects."""
    with StandIn(recordings.data(), dialect=request.param) as running:
        yield running


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Client]:
    """A client of it, whose requests are counted from here on."""
    stand_in.reset_counts()
    made = Client(Settings(url=stand_in.url), LOGIN)
    yield made
    made.session.close()
