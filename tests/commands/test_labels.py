"""Files that name subjects."""

from __future__ import annotations

import io

import pytest

from cdbfs.commands.labels import MOST_BYTES, read
from cdbfs.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"100307\n103414\n", ["100307", "103414"]),
        (b"100307", ["100307"]),
        (b"\xef\xbb\xbf# from a colleague\r\n\r\n 100307 \r\n#103414\r\n100307\r\n", ["100307"]),
        (b"Subject\n100307\n", ["100307"]),
        (b"label,ID\n100307,S1\n103414,S2\n", ["100307", "103414"]),
        (b'"subject","NEO, A"\n"100307","1,5"\n"a ""b"", c",2\n\n', ["100307", 'a "b", c']),
        (b"# made by R\nsubject,x\n# 1,2\n100307,1\n", ["100307"]),
        (b"label\n", None),
        (b"# nothing\n\n", None),
        ("Käse 7\nzwei Wörter\n".encode(), ["Käse 7", "zwei Wörter"]),
    ],
)
def test_labels_in_the_first_column(text: bytes, labels: list[str] | None) -> None:
    if labels is None:
        with pytest.raises(ConfigError, match=r"f\.txt names no subjects"):
            read(io.BytesIO(text), "f.txt")
    else:
        assert read(io.BytesIO(text), "f.txt") == labels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"100307\n103414,F\n", "line 2: expected one label a line"),
        (b"ID,label\nS1,100307\n", "line 1: .* whose first column is named label or subject"),
        (b"\xff\n", "not text in UTF-8"),
        (b"x" * (MOST_BYTES + 1), "too large"),
    ],
)
def test_what_is_no_list_of_subjects_is_told(text: bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read(io.BytesIO(text), "f.txt")
