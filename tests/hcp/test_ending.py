"""What ascp's end means: exit status, frames and words together, as recorded and as they contradict each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cdbfs.errors import (
    AccessRefused,
    CdbfsError,
    NoSpace,
    NotFound,
    ServerFault,
    TooLarge,
    Unreachable,
)
from cdbfs.hcp.aspera import codes
from cdbfs.hcp.aspera.ending import Session, conclude, said
from cdbfs.hcp.aspera.progress import Progress
from cdbfs.hcp.child import Ended
from cdbfs.hcp.spec import TransferSpec
from cdbfs.hcp.transport import Again
from tests.hcp.watching import Noted

ZIP, MD5 = "100307_x.zip", "100307_x.zip.md5"
SPEC = TransferSpec("asp.example.org", "xfer", "SECRET-TOKEN", {ZIP: f"a/{ZIP}", MD5: f"a/{MD5}"}, 22, 33001)

OK_ONE = """SRR576938.fastq.gz                                      100%  244MB  112Mb/s    00:20    \r
Completed: 249998K bytes transferred in 21 seconds
 (94969K bits/sec), in 1 file.
"""
NO_FILE = """Completed: 0K bytes transferred in 0 seconds
Session Stop  (Error: Server aborted session: No such file or directory)
"""
NO_LOGIN = ("Session Stop  (Error: failed to authenticate)\n", "ascp: failed to authenticate, exiting.\n")
NO_TCP = (
    "\nSession Stop  (Error: Failed to open TCP connection for SSH)\n",
    "ascp: Failed to open TCP connection for SSH, exiting.\n",
)
NO_KEY_TEXT = "Private key file not found at path /home/u/.aspera/connect/etc/asperaweb_id_dsa.openssh"
NO_KEY = (f"\nSession Stop  (Error: {NO_KEY_TEXT})\n", f"ascp: {NO_KEY_TEXT}, exiting.\n")
NO_UDP = "ascp: Client unable to connect to server (check UDP port and firewall), exiting.\n"
ABANDONED = "Session Stop  (Error: Connection abandoned.)\n"
PARTLY = "Partial Completion: 12K bytes transferred in 1 seconds\n (96K bits/sec), in 1 file, 1 failed.\n"


class Scene:
    """A session that ended; what is told of it stands in `watch`."""

    def __init__(self, into: Path, files: Sequence[str] = (MD5, ZIP)) -> None:
        self.into = into
        self.files = files
        self.watch = Noted()
        self.progress = Progress(files, into, self.watch)

    def hear(self, **fields: object) -> Scene:
        self.progress.hear({name: str(value) for name, value in fields.items()})
        return self

    def end(self, status: int = 0, output: str = "", errors: str = "") -> Exception | None:
        session = Session(SPEC, self.files, self.into, Ended(status, output, errors), self.progress)
        raised: Exception | None = None
        try:
            conclude(session, self.watch)
        except (Again, CdbfsError) as error:
            raised = error
        assert "SECRET-TOKEN" not in str(raised)
        return raised


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def meaning(error: Exception | None, *, again: bool) -> CdbfsError:
    """What an error comes to, which is one that calls for another attempt, or is not."""
    if again:
        assert isinstance(error, Again)
        return error.meaning
    assert isinstance(error, CdbfsError)
    return error


def test_a_good_end_is_one(scene: Scene) -> None:
    assert scene.hear(Type="DONE").end(0) is None


@pytest.mark.parametrize("output", [OK_ONE, "", "Completed: 236K bytes transferred in 0 seconds\n"])
def test_without_frames_the_status_says_so(scene: Scene, output: str) -> None:
    assert scene.end(0, output) is None


def test_127_after_a_good_transfer_is_good(scene: Scene, tmp_path: Path) -> None:
    assert scene.hear(Type="DONE").end(127) is None
    assert Scene(tmp_path).end(127, OK_ONE) is None
    assert Scene(tmp_path).end(127, "") is not None


def test_done_with_a_code_is_no_success_whatever_the_status(scene: Scene) -> None:
    assert isinstance(scene.hear(Type="DONE", Code=16).end(0), Again)


def test_words_of_an_error_are_no_success_whatever_the_status(scene: Scene) -> None:
    assert isinstance(scene.end(0, ABANDONED), Again)


def test_a_status_that_is_not_known_is_tried_again(scene: Scene) -> None:
    assert isinstance(scene.hear(Type="DONE").end(1), Again)


@pytest.mark.parametrize("status", [1, -9, -15])
def test_an_end_without_a_word_is_tried_again(scene: Scene, status: int) -> None:
    assert str(abs(status)) in str(meaning(scene.end(status), again=True))


@pytest.mark.parametrize(
    ("output", "errors", "again", "kind", "says"),
    [
        (NO_FILE, "", False, NotFound, "does not have"),
        (*NO_LOGIN, True, AccessRefused, "refused the login"),
        (*NO_TCP, True, Unreachable, "TCP port 22"),
        (*NO_KEY, False, CdbfsError, "ASPERA_ETCDIR"),
        ("", NO_UDP, True, Unreachable, "UDP port 33001"),
        (ABANDONED, "", True, Unreachable, "lost"),
        (
            "Session Stop  (Error: Server aborted session: Read access denied for user)",
            "",
            False,
            AccessRefused,
            "read",
        ),
        ("Session Stop  (Error: Invalid token)", "", False, AccessRefused, "token"),
        ("Session Stop  (Error: Disk write failed (No space left on device))", "", False, NoSpace, "full"),
        ("", "ascp: license expired, exiting.", False, CdbfsError, "licence"),
        ("", "a\rb\rsomething else\r\n", True, CdbfsError, "something else"),
    ],
)
def test_what_ascp_prints_is_understood(
    scene: Scene, output: str, errors: str, again: bool, kind: type[CdbfsError], says: str
) -> None:
    error = meaning(scene.end(1, output, errors), again=again)
    assert type(error) is kind
    assert says in str(error)


FINAL: Mapping[int, type[CdbfsError]] = {
    3: CdbfsError,
    4: NotFound,
    5: AccessRefused,
    8: CdbfsError,
    9: CdbfsError,
    10: CdbfsError,
    20: CdbfsError,
    24: TooLarge,
    26: CdbfsError,
    29: CdbfsError,
    30: CdbfsError,
    34: AccessRefused,
    38: CdbfsError,
    41: ServerFault,
    50: CdbfsError,
    51: CdbfsError,
}
RETRIED: Mapping[int, type[CdbfsError]] = {
    **dict.fromkeys((12, 13, 14, 15, 16, 17, 18, 35, 39, 40, 44, 45), Unreachable),
    19: AccessRefused,
    37: AccessRefused,
    23: CdbfsError,
    25: NoSpace,
    36: CdbfsError,
    32: CdbfsError,
    33: CdbfsError,
    99: CdbfsError,
}


@pytest.mark.parametrize(
    ("code", "again", "kind"),
    [
        *((code, False, kind) for code, kind in FINAL.items()),
        *((code, True, kind) for code, kind in RETRIED.items()),
    ],
)
def test_codes_mean_what_the_table_says(scene: Scene, code: int, again: bool, kind: type[CdbfsError]) -> None:
    scene.hear(Type="ERROR", Code=code, Description="so it is").hear(Type="DONE", Code=code)
    error = meaning(scene.end(1), again=again)
    assert type(error) is kind
    assert f"(ascp: so it is, code {code})" in str(error)


@pytest.mark.parametrize("code", [*FINAL, *RETRIED])
def test_what_looks_like_a_firewall_is_told_as_such(scene: Scene, code: int) -> None:
    error = scene.hear(Type="DONE", Code=code).end(1)
    assert (isinstance(error, Again) and error.blocked) is (code in (14, 15))


@pytest.mark.parametrize("code", [14, 15])
def test_a_blocked_port_is_named(scene: Scene, code: int) -> None:
    error = meaning(scene.hear(Type="DONE", Code=code).end(1), again=True)
    assert "UDP port 33001 must be open in your firewall" in str(error)
    assert "asp.example.org" in str(error)


def test_a_code_goes_before_words(scene: Scene) -> None:
    scene.hear(Type="ERROR", Code=34, Description="failed to authenticate")
    assert "token" in str(meaning(scene.end(1, *NO_LOGIN), again=False))


def test_a_missing_key_is_told_of_whatever_the_code(scene: Scene) -> None:
    scene.hear(Type="DONE", Code=19, Description=NO_KEY_TEXT)
    assert "ASPERA_ETCDIR" in str(meaning(scene.end(1, *NO_KEY), again=False))


@pytest.mark.parametrize("code", [25, 36])
def test_a_disk_is_full_where_it_says_so_itself(scene: Scene, code: int) -> None:
    scene.hear(Type="STATS", File=f"/x/{ZIP}", Size=2**62, Bytescont=1)
    assert isinstance(scene.hear(Type="DONE", Code=code, Description="write").end(1), NoSpace)


def test_a_disk_that_is_not_full_may_take_another_attempt(scene: Scene) -> None:
    assert isinstance(scene.hear(Type="DONE", Code=36, Description="Disk write failed").end(1), Again)


def test_some_files_of_several_fail(scene: Scene) -> None:
    scene.hear(Type="STOP", File=MD5, Size=3, Bytescont=3)
    scene.hear(Type="FILEERROR", File=f"/into/{ZIP}", Code=4, Description="No such file or directory")
    scene.hear(Type="DONE", Code=27, Description="One or more files failed to transfer")
    assert scene.end(1, PARTLY) is None
    assert list(scene.watch.failures) == [ZIP]
    assert isinstance(scene.watch.failures[ZIP], NotFound)


def test_some_files_fail_and_ascp_gives_the_code_of_one(scene: Scene) -> None:
    scene.hear(Type="SKIP", File=MD5, Size=3)
    scene.hear(Type="FILEERROR", File=ZIP, Code=5, Description="Read access denied for user")
    assert scene.hear(Type="DONE", Code=5).end(1) is None
    assert isinstance(scene.watch.failures[ZIP], AccessRefused)


def test_some_files_fail_and_ascp_does_not_say_which(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / MD5).write_text("x")
    assert scene.end(1, PARTLY) is None
    assert list(scene.watch.failures) == [ZIP]


def test_a_file_that_may_come_at_another_attempt_is_no_failure(scene: Scene) -> None:
    scene.hear(Type="STOP", File=MD5, Size=3, Bytescont=3)
    scene.hear(Type="FILEERROR", File=ZIP, Code=16, Description="lost").hear(Type="DONE", Code=27)
    assert isinstance(scene.end(1, PARTLY), Again)
    assert scene.watch.failures == {}


def test_a_full_disk_is_that_of_all_files(scene: Scene) -> None:
    scene.hear(Type="STOP", File=MD5, Size=3, Bytescont=3)
    scene.hear(Type="FILEERROR", File=ZIP, Code=25, Description="No space left on device")
    assert isinstance(scene.hear(Type="DONE", Code=27).end(1), NoSpace)
    assert scene.watch.failures == {}


def test_the_failure_of_all_files_is_the_sessions(scene: Scene) -> None:
    for file in (ZIP, MD5):
        scene.hear(Type="FILEERROR", File=file, Code=4, Description="No such file or directory")
    assert isinstance(scene.hear(Type="DONE", Code=4).end(1), NotFound)
    assert scene.watch.failures == {}


def test_words_of_others_are_made_plain(scene: Scene) -> None:
    error = scene.hear(Type="DONE", Code=16, Description=f"\x1b[2J SECRET-TOKEN {'x' * 5000}\x07").end(1)
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_every_reason_can_be_told() -> None:
    for rule in (*codes.RULES.values(), codes.OTHERWISE):
        assert "{" not in rule.reason.format(host="h", ssh=1, udp=2)


def test_the_reason_is_the_last_that_was_printed() -> None:
    assert said(Ended(1, "x\r\nSession Stop  (Error: a (b))\n", "")) == "a (b)"
    assert said(Ended(1, "", "first\nascp: second, exiting.\n")) == "second"
    assert said(Ended(1, "", "")) == ""


def test_a_directory_that_is_gone_is_not_full(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    gone = Scene(into)
    os.rmdir(into)
    assert isinstance(gone.hear(Type="DONE", Code=36, Description="Disk write failed").end(1), Again)
