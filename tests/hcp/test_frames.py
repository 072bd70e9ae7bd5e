"""Management frames: as recorded, cut anywhere, and such as nobody should send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdbfs.hcp.aspera import frames
from cdbfs.hcp.aspera.frames import MOST_FIELDS, MOST_LINE, Frame, Frames

RECORDED = b"""FASPMGR 2
Type: INIT
Direction: Send
Operation: Transfer
SessionId: f8fdea60-e416-4a17-a488-9abe093290a9
UserStr: 6a31a3b4-3b89-4af4-99ab-1b7dd2d00000

FASPMGR 2
Type: STATS
Adaptive: Adaptive
Cipher: aes-128
ClientUser: admin
ClusterNodeId: 0
ClusterNumNodes: 1
CreatePolicy: 0
DSPipelineDepth: 32
DatagramSize: 0
Direction: Send
Encryption: Yes

FASPMGR 2
Type: ERROR
Code: 5
Description: Server aborted session: Read access denied for user
Loss: 0
SessionId: f8fdea60-e416-4a17-a488-9abe093290a9
UserStr: 6a31a3b4-3b89-4af4-99ab-1b7dd2d00000

FASPMGR 2
Type: DONE
Code: 5
Description: Server aborted session: Read access denied for user
Loss: 0
SessionId: f8fdea60-e416-4a17-a488-9abe093290a9
UserStr: 6a31a3b4-3b89-4af4-99ab-1b7dd2d00000

"""


def parsed(*blocks: bytes) -> list[Frame]:
    reader = Frames()
    return [frame for block in blocks for frame in reader.feed(block)]


def test_the_recorded_frames_are_read() -> None:
    init, stats, error, done = parsed(RECORDED)
    assert init["Operation"] == "Transfer"
    assert stats["DSPipelineDepth"] == "32"
    assert [frame["Type"] for frame in (init, stats, error, done)] == ["INIT", "STATS", "ERROR", "DONE"]
    assert frames.code(done) == 5
    assert error["Description"] == "Server aborted session: Read access denied for user"


def test_frames_may_be_cut_at_every_byte() -> None:
    whole = parsed(RECORDED)
    for cut in range(len(RECORDED) + 1):
        assert parsed(RECORDED[:cut], RECORDED[cut:]) == whole
    assert parsed(*(bytes([each]) for each in RECORDED)) == whole


def test_a_frame_that_breaks_off_is_none() -> None:
    """A DONE of which the code is missing would be taken for success."""
    for cut in range(len(RECORDED) - 1, RECORDED.rindex(b"FASPMGR"), -1):
        assert [frame["Type"] for frame in parsed(RECORDED[:cut])] == ["INIT", "STATS", "ERROR"]


def test_a_frame_within_a_frame_begins_anew() -> None:
    (frame,) = parsed(b"FASPMGR 2\nType: DONE\nFASPMGR 2\nType: ERROR\nCode: 16\n\n")
    assert frame == {"Type": "ERROR", "Code": "16"}


def test_lines_may_end_as_in_other_systems() -> None:
    assert parsed(RECORDED.replace(b"\n", b"\r\n")) == parsed(RECORDED)


def test_garbage_is_passed_over() -> None:
    noise = b"\x00\xff\xfe garbage\nType: DONE\n\n\nno colon\nGET / HTTP/1.1\n\n"
    assert parsed(noise + RECORDED + noise) == parsed(RECORDED)


def test_a_field_counts_once() -> None:
    (frame,) = parsed(b"FASPMGR 2\nType: DONE\nCode: 5\nCode: 0\n\n")
    assert frames.code(frame) == 5


def test_lines_and_frames_are_bounded() -> None:
    reader = Frames()
    for _ in range(100):
        assert list(reader.feed(b"x" * MOST_LINE)) == []
    assert len(reader._line) <= MOST_LINE
    assert [frame["Type"] for frame in reader.feed(b"\n" + RECORDED)] == ["INIT", "STATS", "ERROR", "DONE"]
    fields = b"".join(b"N%d: x\n" % number for number in range(10 * MOST_FIELDS))
    (frame,) = parsed(b"FASPMGR 2\nType: STATS\n" + fields + b"\n")
    assert len(frame) == MOST_FIELDS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("0", 0),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("", None),
        ("\uff11\uff12", None),
        ("\u00b2", None),
        ("9" * 19, 2**63 - 1),
        ("9" * 999, None),
    ],
)
def test_numbers_are_clamped(text: str, expected: int | None) -> None:
    assert frames.number({"Size": text}, "Size") == expected


def test_files_are_known_by_their_names() -> None:
    assert frames.file({"File": "/data/cache/100307_x.zip"}) == "100307_x.zip"
    assert frames.file({"File": "a\x1bnb"}) == "a\nb"
    assert frames.file({}) == ""


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_nothing_that_comes_is_a_fault_of_ours(blocks: list[bytes]) -> None:
    for frame in parsed(*blocks):
        assert frames.code(frame) is None or frames.code(frame) != 0
        frames.file(frame)
