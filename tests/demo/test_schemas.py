"""Schemas fit the documents that are served, and those that a real XNAT 1.6.4 sent; both dialects serve them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import requests
from lxml import etree

from cdbfs.demo import DataSet, DataSetBuilder, StandIn, connectomedb, schemas
from cdbfs.demo.world import World

from . import recordings

UNREADABLE = "pipeline/repository.xsd"
"""Unreadable to parsers that mind namespaces, as on the recorded server."""
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


def laboratory() -> DataSet:
    """Types with and without named fields, one of them a session, and one in XNAT's own namespace."""
    make = DataSetBuilder(site_url="")
    make.project("P", "A & B")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog")
    make.type("cog:rest", "cog:Rest", "http://example.org/cog", fields={"pulse/mean": "float", "note": "string"})
    make.type(
        "lab:scan", "lab:Scan", "http://example.org/lab", schema="lab/l.xsd", image=True, fields={"dose": "int"}
    )
    make.type("xnat:wellData", "xnat:Well", "http://nrg.wustl.edu/xnat", fields={"depth": "int"})
    subject = make.subject("s1", "P", gender="female", yob="1980")
    memory = {"": {"total": "7"}, "memory": {"recall": "3.5", "remark": 'a, "b"'}}
    make.experiment("b1", subject, "cog:battery", groups=memory)
    make.experiment(
        "b2", subject, "cog:battery", groups={"memory": {"recall": "4"}, "late": {"x": None, "y": "1"}}
    )
    make.experiment("r1", subject, "cog:rest", groups={"pulse": {"mean": "61.5"}, "": {"note": "calm"}})
    make.experiment("m1", subject, "lab:scan", groups={"": {"dose": "3"}}, scanner="S", date="2020-01-02")
    make.experiment("w1", subject, "xnat:wellData", groups={"": {"depth": "12"}})
    make.account("ana", "pw", ["P"])
    return make.build()


DATA = {"recorded": recordings.data, "demo": lambda: connectomedb(3), "laboratory": laboratory}


class Site:
    """A running stand-in and a client that is logged in."""

    def __init__(self, standin: StandIn, session: requests.Session) -> None:
        self.standin = standin
        self.session = session

    def get(self, path: str, **headers: str) -> requests.Response:
        url = path if path.startswith("http") else self.standin.url + path
        return self.session.get(url, headers=headers, allow_redirects=False, timeout=10)

    def schema_paths(self) -> list[str]:
        """What the dialect calls its schemas, as paths below /schemas."""
        return schemas.paths(World(self.standin.data))


def sites(data: DataSet, dialect: str) -> Iterator[Site]:
    account = data.accounts[0]
    with StandIn(data, dialect=dialect) as standin, requests.Session() as session:
        login = session.get(standin.url + "/data/JSESSION", auth=(account.user, account.password), timeout=10)
        login.raise_for_status()
        yield Site(standin, session)


@pytest.fixture(scope="module", params=DATA)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    yield from sites(DATA[request.param](), "1.6")


@pytest.fixture(scope="module")
def newer() -> Iterator[Site]:
    yield from sites(laboratory(), "1.8")


# --- what they say


@pytest.fixture(scope="module")
def validator(site: Site, tmp_path_factory: pytest.TempPathFactory) -> etree.XMLSchema:
    return _validator(site, tmp_path_factory.mktemp("schemas"))


def _validator(site: Site, place: Path) -> etree.XMLSchema:
    """All the schemas that are served, as one."""
    imports = []
    for path in site.schema_paths():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(site.get(f"/schemas/{path}").content)
        if path != UNREADABLE:
            namespace = etree.parse(place / path).getroot().get("targetNamespace")
            named = f' namespace="{namespace}"' if namespace is not None else ""
            imports.append(f'<xs:import{named} schemaLocation="{path}"/>')
    all_of_them = place / "all.xsd"
    head = '<xs:schema targetNamespace="urn:all" xmlns:xs="http://www.w3.org/2001/XMLSchema">'
    all_of_them.write_text(f"{head}{''.join(imports)}</xs:schema>")
    return etree.XMLSchema(etree.parse(all_of_them))


