"""A small running stand-in, and a logged-in client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from cdbfs.demo import DataSet, StandIn, connectomedb
from tests.worlds import placed

LOGIN = ("mylogin", "mypasswd")


@pytest.fixture(scope="package")
def small() -> DataSet:
    return placed(connectomedb(6))


@pytest.fixture
def standin(small: DataSet) -> Iterator[StandIn]:
    with StandIn(small) as running:
        yield running


@pytest.fixture
def client(standin: StandIn) -> Iterator[requests.Session]:
    """A client with a session's cookie, and counts that start after its login."""
    with requests.Session() as session:
        session.get(standin.url + "/data/JSESSION", auth=LOGIN, timeout=10).raise_for_status()
        standin.reset_counts()
        yield session
