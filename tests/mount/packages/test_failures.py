"""What goes wrong with packages: the errno that `open` gives, the reason in `.cdbfs/errors`, and what is left.

Each fault ends, and then the package opens. Printed as a table at the end of the run.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.mount.failing import errno_name, wait_until
from tests.mount.packages.lab import EACH_LIBRARY, HALF, PROJECT, SUBJECT, Lab, content, data, lab
from tests.tables import table

TABLE = table("packages that cannot be had", "fault", "errno", "reason in .cdbfs/errors", "left", "afterwards")

TRANSFER = "POST /spring/download transfer"


def row(*cells: str) -> None:
    """Once, though a test runs with each libfuse."""
    if list(cells) not in TABLE.rows:
        TABLE.add(*cells)


def nothing(lab: Lab) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A fault, and what comes of opening a package under it."""

    name: str
    begin: Callable[[Lab], object]
    errno: str = ""
    """Empty: it opens all the same."""
    reason: str = ""
    """A pattern."""
    left: tuple[str, ...] = ()
    """What is kept to go on with."""
    sessions: int | None = None
    """How many ascp it takes."""
    end: Callable[[Lab], object] = nothing
    """Beside the end of all faults of the server."""

    @property
    def id(self) -> str:
        return re.sub(r"\W+", "_", self.name)


def ascp(kind: str, **parameters: Any) -> Callable[[Lab], None]:
    return lambda lab: lab.server.ascp_fault(kind, **parameters)


def service(kind: str, **parameters: Any) -> Callable[[Lab], None]:
    return lambda lab: lab.server.fault(TRANSFER, kind, **parameters)


def spec(change: Any) -> Callable[[Lab], None]:
    return lambda lab: lab.server.change_specs(change)


def true_specs(lab: Lab) -> None:
    lab.server.change_specs(None)


def program(script: str) -> Callable[[Lab], None]:
    return lambda lab: lab.replace_ascp(script)


def mended(lab: Lab) -> None:
    lab.mend_ascp()


def keys(lab: Lab) -> list[Path]:
    return [lab.connect / "etc" / name for name in ("asperaweb_id_dsa.openssh", "aspera_tokenauth_id_rsa")]


def take_keys(lab: Lab) -> None:
    for key in keys(lab):
        key.rename(key.with_suffix(".away"))


def give_keys(lab: Lab) -> None:
    for key in keys(lab):
        key.with_suffix(".away").rename(key)


def not_executable(lab: Lab) -> None:
    (lab.connect / "bin/ascp").chmod(0o600)


def executable(lab: Lab) -> None:
    (lab.connect / "bin/ascp").chmod(0o700)


MD5 = (".zip.md5",)
HALF_A_FILE = (".zip", ".zip.aspx", ".zip.md5")
LISTING = {"packages": [{"id": "x", "count": 1, "size": 1}]}

