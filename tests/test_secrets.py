"""Nothing secret where others can look, and nothing secret to a server that it was not meant for."""

from __future__ import annotations

import base64
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn, connectomedb
from cdbfs.errors import ServerFault
from cdbfs.mount import mounts
from tests.hostile.servers import LOGIN, SESSION, Parts, daemon, document, listing, server
from tests.views import cdbfs, environment, in_memory, mounted
from tests.worlds import World
from tests.xnat.servers import Request, Scripted, reply

BASIC = base64.b64encode(f"{LOGIN.user}:{LOGIN.password}".encode()).decode()
SECRETS = (LOGIN.password, SESSION, BASIC)
REFUSING = {
    "html": [reply(f"<html>{SESSION} {LOGIN.password}</html>".encode())],
    "redirected": [reply(b"", 302, {"Location": f"/app/login;jsessionid={SESSION}?password={LOGIN.password}"})],
    "failing": [reply(f"{SESSION} {BASIC}".encode(), 500, {"X-Session": SESSION})],
    "forbidden": [reply(f"{SESSION} {LOGIN.password}".encode(), 403)],
    "broken": [reply(f'<a {SESSION}="{LOGIN.password}">'.encode())],
    "cut": [reply(SESSION.encode(), headers={"Content-Length": "999"})],
    "cookies": [reply(document("x").encode(), headers={"Set-Cookie": f"JSESSIONID={'F' * 32}; Path=/"})],
    "no HTTP": [f"{SESSION} {LOGIN.password}\r\n\r\n".encode()],
}
"""Answers that hold secrets and that tempt whoever explains them to quote them."""


def site(experiments: Mapping[str, Parts]) -> dict[str, Parts]:
    """A project P with a subject S that has these experiments."""
    rows = [
        {"ID": f"E{number}", "label": name, "subject_ID": "S1", "insert_date": "2020-01-01 00:00:00"}
        for number, name in enumerate(experiments)
    ]
    return {
        "/data/projects": [listing({"ID": "P"})],
        "/data/projects/P/subjects": [listing({"ID": "S1", "label": "S"})],
        "/data/projects/P/experiments": [listing(*rows)],
        "/data/auth": [reply(b"User 'ana' is logged in")],
        **{f"/data/experiments/E{number}": parts for number, parts in enumerate(experiments.values())},
    }


@contextmanager
def in_foreground(url: str, login: Credentials, directory: Path, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """`cdbfs mount -f` with the login in its environment, mounted; unmounted in the end."""
    directory.mkdir()
    cache = directory.with_name("cache")
    child = subprocess.Popen(
        [sys.executable, "-m", "cdbfs", "mount", "-f", f"-ocache_dir={cache}", url, str(directory)],
        env=environment(login, **extra),
        cwd=directory.parent,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_with_cores,
    )
    assert child.stderr is not None
    line = child.stderr.readline()
    try:
        assert line.startswith("mounted on"), line
        yield child
    finally:
        child.kill()
        child.communicate()
        if mounts.is_mounted(str(directory)):
            mounts.unmount(str(directory), lazy=True)


def _with_cores() -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def processes() -> Iterator[Path]:
    """Every process of this machine."""
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def check(text: str | bytes, where: object) -> None:
    data = text.encode() if isinstance(text, str) else text
    for secret in SECRETS:
        assert secret.encode() not in data, where


# --- where others can look


def test_no_file_of_a_mount_tells_a_secret(tmp_path: Path) -> None:
    cases = {**REFUSING, "good": [reply(document("").encode())]}
    with server(site(cases)) as running, mounted(running, LOGIN, tmp_path / "m", tmp_path / "c") as mount:
        for name in cases:
            with suppress(OSError):
                (mount / "projects/P/subjects/S/experiments" / name / "experiment.xml").read_bytes()
        assert any(SESSION in request.headers.get("cookie", "") for request in running.requests)
        ends = time.monotonic() + 10
        errors = ""
        while not all(f"/{name}/" in errors for name in REFUSING):
            assert time.monotonic() < ends, errors
            time.sleep(0.2)
            errors = (mount / ".cdbfs/errors").read_text()
        for path in (*mount.glob(".cdbfs/*"), mount / "README.txt", *(tmp_path / "c").rglob("*")):
            check(path.name, path)
            if path.is_file():
                check(path.read_bytes(), path)


def test_no_argument_list_and_no_environment_tells_a_secret(tmp_path: Path) -> None:
    with server(site({})) as running, mounted(running, LOGIN, tmp_path / "m", tmp_path / "c") as mount:
        assert os.listdir(mount / "projects") == ["P"]
        for process in processes():
            with suppress(OSError):
                check((process / "cmdline").read_bytes(), process)
        check(Path("/proc", str(daemon(mount)), "environ").read_bytes(), "environ")


def test_a_login_from_the_environment_does_not_reach_the_programs_that_a_mount_calls(tmp_path: Path) -> None:
    """In the foreground the login may lie in the environment, of which fusermount3 and umount would get a copy."""
    (tmp_path / "bin").mkdir()
    for name in ("fusermount3", "umount"):
        spy = tmp_path / "bin" / name
        spy.write_text(f'#!/bin/sh\nenv >>{tmp_path}/seen\nexec {shutil.which(name)} "$@"\n')
        spy.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    with server(site({})) as running, in_foreground(running.url, LOGIN, tmp_path / "m", PATH=path) as child:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=20)
    seen = (tmp_path / "seen").read_text()
    assert f"PATH={path}" in seen
    check(seen, "environment of fusermount3")


