"""Documents: from memory, else from disk, else from the server, once; old ones serve while they are renewed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdbfs.caller import NOBODY, Caller
from cdbfs.errors import (
    AccessRefused,
    BrokeOff,
    CdbfsError,
    Interrupted,
    LoginRefused,
    NotFound,
    ServerFault,
    SessionRefused,
    TimedOut,
    TooLarge,
    Unreachable,
)
from cdbfs.events import Journal
from cdbfs.store.disk import DiskCache
from cdbfs.store.documents import Ages, Documents, Key
from cdbfs.store.flight import Flight, Waiters

KEY = Key("experiment", "E1", "2012-11-03")
UNVERSIONED = Key("subject", "S1", "")
AGES = Ages(versioned=1000.0, unversioned=100.0, retry_pause=10.0)
BOOT = 5_000_000.0
"""What the monotonic clock shows when a mount begins: nothing that any other clock shows."""


@dataclass(frozen=True)
class Text:
    text: str

    @property
    def weight(self) -> int:
        return len(self.text)


class Library:
    """Documents over a directory, clocks that are moved by hand, and a server that counts."""

    def __init__(self, directory: Path, memory_size: int = 1000, epoch: float = 1_700_000_000.0) -> None:
        self.answer: bytes | CdbfsError = b"body"
        self.fetched = 0
        self.decoded = 0
        self.now = BOOT
        self.epoch = epoch
        self.journal = Journal()
        self.disk = DiskCache(directory, 10**6)
        self.waiters = Waiters(100)
        self.disk_flight = Flight(4, self.waiters)
        self.server_flight = Flight(4, self.waiters)
        self.documents = Documents(
            self.disk_flight,
            self.server_flight,
            self.disk,
            self.journal,
            memory_size,
            AGES,
            clock=lambda: self.now,
            wall_clock=lambda: self.epoch,
        )

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.epoch += seconds

    def fetch(self) -> bytes:
        self.fetched += 1
        if isinstance(self.answer, CdbfsError):
            raise self.answer
        return self.answer

    def decode(self, body: bytes) -> Text:
        self.decoded += 1
        if body.startswith(b"bad"):
            raise ServerFault("cannot be decoded")
        return Text(body.decode())

    def get(self, key: Key = KEY, caller: Caller = NOBODY) -> str:
        return self.documents.get(key, self.fetch, self.decode, caller).text

    def settle(self, key: Key = KEY) -> None:
        """Wait for a renewal under way."""
        self.server_flight.start(key, lambda: None).exception(5)

    def renewed(self, key: Key = KEY) -> str:
        """What is served once a renewal that this starts is through."""
        self.get(key)
        self.settle(key)
        return self.get(key)

    def on_disk(self, key: Key = KEY) -> bool:
        return self.disk.read(str(key), key.fingerprint) is not None

    def close(self) -> None:
        self.disk_flight.close()
        self.server_flight.close()


@contextmanager
def opened(library: Library) -> Iterator[Library]:
    try:
        yield library
    finally:
        library.close()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with opened(Library(tmp_path)) as made:
        yield made


@contextmanager
def next_mount(before: Library, tmp_path: Path, after: float = 0.0) -> Iterator[Library]:
    """Another library over the same directory, `after` seconds on the clock on the wall."""
    with opened(Library(tmp_path, epoch=before.epoch + after)) as made:
        made.answer = b"from the server"
        yield made


REFUSALS = [AccessRefused("no"), NotFound("gone")]
TROUBLES = [
    Unreachable("away"),
    TimedOut("slow"),
    ServerFault("broken"),
    BrokeOff("cut"),
    TooLarge("much"),
    SessionRefused("later"),
    LoginRefused("wrong password"),
]


def test_a_document_is_fetched_and_decoded_once(library: Library) -> None:
    assert [library.get() for _ in range(3)] == ["body"] * 3
    assert (library.fetched, library.decoded) == (1, 1)


def test_many_threads_fetch_and_decode_a_document_once(library: Library) -> None:
    barrier = threading.Barrier(20)

    def get(key: Key) -> str:
        barrier.wait(5)
        return library.get(key)

    with ThreadPoolExecutor(20) as pool:
        for number in range(1, 51):
            key = Key("experiment", str(number), "v")
            assert {future.result() for future in [pool.submit(get, key) for _ in range(20)]} == {"body"}
            assert (library.fetched, library.decoded) == (number, number)


def test_the_next_mount_finds_it_on_disk(library: Library, tmp_path: Path) -> None:
    library.get()
    with next_mount(library, tmp_path) as again:
        assert [again.get() for _ in range(2)] == ["body"] * 2
        assert (again.fetched, again.decoded) == (0, 1)


def test_what_lies_on_disk_does_not_wait_for_a_slow_server(library: Library, tmp_path: Path) -> None:
    library.get()
    let_go = threading.Event()
    with next_mount(library, tmp_path) as again, ThreadPoolExecutor(4) as pool:

        def slow() -> bytes:
            assert let_go.wait(5)
            return b"late"

        keys = [Key("experiment", str(number), "v") for number in range(4)]
        late = [pool.submit(again.documents.get, key, slow, again.decode, NOBODY) for key in keys]
        assert again.get() == "body"
        let_go.set()
        assert [future.result(5).text for future in late] == ["late"] * 4


def test_an_edited_document_is_another(library: Library) -> None:
    library.get()
    library.answer = b"edited"
    assert library.get(Key(KEY.kind, KEY.ID, "2013-01-01")) == "edited"
    assert library.get() == "body"


def test_kinds_and_ids_are_kept_apart(library: Library) -> None:
    keys = [Key("subject", "E1", "v"), Key("experiment", "E1", "v"), Key("experiment", "E2", "v")]
    for number, key in enumerate(keys):
        library.answer = str(number).encode()
        library.get(key)
    assert [library.get(key) for key in keys] == ["0", "1", "2"]


def test_a_document_that_cannot_be_decoded_is_kept_nowhere(library: Library) -> None:
    library.answer = b"bad"
    with pytest.raises(ServerFault):
        library.get()
    assert not library.on_disk()
    library.answer = b"good"
    assert library.get() == "good"
    assert library.fetched == 2


@pytest.mark.parametrize("error", [*REFUSALS, *TROUBLES], ids=repr)
def test_a_first_fetch_that_fails_is_raised_and_tried_again(library: Library, error: CdbfsError) -> None:
    library.answer = error
    for number in (1, 2):
        with pytest.raises(type(error)):
            library.get()
        assert library.fetched == number
    assert library.journal.failures() == ()  # who asked is told, and mount/ notes it
    library.answer = b"body"
    assert library.get() == "body"


def test_a_fault_of_our_own_in_a_renewal_is_noted_and_costs_nothing(library: Library) -> None:
    library.get(UNVERSIONED)
    library.later(AGES.unversioned)

    def fail() -> bytes:
        raise RuntimeError("unforeseen")

    for _ in range(3):
        assert library.documents.get(UNVERSIONED, fail, library.decode, NOBODY).text == "body"
        library.settle(UNVERSIONED)
    (failure,) = library.journal.failures()
    assert (failure.errno, failure.times) == (errno.EIO, 1)
    assert "a fault in cdbfs itself" in failure.reason


def test_a_document_without_a_version_is_not_kept_on_disk(library: Library, tmp_path: Path) -> None:
    library.get(UNVERSIONED)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with next_mount(library, tmp_path) as again:
        assert again.get(UNVERSIONED) == "from the server"


@pytest.mark.parametrize(("key", "age"), [(KEY, AGES.versioned), (UNVERSIONED, AGES.unversioned)], ids=str)
def test_a_document_is_trusted_until_its_age_and_then_renewed(library: Library, key: Key, age: float) -> None:
    library.get(key)
    library.answer = b"edited"
    library.later(age - 0.5)
    assert library.renewed(key) == "body"
    library.later(0.5)
    assert library.renewed(key) == "edited"
    library.later(age - 0.5)
    library.answer = b"edited again"
    assert library.renewed(key) == "edited"
    assert library.fetched == 2


@pytest.mark.parametrize("key", [KEY, UNVERSIONED], ids=str)
def test_an_old_document_is_served_at_once_while_it_is_renewed(library: Library, key: Key) -> None:
    library.get(key)
    library.later(AGES.versioned)
    renewing, let_go = threading.Event(), threading.Event()

    def slow() -> bytes:
        renewing.set()
        assert let_go.wait(5)
        return b"edited"

    for _ in range(5):
        assert library.documents.get(key, slow, library.decode, Caller(patience=0.0)).text == "body"
    assert renewing.wait(5)
    let_go.set()
    library.settle(key)
    assert library.get(key) == "edited"
    assert library.fetched == 1


def test_many_threads_renew_an_old_document_once(library: Library) -> None:
    library.get()
    library.later(AGES.versioned)
    barrier = threading.Barrier(20)

    def get() -> str:
        barrier.wait(5)
        return library.get()

    with ThreadPoolExecutor(20) as pool:
        assert {future.result() for future in [pool.submit(get) for _ in range(20)]} == {"body"}
    library.settle()
    assert library.fetched == 2


def test_a_renewal_waits_for_no_waiter_and_counts_as_none(tmp_path: Path) -> None:
    with opened(Library(tmp_path)) as library:
        library.get()
        library.later(AGES.versioned)
        library.get()
        assert library.waiters.now == 0
        library.settle()


def test_the_age_goes_on_between_mounts(library: Library, tmp_path: Path) -> None:
    library.get()
    with next_mount(library, tmp_path, after=600.0) as again:
        assert again.renewed() == "body"
        again.later(399.5)
        assert again.renewed() == "body"
        assert again.fetched == 0
        again.later(0.5)
        assert again.renewed() == "from the server"


def test_an_old_document_on_disk_is_served_and_renewed_there_too(library: Library, tmp_path: Path) -> None:
    library.get()
    with next_mount(library, tmp_path, after=AGES.versioned) as again:
        assert again.get() == "body"
        again.settle()
        assert again.get() == "from the server"
        with next_mount(again, tmp_path, after=AGES.versioned - 0.5) as third:
            third.answer = b"not asked for"
            assert third.renewed() == "from the server"
            assert third.fetched == 0


def test_an_old_document_on_disk_is_served_though_the_server_is_away(library: Library, tmp_path: Path) -> None:
    library.get()
    with next_mount(library, tmp_path, after=100 * AGES.versioned) as again:
        again.answer = Unreachable("away")
        assert again.renewed() == "body"
        assert again.fetched == 1


def test_a_document_from_the_future_is_of_no_known_age_and_is_renewed(library: Library, tmp_path: Path) -> None:
    """The clock was set back since: how old it is nobody knows."""
    library.get()
    with next_mount(library, tmp_path, after=-0.5) as again:
        assert again.get() == "body"
        again.settle()
        again.answer = b"not asked for"
        assert again.renewed() == "from the server"


def test_a_clock_that_is_set_changes_nothing_in_memory(library: Library) -> None:
    library.get()
    for epoch in (0.0, 4e9):
        library.epoch = epoch
        assert library.get() == "body"
    assert library.fetched == 1


@pytest.mark.parametrize("key", [KEY, UNVERSIONED], ids=str)
@pytest.mark.parametrize("error", TROUBLES, ids=repr)
def test_an_old_document_is_served_on_while_the_server_cannot_give_another(
    library: Library, error: CdbfsError, key: Key
) -> None:
    library.get(key)
    library.later(AGES.versioned)
    library.answer = error
    assert [library.renewed(key) for _ in range(3)] == ["body"] * 3
    assert library.fetched == 2
    (failure,) = library.journal.failures()
    assert (failure.errno, failure.what, failure.reason) == (error.errno, f"the document of {key}", str(error))
    assert library.on_disk(key) == (key == KEY)


def test_an_old_document_is_served_on_when_the_new_one_cannot_be_decoded(library: Library) -> None:
    library.get()
    library.later(AGES.versioned)
    library.answer = b"bad"
    assert library.renewed() == "body"
    assert library.journal.failures()[0].reason == "cannot be decoded"


def test_a_renewal_that_failed_is_tried_again_after_the_pause_and_no_sooner(library: Library) -> None:
    library.get()
    library.later(AGES.versioned)
    library.answer = Unreachable("away")
    assert library.renewed() == "body"
    library.answer = b"edited"
    library.later(AGES.retry_pause - 0.5)
    assert library.renewed() == "body"
    library.later(0.5)
    assert library.renewed() == "edited"


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_a_document_that_the_server_refuses_is_withheld_and_kept_nowhere(
    library: Library, error: CdbfsError, tmp_path: Path
) -> None:
    library.get()
    assert library.on_disk()
    library.later(AGES.versioned)
    library.answer = error
    assert library.get() == "body"
    library.settle()
    assert not library.on_disk()
    assert library.documents.memory_used == 0
    for _ in range(2):
        with pytest.raises(type(error)):
            library.get()
    (failure,) = library.journal.failures()
    assert (failure.errno, failure.what) == (error.errno, "the document of experiment E1")
    with next_mount(library, tmp_path, after=-AGES.versioned) as again:
        assert again.get() == "from the server"


def test_a_document_that_was_refused_and_then_cannot_be_had_is_not_served_from_before(library: Library) -> None:
    library.get()
    library.later(AGES.versioned)
    library.answer = AccessRefused("no")
    library.get()
    library.settle()
    library.answer = Unreachable("away")
    with pytest.raises(Unreachable):
        library.get()


def test_a_refusal_while_it_was_served_on_withholds_it(library: Library) -> None:
    library.get()
    library.later(AGES.versioned)
    library.answer = Unreachable("away")
    assert library.renewed() == "body"
    library.later(AGES.retry_pause)
    library.answer = AccessRefused("no")
    with pytest.raises(AccessRefused):
        library.renewed()
    assert not library.on_disk()


def test_a_document_too_old_on_disk_that_the_server_refuses_is_dropped_there(
    library: Library, tmp_path: Path
) -> None:
    library.get()
    with next_mount(library, tmp_path, after=AGES.versioned) as again:
        again.answer = NotFound("gone")
        with pytest.raises(NotFound):
            again.renewed()
        assert not again.on_disk()


def test_a_refusal_of_one_document_leaves_the_others(library: Library) -> None:
    other = Key("experiment", "E2", "v")
    library.get(other)
    library.answer = AccessRefused("no")
    with pytest.raises(AccessRefused):
        library.get()
    assert library.get(other) == "body"
    assert library.on_disk(other)


def test_memory_keeps_to_its_size_and_forgets_the_least_recently_used(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=10)) as library:
        keys = [Key("subject", str(number), "") for number in range(3)]
        for key in (keys[0], keys[1], keys[0], keys[2]):
            library.get(key)
            assert library.documents.memory_used <= 10
        library.answer = b"anew"
        assert [library.get(key) for key in (keys[0], keys[2], keys[1])] == ["body", "body", "anew"]
        assert library.fetched == 4


def test_a_document_that_memory_forgot_comes_from_disk(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=4)) as library:
        other = Key("experiment", "E2", "v")
        assert [library.get(key) for key in (KEY, other, KEY, other)] == ["body"] * 4
        assert (library.fetched, library.decoded, library.documents.memory_used) == (2, 4, 4)


def test_a_document_larger_than_memory_is_given_from_disk_each_time(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=3)) as library:
        assert [library.get() for _ in range(2)] == ["body"] * 2
        assert (library.fetched, library.decoded, library.documents.memory_used) == (1, 2, 0)


def test_a_document_as_large_as_memory_is_kept_there(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=4)) as library:
        assert [library.get() for _ in range(2)] == ["body"] * 2
        assert (library.decoded, library.documents.memory_used) == (1, 4)


def test_a_document_without_a_version_that_is_too_large_for_memory_is_fetched_each_time(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=3)) as library:
        for number in (1, 2, 3):
            assert library.get(UNVERSIONED) == "body"
            assert library.fetched == number
        assert library.documents.memory_used == 0


def test_what_grew_too_large_for_memory_is_not_served_as_it_was_before(tmp_path: Path) -> None:
    with opened(Library(tmp_path, memory_size=4)) as library:
        library.get(UNVERSIONED)
        library.later(AGES.unversioned)
        library.answer = b"larger"
        assert library.renewed(UNVERSIONED) == "larger"
        assert library.documents.memory_used == 0
        library.answer = Unreachable("away")
        with pytest.raises(Unreachable):
            library.get(UNVERSIONED)


def test_what_cannot_be_decoded_on_disk_is_fetched_again(library: Library) -> None:
    """Another version of cdbfs put it there, which took more."""
    library.disk.write(str(KEY), KEY.fingerprint, b"bad", library.epoch)
    assert library.get() == "body"
    assert library.fetched == 1


def test_a_disk_that_takes_nothing_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(Library(tmp_path / "file" / "below")) as library:
        assert [library.get() for _ in range(2)] == ["body"] * 2
        assert library.fetched == 1


def test_a_damaged_object_on_disk_is_fetched_again(library: Library, tmp_path: Path) -> None:
    library.get()
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-1])
    with next_mount(library, tmp_path) as again:
        assert again.get() == "from the server"


def test_the_error_of_a_caller_names_the_document(library: Library) -> None:
    let_go = threading.Event()

    def slow() -> bytes:
        assert let_go.wait(5)
        return b"body"

    for caller, error in ((Caller(patience=0.0), TimedOut), (Caller(interrupted=lambda: True), Interrupted)):
        with pytest.raises(error, match="the document of subject S1"):
            library.documents.get(UNVERSIONED, slow, library.decode, caller)
    let_go.set()
    library.settle(UNVERSIONED)
    assert library.journal.failures() == ()  # mount/ notes what callers were told