QUICK = [
    # ascp, and the network
    Case("cut once", ascp("cut", bytes=HALF, times=1), sessions=2),
    Case("stall once", ascp("stall", bytes=HALF, times=1), sessions=2),
    Case("stall once that ignores signals", ascp("stall", bytes=HALF, times=1, deaf=True), sessions=2),
    Case("wrong md5 once", ascp("wrong_md5", times=1), sessions=2),
    Case("wrong md5 always", ascp("wrong_md5"), "EIO", r"arrived damaged, twice: .*md5", sessions=2),
    Case("damaged bytes once", ascp("damage", times=1), sessions=2),
    Case("damaged bytes always", ascp("damage"), "EIO", r"arrived damaged, twice: .*md5", sessions=2),
    Case("no such file", ascp("no_file"), "ENOENT", "does not have the file", MD5),
    Case("no such md5", ascp("no_file", file="*.md5"), "ENOENT", r"does not have the file", (".zip",)),
    Case("no such file, and no such md5", ascp("no_file", file="*"), "ENOENT", "does not have the file"),
    Case("file not to be read", ascp("fails"), "EACCES", "does not let this login read the file", MD5),
    Case("token refused", ascp("wrong_token"), "EACCES", "refused the token"),
    Case("failed to authenticate once", ascp("no_login", times=1), sessions=2),
    Case("disk full, code 36, though it is not", ascp("disk_full", bytes=HALF), "ENOSPC", "disk .* is full"),
    Case("disk full, code 25, though it is not", ascp("disk_full", bytes=HALF, code=25), "ENOSPC", "is full"),
    Case("disk full once", ascp("disk_full", bytes=HALF, times=1), sessions=2),
    Case("no licence", ascp("abort", code=9, text="License error"), "EIO", "no licence .*install Aspera anew"),
    Case("outside docroot", ascp("abort", code=41, text="Not in docroot"), "EIO", "the path that the server gave"),
    Case("another ssh key", ascp("abort", code=51, text="Host key mismatch"), "EIO", "shows another ssh key"),
    Case("no management frames", ascp("mute"), sessions=1),
    Case("status 127 after a good transfer", ascp("exit", status=127), sessions=1),
    # the program on this machine
    Case("ascp not executable", not_executable, "EIO", "is no program.*install .*ASCP", end=executable),
    Case(
        "ascp of another kind",
        program("exit 0\n"),
        "EIO",
        "the transfer ended without an error, and without s_",
        sessions=0,
        end=mended,
    ),
    Case("no key", take_keys, "EIO", "no key of Aspera's.*ASPERA_ETCDIR", end=give_keys),
    # the package service
    Case("service: 500", service("status", code=500), "EIO", "failed with status 500", sessions=0),
    Case("service: 503", service("status", code=503), "EIO", "not ready: status 503", sessions=0),
    Case("service: 403", service("status", code=403), "EACCES", "forbids", sessions=0),
    Case("service: 404", service("status", code=404), "ENOENT", "the server does not have", sessions=0),
    Case("service: 400", service("status", code=400), "EIO", "status 400", sessions=0),
    Case("service: HTML", service("html"), "EIO", "a page for people", sessions=0),
    Case("service: empty", service("empty"), "EIO", "no JSON", sessions=0),
    Case("service: garbage", service("garbage"), "EIO", "no JSON", sessions=0),
    Case("service: cut", service("cut", bytes=100), "EIO", "broke off", sessions=0),
    Case("service: reset", service("reset"), "EHOSTUNREACH", "broke the connection", sessions=0),
    Case("service: a listing", spec(lambda _: LISTING), "EIO", "a list of packages", sessions=0, end=true_specs),
    Case("service: nothing", spec(lambda _: {}), "EIO", "token", sessions=0, end=true_specs),
]
ALWAYS = program("kill -SEGV $$")
LASTING = [
    # Those that are tried again and again before they are given up: all at once, each with a mount of its own.
    Case("cut for ever", ascp("cut", bytes=HALF), "EHOSTUNREACH", "the connection .* was lost", HALF_A_FILE),
    Case("stall for ever", ascp("stall", bytes=HALF), "ETIMEDOUT", r"stood still for \d", HALF_A_FILE),
    Case("failed to authenticate always", ascp("no_login"), "EACCES", "refused the login"),
    Case("UDP blocked", ascp("udp_blocked"), "EHOSTUNREACH", r"UDP port 33001 must be open in your firewall"),
    Case("TCP closed", ascp("tcp_closed"), "EHOSTUNREACH", r"TCP port \d+ must be open .*firewall"),
    Case("disk write failed", ascp("abort", code=36, text="Disk write failed"), "EIO", "could not write"),
    Case("ascp crashes", ALWAYS, "EIO", r"ascp .*signal 11", sessions=0, end=mended),
    Case("words of an old ascp", ascp("abort", code=0, text="Connection abandoned."), "EHOSTUNREACH", "was lost"),
]


def outcome(lab: Lab, name: str) -> str:
    """The errno that opening gives; empty where the bytes are right."""
    path = lab.zip(name)
    announced = path.stat().st_size
    try:
        found = path.read_bytes()
    except OSError as error:
        assert path.stat().st_size == announced
        assert not lab.is_kept(name)
        assert not any(lab.unpacked("x").parent.glob(f"*_{name}"))
        return errno_name(error)
    assert found == content(name)
    return ""


def check(case: Case, lab: Lab, name: str) -> None:
    """What comes of a fault, and of its end."""
    lab.server.reset_counts()
    case.begin(lab)
    try:
        assert outcome(lab, name) == case.errno
        _, reason = lab.told(lab.zip(name), case.reason) if case.errno else ("", "")
        left = lab.left(name)
        assert left == sorted(case.left)
        if case.sessions is not None:
            assert lab.server.ascp_sessions == case.sessions
        lab.check_tidy()
    finally:
        lab.server.clear_faults()
        case.end(lab)
    assert outcome(lab, name) == ""
    assert lab.left(name) == []
    lab.check_tidy()
    lab.zip(name).with_name(f"{SUBJECT}_{name}.zip.md5").read_bytes()
    row(case.name, case.errno, brief(reason), " ".join(left), "opens")


