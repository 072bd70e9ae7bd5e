"""What goes wrong with a server: which error a reader gets, what `.cdbfs/errors` says, and what goes on.

Printed as a table at the end of the run.
"""

from __future__ import annotations

import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
import requests

from cdbfs.demo import StandIn
from tests.mount.failing import (
    DOCUMENTS,
    KNOWN,
    KNOWN_LISTING,
    SMALL,
    SOON,
    UNKNOWN,
    UNKNOWN_LISTING,
    Scene,
    answers,
    errno_name,
    failure,
    scene,
    wait_until,
)
from tests.ports import free_port
from tests.tables import table
from tests.views import cdbfs, mounted
from tests.worlds import World

TABLE = table("faults of the server", "fault", "errno", "reason in .cdbfs/errors", "still served", "back after")
SERVED = "all that is known, in {:.0f} ms"


@dataclass(frozen=True)
class Case:
    """A fault, and what comes of looking at a listing and at a document that nobody has seen yet."""

    name: str
    begin: Callable[[Scene], object]
    errno: str
    of_listing: str
    of_document: str = ""
    """Patterns of the reason; that of the listing where it is the same."""
    end: Callable[[Scene], object] = lambda scene: scene.server.clear_faults()


def everywhere(kind: str, **parameters: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.server.fault("*", kind, **parameters)


def data(kind: str, **parameters: Any) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        for route in ("/data/projects/{project}/subjects", "/data/experiments/{experiment}"):
            scene.server.fault(f"GET {route}", kind, **parameters)

    return begin


def stop(scene: Scene) -> None:
    scene.server.stop()


def start_again(scene: Scene) -> None:
    """At the same address, as after a reboot: it knows no session any more."""
    scene.server = StandIn(SMALL.data, port=port_of(scene)).start()


def port_of(scene: Scene) -> int:
    return int(scene.server._address[1])


class Deaf:
    """A machine that takes no connection: the queue of its socket is full."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def begin(self, scene: Scene) -> None:
        scene.server.stop()
        listener = self._held.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port_of(scene)))
        listener.listen(0)
        for _ in range(3):
            caller = self._held.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())

    def end(self, scene: Scene) -> None:
        self._held.close()
        start_again(scene)


DEAF = Deaf()
CASES = [
    Case("server gone", stop, "EHOSTUNREACH", r"cannot be reached: .*refused", end=start_again),
    Case("server takes no connection", DEAF.begin, "EHOSTUNREACH", "gave no connection in time", end=DEAF.end),
    Case("slow: no answer", everywhere("delay", seconds=600), "ETIMEDOUT", "the server fell silent at /data/"),
    Case("stalled after the header", everywhere("stall", seconds=600), "ETIMEDOUT", "the server fell silent"),
    Case("stalled in the body", everywhere("stall", bytes=50, seconds=600), "ETIMEDOUT", "the server fell silent"),
    Case(
        "dripping body",
        everywhere("drip", bytes=1, seconds=0.3),
        "ETIMEDOUT",
        r"no whole answer .* within [34][.\d]* s",
    ),
    Case(
        "dripping header",
        everywhere("drip_header", bytes=1, seconds=0.3),
        "ETIMEDOUT",
        r"no whole answer .* within [34][.\d]* s",
    ),
    Case("cut in the body", everywhere("cut", bytes=50), "EIO", "broke off"),
    Case("cut, and ended properly", everywhere("truncate", bytes=90), "EIO", "no.* a listing", "not well-formed"),
    Case("HTML for JSON and XML", data("html"), "EIO", "a page for people instead of data"),
    Case("HTML for all, as in maintenance", everywhere("html"), "EIO", "the login got a page, no session"),
    Case("another thing for JSON and XML", everywhere("garbage"), "EIO", "is not a listing", "not well-formed"),
    Case("empty 200", everywhere("empty"), "EIO", "it is empty", "not well-formed"),
    Case("500 storm", everywhere("status", code=500), "EIO", "failed with status 500"),
    Case("503 storm", everywhere("status", code=503), "EIO", "not ready: status 503"),
    Case("connections reset", everywhere("reset"), "EHOSTUNREACH", "broke the connection"),
]


@pytest.mark.parametrize("case", CASES, ids=[re.sub(r"\W+", "-", case.name) for case in CASES])
def test_a_fault_is_told_leaves_the_rest_alone_and_ends_by_itself(case: Case, tmp_path: Path) -> None:
    with scene(tmp_path) as found:
        case.begin(found)
        with ThreadPoolExecutor(2) as pool:
            failures = [
                pool.submit(failure, lambda: found.names(UNKNOWN_LISTING)),
                pool.submit(failure, lambda: found.read(UNKNOWN)),
            ]
            assert {errno_name(future.result()) for future in failures} == {case.errno}
        said = found.told(UNKNOWN_LISTING, case.of_listing)
        other = found.told(UNKNOWN, case.of_document or case.of_listing)
        assert {said.partition(" ")[0], other.partition(" ")[0]} == {case.errno}
        milliseconds = found.still_served()
        case.end(found)
        back = found.recovers()
        TABLE.add(
            case.name, case.errno, brief(said.partition(" ")[2]), SERVED.format(milliseconds), f"{back:.1f} s"
        )


def brief(reason: str) -> str:
    text = re.sub(r" \(\d+ times\)$", "", reason)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return text if len(text) <= 75 else text[:72] + "..."


# -- refusals: what was known is withheld -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "errno", "reason"), [(403, "EACCES", "the server forbids"), (404, "ENOENT", "does not show it to")]
)
def test_what_was_known_is_withheld_once_the_server_refuses_it(
    code: int, errno: str, reason: str, tmp_path: Path
) -> None:
    with scene(tmp_path, document_ttl="1") as found:
        found.server.fault("GET /data/experiments/{experiment}", "status", code=code)
        withheld(found, KNOWN, lambda: found.read(KNOWN), errno, reason)
        scores = KNOWN.replace("experiment.xml", "scores.csv")
        assert errno_name(failure(lambda: found.read(scores))) == errno
        assert len(found.names(KNOWN_LISTING)) == 6  # the rest is served
        found.server.fault("GET /data/projects/{project}/subjects", "status", code=code)
        said = withheld(found, KNOWN_LISTING, lambda: found.names(KNOWN_LISTING), errno, reason)
        assert len(found.names("projects")) == 2
        assert found.status()["pid"]
        found.server.clear_faults()
        TABLE.add(
            f"{code} after 200", errno, brief(said), "the rest; what was known is not", f"{found.recovers():.1f} s"
        )
    kept = [path for path in (tmp_path / "cache/documents").rglob("*") if path.is_file()]
    assert kept, "what is shown again is kept again"


def withheld(scene: Scene, path: str, look: Callable[[], object], errno: str, reason: str) -> str:
    """Wait until `path` is shown no more. The kernel and who has it open may know it for a moment."""
    wait_until(lambda: not answers(look))
    assert errno_name(failure(look)) == errno
    said = scene.told(path, reason)
    assert said.startswith(f"{errno} ")
    return said.partition(" ")[2]


def test_what_is_withheld_is_gone_from_the_disk_and_from_the_next_mount(tmp_path: Path) -> None:
    with scene(tmp_path, document_ttl="1") as found:
        found.server.fault("GET /data/experiments/{experiment}", "status", code=403)
        withheld(found, KNOWN, lambda: found.read(KNOWN), "EACCES", "forbids")
        assert not [path for path in (tmp_path / "cache/documents").rglob("*") if path.is_file()]
        with mounted(found.server, SMALL.login, tmp_path / "m2", tmp_path / "cache") as second:
            assert errno_name(failure(lambda: (second / KNOWN).read_bytes())) == "EACCES"


# -- logins ------------------------------------------------------------------------------------------------------


def thousand_stats(mount: Path, tutorial: World) -> dict[str, int]:
    """Which errors 1,000 stats of documents that nobody has seen end with."""
    subjects = {subject.id: label for label, subject in tutorial.subjects("HCP_Q2")}
    found: dict[str, int] = {}
    names = [
        f"projects/HCP_Q2/subjects/{subjects[experiment.subject_id]}/experiments/{label}/{file}"
        for file in ("experiment.xml", "scores.csv")
        for label, experiment in tutorial.experiments("HCP_Q2")
    ]
    for name in names[:1000]:
        try:
            os.stat(mount / name)
            outcome = "served"
        except OSError as error:
            outcome = errno_name(error)
        found[outcome] = found.get(outcome, 0) + 1
    return found


def test_a_server_that_refuses_its_own_sessions_sees_two_logins(
    server: StandIn, tutorial: World, fresh_mount: Path
) -> None:
    here = Scene(server, fresh_mount)
    here.names("projects/HCP_Q2/subjects")
    here.names("projects/HCP_Q2/experiments")
    server.reset_counts()
    for route in ("/data/experiments/{experiment}", "/data/auth"):
        server.fault(f"GET {route}", "status", code=401)
    assert thousand_stats(fresh_mount, tutorial) == {"EACCES": 1000}
    assert server.session_counts()["logins"] <= 2
    said = here.errors()[-1]
    assert "EACCES" in said
    assert "gives out sessions and then refuses them" in said
    assert len(here.names("projects/HCP_Q2/subjects")) == 144
    TABLE.add(
        f"401 for ever, XNAT {tutorial.dialect}",
        "EACCES",
        brief(said.partition(".xml: ")[2] or said.partition(".csv: ")[2]),
        "listings",
        "",
    )


def change_the_password(server: StandIn, world: World) -> None:
    accounts = tuple(replace(account, password="another") for account in world.data.accounts)
    server.replace(replace(world.data, accounts=accounts))


def lock_the_account(server: StandIn, world: World) -> None:
    """As somebody does who tries passwords."""
    for number in range(3):
        assert log_in(server, world, f"guess{number}") == 401


def fill_the_table_of_sessions(server: StandIn, world: World) -> None:
    for _ in range(2):
        assert log_in(server, world, world.login.password) == 200


def log_in(server: StandIn, world: World, password: str) -> int:
    return requests.get(f"{server.url}/data/JSESSION", auth=(world.login.user, password), timeout=SOON).status_code


REFUSALS = {
    "password changed": change_the_password,
    "account locked": lock_the_account,
    "session table full": fill_the_table_of_sessions,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_login_that_is_refused_later_is_tried_once(name: str, tutorial: World, tmp_path: Path) -> None:
    """The three look alike: as a wrong password does."""
    known = "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox/experiment.xml"
    unseen = known.replace("_NonToolbox", "_Toolbox")
    with (
        StandIn(tutorial.data, dialect=tutorial.dialect, failed_logins=3, sessions_per_user=2) as server,
        mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount,
    ):
        here = Scene(server, mount)
        here.names("projects/HCP_Q2/subjects")
        here.names("projects/HCP_Q2/experiments")
        content = here.read(known)
        server.expire_sessions()
        REFUSALS[name](server, tutorial)
        server.reset_counts()
        assert errno_name(failure(lambda: here.read(unseen))) == "EACCES"
        said = here.told(unseen, "locked account or too many sessions; it is not tried again until you mount anew")
        assert thousand_stats(mount, tutorial)["EACCES"] >= 998
        counts = server.session_counts()
        assert (counts["logins"], counts["refused_logins"]) == (0, 1)
        assert here.read(known) == content
    row = (f"{name}, XNAT {tutorial.dialect}", "EACCES", brief(said.partition(" ")[2]))
    TABLE.add(*row, "all that is known", "after a mount anew")


def test_a_full_table_of_sessions_is_told_at_the_mount(tutorial: World, tmp_path: Path) -> None:
    with StandIn(SMALL.data, dialect=tutorial.dialect, sessions_per_user=2) as server:
        fill_the_table_of_sessions(server, SMALL)
        server.reset_counts()
        (tmp_path / "m").mkdir()
        done = cdbfs("mount", server.url, str(tmp_path / "m"), login=SMALL.login)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "too many sessions" in done.stderr
        assert server.session_counts()["refused_logins"] == 1


# -- time --------------------------------------------------------------------------------------------------------


def test_what_is_slower_than_a_lookup_comes_for_who_tries_again(tmp_path: Path) -> None:
    with scene(tmp_path, lookup_deadline="1", silence_timeout="60", request_deadline="60") as found:
        found.server.fault("*", "delay", seconds=600)
        error = failure(lambda: found.read(UNKNOWN))
        said = found.told(UNKNOWN, r"the document of experiment \w+ did not come within 1 s")
        assert (errno_name(error), said.partition(" ")[0]) == ("ETIMEDOUT", "ETIMEDOUT")
        milliseconds = found.still_served()
        before = found.server.counts()["GET /data/experiments/{experiment}"]
        found.server.clear_faults()
        back = found.recovers()
        assert found.server.counts()["GET /data/experiments/{experiment}"] == before  # the first request went on
    TABLE.add(
        "slower than a lookup",
        "ETIMEDOUT",
        brief(said.partition(" ")[2]),
        SERVED.format(milliseconds),
        f"{back:.1f} s",
    )


def test_a_server_that_was_gone_for_long_is_back_within_ten_seconds(tmp_path: Path) -> None:
    """By itself, and with what changed meanwhile, though nobody mounts anew."""
    with scene(tmp_path, retry_pause="5") as found:  # the default
        stop(found)
        ends = time.monotonic() + 8  # until the pauses between two tries have grown to their longest
        while time.monotonic() < ends:
            assert errno_name(failure(lambda: found.names(UNKNOWN_LISTING))) == "EHOSTUNREACH"
            found.look()
            time.sleep(0.1)
        assert found.status()["reachable"] is False
        start_again(found)
        back = found.recovers(10)
        assert found.status()["reachable"] is True
        assert found.server.session_counts()["logins"] == 1  # of the new server, which knows no session
    TABLE.add("server back after 8 s", "", "", "everything", f"{back:.1f} s")


# -- names -------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose files say what clock and resolver of the mounts do; see machine/sitecustomize.py."""
    directory = tmp_path / "machine"
    directory.mkdir()
    monkeypatch.setenv("FAULTY_MACHINE", str(directory))
    paths = [str(Path(__file__).with_name("machine")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return directory


@pytest.mark.parametrize("thinks", [0, 1])
def test_a_dead_resolver_is_an_unreachable_server(thinks: float, machine: Path, tmp_path: Path) -> None:
    with scene(tmp_path, url="http://xnat.test:{port}", allow_http="xnat.test") as found:
        (machine / "resolver").write_text(str(thinks))
        found.server.stop()  # what is connected would need no name
        error = failure(lambda: found.names(UNKNOWN_LISTING))
        milliseconds = found.still_served()
        wait_until(lambda: any("EHOSTUNREACH" in line for line in found.errors()))
        said = next(line for line in found.errors() if "EHOSTUNREACH" in line)
        assert errno_name(error) in ("EHOSTUNREACH", "ETIMEDOUT")
        assert "http://xnat.test" in said
        assert "ame resolution" in said
        start_again(found)
        assert not answers(lambda: found.names(UNKNOWN_LISTING))
        (machine / "resolver").unlink()
        back = found.recovers()
    name = "name resolution dead" + (f", after {thinks:g} s" if thinks else "")
    TABLE.add(
        name, errno_name(error), brief(said.partition(": ")[2]), SERVED.format(milliseconds), f"{back:.1f} s"
    )


def test_a_name_that_does_not_resolve_cannot_be_mounted(machine: Path, tmp_path: Path) -> None:
    (machine / "resolver").write_text("0")
    (tmp_path / "m").mkdir()
    done = cdbfs("mount", "https://xnat.test", str(tmp_path / "m"), login=SMALL.login)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "https://xnat.test cannot be reached" in done.stderr
    assert "ame resolution" in done.stderr


# -- the clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-86400 * 400, -90, 86400 * 400])
def test_a_clock_that_is_set_changes_no_byte(ahead: int, machine: Path, tmp_path: Path) -> None:
    def all_asked(found: Scene) -> bool:
        return found.server.counts().get(route, 0) == len(DOCUMENTS)

    def read_all(found: Scene) -> None:
        assert {path: found.read(path) for path in DOCUMENTS} == DOCUMENTS
        assert len(found.names(KNOWN_LISTING)) == 6
        assert found.errors() == []

    route = "GET /data/experiments/{experiment}"
    options = {"document_ttl": "60", "silence_timeout": "60", "request_deadline": "60"}
    clock, port = machine / "clock", free_port()
    for first, second in ((0, ahead), (ahead, 0)):
        clock.write_text(str(first))
        with scene(tmp_path / f"from {first}", port=port, **options) as found:
            read_all(found)
            clock.write_text(str(second))  # while it is mounted
            read_all(found)
            assert all_asked(found)
        with scene(tmp_path / f"from {first}", port=port, **options) as found:
            found.server.fault(route, "delay", seconds=600)
            read_all(found)  # from the disk, though nobody knows how old they are
            found.server.clear_faults()
            wait_until(partial(all_asked, found))
            read_all(found)
    days = "back" if ahead < 0 else "forward"
    TABLE.add(
        f"clock set {days} by {abs(ahead)} s", "", "", "everything, fetched anew where its age is unknown", ""
    )
