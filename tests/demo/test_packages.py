"""The package service: what is offered to whom, and the orders that it hands out."""

from __future__ import annotations

import dataclasses
import re

import pytest
import requests

from cdbfs.demo import DataSet, DataSetBuilder, StandIn, connectomedb

from .transfers import OTHER, STRUCTURAL, SUBJECT, WM, ask, order

FIRST = {
    "id": "3T_Structural_preproc",
    "label": "HCP Q2 Structural Preprocessed",
    "description": "HCP Q2 Data Release Structural Preprocessed",
    "keywords": ["preprocessed", "structural"],
}
SCANS = (
    *("Structural", "rfMRI_REST1", "rfMRI_REST2", "tfMRI_EMOTION", "tfMRI_GAMBLING", "tfMRI_LANGUAGE"),
    *("tfMRI_MOTOR", "tfMRI_RELATIONAL", "tfMRI_SOCIAL", "tfMRI_WM", "Diffusion"),
)
Q2 = [f"3T_{scan}_{state}" for scan in SCANS for state in ("preproc", "unproc")]
"""As the tutorial prints them."""


def test_the_index_is_the_tutorials(standin: StandIn) -> None:
    answer = ask(standin, method="GET")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    packages = answer.json()["packages"]
    assert [package["id"] for package in packages] == Q2
    assert packages[0] == FIRST


def test_a_listing_sums_over_subjects(standin: StandIn) -> None:
    one, other, both = (
        ask(standin, f"subjects={subjects}&view=packages").json()["packages"]
        for subjects in (SUBJECT, OTHER, f"{SUBJECT},{OTHER}")
    )
    assert [package["id"] for package in both] == Q2
    assert {key: both[0][key] for key in FIRST} == FIRST
    for each, other_one, sum_of in zip(one, other, both):
        assert sum_of["size"] == each["size"] + other_one["size"]
        assert sum_of["count"] == 2 * each["count"]
        assert (sum_of["subjects_ok"], sum_of["subjects_total"]) == (2, 2)


def test_unknown_and_unreadable_labels_are_left_out(standin: StandIn) -> None:
    first = ask(standin, f"subjects={SUBJECT},nobody,ConnectomeDB_S00230&view=packages").json()["packages"][0]
    assert (first["subjects_ok"], first["subjects_total"]) == (1, 1)
    stranger = ("other", "otherpw")
    assert ask(standin, f"subjects={SUBJECT}&view=packages", login=stranger).json() == {"packages": []}
    assert ask(standin, f"subjects={SUBJECT}&package={WM}", login=stranger).status_code == 404


def test_a_listing_of_some_packages_and_one_by_subject(standin: StandIn) -> None:
    asked = f"subjects={OTHER},{SUBJECT}&package={WM},{STRUCTURAL}"
    listed = ask(standin, f"{asked}&view=packages").json()["packages"]
    assert [package["id"] for package in listed] == [STRUCTURAL, WM]
    rows = ask(standin, f"{asked}&view=subjects").json()["subjects"]
    assert [row["id"] for row in rows] == [OTHER, SUBJECT]
    assert sum(row["size"] for row in rows) == sum(package["size"] for package in listed)


def test_an_order_names_a_zip_and_its_digest_for_each(standin: StandIn) -> None:
    spec = order(standin, f"{SUBJECT},{OTHER}", f"{STRUCTURAL},{WM}")
    folder = "/packages/live/HCP_Q2"
    zips = [
        f"{folder}/{subject}/{state}/{subject}_{package}.zip"
        for subject in (SUBJECT, OTHER)
        for package, state in ((STRUCTURAL, "preproc"), (WM, "unproc"))
    ]
    assert [path["source"] for path in spec["paths"]] == [each + end for each in zips for end in ("", ".md5")]
    port = int(standin.url.rpartition(":")[2])
    assert (spec["remote_host"], spec["ssh_port"], spec["fasp_port"]) == ("127.0.0.1", port, 33001)
    assert (spec["direction"], spec["rate_policy"], spec["destination_root"]) == ("receive", "fair", "")
    assert {type(spec[name]) for name in ("target_rate_kbps", "min_rate_kbps")} == {int}
    assert spec["token"] == standin.tokens()[-1]


