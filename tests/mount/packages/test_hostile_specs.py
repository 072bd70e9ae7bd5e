"""A server that means harm by its transfer specs, which become the command line of a program: none is started."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.hostile.servers import LOGIN, Parts, check_errors, listing
from tests.mount.failing import errno_name, wait_until
from tests.mount.packages.lab import LAB_OPTIONS, PROJECT, SUBJECT, Lab, content, lab
from tests.tables import table
from tests.views import mounted
from tests.xnat.servers import Request, Scripted, reply

TABLE = table("transfer specs that mean harm", "spec", "errno", "reason in .cdbfs/errors")

ZIP = f"{SUBJECT}_x.zip"
TREE = f"/packages/live/HCP_Q2/{SUBJECT}/preproc"
LONG = "x" * 20_000
OPTIONS = ["-oProxyCommand=touch /tmp/harm", "--host=evil.example.org", "-i/etc/passwd", "--mode=send", "-L/tmp"]


def sources(*paths: object) -> list[object]:
    return [{"source": path} for path in paths]


FIELDS: Mapping[str, list[object]] = {
    "remote_host": [
        *OPTIONS,
        "user@127.0.0.1",
        "127.0.0.1:22",
        "127.0.0.1 -W x",
        "127.0.0.1\n-i",
        "evil.example.org",
        "127.0.0.1.evil.example.org",
        "humanconnectome.org.evil.example.org",
        "evilhumanconnectome.org",
        "localhost",
        "::1%eth0",
        "..",
        "",
        None,
        127,
        ["127.0.0.1"],
        {"host": "127.0.0.1"},
        LONG,
    ],
    "remote_user": [*OPTIONS, "a@evil.example.org", "root;id", "a b", "a\nb", "", "..", None, 7, ["a"], LONG],
    "direction": ["send", "Send", "receive ", None, True, ["receive"]],
    "paths": [
        None,
        "x",
        {"source": f"{TREE}/{ZIP}"},
        [f"{TREE}/{ZIP}"],
        [{}],
        [{"destination": f"{TREE}/{ZIP}"}],
        *(sources(f"{option}/{ZIP}") for option in OPTIONS),
        sources(7),
        sources(["a", "b"]),
        sources(f"../../../{ZIP}"),
        sources(f"{TREE}/../../../etc/{ZIP}"),
        sources(".."),
        sources("/etc/passwd"),
        sources(f"{TREE}/.bashrc"),
        sources(f"{TREE}/{SUBJECT}_other.zip"),
        sources(f"{TREE}/{ZIP}/"),
        sources(f"evil.example.org:{TREE}/{ZIP}"),
        sources(f"a@evil.example.org:{TREE}/{ZIP}"),
        sources(f"{TREE}/$(id)/{ZIP}"),
        sources(f"{TREE}/`id`/{ZIP}"),
        sources(f"{TREE}/*/{ZIP}"),
        sources(f"{TREE}/a;b/{ZIP}"),
        sources(f"{TREE}\n/{ZIP}"),
        sources(f"{TREE}\0/{ZIP}"),
        sources(f"{LONG}/{ZIP}"),
        sources(f"{TREE}/{ZIP}", f"/other/{ZIP}"),
        sources(f"{TREE}/{ZIP}", f"{TREE}/{ZIP}.md5", f"{TREE}/.ssh/authorized_keys"),
        sources(*[f"{TREE}/{ZIP}"] * 10_001),
    ],
    "ssh_port": [0, 65_536, -22, 10**18, "22 -W x", "-22", "22;id", "0x16", "", True, 22.0, [22], "9" * 5000],
    "fasp_port": [0, 65_536, "33001 --host=evil", True, {"port": 33001}],
    "target_rate_kbps": ["10G", -1, True, 10**15, "1 -L/tmp"],
    "min_rate_kbps": ["10G", -1, False, 1.5],
    "rate_policy": ["--host=evil", "fair --mode=send", "FAIR", "", 7, ["fair"]],
    "token": ["", "a b", "a\nASPERA_SCP_PASS=x", "a\0b", "t\u00f6k\u00e9n", None, 7, ["a"], LONG],
}
MISSING = ["remote_host", "remote_user", "paths", "token"]

WHOLE: Mapping[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "a list": ("is no JSON object", lambda spec: [spec]),
    "a text": ("is no JSON object", lambda spec: json.dumps(spec)),
    "nothing": ("is no JSON object", lambda spec: None),
    "a number": ("is no JSON object", lambda spec: 7),
    "an empty object": ("token is none", lambda spec: {}),
    "inside of another": ("token is none", lambda spec: {"transfer_spec": spec}),
    "several": ("token is none", lambda spec: {"transfer_specs": [{"transfer_spec": spec}]}),
    "with packages": ("is a list of packages", lambda spec: {**spec, "packages": []}),
    "with very many fields": ("no JSON that can be read", lambda spec: {**spec, "tags": [[]] * 150_000}),
    "with a number of thirty digits": ("no JSON that can be read", lambda spec: {**spec, "ssh_port": 10**30}),
}
"""What is no spec at all."""

IGNORED: Mapping[str, object] = {
    "destination_root": "/etc/cron.d",
    "source_root": "/etc",
    "cipher": "none",
    "sshfp": "-oProxyCommand=touch /tmp/harm",
    "http_fallback": True,
    "EX_ascp_args": ["-L", "/tmp"],
    "EX_ssh_key_paths": ["/etc/passwd"],
    "remote_password": "x",
    "create_dir": True,
    "overwrite": "always",
    "tags": {"aspera": {"node": {"access_key": "--host=evil"}}},
    "multi_session": 50,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Its ascp tells of each time that it is started."""
    with lab(tmp_path_factory.mktemp("hostile"), ["x", "y"], transfers="1") as found:
        found.replace_ascp('echo "$@" >>"$0.started"; exec "$0.good" "$@"')
        yield found