def _documents(data: DataSet) -> Iterable[str]:
    reads = data.accounts[0].may_read
    readable = [e for e in data.experiments if any(reads(p) for p in (e.project, *(p for p, _ in e.shares)))]
    yield from (f"/data/projects/{p.id}?format=xml" for p in data.projects if reads(p.id))
    yield from (f"/data/subjects/{subject}?format=xml" for subject in {e.subject_id: None for e in readable})
    for experiment in readable:
        yield f"/data/experiments/{experiment.id}?format=xml"
        content = data.content_of(experiment)
        yield from (f"/data/experiments/{experiment.id}/scans/{s.id}?format=xml" for s in content.scans)
        yield from (f"/data/experiments/{experiment.id}/resources/{r.key}" for r in content.resources)


def test_every_document_is_valid(site: Site, validator: etree.XMLSchema) -> None:
    asked = list(_documents(site.standin.data))
    assert len(asked) > 5
    for path in asked:
        answer = site.get(path)
        assert answer.status_code == 200, path
        validator.assertValid(etree.fromstring(answer.content))


def test_a_wrong_document_is_not(site: Site, validator: etree.XMLSchema) -> None:
    experiment = next(e for e in site.standin.data.experiments if not e.type.endswith("SessionData"))
    root = etree.fromstring(site.get(f"/data/experiments/{experiment.id}?format=xml").content)
    etree.SubElement(root, "{http://nrg.wustl.edu/xnat}subjectID")
    assert not validator.validate(root)


@pytest.mark.parametrize("site", ["recorded"], indirect=True)
def test_the_documents_and_searches_of_the_real_server_are_valid(site: Site, validator: etree.XMLSchema) -> None:
    exchanges = [recordings.read(name) for name in recordings.NAMES]
    bodies = [e.request_body for e in exchanges if e.method in ("POST", "PUT") and e.status == 200]
    bodies += [e.body.strip() for e in exchanges if e.headers.get("content-type") == "text/xml"]
    ours = [text for text in bodies if re.match(r"(?:<\?xml[^>]*>\s*)?<(?:xnat|nt|cat|xdat):", text)]
    assert len(ours) > 100
    for text in ours:
        validator.assertValid(etree.fromstring(text.encode()))


def test_documents_name_schemas_that_are_served_where_they_say(site: Site) -> None:
    experiment = site.standin.data.experiments[0]
    root = etree.fromstring(site.get(f"/data/experiments/{experiment.id}?format=xml").content)
    pairs = str(root.get(f"{_XSI}schemaLocation")).split()
    places = dict(zip(pairs[::2], pairs[1::2]))
    assert set(places) == {uri for prefix, uri in root.nsmap.items() if prefix != "xsi"}
    for namespace, url in places.items():
        answer = site.get(url)
        assert url.startswith(site.standin.url + "/schemas/")
        assert f'targetNamespace="{namespace}"' in answer.text


def test_a_url_set_by_hand_stays() -> None:
    data = DataSetBuilder(site_url="https://db.example.org").build()
    with StandIn(data) as standin:
        assert standin.data.site_url == "https://db.example.org"
        standin.replace(laboratory())
        assert standin.data.site_url == standin.url
        standin.replace(data)
        assert standin.data.site_url == "https://db.example.org"


def test_a_type_that_names_no_fields_has_those_of_its_experiments() -> None:
    world = World(laboratory())
    root = etree.fromstring(schemas.schema(world, "cog/cog.xsd") or b"")
    battery = root.find('.//{*}complexType[@name="battery"]')
    assert battery is not None
    names = [element.get("name") for element in battery.iter("{*}element")]
    assert names == ["total", "memory", "recall", "remark", "late", "x", "y"]
    assert [e.get("type") for e in battery.iter("{*}element")] == [
        *("xs:int", None, "xs:float", "xs:string", None, "xs:string", "xs:int")
    ]


# --- how they are served


def test_all_that_was_written_is_served() -> None:
    place = files("cdbfs.demo.schemas").joinpath("xsd")
    written = {f"{folder.name}/{file.name}" for folder in place.iterdir() for file in folder.iterdir()}
    assert written == set(schemas.paths(World(DataSet())))


