"""Scores of recorded documents, and of one document for each rule."""

from __future__ import annotations

import csv as python_csv
import io
from typing import Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import TooLarge
from cdbfs.tree.scores import (
    LONGEST_TABLE,
    MOST_ATTRIBUTES,
    SCORE_WEIGHT,
    Group,
    csv,
    file_bytes,
    read,
    walk,
    weight,
)
from cdbfs.xnat.xml import parse
from tests.demo import recordings

Plain = dict[str, Union[str, "Plain"]]

XSI = "http://www.w3.org/2001/XMLSchema-instance"
ROOT = f'<n:Root xmlns:n="urn:n" xmlns:m="urn:m" xmlns:xsi="{XSI}" ID="E1" label="x">'


def scores(inside: str) -> Plain:
    """The scores of a document with `inside` in its root, as plain dictionaries."""
    return plain(read(parse(f"{ROOT}{inside}</n:Root>".encode(), "it")))


def plain(group: Group) -> Plain:
    return {name: plain(m) if isinstance(m, Group) else m for name, m in group.members.items()}


def recorded(name: str) -> Group:
    return read(parse(recordings.read(name).body.encode(), "it"))


def test_the_recorded_scores_of_the_tutorials_type() -> None:
    assert plain(recorded("216-doc-nt-xml")) == {
        "NEO": {
            "NEO": "1",
            "NEOFAC_A": "33",
            "NEOFAC_O": "40",
            "NEOFAC_C": "40",
            "NEOFAC_N": "28",
            "NEOFAC_E": "36",
        },
        "CPW": {"IWRD_TOT": "29", "IWRD_RTC": "1565.9"},
        "ER40": {
            "ER40_CR": "39",
            "ER40_CRT": "1471.0",
            "ER40ANG": "8",
            "ER40FEAR": "8",
            "ER40HAP": "8",
            "ER40NOE": "8",
            "ER40SAD": "7",
        },
    }


def test_the_recorded_session_with_its_scans_and_resources() -> None:
    catalog = {"@URI": "/archive-path", "@content": "RAW"}
    scan = {"image_session_ID": "ConnectomeDB_E00001", "fieldStrength": "3.0"}
    nifti = {"@label": "NIFTI", "@file_count": "2", "@file_size": "3006", "@format": "NIFTI", **catalog}
    assert plain(recorded("211-doc-mr-xml")) == {
        "resources": {
            "resource.MEAS": {"@file_count": "2", "@file_size": "1048", "@format": "TXT", **catalog},
            "resource.PKG": {"@file_count": "4", "@file_size": "270", "@URI": "/archive-path"},
        },
        "scanner": "HCP Skyra",
        "scans": {
            "scan.1": {"@type": "Localizer", "quality": "usable", "series_description": "Localizer", **scan},
            "scan.8": {
                "@type": "T1w_MPR1",
                "quality": "excellent",
                "series_description": "T1w_MPR1",
                "file": nifti,
                **scan,
            },
        },
    }