def test_a_daemon_that_crashes_leaves_no_core(tmp_path: Path) -> None:
    with server(site({})) as running, in_foreground(running.url, LOGIN, tmp_path / "m") as child:
        child.send_signal(signal.SIGSEGV)
        _, status = os.waitpid(child.pid, 0)
        child.returncode = -os.WTERMSIG(status)
        assert os.WTERMSIG(status) == signal.SIGSEGV
        assert not os.WCOREDUMP(status)
        assert not list(tmp_path.glob("core*"))


def test_a_core_that_is_made_all_the_same_holds_no_memory() -> None:
    """As where the kernel hands it to a program, which no limit prevents."""
    tell = "print(open('/proc/self/coredump_filter').read(), resource.getrlimit(resource.RLIMIT_CORE))"
    program = f"import resource; from cdbfs.mount import secrecy; secrecy.leave_no_core(); {tell}"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout.split("\n") == ["00000000", " (0, 0)", ""]
    assert int(Path("/proc/self/coredump_filter").read_text(), 16) != 0  # the tests' own is left alone


# --- to whom it goes


def test_http_to_another_machine_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """127.0.0.2 stands for another machine: it is none of the names of this one that need no encryption."""
    (tmp_path / "m").mkdir()
    login = Credentials("mylogin", "mypasswd")
    with StandIn(connectomedb(2), host="127.0.0.2") as running:
        for arguments in ((), ("-oallow_http=127.0.0.3:example.org",)):
            done = cdbfs("mount", *arguments, running.url, str(tmp_path / "m"), login=login)
            assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
            assert "not encrypted" in done.stderr
        assert running.counts() == {}
        with mounted(running, login, tmp_path / "m", tmp_path / "c", allow_http="127.0.0.2") as mount:
            assert os.listdir(mount / "projects") == ["HCP_Q1", "HCP_Q2"]


STATUSES = (301, 302, 303, 307, 308)


def locations(other: str) -> list[str]:
    """Where a redirect may lead: another origin, in many spellings, and this one."""
    bare = other.partition("//")[2]
    return [
        f"{other}/data/projects",
        f"//{bare}/data/projects",
        f"/\\{bare}/",
        f"http://127.0.0.1@{bare}/",
        f"https://{bare}/",
        f"http://localhost:{bare.rpartition(':')[2]}/",
        "/app/template/Login.vm",
        "elsewhere",
    ]