def refused(here: Lab, pattern: str) -> tuple[str, str]:
    """The errno and the reason of opening the zip; nothing was started for it."""
    with pytest.raises(OSError, match="Errno") as caught:
        here.zip("x").read_bytes()
    told = here.told(here.zip("x"), pattern)
    assert told[0] == errno_name(caught.value)
    assert "nothing was started" in told[1] or "spec" in told[1] or told[0] == "ENOENT"
    assert here.server.ascp_sessions == 0
    assert not (here.connect / "bin/ascp.started").exists()
    assert here.left("x") == []
    return told


def times_told(here: Lab, pattern: str) -> int:
    """How many failures have a reason like that; of those that repeat themselves, only the number is told."""
    lines = [line for line in here.errors() if pattern in line]
    return sum(int(found[1]) if (found := re.search(r" \((\d+) times\)$", line)) else 1 for line in lines)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_means_harm_starts_nothing(name: str, shared: Lab) -> None:
    pattern = f"nothing was started: {name} "
    before = times_told(shared, pattern)
    for value in FIELDS[name]:
        shared.server.next_spec = {name: value}
        errno, reason = refused(shared, pattern)
        assert errno == "EIO", value
    wait_until(lambda: times_told(shared, pattern) == before + len(FIELDS[name]))
    TABLE.add(f"{len(FIELDS[name])} of {name}", errno, reason)


@pytest.mark.parametrize("name", MISSING)
def test_a_field_that_is_missing_starts_nothing(name: str, shared: Lab) -> None:
    shared.server.next_spec = lambda spec: {key: value for key, value in spec.items() if key != name}
    assert refused(shared, f"nothing was started: {name} ")[0] == "EIO"


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_no_spec_starts_nothing(name: str, shared: Lab) -> None:
    pattern, shared.server.next_spec = WHOLE[name]
    errno, reason = refused(shared, f"transfer spec.* {pattern}")
    assert errno == "EIO"
    TABLE.add(name, errno, reason)


def test_a_spec_for_nothing_is_told(shared: Lab) -> None:
    shared.server.next_spec = {"paths": []}
    errno, reason = refused(shared, f"the server does not have {ZIP}")
    assert errno == "ENOENT"
    TABLE.add("no paths", errno, reason)


def test_a_spec_of_ten_megabytes_is_refused(shared: Lab) -> None:
    shared.server.next_spec = {"tags": "x" * 10 * 2**20}
    with pytest.raises(OSError, match="Errno") as caught:
        shared.zip("x").read_bytes()
    errno, reason = shared.told(shared.zip("x"), "MiB|bytes|large")
    assert (errno_name(caught.value), errno) == ("EFBIG", "EFBIG")
    assert shared.server.ascp_sessions == 0
    TABLE.add("10 MiB", errno, reason)


