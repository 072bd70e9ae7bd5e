"""Results that are odd, or large, read back equal by R and pandas; and large ones in little memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas
import pytest

from tests.mount.search.scripted import mount_of
from tests.mount.search.shelf import run
from tests.query.test_run import COLUMNS

pytestmark = pytest.mark.usefixtures("each_fuse")

ODD = [
    "plain",
    "",
    "a,b",
    'say "yes"',
    '"',
    '""',
    "two\nlines",
    "\n",
    "old\rMac",
    "\r",
    " before",
    "after ",
    "  ",
    "\ttab\t",
    "K\u00e4se \u00df \u4e2d\u6587 \U0001f9e0",
    "a\u2028b\u00a0c",
    "'single'",
    "back\\slash\\n",
    "#hash",
    "NA",
    "NULL",
    "=1+1",
    "0010",
    "1e5",
    "1,5;2",
    "-",
    "x" * 5000,
    ",,,",
    '\n"\n,\n"',
]
QUERY = "SELECT subject, NEO_NEOFAC_A AS a FROM nt:scores WHERE project = 'HCP_Q2'\n"
ALONE = "SELECT NEO_NEOFAC_A AS a FROM nt:scores WHERE project = 'HCP_Q2'\n"
AS_TEXT = 'read.csv("search/x.csv", colClasses = "character", na.strings = character(), encoding = "UTF-8")'
ROWS = 100_000
MEGABYTE = 2**20


def row(number: int, value: str) -> dict[str, str]:
    return {"s": str(100_000 + number), "a": value, "e": f"E{number}"}


def answered(rows: Iterable[dict[str, str]], count: int) -> Iterator[bytes]:
    """An answer of the server's, piece by piece, in an order that XNAT gives."""
    yield b'{"ResultSet":{"Result":['
    piece: list[str] = []
    for number, each in enumerate(rows):
        piece.append(("," if number else "") + json.dumps(each, separators=(",", ":")))
        if len(piece) == 1000:
            yield "".join(piece).encode()
            piece = []
    yield "".join(piece).encode()
    yield f'],"Columns":{json.dumps(COLUMNS)},"totalRecords":"{count}"}}}}'.encode()


def in_r(expression: str, mount: Path) -> list[list[str]]:
    """The cells of a data frame as R holds them, column by column, and its names first."""
    program = f"""
        x <- {expression}
        hex <- function(text) paste(as.character(charToRaw(text)), collapse = "")
        told <- function(name) paste(c(hex(name), vapply(x[[name]], hex, "")), collapse = ",")
        writeLines(vapply(names(x), told, ""))
    """
    told = run("Rscript", "--vanilla", "-e", program, cwd=mount)
    return [[bytes.fromhex(cell).decode() for cell in line.split(",")] for line in told.splitlines()]


def in_pandas(path: Path) -> list[list[str]]:
    found = pandas.read_csv(path, dtype=str, keep_default_na=False)
    return [[name, *found[name]] for name in found.columns]


def test_odd_values_read_back_equal(tmp_path: Path) -> None:
    rows = [row(number, value) for number, value in enumerate(ODD)]
    expected = [["subject", *(each["s"] for each in rows)], ["a", *ODD]]
    with mount_of(tmp_path, lambda: answered(rows, len(rows))) as mount:
        (mount / "search/x.sql").write_text(QUERY)
        assert in_pandas(mount / "search/x.csv") == expected
        assert in_r(AS_TEXT, mount) == with_lf(expected)
        assert in_r('data.table::fread("search/x.csv", colClasses = "character")', mount)[0] == expected[0]
        (mount / "search/x.sql").write_text(ALONE)  # one column, where an empty cell may look like an empty line
        assert in_pandas(mount / "search/x.csv") == expected[1:]
        # Without the argument R leaves out rows of one empty cell, as it does of its own files.
        assert in_r(f"{AS_TEXT[:-1]}, blank.lines.skip = FALSE)", mount) == with_lf(expected[1:])


def with_lf(columns: list[list[str]]) -> list[list[str]]:
    """As R reads any text, whatever wrote it."""
    return [[cell.replace("\r\n", "\n").replace("\r", "\n") for cell in column] for column in columns]