def brief(reason: str) -> str:
    text = re.sub(r" \(\d+ times\)$", "", reason)
    text = re.sub(r"/\S*/connect/", ".../connect/", text)
    text = re.sub(r"127\.0\.0\.1(:\d+)?", "HOST", text)
    return text if len(text) <= 150 else text[:147] + "..."


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One mount for all faults that are over soon, with a package for each."""
    names = [case.id for case in QUICK]
    with lab(tmp_path_factory.mktemp("shared"), names) as found:
        yield found


@pytest.mark.usefixtures("lasting")
@pytest.mark.parametrize("case", QUICK, ids=[case.id for case in QUICK])
def test_a_fault_is_told_and_leaves_nothing_behind(case: Case, shared: Lab) -> None:
    check(case, shared, case.id)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """What comes of the lasting faults, which have their time while others wait for theirs."""

    def work(case: Case, scratch: Path) -> None:
        with lab(scratch, [case.id], transfer_stall="2") as found:
            check(case, found, case.id)

    with ThreadPoolExecutor(len(LASTING) + 1) as pool:
        futures = {case.id: pool.submit(work, case, tmp_path_factory.mktemp(case.id)) for case in LASTING}
        futures["packages_command"] = pool.submit(failing_command, tmp_path_factory.mktemp("command"))
        yield futures


@pytest.mark.parametrize("case", LASTING, ids=[case.id for case in LASTING])
def test_a_fault_that_lasts_is_given_up(case: Case, lasting: dict[str, Future[None]]) -> None:
    lasting[case.id].result(200)


# -- more than an errno ------------------------------------------------------------------------------------------


def in_background(work: Callable[[], object]) -> Future[object]:
    """A test that fails leaves it behind: the mount's end ends it."""
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def test_what_was_cut_is_gone_on_with(tmp_path: Path) -> None:
    """The second session is sent the rest only: what comes before it would come damaged."""
    with lab(tmp_path, ["x"], transfer_stall="60") as here:
        here.server.ascp_fault("cut", bytes=HALF, times=1)
        here.server.pause_ascp(at=1000)
        reading = in_background(here.zip("x").read_bytes)
        here.server.wait_held()
        here.server.ascp_fault("damage", bytes=2000)
        here.server.resume_ascp()
        assert reading.result(60) == content("x")
        assert here.server.ascp_sessions == 2
        here.check_tidy()


def test_a_package_of_which_one_attempt_was_killed(tmp_path: Path) -> None:
    with lab(tmp_path, ["x"], transfer_stall="60") as here:
        here.server.pause_ascp(at=HALF)
        reading = in_background(here.zip("x").read_bytes)
        here.server.wait_held()
        os.kill(here.server.ascp_running[0].pid, 9)
        here.server.resume_ascp()
        assert reading.result(60) == content("x")
        assert here.server.ascp_sessions == 2


@pytest.mark.parametrize("md5", ["", "no md5", "0" * 31, "<html>" + "x" * 5000])
def test_an_md5_file_that_is_none(md5: str, tmp_path: Path) -> None:
    with lab(tmp_path, data({"x": content("x")}, {"x": md5})) as here:
        assert outcome(here, "x") == "EIO"
        errno, reason = here.told(here.zip("x"), r"s_x\.zip\.md5 is not as md5sum writes it")
        assert (errno, here.left("x"), here.server.ascp_sessions) == ("EIO", [], 2)
        here.check_tidy()
        beside = here.zip("x").with_name("s_x.zip.md5")
        with pytest.raises(OSError, match="Errno 5"):
            beside.read_bytes()
        here.server.replace(data({"x": content("x")}))
        assert outcome(here, "x") == ""
        assert beside.read_text() == md5_line(content("x"), "s_x.zip")
    row(f"md5 file that is none: {md5[:10]!r}", errno, brief(reason), "", "opens")


@EACH_LIBRARY
def test_no_ascp_on_this_machine(tmp_path: Path, library: str) -> None:
    with lab(tmp_path, ["x"], lambda aspera: {"ASCP": ""}, fuse=library) as here:
        assert outcome(here, "x") == "EIO"
        errno, reason = here.told(here.zip("x"), "ascp is not here: install IBM Aspera Connect.*ascli.*ASCP")
        assert here.server.counts().get(TRANSFER, 0) == 0  # no download is logged for nothing
        assert here.left("x") == []
        home = tmp_path / "home/.aspera"
        home.mkdir(parents=True)
        (home / "connect").symlink_to(here.connect)
        assert outcome(here, "x") == ""
        here.check_tidy()
    row("no ascp", errno, brief(reason), "", "opens once it is installed")


