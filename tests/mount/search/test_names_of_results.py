"""Files of the user's own that have a result's name: nothing of them is lost, and nothing of them is a result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.failing import answers, wait_until
from tests.mount.search.shelf import SEARCH, Shelf, answer, first, run, shelf, shell

pytestmark = pytest.mark.usefixtures("each_fuse")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shelf]:
    with shelf(tmp_path) as found:
        yield found


def test_a_file_that_was_there_before_its_query_is_kept_beside(here: Shelf) -> None:
    here.write("d.csv", "precious\n")
    here.write("d.error", "mine, too\n")
    here.write("d.sql", first(2))
    here.holds("d.sql", 2)
    assert here.names() == ["d.csv", "d.csv~", "d.error~", "d.sql"]
    shell("rm d.csv; rm d.sql", here.root)
    assert here.names() == ["d.csv~", "d.error~"]
    assert (here.read("d.csv~"), here.read("d.error~")) == ("precious\n", "mine, too\n")


def test_each_such_file_gets_a_name_of_its_own(here: Shelf) -> None:
    for number in (1, 2, 3):
        here.write("d.csv", f"{number}\n")
        here.write("new", first(number))
        shell("mv new d.sql", here.root)
        here.holds("d.sql", number)
        shell("rm d.sql", here.root)
    assert here.names() == ["d.csv~", "d.csv~2", "d.csv~3"]
    assert [here.read(name) for name in here.names()] == ["1\n", "2\n", "3\n"]


def test_a_directory_is_kept_beside_as_well(here: Shelf) -> None:
    (here.root / "d.csv").mkdir()
    here.write("d.csv/inside", "x")
    here.write("d.sql", first(2))
    wait_until(lambda: answers(lambda: here.read("d.csv")))  # the kernel knows the directory for a second
    here.holds("d.sql", 2)
    assert here.read("d.csv~/inside") == "x"


def test_a_copy_of_the_result_is_no_file_to_keep(here: Shelf, tmp_path: Path) -> None:
    here.write("d.sql", first(2))
    run("cp", "-r", f"{here.root}/.", str(tmp_path / "backup"), cwd=tmp_path)
    shell("rm *", here.root)
    shell(f"cp {tmp_path}/backup/d.csv .; cp {tmp_path}/backup/d.sql .", here.root)
    here.holds("d.sql", 2)
    assert here.names() == ["d.csv", "d.sql"]
    assert os.listdir(here.on_disk) == ["d.sql"]


def test_an_old_result_in_a_backup_is_not_the_result_of_a_new_text(here: Shelf) -> None:
    here.write("d.csv", answer(3))
    here.write("d.sql", first(2))
    assert here.read("d.csv") == answer(2)
    shell("mv d.sql e.sql", here.root)
    assert here.names() == ["d.csv~", "e.csv", "e.sql"]


def test_a_file_that_somebody_put_there_on_disk_is_neither_listed_nor_lost(here: Shelf) -> None:
    here.write("d.sql", first(2))
    for suffix in (".csv", ".error"):
        (here.on_disk / f"d{suffix}").write_text("by hand\n")
    assert here.names() == ["d.csv", "d.sql"]
    assert here.read("d.csv") == answer(2)
    shell("rm d.csv", here.root)
    assert here.names() == ["d.csv", "d.csv~", "d.error~", "d.sql"]
    assert here.read("d.csv~") == "by hand\n"


def wrong(here: Shelf, directory: str) -> None:
    (here.root / directory).mkdir()
    for number in range(5):
        here.write(f"{directory}/e{number}.sql", f"SELECT foo{number} FROM nt:scores")
    wait_until(lambda: len(here.names(directory)) == 15)


def test_a_directory_of_wrong_queries_is_removed_like_any_other(here: Shelf) -> None:
    wrong(here, "a")
    shell("rm -r a", here.root)
    wrong(here, "b")
    shutil.rmtree(here.root / "b")
    wrong(here, "c")
    shell("rm c/*; rmdir c", here.root)
    wrong(here, "d")
    shell("tar cf all.tar d/*.error d/*.sql; rm -r d; tar xf all.tar; rm -r d; rm all.tar", here.root)
    assert here.names() == []


def test_a_server_that_is_back_is_asked_again_though_there_is_an_older_result(here: Shelf) -> None:
    here.write("d.sql", first(2))
    here.server.fault(SEARCH, "status", code=500)
    shell("touch d.sql", here.root)
    assert here.read("d.csv") == answer(2)
    assert here.names() == ["d.csv", "d.error", "d.sql"]
    here.server.clear_faults()

    def read_and_gone() -> bool:
        assert here.read("d.csv") == answer(2)
        return here.names() == ["d.csv", "d.sql"]

    wait_until(read_and_gone)


def test_libfuses_name_for_what_is_removed_while_open_is_taken_from_nobody_else(here: Shelf) -> None:
    here.write("d.sql", first(2))
    shell("mv d.csv .fuse_hidden_mine", here.root)
    assert here.read(".fuse_hidden_mine") == answer(2)
    here.holds("d.sql", 2)


def test_a_query_that_gets_the_other_suffix_is_run(here: Shelf) -> None:
    here.write("d.sql", first(2))
    shell("rm d.csv; mv d.sql d.xml", here.root)
    here.settled()
    assert (here.root / "d.csv").stat().st_size == len(answer(2))
    assert here.searches() == 2


def test_a_query_whose_rival_goes_is_run(here: Shelf) -> None:
    here.write("d.sql", first(2))
    here.write("d.xml", first(3))
    shell("rm d.csv d.sql", here.root)
    wait_until(lambda: (here.root / "d.csv").stat().st_size == len(answer(3)))


def test_who_waits_for_a_query_that_is_emptied_is_let_go(here: Shelf) -> None:
    here.slow()
    here.write("new", first(2))
    shell("mv new d.sql", here.root)
    here.shows("searches", 1)
    shell(": > d.sql", here.root)
    here.shows("searches", 0)
    here.server.clear_faults()
    assert here.names() == ["d.sql"]