@pytest.mark.parametrize("comma", [",", "%2C"])
@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_commas_and_slashes_may_stand_bare_or_encoded(comma: str, slash: str, standin: StandIn) -> None:
    target = f"destination={slash}data{slash}hcp"
    answer = ask(standin, f"subjects={SUBJECT}{comma}{OTHER}&package={STRUCTURAL}{comma}{WM}&{target}")
    assert len(answer.json()["paths"]) == 8
    assert answer.json()["destination_root"] == "/data/hcp"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("subjects=nobody&package=3T_tfMRI_WM_unproc", 404),
        ("subjects=100307&package=nosuch", 404),
        ("subjects=100307", 404),
        ("package=3T_tfMRI_WM_unproc", 400),
        ("view=packages", 400),
        ("subjects=100307&view=nosuch", 400),
    ],
)
def test_an_order_of_nothing_is_refused(query: str, status: int, standin: StandIn) -> None:
    answer = ask(standin, query)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html;charset=utf-8")
    assert (standin.tokens(), standin.downloads()) == ([], [])


def test_without_a_login_it_leads_to_the_login_page(standin: StandIn) -> None:
    for method in ("GET", "POST"):
        answer = requests.request(
            method, f"{standin.url}/spring/download?subjects=1", timeout=10, allow_redirects=False
        )
        assert answer.status_code == 302
        assert "/app/template/Login.vm" in answer.headers["Location"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_without_packages_has_no_such_page(method: str, small: DataSet) -> None:
    with StandIn(dataclasses.replace(small, packages=None)) as server:
        answer = ask(server, "subjects=100307&view=packages" if method == "POST" else "", method)
        assert answer.status_code == 404
        assert "is not available" not in answer.text


def test_kinds_of_requests_are_counted_and_hit_by_faults_apart(standin: StandIn) -> None:
    ask(standin, method="GET")
    ask(standin, f"subjects={SUBJECT}&view=packages")
    ask(standin, f"view=subjects&subjects={SUBJECT}")
    order(standin)
    assert standin.counts() == {
        "GET /spring/download": 1,
        "POST /spring/download transfer": 1,
        "POST /spring/download view=packages": 1,
        "POST /spring/download view=subjects": 1,
    }
    standin.fault("POST /spring/download transfer", "status", code=503)
    assert ask(standin, f"subjects={SUBJECT}&package={WM}").status_code == 503
    assert ask(standin, f"subjects={SUBJECT}&view=packages").status_code == 200
    standin.clear_faults()
    standin.fault("/spring/download", "html")
    for query in (f"subjects={SUBJECT}&view=packages", f"subjects={SUBJECT}&package={WM}"):
        assert "<html" in ask(standin, query).text.lower()


def test_orders_are_logged_as_the_server_logs_them(standin: StandIn) -> None:
    ask(standin, f"subjects={SUBJECT}&view=packages")
    order(standin, f"{SUBJECT},{OTHER}", f"{STRUCTURAL},{WM}")
    (line,) = standin.downloads()
    size = sum(standin.announced(subject, package) for subject in (SUBJECT, OTHER) for package in (STRUCTURAL, WM))
    words = rf"mylogin downloading {STRUCTURAL},{WM} x \[{SUBJECT}, {OTHER}\] \({size} bytes\)"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} {words}", line)
    assert requests.get(standin.control + "/downloads", timeout=10).json() == {"downloads": [line]}


# --- orders that are not true


def test_the_next_order_can_be_changed(standin: StandIn) -> None:
    standin.next_spec = {"direction": "send", "remote_host": "-oProxyCommand=x"}
    changed = order(standin)
    assert (changed["direction"], changed["remote_host"]) == ("send", "-oProxyCommand=x")
    assert len(changed["paths"]) == 2
    assert order(standin)["direction"] == "receive"


def test_an_order_can_be_made_up(standin: StandIn) -> None:
    standin.next_spec = lambda spec: {key: value for key, value in spec.items() if key != "token"}
    assert "token" not in order(standin)
    standin.change_specs(lambda spec: ["no object"])
    assert [ask(standin, f"subjects={SUBJECT}&package={WM}").json() for _ in range(2)] == [["no object"]] * 2
    standin.change_specs(None)
    assert "token" in order(standin)