def test_a_path_of_ascp_that_leads_nowhere(tmp_path: Path) -> None:
    with lab(tmp_path, ["x"], lambda aspera: {"ASCP": str(aspera / "bin/none")}) as here:
        assert outcome(here, "x") == "EIO"
        errno, reason = here.told(here.zip("x"), "which the variable ASCP stands for, is no program: install")
        (here.connect / "bin/none").symlink_to("ascp")
        assert outcome(here, "x") == ""
    row("ASCP leads nowhere", errno, brief(reason), "", "opens once it does not")


def test_a_session_that_the_server_does_not_know_any_more(tmp_path: Path) -> None:
    """A 401 makes one new login; one that lasts is told."""
    with lab(tmp_path, ["x", "y"], login_pause="0") as here:
        here.zip("x").stat()
        here.server.expire_sessions()
        assert outcome(here, "x") == ""
        here.server.reset_counts()
        here.server.fault(TRANSFER, "status", code=401)
        assert outcome(here, "y") == "EACCES"
        errno, reason = here.told(here.zip("y"), ".")
        assert here.server.counts()[TRANSFER] <= 2
        assert here.server.ascp_sessions == 0
        here.server.clear_faults()
        assert outcome(here, "y") == ""
    row("service: 401", errno, brief(reason), "", "opens")


@EACH_LIBRARY
def test_a_server_that_is_gone(tmp_path: Path, library: str) -> None:
    """What is here is read; what is not is told; when the server is back, all is."""
    with lab(tmp_path, ["here", "away"], connect_timeout="1", listing_ttl="1", fuse=library) as found:
        assert outcome(found, "here") == ""
        found.zip("away").stat()
        found.server.stop()
        path = found.zip("away")
        with pytest.raises(OSError, match="Errno") as caught:
            path.read_bytes()
        errno, reason = found.told(path, "cannot be reached|not be reached")
        assert (errno_name(caught.value), errno) == ("EHOSTUNREACH", "EHOSTUNREACH")
        assert found.zip("here").read_bytes() == content("here")
        assert (found.unpacked("here") / "s/text.txt").read_text() == "here\n" * 1000
        assert found.left("away") == []
        found.server.start()
        wait_until(lambda: _opens(path))
        assert outcome(found, "away") == ""
        found.check_tidy()
    row("server gone", errno, brief(reason), "", "opens when it is back")