def test_both_ends_of_a_line_within_a_value(tmp_path: Path) -> None:
    with mount_of(tmp_path, lambda: answered([row(0, "a\r\nb"), row(1, "c")], 2)) as mount:
        (mount / "search/x.sql").write_text(ALONE)
        assert in_pandas(mount / "search/x.csv") == [["a", "a\r\nb", "c"]]
        assert in_r(AS_TEXT, mount) == [["a", "a\nb", "c"]]


def test_plain_defaults_read_numbers_as_numbers(tmp_path: Path) -> None:
    values = ["1", "", "2.5", "-3", "1e3"]
    with mount_of(tmp_path, lambda: answered([row(n, value) for n, value in enumerate(values)], 5)) as mount:
        (mount / "search/x.sql").write_text(QUERY)
        found = pandas.read_csv(mount / "search/x.csv")["a"]
        assert found.sum() == 1000.5
        assert found.isna().sum() == 1
        program = 'x <- read.csv("search/x.csv"); cat(sum(x$a, na.rm = TRUE), sum(is.na(x$a)), class(x$subject))'
        assert run("Rscript", "--vanilla", "-e", program, cwd=mount) == "1000.5 1 integer"


def memory(pid: int) -> dict[str, int]:
    """What a process holds now, and held at most, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {
        name: 1024 * int(size) for name, size in re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", text, re.MULTILINE)
    }


def values(count: int) -> Iterator[str]:
    for number in range(count):
        yield ("", f'"{number}", so to say', f"{number}", f"n\u00ba {number}\nof {count}")[number % 4]


@pytest.mark.parametrize(
    "query", [QUERY, QUERY.rstrip() + " ORDER BY a DESC, subject\n"], ids=["as it comes", "sorted"]
)
def test_a_large_result_in_little_memory(query: str, tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, str]]:
        return (row(number, value) for number, value in enumerate(values(ROWS)))

    with mount_of(tmp_path, lambda: answered(rows(), ROWS)) as mount:
        (mount / "search/small.sql").write_text("SELECT nosuch FROM nt:scores\n")  # so that the fields are known
        with pytest.raises(OSError):  # noqa: PT011
            (mount / "search/small.csv").read_bytes()
        pid = int(json.loads((mount / ".cdbfs/status.json").read_bytes())["pid"])
        before = memory(pid)
        (mount / "search/x.sql").write_text(query)
        found = in_pandas(mount / "search/x.csv")
        after = memory(pid)
        assert after["VmHWM"] - before["VmHWM"] < 50 * MEGABYTE
        assert after["VmRSS"] - before["VmRSS"] < 50 * MEGABYTE
        expected = list(zip(map(str, range(100_000, 100_000 + ROWS)), values(ROWS)))
        cells = list(zip(found[0][1:], found[1][1:]))
        assert sorted(cells) == sorted(expected)
        if "ORDER" not in query:
            assert cells == expected
        assert in_r(AS_TEXT, mount) == found
        assert len((mount / "search/x.csv").read_bytes()) == (mount / "search/x.csv").stat().st_size


def test_a_large_cell(tmp_path: Path) -> None:
    """It comes whole."""
    large = "\u00e4,\n" * (MEGABYTE // 4)
    with mount_of(tmp_path, lambda: answered([row(0, large), row(1, "b")], 2)) as mount:
        (mount / "search/x.sql").write_text(ALONE)
        assert in_pandas(mount / "search/x.csv") == [["a", large, "b"]]


def test_a_part_of_a_large_result(tmp_path: Path) -> None:
    with mount_of(tmp_path, lambda: answered((row(n, "x" * 100) for n in range(20_000)), 20_000)) as mount:
        (mount / "search/x.sql").write_text(QUERY)
        whole = (mount / "search/x.csv").read_bytes()
        parts = {
            "head -c 1000": whole[:1000],
            "tail -c 1000": whole[-1000:],
            "head -n 1": b"subject,a\n",
            "dd bs=4097 skip=13 count=7 status=none": whole[13 * 4097 : 20 * 4097],
        }
        for program, part in parts.items():
            assert run("bash", "-c", f"{program} < search/x.csv", cwd=mount).encode() == part
        assert (mount / "search/x.csv").stat().st_size == len(whole)
