"""Reading search documents: what counts as one, what is taken from it, what is hostile."""

from __future__ import annotations

import pytest

from cdbfs.demo.search.query import CriteriaSet, Criterion, NotASearch, read

from .asking import all_of, any_of, bundle, criterion

NS = 'xmlns:xdat="http://nrg.wustl.edu/security"'


def test_everything_is_read() -> None:
    where = all_of(("a/B", "=", "1"), any_of(("a/C", "<", "2"), criterion("a/D", "IS", "NULL", raw=True)))
    extra = (
        "<xdat:sort_by><xdat:element_name>nt:scores</xdat:element_name><xdat:field_ID>AGE</xdat:field_ID>"
        "</xdat:sort_by><xdat:allowed_user><xdat:login>ana</xdat:login></xdat:allowed_user>"
    )
    attributes = 'secure="0" tag="P" brief-description="short" description="long" allow-diff-columns="false"'
    search = read(
        bundle(["X", "xnat:subjectData/Y"], where, name="mine", attributes=attributes, extra=extra).encode()
    )
    assert (search.root, search.id, search.tag, search.secure) == ("nt:scores", "mine", "P", False)
    assert (search.brief_description, search.description) == ("short", "long")
    assert not search.allow_diff_columns
    assert [(f.element, f.id, f.sequence) for f in search.fields] == [
        ("nt:scores", "X", 0),
        ("xnat:subjectData", "Y", 1),
    ]
    inner = CriteriaSet("OR", (Criterion("a/C", "<", "2"), Criterion("a/D", "IS", "NULL", raw=True)))
    assert search.where == (CriteriaSet("AND", (Criterion("a/B", "=", "1"),), (inner,)),)
    assert search.sort_by == ("nt:scores", "AGE")
    assert search.allowed_users == ("ana",)


def test_what_is_left_out_has_xnats_defaults() -> None:
    search = read(
        f"<xdat:Search {NS}><xdat:search_where><xdat:criteria/></xdat:search_where></xdat:Search>".encode()
    )
    assert search.secure
    assert search.allow_diff_columns
    assert search.root == ""
    assert search.where == (CriteriaSet("AND", (Criterion("", "=", ""),)),)


def test_custom_searches_are_skipped() -> None:
    custom = "<xdat:criteria><xdat:custom_search>x</xdat:custom_search></xdat:criteria>"
    assert read(bundle([], all_of(custom)).encode()).where == (CriteriaSet("AND"),)


@pytest.mark.parametrize("sequence", ["", "x", "1.5", "9" * 5000])
def test_a_sequence_that_is_no_number_is_none(sequence: str) -> None:
    body = bundle(["X"]).replace("<xdat:sequence>0", f"<xdat:sequence>{sequence}")
    assert read(body.encode()).fields[0].sequence == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<oops",
        b"\xff\xfe\x00",
        b"<bundle/>",
        b'<x:bundle xmlns:x="http://example.org/other"/>',
        f"<xdat:stored {NS}/>".encode(),
        f'<!DOCTYPE a [<!ENTITY e "x">]><xdat:bundle {NS}>&e;</xdat:bundle>'.encode(),
        f"<xdat:bundle {NS}>{'<a>' * 5000}{'</a>' * 5000}</xdat:bundle>".encode(),
    ],
)
def test_what_is_no_search(body: bytes) -> None:
    with pytest.raises(NotASearch):
        read(body)
