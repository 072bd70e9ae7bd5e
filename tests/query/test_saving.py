"""`cdbfs save`: what is stored of a query, whose it is, and what it never replaces."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.query.document import XDAT
from cdbfs.runtime import shelf_directory
from cdbfs.xnat.client import Client
from tests.demo import recordings
from tests.demo.search.asking import bundle
from tests.views import MemoryView, cdbfs, in_memory

LOGIN = Credentials("mylogin", "mypasswd")
READER = Credentials("reader", "readpw")
QUERY = (
    "SELECT subject AS who, NEO_NEOFAC_A AS agreeable FROM nt:scores "
    "WHERE project = 'HCP_Q2' AND NEO_NEOFAC_A > 30"
)
PUT = "PUT /data/search/saved/{id}"


class Shell:
    """The command, with a shelf of its own for each login."""

    def __init__(self, server: StandIn, scratch: Path) -> None:
        self.server, self.scratch = server, scratch
        self.settings = Settings(url=server.url, search_dir=scratch / "shelf", cache_dir=scratch / "cache")

    def write(self, path: str, text: str, login: Credentials = LOGIN) -> None:
        file = shelf_directory(self.settings, login.user) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def save(self, *arguments: str, login: Credentials = LOGIN) -> subprocess.CompletedProcess[str]:
        directories = f"search_dir={self.settings.search_dir},cache_dir={self.settings.cache_dir}"
        return cdbfs("save", "-s", self.server.url, "-o", directories, *arguments, login=login)

    def saved(self, name: str, login: Credentials = LOGIN) -> etree._Element:
        client = Client(self.settings, login)
        try:
            return etree.fromstring(client.saved_search_xml(name))
        finally:
            client.session.close()


@pytest.fixture(params=["1.6", "1.8"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    with StandIn(recordings.data(), dialect=request.param) as server:
        yield Shell(server, tmp_path)


def users(root: etree._Element) -> list[str]:
    return [node.text or "" for node in root.iterfind("x:allowed_user/x:login", {"x": XDAT})]


def refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["agree", "agree.sql", "./agree"])
def test_a_query_is_stored_and_stands_in_saved(shell: Shell, tmp_path: Path, name: str) -> None:
    shell.write("agree.sql", QUERY)
    done = shell.save(name)
    assert (done.stdout, done.stderr, done.returncode) == ("saved/mylogin_agree\n", "", 0)
    with in_memory(shell.server, LOGIN, tmp_path / "c") as runtime:
        view = MemoryView(runtime)
        assert view.listdir("saved") == ["mylogin_agree"]
        lines = view.read("saved/mylogin_agree/result.csv").decode().splitlines()
    assert lines[0] == "who,agreeable"
    assert sorted(lines[1:]) == ["100307,33", "111312,41", "114924,41", "130013,39"]


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_a_path_into_a_mount_is_understood(shell: Shell) -> None:
    shell.write("agree.sql", QUERY)
    shell.write("sub/agree.sql", QUERY)
    shell.write("sub/search/agree.sql", QUERY)
    for name, stored in (
        ("search/agree.sql", "agree"),
        ("./search/agree", "agree"),
        ("/home/me/hcp/search/sub/agree.sql", "sub_agree"),
        ("../hcp/search/sub/search/agree", "sub_search_agree"),
        ("sub/search/agree.sql", "sub_search_agree"),  # there is such a name: it is meant
    ):
        assert shell.save(name).stdout == f"saved/mylogin_{stored}\n"


def test_it_is_its_users_alone_unless_it_is_shared(shell: Shell) -> None:
    shell.write("dir/agree.sql", QUERY)
    assert shell.save("dir/agree").stdout == "saved/mylogin_dir_agree\n"
    root = shell.saved("mylogin_dir_agree")
    assert (root.get("secure"), root.get("brief-description"), users(root)) == ("1", "dir/agree", ["mylogin"])
    reader = Client(shell.settings, READER)
    assert reader.saved_searches() == []
    done = shell.save("--shared", "dir/agree")
    assert done.stdout == "saved/mylogin_dir_agree (everybody on the server may run it)\n"
    assert shell.saved("mylogin_dir_agree").get("secure") == "0"
    assert [search.ID for search in reader.saved_searches()] == ["mylogin_dir_agree"]
    reader.session.close()


def test_saving_again_replaces_it(shell: Shell) -> None:
    for query in (QUERY, QUERY.replace("subject AS who, ", "")):
        shell.write("agree.sql", query)
        assert shell.save("agree").returncode == 0
    fields = shell.saved("mylogin_agree").iterfind("x:search_field", {"x": XDAT})
    assert [node.findtext("x:header", "", {"x": XDAT}) for node in fields if not node.get("visible")] == [
        "agreeable"
    ]


def test_another_query_of_ones_own_is_replaced_only_if_that_is_asked_for(shell: Shell) -> None:
    shell.write("a/b.sql", QUERY)
    shell.write("a_b.sql", QUERY)
    assert shell.save("a/b").stdout == "saved/mylogin_a_b\n"
    refused(shell.save("a_b"), "already, and it is another query's; --replace replaces it")
    assert shell.save("--replace", "a_b").stdout == "saved/mylogin_a_b\n"
    assert shell.saved("mylogin_a_b").get("brief-description") == "a_b"


@pytest.mark.parametrize("secure", ["1", "0"])
def test_a_search_of_somebody_else_is_never_replaced(shell: Shell, secure: str) -> None:
    reader = Client(shell.settings, READER)
    document = bundle(["AGE"], name="mylogin_agree", attributes=f'secure="{secure}"')
    reader.save_search("mylogin_agree", document.encode())
    shell.write("agree.sql", QUERY)
    for options in ((), ("--replace",)):
        refused(shell.save(*options, "agree"), "omebody else")
    assert users(shell.saved("mylogin_agree", READER)) == ["reader"]
    reader.session.close()


def test_a_document_that_others_may_run_is_stored_for_its_user_alone(shell: Shell) -> None:
    """As one that was copied from saved/: who could run that is nobody's choice here."""
    others = "<xdat:allowed_user><xdat:login>reader</xdat:login></xdat:allowed_user>"
    others += "<xdat:allowed_groups><xdat:groupID>ALL</xdat:groupID></xdat:allowed_groups>"
    shell.write("doc.xml", bundle(["AGE"], extra=others))
    assert shell.save("doc").stdout == "saved/mylogin_doc\n"
    root = shell.saved("mylogin_doc")
    assert users(root) == ["mylogin"]
    assert list(root.iter(f"{{{XDAT}}}groupID")) == []
    reader = Client(shell.settings, READER)
    assert reader.saved_searches() == []
    reader.session.close()


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_one_that_others_use_too_is_replaced_only_if_that_is_asked_for(shell: Shell) -> None:
    both = "".join(
        f"<xdat:allowed_user><xdat:login>{u}</xdat:login></xdat:allowed_user>" for u in ("mylogin", "x")
    )
    client = Client(shell.settings, LOGIN)
    client.save_search("mylogin_agree", bundle(["AGE"], extra=both).encode())
    client.session.close()
    shell.write("agree.sql", QUERY)
    refused(shell.save("agree"), "already, and others use it, too; --replace replaces it")
    assert shell.save("--replace", "agree").returncode == 0


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_what_the_server_cannot_hold_is_told(shell: Shell) -> None:
    shell.write("agree.sql", f"{QUERY} ORDER BY AGE DESC LIMIT 3")
    done = shell.save("agree")
    assert done.stdout == "saved/mylogin_agree\n"
    assert done.stderr.splitlines() == [
        "cdbfs: ORDER BY is not stored: XNAT sorts by the first column",
        "cdbfs: LIMIT is not stored: the saved search finds all rows",
    ]


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_a_query_that_would_mean_something_else_is_refused(shell: Shell) -> None:
    shell.write(
        "joined.sql",
        "SELECT subject, xnat:mrSessionData.DATE FROM nt:scores WHERE xnat:mrSessionData.DATE > '2010-01-01'",
    )
    refused(shell.save("joined"), "the server cannot hold this query")
    assert PUT not in shell.server.counts()


