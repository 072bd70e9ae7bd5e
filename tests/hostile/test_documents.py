"""Documents and answers that were made to hurt: each is refused or shown, and everything else goes on.

One mount is shown all of them, one after the other; next to each lies a good document that nobody read before.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.servers import LOGIN, Parts, check_errors, document, listing, peak_memory, server
from tests.views import mounted
from tests.xnat.servers import reply

MEGABYTE = 2**20
BOUND = 64 * MEGABYTE
"""max_document_bytes, by default."""
MOST_MEMORY = 700 * MEGABYTE
"""Of the daemon, ever: the largest document as parts, whole, and as a tree, and what it has anyway."""

CHUNKED = b"HTTP/1.1 200 \r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
DECLARATION = "<?xml version='1.0' encoding='{}'?>"
LAUGHS = "".join(f"<!ENTITY l{n + 1} '{f'&l{n};' * 10}'>" for n in range(9))
UNREAD = (errno.EIO, errno.EHOSTUNREACH)
"""What a broken answer gives, by where it breaks: before or after its header."""


def doctype(inner: str, body: str) -> Parts:
    return [reply(f"<?xml version='1.0'?><!DOCTYPE a [{inner}]>{body}".encode())]


class Endless:
    """A text of 1 GB, made for each request anew and a MB at a time."""

    def __iter__(self) -> Iterator[bytes | float]:
        yield CHUNKED
        yield _chunk(b"<a><b>")
        for _ in range(1024):
            yield _chunk(b"x" * MEGABYTE)
        yield _chunk(b"</b></a>") + b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def zeros(megabytes: int) -> bytes:
    """So many megabytes of nothing as gzip, without ever having them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(squeeze.compress(bytes(MEGABYTE)) for _ in range(megabytes)), squeeze.flush()])


def packed(body: bytes, more: int, said: int) -> Parts:
    """Compressed so many times more; the header says `said` times in all."""
    for _ in range(more):
        body = gzip.compress(body)
    return [reply(body, headers={"Content-Encoding": ", ".join(["gzip"] * said)})]


def attributes(number: int, elements: int = 1) -> bytes:
    one = " ".join(f"b{n}=''" for n in range(number))
    return f"<a>{f'<e {one}/>' * elements}</a>".encode()


def nested(levels: int, inner: str) -> str:
    names = [f"{'n' * 200}{level}" for level in range(levels)]
    return "".join(f"<{name}>" for name in names) + inner + "".join(f"</{name}>" for name in reversed(names))


