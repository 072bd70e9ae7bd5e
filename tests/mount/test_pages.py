"""Which opens of a path the kernel's pages are good for."""

from __future__ import annotations

from cdbfs.mount.pages import Pages

PAST, ANEW, KEEP = (True, False), (False, False), (False, True)
"""Read past the pages, have them made anew, keep them."""


def test_pages_are_kept_for_as_long_as_the_version_is_the_same() -> None:
    pages = Pages()
    assert pages.opened("/p", "one") == ANEW
    assert pages.opened("/p", "one") == KEEP
    pages.closed("/p", "one")
    pages.closed("/p", "one")
    assert pages.opened("/p", "one") == KEEP
    assert pages.opened("/q", "one") == ANEW


def test_another_version_has_them_made_anew() -> None:
    pages = Pages()
    pages.opened("/p", "one")
    pages.closed("/p", "one")
    assert pages.opened("/p", "two") == ANEW
    assert pages.opened("/p", "two") == KEEP


def test_two_versions_that_are_open_at_once_share_none() -> None:
    pages = Pages()
    pages.opened("/p", "one")
    assert pages.opened("/p", "two") == PAST
    assert pages.opened("/p", "one") == PAST
    pages.closed("/p", "one")
    assert pages.opened("/p", "two") == PAST
    pages.closed("/p", "one")
    assert pages.opened("/p", "two") == ANEW  # those that are there are of the first
    assert pages.opened("/p", "two") == KEEP