def test_after_all_that_a_true_spec_is_taken(shared: Lab) -> None:
    assert shared.zip("y").read_bytes() == content("y")
    assert shared.server.ascp_sessions == 1
    assert len((shared.connect / "bin/ascp.started").read_text().splitlines()) == 1
    (shared.connect / "bin/ascp.started").unlink()
    shared.server.reset_counts()


def test_what_a_spec_has_beside_reaches_no_program(tmp_path: Path) -> None:
    """And one that is as it should be works, also with numbers that are written as texts."""
    with lab(tmp_path, ["x"]) as here:
        here.server.change_specs(lambda spec: {**spec, **IGNORED, "ssh_port": str(spec["ssh_port"])})
        assert here.zip("x").read_bytes() == content("x")
        (run,) = here.server.ascp_runs
        command = "\0".join(run.arguments)
        for text in ("cron.d", "/etc/passwd", "harm", "evil", "-L", "overwrite", "-d", "password"):
            assert text not in command, text
        assert run.arguments[-1] == "."
        assert not set(run.environment) & {"ASPERA_SCP_PASS", "ASPERA_SCP_KEY"}


# -- answers that no JSON library of a server's would make -------------------------------------------------------

NEST = b"[" * 100_000
RAW: Mapping[str, bytes] = {
    "nested deeply": b'{"token": ' + NEST + b"]" * 100_000 + b"}",
    "nested and left open": NEST,
    "objects in objects": b'{"a":' * 100_000,
    "a number without end": b'{"ssh_port": ' + b"9" * 900_000 + b"}",
    "no number": b'{"ssh_port": NaN}',
    "infinite": b'{"ssh_port": Infinity}',
    "no UTF-8": b'{"token": "\xff\xfe"}',
    "half a surrogate": b'{"token": "\\ud800"}',
    "two of it": b'{"token": "a"}{"token": "b"}',
    "a comment": b'/* */ {"token": "a"}',
    "NUL": b"\0" * 1000,
    "blank": b" " * 1000,
    "HTML": b"<html><body>Login</body></html>",
    "XML": b'<?xml version="1.0"?><spec/>',
}


def scripted(body: list[bytes]) -> Callable[[Request], Parts]:
    """A server with one package, whose transfer spec is `body`."""
    offers = json.dumps({"packages": [{"id": "x", "label": "x", "count": 1, "size": 1000}]}).encode()
    answers = {
        "/data/JSESSION": reply(b"5EC4E7000000000000000000000000AB"),
        "/data/version": reply(b"1.6.4"),
        "/data/projects": listing({"ID": PROJECT}),
        f"/data/projects/{PROJECT}/subjects": listing({"ID": "S1", "label": SUBJECT}),
        "/data/auth": reply(b"User 'ana' is logged in"),
    }

    def script(request: Request) -> Parts:
        path, _, query = request.target.partition("?")
        if path == "/spring/download":
            return [reply(offers if request.method == "GET" or "view=packages" in query else body[0])]
        return [answers.get(path, reply(b"", 404))]

    return script


def test_an_answer_that_is_hardly_json_starts_nothing(tmp_path: Path) -> None:
    body = [b""]
    ascp = tmp_path / "ascp"
    ascp.write_text('#!/bin/sh\ntouch "$0.started"\n')
    ascp.chmod(0o700)
    (tmp_path / "asperaweb_id_dsa.openssh").touch()
    with (
        Scripted(scripted(body)) as server,
        mounted(server, LOGIN, tmp_path / "m", tmp_path / "c", {"ASCP": str(ascp)}, **LAB_OPTIONS) as point,
    ):
        zip_file = point / "packages" / PROJECT / SUBJECT / ZIP
        for name, raw in RAW.items():
            body[0] = raw
            with pytest.raises(OSError, match="Errno") as caught:
                zip_file.read_bytes()
            assert errno_name(caught.value) == "EIO", name
        said = check_errors(point)
        assert "transfer spec" in said
        body[0] = b"x" * 3 * 2**20
        with pytest.raises(OSError, match="Errno 27"):
            zip_file.read_bytes()
    assert not ascp.with_name("ascp.started").exists()