@pytest.mark.parametrize("status", STATUSES)
def test_no_redirect_is_followed_neither_by_data_nor_by_the_login(status: int, tmp_path: Path) -> None:
    """The other origin hears nothing; this one is asked for nothing that nobody asked for."""
    with server(site({})) as other:
        bad: dict[str, Parts] = {
            str(number): [reply(b"<a/>", status, {"Location": location, "Refresh": f"0; url={location}"})]
            for number, location in enumerate(locations(other.url))
        }
        answers = site(bad)
        with server(answers) as running, mounted(running, LOGIN, tmp_path / "m", tmp_path / "c") as mount:
            experiments = mount / "projects/P/subjects/S/experiments"
            for name in bad:
                with pytest.raises(OSError, match=r".") as caught:
                    (experiments / name / "experiment.xml").read_bytes()
                assert caught.value.errno in (errno.EACCES, errno.EIO)
            asked = {request.target.partition("?")[0] for request in running.requests}
            assert asked <= {*answers, "/data/JSESSION", "/data/version", "/spring/download"}
        login = [request for request in running.requests if "authorization" in request.headers]
        assert {request.target for request in login} == {"/data/JSESSION"}
        assert other.requests == []


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirected_login_goes_nowhere_else(status: int, tmp_path: Path) -> None:
    with server(site({})) as other:
        for location in locations(other.url):
            answer = [reply(SESSION.encode(), status, {"Location": location})]
            with Scripted(lambda request, answer=answer: answer) as running:  # type: ignore[misc]
                with pytest.raises(ServerFault) as caught, in_memory(running, LOGIN, tmp_path / "c"):
                    pass
                assert [request.target for request in running.requests] == ["/data/JSESSION"]
            check(str(caught.value), location)
        assert other.requests == []


COOKIES = (
    f"JSESSIONID={'E' * 32}; Domain=127.0.0.1; Path=/",
    f"JSESSIONID={'E' * 32}; Domain=.example.org; Path=/data",
    "JSESSIONID=x\ty; Path=/",
    "other=1; Path=/; HttpOnly",
    f"a=b, JSESSIONID={'E' * 32}",
    "JSESSIONID=; Max-Age=0",
)


def test_no_cookie_of_a_servers_making_is_sent(tmp_path: Path) -> None:
    """Only the session of the login goes out, to the address that gave it, whatever Set-Cookie says."""
    cases: dict[str, Parts] = {
        str(number): [reply(document("").encode(), headers={"Set-Cookie": cookie})]
        for number, cookie in enumerate(COOKIES)
    }
    with server(site(cases)) as running, mounted(running, LOGIN, tmp_path / "m", tmp_path / "c") as mount:
        for name in cases:
            with suppress(OSError):
                (mount / "projects/P/subjects/S/experiments" / name / "experiment.xml").read_bytes()
        assert os.listdir(mount / "projects") == ["P"]
    sent = [request.headers.get("cookie") for request in running.requests]
    assert set(sent) == {None, f"JSESSIONID={SESSION}"}
    assert all(cookie is None for cookie, request in zip(sent, running.requests) if is_login(request))


def is_login(request: Request) -> bool:
    return request.method == "GET" and request.target == "/data/JSESSION"


@pytest.mark.parametrize("session", ["a\r\nX-Injected: 1", "a b", "a\0b", "", "x" * 300, "<html>", "ä"])
def test_a_session_that_would_reach_further_than_a_cookie_is_refused(session: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with Scripted(lambda request: [reply(session.encode())]) as running:
        done = cdbfs("mount", running.url, str(tmp_path / "m"), login=LOGIN)
        assert done.returncode == 1
        assert "no session" in done.stderr
        assert len(running.requests) == 1


def test_a_login_of_netrc_goes_to_its_own_host_only(tutorial: World, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {LOGIN.user} password {LOGIN.password}\n")
    netrc.chmod(0o600)
    (tmp_path / "m").mkdir()
    with Scripted(lambda request: [reply(b"", 401)]) as running:
        other = running.url.replace("127.0.0.1", "localhost")
        done = cdbfs("mount", other, str(tmp_path / "m"), NETRC=str(netrc))
        assert done.returncode == 1
        assert [request.headers.get("authorization") for request in running.requests] == [None]
        done = cdbfs("mount", running.url, str(tmp_path / "m"), NETRC=str(netrc))
        assert running.requests[-1].headers["authorization"] == f"Basic {BASIC}"
        check(done.stderr, "stderr")
