"""Labels as file names: reversible, unique, and such as Linux takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdbfs.errors import ServerFault
from cdbfs.tree.names import LONGEST, assign, decode, encode, fit

LABELS = st.text(st.characters(codec=None), max_size=20) | st.text("%2Ee./\0~aF\ud800é", max_size=12)
LONG = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=3), st.integers(80, 300))


@dataclass(frozen=True)
class Item:
    label: str
    ID: str


ITEMS = st.lists(
    st.builds(
        Item, LABELS | st.sampled_from(["a", "a~b", "x" * 300]) | LONG, st.text("ab~%/.é", min_size=1, max_size=5)
    ),
    max_size=8,
    unique_by=lambda item: item.ID,
)


def fits_linux(name: str) -> bool:
    return 0 < len(name.encode()) <= LONGEST and name not in (".", "..") and not set(name) & {"/", "\0"}


@settings(deadline=None, max_examples=300)
@given(LABELS)
@example("%%41")
@example("%2F/%")
@example(".")
@example("..")
@example("%2E")
@example("\ud83d\ude00")
def test_encoding_is_reversible(label: str) -> None:
    assert decode(encode(label)) == label


@settings(deadline=None, max_examples=200)
@given(LABELS.filter(bool) | LONG)
def test_an_encoded_and_fitted_label_is_a_file_name(label: str) -> None:
    assert fits_linux(fit(encode(label)))


@settings(deadline=None, max_examples=200)
@given(ITEMS)
def test_every_item_gets_one_file_name_of_its_own(items: list[Item]) -> None:
    names = assign(items)
    assert sorted(names.values(), key=lambda item: item.ID) == sorted(items, key=lambda item: item.ID)
    assert all(map(fits_linux, names))


@settings(deadline=None, max_examples=100)
@given(ITEMS, st.randoms(use_true_random=False))
def test_names_do_not_depend_on_the_servers_order(items: list[Item], random: object) -> None:
    shuffled = sorted(items, key=lambda item: hash((item.ID, str(random))))
    assert list(assign(shuffled).items()) == list(assign(items).items())


@settings(deadline=None, max_examples=100)
@given(ITEMS)
def test_names_are_sorted_by_label_then_id(items: list[Item]) -> None:
    given_order = list(assign(items).values())
    assert given_order == sorted(items, key=lambda item: (item.label, item.ID))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("100307_3T", "100307_3T"),
        ("a/b", "a%2Fb"),
        ("a\0", "a%00"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("100%", "100%"),
        ("100%2F", "100%252F"),
        ("50%25", "50%2525"),
        ("%zz", "%zz"),
        ("Zürich ~ #1\n", "Zürich ~ #1\n"),
        ("\ud800", "%ED%A0%80"),
        ("", ""),
    ],
)
def test_a_label_is_changed_only_where_it_must_be(label: str, name: str) -> None:
    assert encode(label) == name
    assert decode(name) == label


def test_labels_that_differ_keep_their_names_and_equal_ones_all_get_their_ids() -> None:
    items = [Item("a", "2"), Item("b", "3"), Item("a", "1/x")]
    assert assign(items) == {"a~1%2Fx": items[2], "a~2": items[0], "b": items[1]}


def test_an_item_without_a_label_is_named_by_its_id() -> None:
    assert list(assign([Item("", "E1"), Item("", ".")])) == ["%2E", "E1"]


def test_a_name_that_looks_like_anothers_with_its_id_is_told_apart() -> None:
    items = [Item("a", "1"), Item("a", "2"), Item("a~1", "3")]
    names = assign(items)
    assert len(names) == 3
    assert "a~2" in names


def test_a_name_of_255_bytes_stays_and_a_longer_one_ends_in_a_hash() -> None:
    assert fit("x" * 255) == "x" * 255
    long = fit("x" * 256)
    assert (len(long), long[:238], long[238]) == (255, "x" * 238, "~")
    assert fit("x" * 257) != long


def test_a_name_is_cut_between_characters() -> None:
    name = fit("é" * 200 + "x")
    assert name.startswith("é" * 119 + "~")
    assert len(name.encode()) <= 255


def test_labels_made_to_look_like_others_names_cannot_keep_it_busy() -> None:
    chain = [Item("x", "a"), *(Item("x" + "~a" * number, f"b{number}") for number in range(5000))]
    with pytest.raises(ServerFault, match="cannot be told apart"):
        assign(chain)