def _opens(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


# -- the other ways ----------------------------------------------------------------------------------------------


def _mirror(directory: Path, *names: str) -> None:
    """A lab's mirror of these packages."""
    for name in names:
        place = directory / PROJECT / SUBJECT
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{SUBJECT}_{name}.zip").write_bytes(content(name))
        line = md5_line(content(name), f"{SUBJECT}_{name}.zip")
        (place / f"{SUBJECT}_{name}.zip.md5").write_text(line)


def md5_line(held: bytes, name: str) -> str:
    return f"{hashlib.md5(held).hexdigest()}  {name}\n"


def test_a_directory_of_packages(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    _mirror(mirror, "x", "damaged")
    damaged = mirror / PROJECT / SUBJECT / "s_damaged.zip"
    damaged.write_bytes(b"\0" + content("damaged")[1:])
    with lab(tmp_path, ["x", "away", "damaged"], lambda aspera: {}, packages_dir=str(mirror)) as here:
        assert outcome(here, "x") == ""
        assert outcome(here, "away") == "ENOENT"
        errno, reason = here.told(here.zip("away"), r"packages_dir has no s_away\.zip.*; looked for below")
        row("packages_dir without the file", errno, brief(reason), "", "opens")
        assert outcome(here, "damaged") == "EIO"
        errno, reason = here.told(here.zip("damaged"), "arrived damaged, twice")
        row("packages_dir with a damaged file", errno, brief(reason), "", "opens")
        assert here.left("damaged") == here.left("away") == []
        here.check_tidy()
        _mirror(mirror, "away", "damaged")
        assert outcome(here, "away") == outcome(here, "damaged") == ""
        assert here.server.ascp_sessions == here.server.counts().get(TRANSFER, 0) == 0


def test_a_directory_of_packages_that_is_not_mounted(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with lab(tmp_path, ["x"], lambda aspera: {}, packages_dir=str(mirror)) as here:
        reading = in_background(here.zip("x").read_bytes)
        told = here.point / ".cdbfs/transfers/s_x.zip"
        wait_until(lambda: _opens(told) and "is it mounted?" in told.read_text())
        _mirror(mirror, "x")
        assert reading.result(60) == content("x")
    row("packages_dir not there", "", "told in .cdbfs/transfers: is it mounted?", "", "waits, and opens")


def test_a_command_for_packages(tmp_path: Path) -> None:
    mirror, fetch = tmp_path / "mirror", tmp_path / "fetch"
    _mirror(mirror, "x")
    fetch.write_text(f'#!/bin/sh\ncp {mirror}/*/"$1/$2" "$3/"\n')
    fetch.chmod(0o700)
    with lab(
        tmp_path, ["x", "y"], lambda aspera: {}, packages_command=f"{fetch} {{subject}} {{file}} {{into}}"
    ) as here:
        assert outcome(here, "x") == ""
        fetch.write_text("#!/bin/sh\nexit 0\n")
        assert outcome(here, "y") == "EIO"
        errno, reason = here.told(here.zip("y"), r"packages_command ended well, but there is no s_y\.zip")
        row("packages_command that brings nothing", errno, brief(reason), "", "opens")
        fetch.unlink()
        assert outcome(here, "y") == "EIO"
        errno, reason = here.told(here.zip("y"), "packages_command names .*, which is no program here")
        row("packages_command missing", errno, brief(reason), "", "opens")
        assert here.left("y") == []
        here.check_tidy()
        _mirror(mirror, "y")
        fetch.write_text(f'#!/bin/sh\ncp {mirror}/*/"$1/$2" "$3/"\n')
        fetch.chmod(0o700)
        assert outcome(here, "y") == ""


def failing_command(scratch: Path) -> None:
    """It is tried again and again, too, and may mend itself meanwhile."""
    fetch = scratch / "fetch"
    fetch.write_text("#!/bin/sh\necho starting\necho there is no route to the mirror >&2\nexit 3\n")
    fetch.chmod(0o700)
    with lab(scratch, ["x"], lambda aspera: {}, packages_command=f"{fetch} {{file}} {{into}}") as here:
        assert outcome(here, "x") == "EIO"
        failed = r"packages_command failed with status 3 for s_x\.zip.*: there is no route to the mirror"
        errno, reason = here.told(here.zip("x"), failed)
        assert here.left("x") == []
        here.check_tidy()
        fetch.write_text(f'#!/bin/sh\ncp {scratch}/"$1" "$2/"\n')
        (scratch / "s_x.zip").write_bytes(content("x"))
        (scratch / "s_x.zip.md5").write_text(md5_line(content("x"), "s_x.zip"))
        assert outcome(here, "x") == ""
    row("packages_command fails", errno, brief(reason), "", "opens")


def test_a_command_that_fails_for_ever(lasting: dict[str, Future[None]]) -> None:
    lasting["packages_command"].result(200)


# -- the service's listing ---------------------------------------------------------------------------------------

LISTINGS = [
    ("500", "status", {"code": 500}, "EIO", "failed with status 500"),
    ("403", "status", {"code": 403}, "EACCES", "forbids"),
    ("404", "status", {"code": 404}, "ENOENT", "no package service"),
    ("HTML", "html", {}, "EIO", "a page for people"),
    ("empty", "empty", {}, "EIO", "the list of packages is no JSON"),
    ("garbage", "garbage", {}, "EIO", "the list of packages is no JSON"),
    ("reset", "reset", {}, "EHOSTUNREACH", "broke the connection"),
    ("stall", "delay", {"seconds": 600}, "ETIMEDOUT", "fell silent"),
]


def test_a_service_that_does_not_list(tmp_path: Path) -> None:
    """`ls` of a subject that nobody has looked at tells why, and what is here is read all the same."""
    with lab(tmp_path, ["here", "x"], silence_timeout="2", listing_ttl="1") as found:
        assert outcome(found, "here") == ""
        for name, kind, parameters, expected, pattern in LISTINGS:
            with lab(tmp_path / name, ["x"], silence_timeout="2") as other:
                other.server.fault("POST /spring/download view=packages", kind, **parameters)
                folder = other.zip("x").parent
                with pytest.raises(OSError, match="Errno") as caught:
                    os.listdir(folder)
                errno, reason = other.told(folder, pattern)
                assert errno_name(caught.value) == errno == expected
                other.server.clear_faults()
                wait_until(lambda other=other: _opens(other.zip("x")))  # type: ignore[misc]
            row(f"listing: {name}", errno, brief(reason), "", "opens")
        found.server.fault("POST /spring/download view=packages", "status", code=500)
        assert found.zip("here").read_bytes() == content("here")
        assert (found.unpacked("here") / "s/text.txt").stat().st_size > 0