REFUSED: dict[str, tuple[Parts, tuple[int, ...]]] = {
    "billion laughs": (doctype(f"<!ENTITY l0 'ha'>{LAUGHS}", "<a>&l9;</a>"), (errno.EIO,)),
    "laughs in an attribute": (doctype(f"<!ENTITY l0 'ha'>{LAUGHS}", "<a b='&l9;'/>"), (errno.EIO,)),
    "quadratic": (doctype(f"<!ENTITY x '{'x' * 100_000}'>", f"<a>{'&x;' * 100_000}</a>"), (errno.EIO,)),
    "quadratic attribute": (
        doctype(f"<!ENTITY x '{'x' * 100_000}'>", f"<a b='{'&x;' * 100_000}'/>"),
        (errno.EIO,),
    ),
    "a file": (doctype("<!ENTITY x SYSTEM 'file:///etc/passwd'>", "<a>&x;</a>"), (errno.EIO,)),
    "a device": (doctype("<!ENTITY x SYSTEM 'file:///dev/zero'>", "<a>&x;</a>"), (errno.EIO,)),
    "a parameter": (doctype("<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;", "<a/>"), (errno.EIO,)),
    "1 GB of text": (Endless(), (errno.EFBIG,)),
    "one text of 20 MB": ([reply(b"<a>" + b"x" * (20 * MEGABYTE) + b"</a>")], (errno.EIO,)),
    "10,000 levels": ([reply(b"<a>" * 10_000 + b"</a>" * 10_000)], (errno.EIO,)),
    "many tags": ([reply(b"<a>" + b"<b/>" * 10_000_000 + b"</a>")], (errno.EFBIG,)),
    "many attributes": ([reply(attributes(100_000, 40))], (errno.EFBIG,)),
    "many attributes in one": ([reply(attributes(400_000))], (errno.EFBIG,)),
    "latin-1 as utf-8": (
        [reply(DECLARATION.format("UTF-8").encode() + "<a>Zürich</a>".encode("latin-1"))],
        UNREAD[:1],
    ),
    "utf-7": ([reply(DECLARATION.format("UTF-7").encode() + b"+ADw-a/+AD4-")], (errno.EIO,)),
    "utf-7 bomb": (
        [reply(DECLARATION.format("utf-7").encode() + b"+ADw-a+AD4-" + b"+ADw-b/+AD4-" * 4_000_000)],
        (errno.EIO,),
    ),
    "ebcdic": ([reply((DECLARATION.format("IBM037") + "<a/>").encode("cp037"))], (errno.EIO,)),
    "NUL": ([reply(b"<a>\0</a>")], (errno.EIO,)),
    "half a document": ([reply(document("it").encode()[:-5])], (errno.EIO,)),
    "another item's": ([reply(document("somebody else").encode())], (errno.EIO,)),
    "control characters in a complaint": ([reply(b"<a\x1b[31m\x07\r\n\xc2\x9b\xe2\x80\xae/>")], (errno.EIO,)),
    "gzip bomb": (packed(zeros(1024), 0, 1), (errno.EFBIG,)),
    "gzip bomb in gzip": (packed(zeros(1024), 1, 2), (errno.EFBIG,)),
    "gzip bomb in gzip in gzip": (packed(zeros(4096), 2, 3), (errno.EFBIG, errno.EIO)),
    "gzip that is none": ([reply(b"plain", headers={"Content-Encoding": "gzip"})], (errno.EIO,)),
    "packed a hundred times": (packed(b"x", 0, 100), (errno.EIO,)),
    "shorter than it says": ([reply(b"<a/>", headers={"Content-Length": "1000"})], (errno.EIO,)),
    "longer than it says": ([reply(document("it").encode(), headers={"Content-Length": "60"})], (errno.EIO,)),
    "a length of letters": ([reply(b"<a>", headers={"Content-Length": "many"})], (errno.EIO,)),
    "a length below zero": ([reply(b"<a>", headers={"Content-Length": "-5"})], (errno.EIO,)),
    "two lengths": ([reply(b"<a>").replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n")], (errno.EIO,)),
    "a chunk of no size": ([CHUNKED + b"zz\r\n<a/>\r\n0\r\n\r\n"], (errno.EIO,)),
    "a chunk below zero": ([CHUNKED + b"-4\r\n<a/>\r\n0\r\n\r\n"], (errno.EIO,)),
    "a chunk of 2**70": ([CHUNKED + b"400000000000000000\r\n<a/>"], (errno.EIO, errno.EFBIG)),
    "a size of 1 MB of digits": ([CHUNKED + b"0" * MEGABYTE + b"4\r\n<a/>\r\n0\r\n\r\n"], (errno.EIO,)),
    "no last chunk": ([CHUNKED + b"4\r\n<a/>\r\n"], (errno.EIO,)),
    "1,000 headers": ([reply(b"<a/>", headers={f"X-{n}": "x" for n in range(1000)})], UNREAD),
    "a header of 1 MB": ([reply(b"<a/>", headers={"X-Long": "x" * MEGABYTE})], UNREAD),
    "no HTTP": ([b"SSH-2.0-OpenSSH_9.2\r\n"], UNREAD),
    "a status of words": ([b"HTTP/1.1 fine\r\n\r\n<a/>"], UNREAD),
    "nothing": ([], UNREAD),
}

XML = document()
SHOWN: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + XML.encode(),
    "utf-16": XML.replace("UTF-8", "UTF-16").encode("utf-16"),
    "processing instructions": XML.replace("<g>", "<?php echo 1 ?><?x href='file:///etc/passwd'?><g>").encode(),
    "many names": document(inner="".join(f"<n{n}/>" for n in range(50_000))).encode(),
    "XInclude": document(
        inner="<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='file:///etc/passwd' parse='text'/>"
    ).encode(),
    "odd letters": document(inner="<g><s>\u202e\u2066\U0001f9e0 Zu\u0308rich &#x85;&#x2028;</s></g>").encode(),
    "explosion": document(inner=nested(200, "<x>1</x>" * 30_000)).encode(),
    "cookies": XML.encode(),
}
HEADERS = {"cookies": {"Set-Cookie": "; Domain=example.org, ".join(f"c{n}={'x' * 100}" for n in range(100))}}


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a mount: one experiment a case, and beside each one more that is good."""
    cases: dict[str, Parts] = {name: parts for name, (parts, _) in REFUSED.items()}
    cases.update({name: [reply(body, headers=HEADERS.get(name))] for name, body in SHOWN.items()})
    answers: dict[str, Parts] = {}
    rows = []
    for number, (name, parts) in enumerate(cases.items()):
        for item, label, answer in (
            (f"E{number}", name, parts),
            (f"G{number}", f"{name} good", [reply(document(f"G{number}").encode())]),
        ):
            rows.append({"ID": item, "label": label, "subject_ID": "S1", "insert_date": "2020-01-01 00:00:00"})
            answers[f"/data/experiments/{item}"] = answer
    answers["/data/projects"] = [listing({"ID": "P"})]
    answers["/data/projects/P/subjects"] = [listing({"ID": "S1", "label": "S"})]
    answers["/data/projects/P/experiments"] = [listing(*rows)]
    scratch = tmp_path_factory.mktemp("hostile-documents")
    with (
        server(answers) as running,
        mounted(running, LOGIN, scratch / "m", scratch / "c", lookup_deadline="60") as directory,
    ):
        yield directory / "projects/P/subjects/S/experiments"


def check_the_rest(experiments: Path, name: str) -> None:
    """Everything else goes on, and nothing has grown out of bounds."""
    assert (experiments / f"{name} good/scores/g/score").read_text() == "1\n"
    assert peak_memory(experiments.parents[4]) < MOST_MEMORY


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_document_is_refused(name: str, experiments: Path) -> None:
    codes = REFUSED[name][1]
    for path in ("experiment.xml", "scores.csv"):
        with pytest.raises(OSError, match=r".") as caught:
            (experiments / name / path).read_bytes()
        assert caught.value.errno in codes, errno.errorcode[caught.value.errno or 0]
    check_the_rest(experiments, name)


@pytest.mark.parametrize("name", SHOWN)
def test_an_odd_document_is_shown(name: str, experiments: Path) -> None:
    assert (experiments / name / "experiment.xml").read_bytes() == SHOWN[name]
    assert os.path.getsize(experiments / name / "experiment.xml") == len(SHOWN[name])
    check_the_rest(experiments, name)


def test_a_table_that_would_be_far_larger_than_its_document_is_refused(experiments: Path) -> None:
    with pytest.raises(OSError, match="too large") as caught:
        (experiments / "explosion/scores.csv").read_bytes()
    assert caught.value.errno == errno.EFBIG
    check_the_rest(experiments, "explosion")


def test_every_refusal_has_its_reason_in_plain_words(experiments: Path) -> None:
    for name in REFUSED:
        with contextlib.suppress(OSError):
            (experiments / name / "scores").stat()
            os.listdir(experiments / name / "scores")
    ends = time.monotonic() + 20
    missing = set(REFUSED)
    while missing:
        assert time.monotonic() < ends, missing
        time.sleep(0.2)
        errors = check_errors(experiments.parents[4])
        missing = {name for name in missing if f"experiments/{name}/scores: " not in errors}
    assert "fault in cdbfs itself" not in errors


def test_no_entity_is_fetched(tmp_path: Path) -> None:
    """Neither from this server nor from another: whoever is asked notes it."""
    with server({}) as other:
        entities = (
            f"<!DOCTYPE a [<!ENTITY x SYSTEM '{other.url}/entity'><!ENTITY % y SYSTEM '{other.url}/y'> %y;]>"
        )
        answers = {
            "/data/projects": [listing({"ID": "P"})],
            "/data/projects/P": doctype(entities, "<a>&x;</a>"),
            "/data/projects/P/subjects": [listing()],
            "/data/projects/P/experiments": [listing()],
        }
        with server(answers) as running, mounted(running, LOGIN, tmp_path / "m", tmp_path / "c") as mount:
            with pytest.raises(OSError, match="Input/output error"):
                (mount / "projects/P/xml/project.xml").read_bytes()
            assert "not well-formed" in check_errors(mount)
        assert other.requests == []


class EndlessHead:
    """Answers that say to wait for the answer, for ever."""

    def __iter__(self) -> Iterator[bytes | float]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n" * 100
            yield 0.01


def test_an_answer_that_never_begins_ends_at_the_deadline(tmp_path: Path) -> None:
    answers: dict[str, Parts] = {"/data/projects": [listing({"ID": "P"})], "/data/projects/P": EndlessHead()}
    with (
        server(answers) as running,
        mounted(running, LOGIN, tmp_path / "m", tmp_path / "c", request_deadline="2") as mount,
    ):
        with pytest.raises(OSError, match="timed out") as caught:
            (mount / "projects/P/xml/project.xml").read_bytes()
        assert caught.value.errno == errno.ETIMEDOUT
        assert os.listdir(mount / "projects") == ["P"]
        check_errors(mount)
