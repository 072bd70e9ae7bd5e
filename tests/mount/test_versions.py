"""Which version is shown and which is opened: the rule in the docstring of cdbfs.mount.versions, step by step."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cdbfs.mount.versions import ENTRY_WEIGHT, MARGIN, Versions
from cdbfs.store.results import OnDisk
from cdbfs.tree.nodes import Content

ATTR_TIMEOUT = 1.0
REMEMBERED = ATTR_TIMEOUT + MARGIN
"""How long a version that was shown is the one that is opened."""
LONGEST = 60.0
PATH = "/projects/P/subjects.csv"


class Server:
    """One file of which every look is another version."""

    def __init__(self, size: int = 10) -> None:
        self._numbers = itertools.count(1)
        self._size = size

    def __call__(self) -> Content:
        number = next(self._numbers)
        return Content(str(number).encode().rjust(self._size), number)


class Kernel:
    """Versions on a clock that is moved by hand, over a server."""

    def __init__(
        self,
        attr_timeout: float = ATTR_TIMEOUT,
        longest: float = LONGEST,
        most: int = 10**6,
        drain: float = 0.0,
    ) -> None:
        self.now = 1000.0
        self.make = Server()
        self.versions = Versions(attr_timeout, longest, most, clock=lambda: self.now, drain=drain)

    def show(self, path: str = PATH) -> Content:
        found = self.versions.to_show(path, self.make)
        assert isinstance(found, Content)
        return found

    def open(self, path: str = PATH) -> Content:
        found = self.versions.to_open(path, self.make)
        assert isinstance(found, Content)
        return found

    def close(self, content: Content, path: str = PATH) -> None:
        self.versions.closed(path, content)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_every_look_shows_the_present_version(kernel: Kernel) -> None:
    assert [kernel.show().mtime for _ in range(3)] == [1, 2, 3]


def test_the_version_that_was_shown_last_is_opened(kernel: Kernel) -> None:
    kernel.show()
    shown = kernel.show()
    kernel.now += REMEMBERED - 0.1
    assert kernel.open() is shown


def test_a_version_that_was_shown_long_ago_is_not_opened(kernel: Kernel) -> None:
    shown = kernel.show()
    kernel.now += REMEMBERED + 0.1
    opened = kernel.open()
    assert (shown.mtime, opened.mtime) == (1, 2)


def test_a_version_is_remembered_longer_than_the_kernel_does(kernel: Kernel) -> None:
    shown = kernel.show()
    kernel.now += ATTR_TIMEOUT + 0.1
    assert kernel.open() is shown


def test_a_version_that_was_never_shown_is_the_present_one(kernel: Kernel) -> None:
    assert kernel.open().mtime == 1


def test_while_a_file_is_open_everybody_sees_the_version_that_is_open(kernel: Kernel) -> None:
    opened = kernel.open()
    while kernel.now < 1000.0 + LONGEST - 0.1:
        assert kernel.show() is opened
        assert kernel.open() is opened
        kernel.now += 7.0


def test_two_handles_are_one_version_until_the_last_is_closed(kernel: Kernel) -> None:
    first = kernel.open()
    kernel.now += 30.0
    second = kernel.open()
    assert second is first
    kernel.close(first)
    kernel.now += REMEMBERED + 0.1
    assert kernel.show() is second
    kernel.close(second)
    assert kernel.show() is not second


def test_a_version_that_was_shown_while_open_is_still_opened_after_closing(kernel: Kernel) -> None:
    """The kernel remembers its size, whoever has closed it."""
    opened = kernel.open()
    kernel.now += 30.0
    kernel.show()
    kernel.close(opened)
    kernel.now += REMEMBERED - 0.1
    assert kernel.open() is opened


def test_a_version_that_was_only_opened_counts_as_shown(kernel: Kernel) -> None:
    """The kernel asks for the size of what it has opened sooner or later."""
    opened = kernel.open()
    kernel.close(opened)
    kernel.now += REMEMBERED - 0.1
    assert kernel.open() is opened
    kernel.close(opened)
    kernel.now += REMEMBERED + 0.1
    assert kernel.open().mtime == 2


def test_a_version_that_is_closed_is_not_shown_any_more(kernel: Kernel) -> None:
    opened = kernel.open()
    kernel.close(opened)
    assert kernel.show().mtime == 2


def test_a_version_whose_time_is_up_is_not_opened_again_though_it_was_shown_just_now(kernel: Kernel) -> None:
    """Else a file that is always open somewhere would never change; the kernel is made to forget its size."""
    forgotten: list[str] = []
    kernel.versions.forget = forgotten.append
    held = kernel.open()
    kernel.now += LONGEST - 0.5
    kernel.show()
    kernel.now += 1.0
    opened = kernel.open()
    assert opened is not held
    assert forgotten == [PATH]
    assert kernel.show() is opened


def test_who_opens_waits_until_the_version_that_gives_way_is_closed() -> None:
    kernel = Kernel(drain=20.0)
    held = kernel.open()
    kernel.now += LONGEST + 0.1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kernel.open)
        assert not wait([waiting], 0.1).done
        assert kernel.show() is held  # meanwhile everybody sees what is open
        kernel.close(held)
        assert waiting.result(5) is not held


def test_a_version_that_is_not_closed_in_time_gives_way_all_the_same() -> None:
    kernel = Kernel(drain=0.1)
    held = kernel.open()
    kernel.now += LONGEST + 0.05
    assert kernel.open() is not held


def test_a_volatile_file_gives_way_as_soon_as_the_kernel_has_forgotten_its_size(kernel: Kernel) -> None:
    numbers = itertools.count()

    def make() -> Content:
        return Content(b"x", next(numbers), volatile=True)

    held = kernel.versions.to_open(PATH, make)
    assert isinstance(held, Content)
    kernel.now += REMEMBERED - 0.1
    assert kernel.versions.to_show(PATH, make) is held
    kernel.now += 0.2
    assert kernel.versions.to_show(PATH, make).mtime == 1
    kernel.close(held)
    assert kernel.versions.to_open(PATH, make).mtime == 1


def test_who_makes_a_version_to_open_while_another_is_shown_opens_that_one(kernel: Kernel) -> None:
    shown: list[Content] = []

    def slow() -> Content:
        content = kernel.make()
        shown.append(kernel.show())
        return content

    assert kernel.versions.to_open(PATH, slow) is shown[0]


def test_a_file_held_open_for_long_gives_way(kernel: Kernel) -> None:
    held = kernel.open()
    kernel.now += LONGEST + 0.1
    shown = kernel.show()
    assert shown is not held
    assert kernel.open() is shown
    kernel.now += LONGEST - 0.1
    assert kernel.show() is shown


def test_a_file_held_open_for_long_gives_way_to_one_that_is_opened_unseen(kernel: Kernel) -> None:
    held = kernel.open()
    kernel.now += LONGEST + 0.1
    opened = kernel.open()
    assert opened is not held
    assert kernel.show() is opened


def test_closing_the_handle_that_gave_way_leaves_the_new_one_open(kernel: Kernel) -> None:
    held = kernel.open()
    kernel.now += LONGEST + 0.1
    opened = kernel.open()
    kernel.close(held)
    kernel.now += REMEMBERED + 0.1
    assert kernel.show() is opened
    kernel.close(opened)
    assert kernel.show() is not opened


def test_the_time_of_a_file_that_is_open_runs_from_its_first_handle(kernel: Kernel) -> None:
    first = kernel.open()
    kernel.now += LONGEST - 0.1
    kernel.open()
    kernel.now += 0.2
    assert kernel.show() is not first


def test_a_file_is_open_no_shorter_than_the_kernel_remembers_its_size() -> None:
    kernel = Kernel(attr_timeout=30.0, longest=0.0)
    opened = kernel.open()
    kernel.now += 30.0
    assert kernel.show() is opened
    kernel.now += MARGIN + 0.1
    assert kernel.show() is not opened


def test_a_kernel_that_remembers_nothing_opens_what_was_shown_just_now() -> None:
    kernel = Kernel(attr_timeout=0.0)
    shown = kernel.show()
    kernel.now += MARGIN - 0.1
    assert kernel.open() is shown


def test_a_handle_that_is_not_known_is_closed_without_harm(kernel: Kernel) -> None:
    stranger = kernel.make()
    kernel.close(stranger)
    opened = kernel.open()
    kernel.close(stranger)
    assert kernel.show() is opened
    kernel.close(opened)
    kernel.close(opened)


def test_paths_are_kept_apart(kernel: Kernel) -> None:
    contents = [kernel.open(path) for path in "ab"]
    assert [content.mtime for content in contents] == [1, 2]
    kernel.close(contents[0], "a")
    assert [kernel.show(path) is content for path, content in zip("ab", contents)] == [False, True]


def test_what_cannot_be_made_is_raised_and_leaves_nothing_open(kernel: Kernel) -> None:
    def fail() -> Content:
        raise KeyError("gone")

    for ask in (kernel.versions.to_show, kernel.versions.to_open):
        with pytest.raises(KeyError):
            ask(PATH, fail)
    assert (kernel.open().mtime, kernel.show().mtime) == (1, 1)


def test_what_was_shown_or_is_open_is_opened_without_asking_the_server(kernel: Kernel) -> None:
    def unasked() -> Content:
        raise AssertionError("the server was asked")

    shown = kernel.show()
    assert kernel.versions.to_open(PATH, unasked) is shown
    assert kernel.versions.to_show(PATH, unasked) is shown


def test_shown_versions_keep_to_the_byte_cap_and_the_least_recently_used_goes_first() -> None:
    kernel = Kernel(most=2 * (10 + ENTRY_WEIGHT))
    shown = {path: kernel.show(path) for path in "abc"}
    assert [kernel.open(path) is shown[path] for path in "cba"] == [True, True, False]


def test_a_content_over_the_byte_cap_is_shown_and_opened_and_not_kept() -> None:
    kernel = Kernel(most=ENTRY_WEIGHT + 10)
    kernel.make = Server(size=11)
    assert [kernel.show().mtime for _ in range(2)] == [1, 2]
    assert kernel.open().mtime == 3


def test_a_content_over_the_byte_cap_is_the_one_version_while_it_is_open() -> None:
    kernel = Kernel(most=ENTRY_WEIGHT + 10)
    kernel.make = Server(size=11)
    opened = kernel.open()
    assert kernel.show() is opened
    assert kernel.open() is opened
    for _ in range(2):
        kernel.close(opened)
    assert kernel.show() is not opened


def test_a_content_at_the_byte_cap_is_kept() -> None:
    kernel = Kernel(most=ENTRY_WEIGHT + 10)
    shown = kernel.show()
    assert kernel.open() is shown


def test_who_makes_a_version_to_show_while_another_is_opened_shows_that_one(kernel: Kernel) -> None:
    opened: list[Content] = []

    def slow() -> Content:
        content = kernel.make()
        opened.append(kernel.open())
        return content

    assert kernel.versions.to_show(PATH, slow) is opened[0]
    kernel.close(opened[0])
    assert kernel.open() is opened[0]


def test_who_makes_a_version_to_open_while_another_is_opened_opens_that_one(kernel: Kernel) -> None:
    opened: list[Content] = []

    def slow() -> Content:
        content = kernel.make()
        opened.append(kernel.open())
        return content

    assert kernel.versions.to_open(PATH, slow) is opened[0]
    for content in opened * 2:
        assert kernel.show() is content
        kernel.close(content)
    assert kernel.show() is not opened[0]
    kernel.now += REMEMBERED + 0.1
    assert kernel.open() is not opened[0]


def test_a_version_is_not_opened_after_one_over_the_byte_cap_was_shown() -> None:
    kernel = Kernel(most=ENTRY_WEIGHT + 10)
    kernel.show()
    kernel.make = Server(size=11)
    kernel.show()
    assert len(kernel.open().data) == 11


def test_many_threads_open_one_version_and_leave_nothing_open(kernel: Kernel) -> None:
    barrier = threading.Barrier(8)

    def work() -> set[int]:
        seen = set()
        for _ in range(20):
            barrier.wait(5)
            content = kernel.open()
            seen.add(kernel.show().mtime - content.mtime)
            barrier.wait(5)
            kernel.close(content)
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert [future.result(20) for future in [pool.submit(work) for _ in range(8)]] == [{0}] * 8
    kernel.now += REMEMBERED + 0.1
    last = kernel.show()
    assert kernel.show() is not last


class Pin(NamedTuple):
    """What is open under a path, in the model."""

    content: Content
    since: float


class Model(RuleBasedStateMachine):
    """One path, looked at, opened, closed and left alone in any order."""

    def __init__(self) -> None:
        super().__init__()
        # Times are sums of quarters and these are not: nothing ends at the very moment of a step.
        self.attr_timeout, self.longest = 1.1, 10.1
        self.kernel = Kernel(self.attr_timeout, self.longest)
        self.present = self.kernel.make()
        self.shown: tuple[Content, float] | None = None
        self.pin: Pin | None = None
        self.handles: list[Content] = []

    def make(self) -> Content:
        """A version of its own at every look, as the tree makes them."""
        return Content(self.present.data, self.present.mtime, self.present.volatile)

    def pinned(self) -> Content | None:
        if self.pin is None:
            return None
        longest = self.attr_timeout + MARGIN if self.pin.content.volatile else self.longest
        return self.pin.content if self.kernel.now - self.pin.since < longest else None

    def remembered(self) -> Content | None:
        if self.shown is None or self.kernel.now - self.shown[1] > self.attr_timeout + MARGIN:
            return None
        return self.shown[0]

    def expect(self, got: Content, known: Content | None) -> None:
        """That `got` is what was to be shown or opened: `known`, else the present version."""
        if known is None:
            assert got == self.present
            assert all(got is not handle for handle in self.handles)
        else:
            assert got is known
        self.shown = (got, self.kernel.now)

    @rule(volatile=st.booleans())
    def change(self, volatile: bool) -> None:
        self.present = replace(self.kernel.make(), volatile=volatile)

    @rule()
    def show(self) -> None:
        found = self.kernel.versions.to_show(PATH, self.make)
        assert isinstance(found, Content)
        self.expect(found, self.pinned())

    @rule()
    def open(self) -> None:
        pinned = self.pinned()
        got = self.kernel.versions.to_open(PATH, self.make)
        assert isinstance(got, Content)
        # What gives way is not opened once more, though it was shown just now.
        remembered = self.remembered()
        gives_way = self.pin is not None and remembered is self.pin.content
        self.expect(got, pinned or (None if gives_way else remembered))
        if pinned is None:
            self.pin = Pin(got, self.kernel.now)
        self.handles.append(got)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.handles) - 1))
        content = self.handles.pop(number)
        self.kernel.close(content)
        still_open = any(handle is content for handle in self.handles)
        if self.pin is not None and self.pin.content is content and not still_open:
            self.pin = None

    @rule(quarters=st.sampled_from([1, 4, 8, 9, 20, 41]))
    def advance(self, quarters: int) -> None:
        self.kernel.now += quarters / 4

    @invariant()
    def what_the_kernel_may_remember_is_what_is_open(self) -> None:
        """The point of it all: never a size of one version with the bytes of another."""
        remembered, pinned = self.remembered(), self.pinned()
        if remembered is not None and pinned is not None:
            assert remembered is pinned


def test_any_course_of_events_keeps_to_the_rule() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))


def test_the_kernel_is_made_to_forget_a_path_that_was_shown_in_two_versions() -> None:
    kernel = Kernel()
    forgotten: list[str] = []
    kernel.versions.forget = forgotten.append
    kernel.show("/same")
    kernel.close(kernel.open("/same"), "/same")
    assert forgotten == []  # one version only
    kernel.show(PATH)
    kernel.make = Server(size=7)
    kernel.show(PATH)
    kernel.close(kernel.open(PATH))
    assert forgotten == [PATH]
    kernel.now += REMEMBERED + 0.1
    kernel.show(PATH)
    kernel.close(kernel.open(PATH))
    assert forgotten == [PATH]  # long enough ago


def test_it_is_made_to_forget_once_for_each_change() -> None:
    kernel = Kernel()
    forgotten: list[str] = []
    kernel.versions.forget = forgotten.append
    for count in (1, 2, 3):
        kernel.show()
        kernel.show()
        opened = [kernel.open() for _ in range(3)]
        assert forgotten == [PATH] * count
        for content in opened:
            kernel.close(content)


def test_nobody_has_a_handle_before_the_kernel_has_forgotten() -> None:
    kernel = Kernel()
    begun, done = threading.Event(), threading.Event()

    def forget(path: str) -> None:
        begun.set()
        assert done.wait(10)

    kernel.versions.forget = forget
    kernel.show()
    kernel.show()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(kernel.open)
        assert begun.wait(10)
        second = pool.submit(kernel.open)
        elsewhere = pool.submit(kernel.open, "/another")
        elsewhere.result(10)  # others do not wait for it
        assert not wait([first, second], 0.2).done
        done.set()
        assert first.result(10) is second.result(10)


def test_a_kernel_that_does_not_come_to_forget_holds_nobody_for_ever() -> None:
    kernel = Kernel()

    def fail(path: str) -> None:
        raise OSError("the thread that forgets is gone")

    kernel.versions.forget = fail
    kernel.show()
    kernel.show()
    with pytest.raises(OSError, match="gone"):
        kernel.open()
    assert kernel.open()


# -- results, whose opener says which is the present one ----------------------------------------------------------


def result(size: int, mtime: int) -> OnDisk:
    return OnDisk(size, mtime, descriptor=-1)


def test_who_opens_a_result_decides_which_one_everybody_sees(kernel: Kernel) -> None:
    old, new = result(10, 1), result(20, 2)
    assert kernel.versions.latest(PATH, old) is old
    assert kernel.versions.to_show(PATH, lambda: new) is old
    assert kernel.versions.latest(PATH, new) is new
    assert kernel.versions.to_show(PATH, lambda: old) is new


def test_closing_the_older_result_leaves_the_newer_one_open(kernel: Kernel) -> None:
    old, new = result(10, 1), result(20, 2)
    kernel.versions.latest(PATH, old)
    kernel.versions.latest(PATH, new)
    kernel.versions.closed(PATH, old)
    assert kernel.versions.opened(PATH) is new
    kernel.versions.closed(PATH, new)
    assert kernel.versions.opened(PATH) is None
    assert kernel.versions.to_show(PATH, lambda: old) is old


def test_a_result_open_twice_is_open_until_both_are_closed(kernel: Kernel) -> None:
    one, two = result(10, 1), result(10, 1)
    kernel.versions.latest(PATH, one)
    kernel.versions.latest(PATH, two)
    kernel.versions.closed(PATH, one)
    assert kernel.versions.opened(PATH) is not None
    kernel.versions.closed(PATH, two)
    assert kernel.versions.opened(PATH) is None


def test_the_kernel_forgets_the_size_of_a_result_that_was_pending(kernel: Kernel) -> None:
    forgotten: list[str] = []
    kernel.versions.forget = forgotten.append
    kernel.versions.to_show(PATH, lambda: result(0, 1))
    kernel.versions.latest(PATH, result(20, 2))
    assert forgotten == [PATH]
    kernel.versions.latest(PATH, result(20, 2))
    assert forgotten == [PATH]


def test_a_result_open_for_long_is_not_shown_any_more(kernel: Kernel) -> None:
    kernel.versions.latest(PATH, result(10, 1))
    kernel.now += LONGEST + 1
    assert kernel.versions.opened(PATH) is None


def test_a_result_is_made_by_each_who_opens_it(kernel: Kernel) -> None:
    made = [result(10, 1), result(10, 1), result(20, 2)]
    opened = [kernel.versions.to_open(PATH, lambda each=each: each) for each in made]  # type: ignore[misc]
    assert all(one is other for one, other in zip(opened, made))
    assert kernel.versions.opened(PATH) is made[2]