def test_a_document_is_stored_as_it_is_but_for_its_id_and_its_owner(shell: Shell) -> None:
    text = bundle(
        ["SUBJECT_ID", "AGE"], name="other", attributes='secure="0" description="mine" brief-description="b"'
    )
    shell.write("doc.xml", text)
    for _ in range(2):
        assert shell.save("doc").stdout == "saved/mylogin_doc\n"
    root = shell.saved("mylogin_doc")
    names = ("ID", "description", "brief-description", "secure")
    assert [root.get(name) for name in names] == ["mylogin_doc", "mine", "b", "1"]
    assert [node.text for node in root.iter(f"{{{XDAT}}}field_ID")] == ["SUBJECT_ID", "AGE"]


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nosuch", "there is no query nosuch in "),
        ("agree.xml", "there is no query agree.xml in "),
        ("agree.sql/x", "there is no query agree.sql/x in "),
        ("search/nosuch.sql", "there is no query search/nosuch.sql in "),
        ("/home/me/hcp/search/nosuch", "there is no query /home/me/hcp/search/nosuch in "),
        ("/home/research/agree", "/home/research/agree is no name in "),
        ("search/../agree", "search/../agree is no name in "),
        ("/hcp/search/", "/hcp/search/ is no name in "),
        ("hcp/search/search/agree.sql", "there is no query hcp/search/search/agree.sql in "),
        ("search/twice", "twice.sql and twice.xml are both in "),
        ("../agree", "../agree is no name in "),
        ("/agree", "/agree is no name in "),
        ("twice", "twice.sql and twice.xml are both in "),
        ("wrong", "line 1, column 8: nt:scores has no field NOSUCH"),
        ("empty", "the query is empty"),
        ("elsewhere", "there is no project HCP_Q3 that this login may see; there are HCP_Q"),
        ("tagged", 'the document has tag="..."'),
        ("l" * 200, "is too long a name"),
        ("\udcff", "control characters"),
    ],
)
def test_what_cannot_be_stored_is_told_and_not_sent(shell: Shell, name: str, reason: str) -> None:
    for path in ("agree.sql", "twice.sql", "twice.xml", f"{'l' * 200}.sql", "\udcff.sql"):
        shell.write(path, QUERY)
    shell.write("wrong.sql", "SELECT NOSUCH FROM nt:scores")
    shell.write("empty.sql", "")
    shell.write("elsewhere.sql", QUERY.replace("HCP_Q2", "HCP_Q3"))
    shell.write("tagged.xml", bundle(["AGE"], attributes='tag="HCP_Q2"'))
    refused(shell.save(name), reason)
    assert PUT not in shell.server.counts()


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_a_suffix_says_which_of_two(shell: Shell) -> None:
    shell.write("twice.sql", QUERY)
    shell.write("twice.xml", bundle(["AGE"]))
    assert shell.save("twice.xml").returncode == 0
    assert len(list(shell.saved("mylogin_twice").iterfind("x:search_field", {"x": XDAT}))) == 1


@pytest.mark.parametrize("shell", ["1.6"], indirect=True)
def test_what_the_server_refuses_is_told(shell: Shell) -> None:
    shell.write("agree.sql", QUERY)
    shell.server.fault(PUT, "status", code=403, times=1)
    refused(shell.save("agree"), "the server does not let this login store the search mylogin_agree")
