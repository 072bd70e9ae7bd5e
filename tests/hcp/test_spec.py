"""Transfer specs: one that is as it should be is taken, all else starts nothing, and no token is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdbfs.errors import CdbfsError, NotFound, ServerFault
from cdbfs.hcp import spec
from cdbfs.hcp.spec import TransferSpec

ZIP = "100307_3T_Structural_preproc.zip"
FILES = {ZIP, f"{ZIP}.md5"}
TREE = "packages/live/HCP_Q2/100307/preproc"
HOSTS = frozenset({"*.humanconnectome.org", "127.0.0.1"})
TOKEN = "ATM2_ACs-secret/Token+of=this_TA"
GOOD: Mapping[str, Any] = {
    "paths": [{"source": f"{TREE}/{ZIP}"}, {"source": f"{TREE}/{ZIP}.md5"}],
    "source_root": "",
    "destination_root": "/etc",
    "token": TOKEN,
    "direction": "receive",
    "cipher": "aes-128",
    "tags": None,
    "rate_policy_allowed": "fixed",
    "rate_policy": "fair",
    "target_rate_kbps": 100000,
    "min_rate_kbps": 0,
    "remote_host": "asp-connect1.humanconnectome.org",
    "remote_user": "xfer",
    "sshfp": "b42dcb718dd3a04c90e160817d40da9af6e8895a",
    "ssh_port": 33001,
    "fasp_port": 33002,
    "http_fallback": True,
}
"""The recorded spec of a node, with the values of ConnectomeDB."""

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def check(**changes: Any) -> TransferSpec:
    return spec.check({**GOOD, **changes}, FILES, HOSTS)


def without(*names: str) -> TransferSpec:
    return spec.check({name: value for name, value in GOOD.items() if name not in names}, FILES, HOSTS)


def test_a_spec_is_taken_field_by_field() -> None:
    assert check() == TransferSpec(
        host="asp-connect1.humanconnectome.org",
        user="xfer",
        token=TOKEN,
        sources={ZIP: f"{TREE}/{ZIP}", f"{ZIP}.md5": f"{TREE}/{ZIP}.md5"},
        ssh_port=33001,
        fasp_port=33002,
        target_rate_kbps=100000,
        min_rate_kbps=0,
        policy="fair",
        fingerprint="b42dcb718dd3a04c90e160817d40da9af6e8895a",
    )


def test_what_a_spec_may_leave_out_is_as_ascp_has_it() -> None:
    names = ("ssh_port", "fasp_port", "target_rate_kbps", "min_rate_kbps", "rate_policy", "sshfp", "direction")
    found = without(*names)
    assert (found.ssh_port, found.fasp_port) == (22, 33001)
    assert (found.target_rate_kbps, found.min_rate_kbps, found.policy, found.fingerprint) == (None,) * 4


def test_the_repr_holds_no_token() -> None:
    assert TOKEN not in repr(check())


@pytest.mark.parametrize("name", ["token", "remote_host", "remote_user", "paths"])
def test_a_spec_without_what_is_needed_is_refused(name: str) -> None:
    with pytest.raises(ServerFault, match=name):
        without(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("direction", "send"),
        ("direction", "Receive"),
        ("direction", None),
        ("direction", ["receive"]),
        ("remote_host", "evil.example.org"),
        ("remote_host", "humanconnectome.org.example.org"),
        ("remote_host", "evilhumanconnectome.org"),
        ("remote_host", ".humanconnectome.org"),
        ("remote_host", "-oProxyCommand=id.humanconnectome.org"),
        ("remote_host", "--host=asp.humanconnectome.org"),
        ("remote_host", "user@asp.humanconnectome.org"),
        ("remote_host", "asp.humanconnectome.org "),
        ("remote_host", "asp.humanconnectome.org\n"),
        ("remote_host", "asp.humanconnectome.org:22"),
        ("remote_host", "a/../b.humanconnectome.org"),
        ("remote_host", "a b.humanconnectome.org"),
        ("remote_host", "ä.humanconnectome.org"),
        ("remote_host", f"{'a' * 300}.humanconnectome.org"),
        ("remote_host", ""),
        ("remote_host", None),
        ("remote_host", 2130706433),
        ("remote_user", "-oProxyCommand=id"),
        ("remote_user", "--host=evil.example.org"),
        ("remote_user", "xfer@evil.example.org"),
        ("remote_user", "xfer evil"),
        ("remote_user", "xfer\n"),
        ("remote_user", "../xfer"),
        ("remote_user", ""),
        ("remote_user", ["xfer"]),
        ("ssh_port", 0),
        ("ssh_port", 65536),
        ("ssh_port", -1),
        ("ssh_port", True),
        ("ssh_port", 22.0),
        ("ssh_port", "22;id"),
        ("ssh_port", "-22"),
        ("ssh_port", "\uff12\uff12"),
        ("ssh_port", "9" * 99),
        ("fasp_port", "33001 "),
        ("fasp_port", {}),
        ("target_rate_kbps", -1),
        ("target_rate_kbps", float("inf")),
        ("target_rate_kbps", "10M"),
        ("target_rate_kbps", 10**12),
        ("min_rate_kbps", False),
        ("min_rate_kbps", [1]),
        ("rate_policy", "fixed --host=evil"),
        ("rate_policy", "Fair"),
        ("rate_policy", 1),
        ("token", ""),
        ("token", "a b"),
        ("token", "a\nb"),
        ("token", "tökén"),
        ("token", "a" * 20_000),
        ("token", 17),
        ("paths", None),
        ("paths", {}),
        ("paths", "x"),
        ("paths", [None]),
        ("paths", [f"{TREE}/{ZIP}"]),
        ("paths", [{"source": None}]),
        ("paths", [{"source": ""}]),
        ("paths", [{"source": f"-oProxyCommand=id/{ZIP}"}]),
        ("paths", [{"source": f"--host=evil.example.org/{ZIP}"}]),
        ("paths", [{"source": f"../../{ZIP}"}]),
        ("paths", [{"source": f"{TREE}/../{ZIP}"}]),
        ("paths", [{"source": f"user@evil.example.org:{ZIP}"}]),
        ("paths", [{"source": f"evil.example.org:/x/{ZIP}"}]),
        ("paths", [{"source": f"file:///x/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}\n/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}\x00/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}/*/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}/$(id)/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}\\{ZIP}"}]),
        ("paths", [{"source": f"{'x' * 2000}/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}/{ZIP}/"}]),
        ("paths", [{"source": TREE}]),
        ("paths", [{"source": f"{TREE}/other.zip"}]),
        ("paths", [{"source": ".bashrc"}]),
        ("paths", [{"source": f"{TREE}/{ZIP}"}, {"source": f"other/{ZIP}"}]),
        ("paths", [{"source": f"{TREE}/{ZIP}"}, {"source": f"{TREE}/.ssh/authorized_keys"}]),
        ("paths", [{"source": f"{TREE}/{ZIP}"}] * 20_000),
    ],
)
def test_a_field_that_is_not_as_it_should_be_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(ServerFault, match=rf"nothing was started: {name} ") as refused:
        check(**{name: value})
    assert TOKEN not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_number_may_be_a_string_of_digits() -> None:
    assert check(ssh_port="22", target_rate_kbps="300").ssh_port == 22


@pytest.mark.parametrize("found", ["", "xyz", "-oProxyCommand=id", "b42d\n", 12, None])
def test_a_fingerprint_that_is_none_is_left_out(found: object) -> None:
    assert check(sshfp=found).fingerprint is None


def test_hosts_are_known_by_any_case_and_by_address() -> None:
    assert check(remote_host="ASP.HumanConnectome.ORG").host == "ASP.HumanConnectome.ORG"
    assert check(remote_host="127.0.0.1").host == "127.0.0.1"
    assert spec.check({**GOOD, "remote_host": "::1"}, FILES, {"::1"}).host == "::1"


def test_a_host_that_is_refused_is_named_unless_it_is_the_token() -> None:
    with pytest.raises(ServerFault, match=r"evil\.example\.org"):
        check(remote_host="evil.example.org")
    with pytest.raises(ServerFault) as refused:
        check(remote_host="secret.example.org", token="secret")
    assert "secret" not in str(refused.value)


def test_what_was_not_asked_for_is_dropped_where_the_service_gives_it_along() -> None:
    more = {"source": f"{TREE}/100408_3T_Structural_preproc.zip"}
    raw = {**GOOD, "paths": [*GOOD["paths"], more]}
    assert spec.check(raw, FILES, HOSTS, {"100408_3T_Structural_preproc.zip"}).sources.keys() == FILES
    with pytest.raises(ServerFault):
        spec.check(raw, FILES, HOSTS)


def test_what_the_server_does_not_have_is_not_found() -> None:
    assert check(paths=GOOD["paths"][1:]).sources.keys() == {f"{ZIP}.md5"}
    with pytest.raises(NotFound, match=ZIP):
        check(paths=[])


@pytest.mark.parametrize(
    "raw", [None, [], "x", 1, {"packages": []}, {"transfer_specs": [{"transfer_spec": GOOD}]}]
)
def test_what_is_no_spec_is_refused(raw: object) -> None:
    with pytest.raises(ServerFault):
        spec.check(raw, FILES, HOSTS)


@given(st.sampled_from(sorted(GOOD)), ANYTHING)
def test_any_value_of_any_field_is_taken_or_refused_in_our_own_words(name: str, value: object) -> None:
    reason = ""
    try:
        found = check(**{name: value})
        assert found.host.endswith(".humanconnectome.org")
        assert set(found.sources) <= FILES
    except CdbfsError as error:
        reason = str(error)
    assert TOKEN not in reason
    assert reason.isprintable()


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_source_is_an_option_or_leads_elsewhere(before: str, after: str) -> None:
    try:
        found = check(paths=[{"source": f"{before}{ZIP}{after}"}])
    except CdbfsError:
        return
    (source,) = found.sources.values()
    assert source.isprintable()
    assert not source.startswith("-")
    assert ".." not in source.split("/")
    assert source.rpartition("/")[2] == ZIP
    assert not set(source) & set("*?:\\'\"`$&|;<>")