def test_a_document_has_the_same_scores_by_its_label_and_by_its_id() -> None:
    assert recorded("216-doc-nt-xml") == recorded("231-doc-nt-accept-xml")


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", {}),
        ("<n:a>1</n:a><m:b>2</m:b><c>3</c>", {"a": "1", "b": "2", "c": "3"}),
        ("<a><b>1</b></a>", {"a": {"b": "1"}}),
        ("<a><b><c>1</c></b></a>", {"a": {"b": {"c": "1"}}}),
        ("<a x='1' n:y='2'/>", {"a": {"@x": "1", "@y": "2"}}),
        ("<a x='1'> \n </a>", {"a": {"@x": "1"}}),
        ("<a x='1'>2</a>", {"a": "2", "a@x": "1"}),
        ("<a x='1'><b>2</b></a>", {"a": {"@x": "1", "b": "2"}}),
        ("<a> 1 \n2 </a>", {"a": " 1 \n2 "}),
        ("<a>text<b>1</b>more</a>", {"a": {"b": "1"}}),
    ],
)
def test_elements_are_groups_or_scores(inside: str, expected: Plain) -> None:
    assert scores(inside) == expected


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<a>1</a><a>2</a>", {"a.1": "1", "a.2": "2"}),
        ("<a>1</a><b>x</b><n:a>2</n:a>", {"a.1": "1", "b": "x", "a.2": "2"}),
        ("<a ID='p'>1</a><a ID='q'>2</a>", {"a.p": "1", "a.q": "2"}),
        ("<a name='p'>1</a><a name='q'>2</a>", {"a.p": "1", "a.q": "2"}),
        ("<a label='p'>1</a><a label='q'>2</a>", {"a.p": "1", "a.q": "2"}),
        (
            "<a ID='p' name='x'>1</a><a ID='p' name='y'>2</a>",
            {"a.x": "1", "a.x@ID": "p", "a.y": "2", "a.y@ID": "p"},
        ),
        ("<a ID='p'>1</a><a ID='p'>2</a>", {"a.1": "1", "a.1@ID": "p", "a.2": "2", "a.2@ID": "p"}),
        ("<a ID='p'>1</a><a>2</a>", {"a.1": "1", "a.1@ID": "p", "a.2": "2"}),
        ("<a ID='p'>1</a><a ID=''>2</a>", {"a.1": "1", "a.1@ID": "p", "a.2": "2"}),
        ("<a ID='p'>1</a>", {"a": "1", "a@ID": "p"}),
        ("<a ID='p'/><a ID='q' x='1'/>", {"a.q": {"@x": "1"}}),
        ("<a/><a>2</a>", {"a.2": "2"}),
        ("<g><a>1</a></g><g><a>2</a></g>", {"g.1": {"a": "1"}, "g.2": {"a": "2"}}),
        ("<a ID='x/y'>1</a><a ID='..'>2</a>", {"a.x%2Fy": "1", "a...": "2"}),
    ],
)
def test_repeated_siblings_are_told_apart_by_a_key_or_a_number(inside: str, expected: Plain) -> None:
    assert scores(inside) == expected


@pytest.mark.parametrize(
    "inside",
    [
        "<n:sharing><n:share label='x' project='P'>y</n:share></n:sharing>",
        "<n:subject_ID>S1</n:subject_ID>",
        "<n:date>2012-01-01</n:date>",
        "<n:time>12:00:00</n:time>",
        "<!--hidden_fields[x='1']-->",
        "<?instruction x?>",
        "<a/>",
        "<a></a>",
        "<a> \n\t</a>",
        "<a x=''/>",
        "<a><b/><!--c--></a>",
        "<a xsi:type='n:b'/>",
        "<a xsi:nil='true'/>",
        "text of the root",
    ],
)
def test_what_is_left_out_leaves_nothing(inside: str) -> None:
    assert scores(inside) == {}
    assert scores(inside + "<z>1</z>") == {"z": "1"}


def test_below_the_root_dates_times_and_subjects_are_scores_and_sharing_is_not() -> None:
    inside = "<g><date>1</date><time>2</time><subject_ID>3</subject_ID><sharing><s>4</s></sharing></g>"
    assert scores(inside) == {"g": {"date": "1", "time": "2", "subject_ID": "3"}}


def test_attributes_of_the_root_are_left_out() -> None:
    assert scores("<a>1</a>") == {"a": "1"}


def test_comments_and_instructions_do_not_cut_a_text_or_make_a_group() -> None:
    assert scores("<a>12<!--hidden-->34<?p i?>5</a>") == {"a": "12345"}
    assert scores("<a x='1'><!--hidden--></a>") == {"a": {"@x": "1"}}


def test_xsi_attributes_are_left_out_beside_others() -> None:
    assert scores("<a xsi:type='n:b' type='c'>1</a>") == {"a": "1", "a@type": "c"}


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<a.1>x</a.1><a>1</a><a>2</a>", {"a.1": "x", "a.1~2": "1", "a.2": "2"}),
        ("<a n:x='1' m:x='2'>3</a>", {"a": "3", "a@x": "1", "a@x~2": "2"}),
        ("<a n:x='1' m:x='2'/>", {"a": {"@x": "1", "@x~2": "2"}}),
    ],
)
def test_two_of_one_name_are_told_apart(inside: str, expected: Plain) -> None:
    assert scores(inside) == expected


def test_many_of_one_name_are_numbered_in_their_order_and_in_no_time() -> None:
    """5,000 that each tried all numbers before them would take a minute."""
    number = 5000
    spaces = " ".join(f"xmlns:p{n}='urn:p{n}'" for n in range(number))
    attributes = " ".join(f"p{n}:x='{n}'" for n in range(number))
    found = scores(f"<g {spaces} {attributes}><a>1</a></g>")["g"]
    assert isinstance(found, dict)
    assert list(found) == ["@x", *(f"@x~{n}" for n in range(2, number + 1)), "a"]
    assert list(found.values()) == [*map(str, range(number)), "1"]


