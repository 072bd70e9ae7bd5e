"""Results that stand in the tree: projects' tables, stored searches; and what data types have."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdbfs import config
from cdbfs.config import Settings
from cdbfs.demo import DataSet, DataSetBuilder, StandIn
from cdbfs.runtime import Runtime
from cdbfs.tree.nodes import Kind
from cdbfs.tree.source import NEWS_SECONDS
from cdbfs.xnat.client import Client
from tests.demo.search.asking import Client as Plain
from tests.demo.search.asking import bundle
from tests.mount.failing import wait_until
from tests.views import MemoryView, MountView, View, in_memory, mounted
from tests.worlds import World

TYPE = "cog:battery"
TABLE = f"projects/P/tables/{TYPE}/table.csv"


# --- on all worlds


def test_a_project_has_a_table_for_each_type_of_its_experiments(view: View, world: World) -> None:
    for project in world.projects:
        types = sorted({experiment.type for _, experiment in world.experiments(project)})
        assert view.listdir(f"projects/{project}/tables") == types
        for name in types:
            assert set(view.listdir(f"projects/{project}/tables/{name}")) == {"fields.csv", "table.csv"}


def test_a_table_has_the_projects_experiments(view: View, world: World) -> None:
    for project in world.projects:
        for name in view.listdir(f"projects/{project}/tables"):
            path = f"projects/{project}/tables/{name}/table.csv"
            data = view.read(path)
            rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
            expected = [(label, e.id) for label, e in world.experiments(project) if e.type == name]
            assert sorted((row["label"], row["ID"]) for row in rows) == sorted(expected)
            assert view.stat(path).size == len(data)


def test_fields_are_the_same_in_tables_and_schema(view: View, world: World) -> None:
    project = world.projects[0]
    for name in view.listdir(f"projects/{project}/tables"):
        fields = view.read(f"schema/{name}/fields.csv")
        assert fields.startswith(b"id,header,type,description,path\n")
        assert view.read(f"projects/{project}/tables/{name}/fields.csv") == fields
        header = view.read(f"projects/{project}/tables/{name}/table.csv").partition(b"\n")[0].decode().split(",")
        assert set(header[3:]) <= {row["id"] for row in csv.DictReader(io.StringIO(fields.decode()))}


def test_a_types_schema_is_the_one_of_its_namespace(view: View, world: World) -> None:
    types = view.listdir("schema")
    assert {"xnat:subjectData", "xnat:projectData"} <= set(types)
    assert {e.type for _, e in world.experiments(world.projects[0])} <= set(types)
    for name in types:
        assert set(view.listdir(f"schema/{name}")) == {"fields.csv", "schema.xsd"}
    known = {kind.name: kind.namespace for kind in world.data.types}
    for name, namespace in known.items():
        schema = view.read(f"schema/{name}/schema.xsd")
        assert f'targetNamespace="{namespace}"'.encode() in schema
        assert f'"{name.partition(":")[2]}"'.encode() in schema


@pytest.mark.parametrize("path", ["schema/no:such", "saved/nosuch", "saved/.git", "projects/x/tables"])
def test_what_is_not_there(view: View, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        view.stat(path)


# --- on servers that change


def small() -> DataSet:
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.type(TYPE, "cog:Battery", "http://example.org/cog")
    for number, label in enumerate("ab"):
        subject = make.subject(label, "P", id=f"S{number}")
        make.experiment(f"{label}_e", subject, TYPE, id=f"E{number}", groups={"g": {"v": str(number)}})
    make.account("ana", "secret", ["P"])
    return make.build()


WORLD = World("small", small())


@pytest.fixture(params=["1.6", "1.8"])
def changing(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(WORLD.data, dialect=request.param) as server:
        yield server


@pytest.fixture(params=["memory", "mount"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@contextmanager
def looking(server: StandIn, kind: str, scratch: Path, **options: str) -> Iterator[View]:
    if kind == "memory":
        with in_memory(server, WORLD.login, scratch / "c", **options) as runtime:
            yield MemoryView(runtime)
    else:
        with mounted(server, WORLD.login, scratch / "m", scratch / "c", **options) as directory:
            yield MountView(directory)


class Aging:
    """A tree in memory that has grown older by `seconds`."""

    def __init__(self, server: StandIn, scratch: Path) -> None:
        self.seconds = 0.0
        options = {"cache_dir": str(scratch / "c"), "search_dir": str(scratch / "s")}
        self.runtime = Runtime(
            config.load(server.url, options, {}), WORLD.login, clock=lambda: time.monotonic() + self.seconds
        )


@pytest.fixture
def aging(changing: StandIn, tmp_path: Path) -> Iterator[Aging]:
    made = Aging(changing, tmp_path)
    yield made
    made.runtime.close()


@contextmanager
def client(server: StandIn) -> Iterator[Client]:
    made = Client(Settings(url=server.url), WORLD.login)
    try:
        yield made
    finally:
        made.session.close()


def test_before_it_is_opened_a_result_is_empty_and_then_it_is_kept(
    changing: StandIn, kind: str, tmp_path: Path
) -> None:
    with client(changing) as asked:
        asked.save_search("mine", bundle(["SUBJECT_ID", "G_V"], root=TYPE).encode())
    sizes = []
    for _ in range(2):
        with looking(changing, kind, tmp_path) as view:
            for path in (TABLE, "saved/mine/result.csv"):
                sizes.append(view.stat(path).size)
                assert view.read(path).count(b"\n") == 3
                assert view.stat(path).size == len(view.read(path))
    assert sizes[:2] == [0, 0]
    assert min(sizes[2:]) > 0
    counts = changing.counts()
    assert (counts["POST /data/search"], counts["GET /data/search/saved/{id}/results"]) == (1, 1)


def test_an_edited_experiment_makes_a_new_table(changing: StandIn, kind: str, tmp_path: Path) -> None:
    with looking(changing, kind, tmp_path, listing_ttl="0", attr_timeout="0", entry_timeout="0") as view:
        assert view.read(TABLE).decode().splitlines()[1].endswith(",0")
        (first, second) = WORLD.data.experiments
        content = dataclasses.replace(first.content, groups=(("g", (("v", "7"),)),))  # type: ignore[type-var]
        edited = dataclasses.replace(first, content=content, last_modified="2020-01-01 00:00:00", label="new")
        changing.replace(dataclasses.replace(WORLD.data, experiments=(edited, second)))
        view.listdir("projects/P/tables")  # which has the listing made anew
        wait_until(lambda: view.read(TABLE).decode().splitlines()[1].startswith("new,"))
        assert view.read(TABLE).decode().splitlines()[1].endswith(",7")
        assert changing.counts()["POST /data/search"] == 2


COLUMNS = (["SUBJECT_ID"], ["SUBJECT_ID", "G_V"])


def save(server: StandIn, columns: list[str], name: str = "mine") -> None:
    with client(server) as asked:
        asked.save_search(name, bundle(columns, root=TYPE).encode())


def header(view: View) -> str:
    return view.read("saved/mine/result.csv").decode().splitlines()[0]


def test_another_document_makes_another_result(changing: StandIn, aging: Aging) -> None:
    view = MemoryView(aging.runtime)
    times = []
    for columns in COLUMNS:
        save(changing, columns)
        aging.seconds += NEWS_SECONDS
        assert view.listdir("saved") == ["mine"]
        assert view.stat("saved/mine/result.csv").size == 0
        assert header(view) == ",".join(columns)
        assert view.read("saved/mine/query.xml").count(b"<xdat:field_ID>") == len(columns)
        times.append(view.stat("saved/mine/query.xml").mtime)
    assert times[0] < times[1]


@pytest.mark.parametrize(("kind", "changing"), [("mount", "1.6")], indirect=True)
@pytest.mark.usefixtures("each_fuse")
def test_a_mount_shows_what_was_stored_anew(changing: StandIn, kind: str, tmp_path: Path) -> None:
    with looking(changing, kind, tmp_path) as view:
        for name, columns in zip(("mine", "other"), COLUMNS):
            save(changing, columns)
            save(changing, columns, name)
            wait_until(lambda: name in view.listdir("saved"))  # noqa: B023
            wait_until(lambda: header(view) == ",".join(columns))  # noqa: B023
            assert view.read("saved/mine/query.xml").count(b"<xdat:field_ID>") == len(columns)


@pytest.mark.parametrize("changing", ["1.6"], indirect=True)
def test_a_search_that_was_just_stored_is_listed_and_found(changing: StandIn, aging: Aging) -> None:
    view = MemoryView(aging.runtime)
    assert view.listdir("saved") == []
    save(changing, ["SUBJECT_ID"])
    aging.seconds += NEWS_SECONDS
    changing.reset_counts()
    assert view.read("saved/mine/result.csv") == b"SUBJECT_ID\nS0\nS1\n"
    for name in ("other", "another", ".git"):
        with pytest.raises(FileNotFoundError):
            view.stat(f"saved/{name}")
    assert view.listdir("saved") == ["mine"]
    counts = changing.counts()
    assert (counts["GET /data/search/saved"], counts["GET /data/search/saved/{id}"]) == (1, 1)


@pytest.mark.parametrize("changing", ["1.6"], indirect=True)
def test_while_the_server_is_away_stored_searches_are_shown_as_they_were(changing: StandIn, aging: Aging) -> None:
    view = MemoryView(aging.runtime)
    save(changing, ["SUBJECT_ID"])
    query, result = view.read("saved/mine/query.xml"), view.read("saved/mine/result.csv")
    changing.fault("*", "reset")
    aging.seconds += NEWS_SECONDS
    assert view.listdir("saved") == ["mine"]
    assert (view.read("saved/mine/query.xml"), view.read("saved/mine/result.csv")) == (query, result)
    told = view.read(".cdbfs/errors").decode()
    assert "EHOSTUNREACH the list of saved searches: " in told
    assert "EHOSTUNREACH the saved search mine: " in told


@pytest.mark.parametrize("changing", ["1.6"], indirect=True)
@pytest.mark.parametrize(("code", "error"), [(404, FileNotFoundError), (403, PermissionError)])
def test_a_stored_search_that_is_refused_by_now_is_withheld(
    changing: StandIn, aging: Aging, code: int, error: type[OSError]
) -> None:
    view = MemoryView(aging.runtime)
    save(changing, ["SUBJECT_ID"])
    assert header(view) == "SUBJECT_ID"
    changing.fault("GET /data/search/saved/{id}", "status", code=code)
    aging.seconds += NEWS_SECONDS
    for name in ("query.xml", "result.csv"):
        with pytest.raises(error):
            view.read(f"saved/mine/{name}")


def test_a_search_that_was_deleted_is_not_found(changing: StandIn, kind: str, tmp_path: Path) -> None:
    """XNAT 1.6 says of it that the server failed."""
    with client(changing) as asked:
        asked.save_search("mine", bundle(["SUBJECT_ID"], root=TYPE).encode())
        asked.save_search("other", bundle(["SUBJECT_ID"], root=TYPE).encode())
        with looking(changing, kind, tmp_path) as view:
            assert view.listdir("saved") == ["mine", "other"]
            plain = Plain(changing, WORLD.login.user, WORLD.login.password)
            assert plain.call("DELETE", "/data/search/saved/mine").status_code == 200
            plain.close()
            for name in ("query.xml", "result.csv"):
                with pytest.raises(FileNotFoundError):
                    view.read(f"saved/mine/{name}")


@pytest.mark.parametrize(("code", "error"), [(404, FileNotFoundError), (403, PermissionError), (500, OSError)])
def test_a_server_without_a_list_of_saved_searches_is_an_error(
    changing: StandIn, kind: str, tmp_path: Path, code: int, error: type[OSError]
) -> None:
    changing.fault("GET /data/search/saved", "status", code=code)
    with looking(changing, kind, tmp_path) as view:
        assert view.stat("saved").kind is Kind.DIRECTORY
        with pytest.raises(error):
            view.listdir("saved")


def test_a_type_that_cannot_be_searched_has_a_name_and_an_error(
    changing: StandIn, kind: str, tmp_path: Path
) -> None:
    changing.fault("GET /data/search/elements/{elements}", "status", code=400)
    with looking(changing, kind, tmp_path) as view:
        assert view.listdir("projects/P/tables") == [TYPE]
        assert view.stat(TABLE).size == 0
        with pytest.raises(FileNotFoundError):
            view.read(TABLE)
        with pytest.raises(FileNotFoundError):
            view.stat(f"projects/P/tables/{TYPE}/fields.csv")
        assert f"has no data type {TYPE}" in view.read(".cdbfs/errors").decode()


def test_without_a_document_that_names_schemas_the_customary_place_is_tried(
    changing: StandIn, kind: str, tmp_path: Path
) -> None:
    changing.fault("GET /data/search/saved/{id}", "status", code=500)
    with looking(changing, kind, tmp_path) as view:
        assert b"http://example.org/cog" in view.read(f"schema/{TYPE}/schema.xsd")
        assert b"http://nrg.wustl.edu/xnat" in view.read("schema/xnat:subjectData/schema.xsd")
        counts = changing.counts()
        assert (counts["GET /data/search/saved/{id}"], counts["GET /schemas/{folder}/{name}"]) == (1, 2)