def test_a_static_file_is_known_by_its_tag_and_its_date(site: Site) -> None:
    first = site.get("/schemas/xnat/xnat.xsd")
    assert first.headers["Content-Type"] == "text/xml"
    assert re.fullmatch(rf'W/"{len(first.content)}-\d+"', first.headers["ETag"])
    for again in ({"If-None-Match": first.headers["ETag"]}, {"If-Modified-Since": first.headers["Last-Modified"]}):
        answer = site.get("/schemas/xnat/xnat.xsd", **again)
        assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-4", 206, slice(0, 5)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=9999999-", 416, None),
    ],
)
def test_a_static_file_has_parts(site: Site, asked: str, status: int, part: slice | None) -> None:
    whole = site.get("/schemas/catalog/catalog.xsd").content
    answer = site.get("/schemas/catalog/catalog.xsd", Range=asked)
    assert answer.status_code == status
    if part is not None:
        assert answer.content == whole[part]


@pytest.mark.parametrize(
    "path", ["nt/nosuch.xsd", "nosuch/nosuch.xsd", "xnat/../xnat/xnat.xsd", "nt/display/no.xml"]
)
def test_what_is_not_there(site: Site, newer: Site, path: str) -> None:
    request = requests.Request("GET", site.standin.url).prepare()
    for one in (site, newer):
        request = requests.Request("GET", one.standin.url, cookies=one.session.cookies).prepare()
        request.url = f"{one.standin.url}/schemas/{path}"
        assert one.session.send(request, allow_redirects=False, timeout=10).status_code == 404


def test_display_documents_say_what_search_elements_says(site: Site) -> None:
    schema = etree.XMLSchema(etree.fromstring(site.get("/schemas/xdat/display.xsd").content))
    listed = site.get("/data/search/elements?format=json").json()["ResultSet"]["Result"]
    kinds = {kind.name: kind.schema or f"{kind.prefix}/" for kind in site.standin.data.types}
    for element in ["xnat:subjectData", *(row["ELEMENT_NAME"] for row in listed if row["ELEMENT_NAME"] in kinds)]:
        folder = kinds.get(element, "xnat/xnat.xsd").partition("/")[0]
        name = f"/schemas/{folder}/display/{element.replace(':', '_')}_display.xml"
        root = etree.fromstring(site.get(name).content)
        schema.assertValid(root)
        assert root.get("schema-element") == element
        fields = site.get(f"/data/search/elements/{element}?format=json").json()["ResultSet"]["Result"]
        searchable = [field.get("id") for field in root.iter("DisplayField") if field.get("searchable") == "true"]
        assert searchable == [field["FIELD_ID"] for field in fields if field["SRC"] == "0"]


@pytest.mark.parametrize("site", ["demo"], indirect=True)
def test_the_display_document_of_the_tutorial(site: Site) -> None:
    root = etree.fromstring(site.get("/schemas/nt/display/nt_scores_display.xml").content)
    field = root.find('DisplayField[@id="NEO_NEOFAC_A"]')
    assert field is not None
    element = field.find("DisplayFieldElement")
    assert element is not None
    assert (field.get("header"), element.get("schema-element")) == ("NEOFAC_A", "nt:scores/NEO/NEOFAC_A")


def test_newer_servers_list_their_schemas(newer: Site) -> None:
    names = newer.get("/xapi/schemas?format=json").json()
    assert {"xnat", "xdat", "xdat/display", "security", "pipeline/workflow", "cog", "lab/l"} <= set(names)
    assert len(names) == len(set(names)) == len(newer.schema_paths())
    for name in names:
        answer = newer.get(f"/xapi/schemas/{name}")
        assert answer.headers["Content-Type"].startswith("application/xml")
        assert answer.content.startswith(b"<?xml")
        assert newer.get(f"/schemas/{name}.xsd").content == answer.content


def test_newer_servers_have_no_display_documents(newer: Site) -> None:
    assert newer.get("/schemas/xnat/display/xnat_subjectData_display.xml").status_code == 404
    assert newer.get("/xapi/schemas/nosuch").status_code == 404


def test_newer_servers_send_strangers_to_the_login_page_or_refuse(newer: Site) -> None:
    page = requests.get(newer.standin.url + "/schemas/xnat.xsd", allow_redirects=False, timeout=10)
    assert (page.status_code, "/app/template/Login.vm" in page.headers["Location"]) == (302, True)
    assert requests.get(newer.standin.url + "/xapi/schemas", timeout=10).status_code == 401