def test_a_long_name_is_cut_and_stays_unique() -> None:
    long = "x" * 300
    found = scores(f"<{long}>1</{long}><{long}y>2</{long}y>")
    assert list(found.values()) == ["1", "2"]
    assert all(len(name.encode()) <= 255 for name in found)


def test_a_deep_document_is_read() -> None:
    group = read(parse(f"{ROOT}{'<a>' * 240}1{'</a>' * 240}</n:Root>".encode(), "it"))
    assert list(walk(group)) == [("/".join(["a"] * 240), "1")]


def test_walk_goes_in_the_documents_order_by_path() -> None:
    group = read(parse(f"{ROOT}<b>1</b><g x='2'><c>3</c></g><a>4</a></n:Root>".encode(), "it"))
    assert list(walk(group)) == [("b", "1"), ("g/@x", "2"), ("g/c", "3"), ("a", "4")]


def test_scores_csv_is_what_walk_gives() -> None:
    group = recorded("216-doc-nt-xml")
    table = csv(group).decode()
    assert table.splitlines()[:3] == ["score,value", "NEO/NEO,1", "NEO/NEOFAC_A,33"]
    rows = list(python_csv.reader(io.StringIO(table, newline="")))
    assert [tuple(row) for row in rows[1:]] == list(walk(group))


def test_a_score_as_a_file_is_its_text_and_a_newline() -> None:
    assert file_bytes("1471.0") == b"1471.0\n"
    assert file_bytes("a\nü") == b"a\n\xc3\xbc\n"


NAMES = st.sampled_from(["a", "b", "n:a", "sharing", "date", "a.1"])
TEXTS = st.sampled_from(["", " ", "1", "x,y", "<!--c-->2"])
ATTRIBUTES = st.sampled_from(["", " ID='1'", " ID='2'", " x='3' n:x='4'", " xsi:type='t'"])
ELEMENTS = st.recursive(
    st.builds("<{0}{1}>{2}</{0}>".format, NAMES, ATTRIBUTES, TEXTS),
    lambda inner: st.builds(
        "<{0}{1}>{2}</{0}>".format, NAMES, ATTRIBUTES, st.lists(inner, max_size=4).map("".join)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100)
@given(st.lists(ELEMENTS, max_size=5))
def test_any_document_gives_file_names_that_lead_to_every_score(elements: list[str]) -> None:
    group = read(parse(f"{ROOT}{''.join(elements)}</n:Root>".encode(), "it"))
    for path, text in walk(group):
        member: Group | str = group
        for name in path.split("/"):
            assert isinstance(member, Group)
            assert name not in ("", ".", "..")
            member = member.members[name]
        assert member == text
        assert text.strip()


def test_an_element_of_too_many_attributes_is_refused() -> None:
    """libxml2 finds an attribute by going through all before it: 60,000 take 15 seconds."""
    with pytest.raises(TooLarge, match=f"over {MOST_ATTRIBUTES} attributes"):
        scores("<g " + " ".join(f"a{n}='1'" for n in range(MOST_ATTRIBUTES + 1)) + "/>")


def test_a_table_far_larger_than_its_document_is_refused_and_weighed() -> None:
    """Each row names the groups above its score: a few MB of XML would make GB of CSV."""
    names = [f"{'n' * 250}{level}" for level in range(200)]
    inside = "".join(f"<{name}>" for name in names) + "<x>1</x>" * 1500
    group = read(parse(f"{ROOT}{inside}{''.join(f'</{n}>' for n in reversed(names))}</n:Root>".encode(), "it"))
    assert weight(group) > LONGEST_TABLE
    with pytest.raises(TooLarge, match="the table of scores is over"):
        csv(group)


def test_the_weight_of_scores_is_that_of_their_table_and_more() -> None:
    group = read(parse(f"{ROOT}<g><h><a>1</a><b>22</b></h></g><c>3</c></n:Root>".encode(), "it"))
    table = csv(group).removeprefix(b"score,value\n")
    assert weight(group) == len(table.replace(b",", b"").replace(b"\n", b"")) + 5 * SCORE_WEIGHT