def test_orders_are_changed_over_http(standin: StandIn) -> None:
    for told, expected in (({"merge": {"ssh_port": "22"}}, "22"), ({"replace": {"ssh_port": 1}, "times": 1}, 1)):
        requests.post(standin.control + "/specs", json=told, timeout=10).raise_for_status()
        assert order(standin)["ssh_port"] == expected
    requests.post(standin.control + "/specs", json={"replace": [], "times": None}, timeout=10).raise_for_status()
    assert ask(standin, f"subjects={SUBJECT}&package={WM}").json() == []
    requests.post(standin.control + "/specs", json={}, timeout=10).raise_for_status()
    assert order(standin)["direction"] == "receive"


# --- data of a test's own


def lab() -> DataSetBuilder:
    """Two subjects; the second, ``s2``, is ``p2`` in PILOT, which bob reads, and has less."""
    make = DataSetBuilder(site_id="Lab")
    make.project("COHORT")
    make.project("PILOT")
    first = make.subject("s1", "COHORT")
    second = make.subject("s2", "COHORT", shares={"PILOT": "p2"})
    make.package(first, "7T_REST_1.6mm_fix")
    make.package(first, "odd_package", b"no zip at all", folder="odd")
    make.package(second, "odd_package", lambda: b"made", announced=5, count=7, md5="")
    make.offer("nobodys", "Nobody has it", "A package", ("x",))
    make.account("ann", "secret")
    make.account("bob", "secret", ["PILOT"])
    return make


def test_packages_that_some_subjects_lack() -> None:
    with StandIn(lab().build()) as server:
        ann, bob = ("ann", "secret"), ("bob", "secret")
        index = ask(server, method="GET", login=ann).json()["packages"]
        assert [package["id"] for package in index] == ["7T_REST_1.6mm_fix", "odd_package", "nobodys"]
        listed = ask(server, "subjects=s1,s2&view=packages", login=ann).json()["packages"]
        found = [(package["id"], package["subjects_ok"], package["subjects_total"]) for package in listed]
        assert found == [("7T_REST_1.6mm_fix", 1, 2), ("odd_package", 2, 2)]
        (only,) = ask(server, "subjects=s1,s2,p2&view=packages", login=bob).json()["packages"]
        assert (only["id"], only["size"], only["count"], only["subjects_total"]) == ("odd_package", 5, 7, 1)
        asked = "subjects=s1,s2&package=7T_REST_1.6mm_fix,odd_package"
        sources = [path["source"] for path in ask(server, asked, login=ann).json()["paths"]]
        assert sources[::2] == [
            "/packages/live/HCP_Q2/s1/fix/s1_7T_REST_1.6mm_fix.zip",
            "/packages/live/HCP_Q2/s1/odd/s1_odd_package.zip",
            "/packages/live/HCP_Q2/s2/preproc/s2_odd_package.zip",
        ]
        assert server.package("s1", "odd_package").read_bytes() == b"no zip at all"
        assert server.package("p2", "odd_package").read_bytes() == b"made"
        assert server.package_md5("s2", "odd_package") == b""
        with pytest.raises(KeyError):
            server.package("s2", "7T_REST_1.6mm_fix")


def test_subjects_of_the_tutorial_can_lack_a_package(small: DataSet) -> None:
    assert small.packages is not None
    lacking = frozenset({(small.subjects[0].id, STRUCTURAL)})
    data = dataclasses.replace(small, packages=dataclasses.replace(small.packages, lacking=lacking))
    with StandIn(data) as server:
        listed = ask(server, f"subjects={SUBJECT},{OTHER}&view=packages").json()["packages"]
        assert (listed[0]["subjects_ok"], listed[1]["subjects_ok"], len(listed)) == (1, 2, 22)


def test_another_state_of_the_data_has_other_zips() -> None:
    make = lab()
    with StandIn(make.build()) as server:
        before = server.package("s1", "odd_package")
        make.packages[1] = dataclasses.replace(make.packages[1], held=b"changed")
        server.replace(make.build())
        assert server.package("s1", "odd_package").read_bytes() == b"changed"
        assert before.read_bytes() == b"no zip at all"


def test_each_seed_has_its_own_packages() -> None:
    with StandIn(connectomedb(1)) as one, StandIn(connectomedb(1, seed=1)) as other:
        assert one.package_md5(SUBJECT, WM) != other.package_md5(SUBJECT, WM)
