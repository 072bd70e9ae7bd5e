"""Fixtures for the tests of queries."""

from tests.xnat.conftest import swept

__all__ = ["swept"]
