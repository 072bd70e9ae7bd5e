"""Whose login is sent to which server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cdbfs.credentials import Credentials, find
from cdbfs.errors import ConfigError

URL = "https://db.example.invalid:8443/xnat"


def environ(tmp_path: Path, text: str, mode: int = 0o600, **more: str) -> dict[str, str]:
    netrc = tmp_path / "netrc"
    netrc.write_bytes(text.encode("utf-8", "surrogateescape"))
    netrc.chmod(mode)
    return {"NETRC": str(netrc), **more}


def nowhere(tmp_path: Path) -> dict[str, str]:
    """A netrc that has nothing for anybody."""
    return environ(tmp_path, "")


MACHINE = "machine db.example.invalid login me password s3cret\n"


def test_nothing_given_is_a_guest(tmp_path: Path) -> None:
    assert find(URL, nowhere(tmp_path)) is None


def test_the_environment_gives_a_login(tmp_path: Path) -> None:
    given = {**nowhere(tmp_path), "CDBFS_USER": "jürgen", "CDBFS_PASSWORD": "a:b €"}
    assert find(URL, given) == Credentials("jürgen", "a:b €")


def test_the_environment_wins_over_netrc(tmp_path: Path) -> None:
    given = environ(tmp_path, MACHINE, CDBFS_USER="other", CDBFS_PASSWORD="pw")
    assert find(URL, given) == Credentials("other", "pw")


def test_the_users_name_may_come_from_the_setting_and_the_password_from_the_environment(tmp_path: Path) -> None:
    assert find(URL, {**nowhere(tmp_path), "CDBFS_PASSWORD": "pw"}, "me") == Credentials("me", "pw")


def test_an_empty_password_is_a_password(tmp_path: Path) -> None:
    given = {**nowhere(tmp_path), "CDBFS_USER": "me", "CDBFS_PASSWORD": ""}
    assert find(URL, given) == Credentials("me", "")


def test_a_password_without_a_user_is_half_a_login(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CDBFS_USER is not"):
        find(URL, environ(tmp_path, MACHINE, CDBFS_PASSWORD="pw"))


def test_a_user_without_a_password_is_half_a_login(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no password for me: set CDBFS_PASSWORD"):
        find(URL, {**nowhere(tmp_path), "CDBFS_USER": "me"})


def test_netrc_gives_the_login_of_its_host_without_port_or_path(tmp_path: Path) -> None:
    assert find(URL, environ(tmp_path, MACHINE)) == Credentials("me", "s3cret")


def test_the_login_of_another_host_is_not_sent(tmp_path: Path) -> None:
    for url in ("https://example.invalid", "https://db.example.invalid.evil.invalid", "https://b.example.invalid"):
        assert find(url, environ(tmp_path, MACHINE)) is None


def test_the_named_user_finds_the_password_in_netrc(tmp_path: Path) -> None:
    assert find(URL, environ(tmp_path, MACHINE, CDBFS_USER="me")) == Credentials("me", "s3cret")
    assert find(URL, environ(tmp_path, MACHINE), "me") == Credentials("me", "s3cret")


def test_another_users_password_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no password for other"):
        find(URL, environ(tmp_path, MACHINE), "other")


def test_a_netrc_of_many_alphabets_is_read_where_python_can(tmp_path: Path) -> None:
    text = "machine db.example.invalid login jürgen password pä€\n"
    if sys.version_info >= (3, 11):
        assert find(URL, environ(tmp_path, text)) == Credentials("jürgen", "pä€")
    else:
        with pytest.raises(ConfigError, match="line 1 is not netrc syntax"):
            find(URL, environ(tmp_path, text))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660])
def test_a_netrc_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        find(URL, environ(tmp_path, MACHINE, mode))
    assert "s3cret" not in str(caught.value)


def test_an_open_netrc_that_has_nothing_for_the_server_is_no_concern(tmp_path: Path) -> None:
    assert find("https://other.invalid", environ(tmp_path, MACHINE, 0o644)) is None


@pytest.mark.parametrize("text", ["machine db.example.invalid login me passwort s3cret\n", "s3cret\n"])
def test_what_is_no_netrc_is_told_with_its_line_and_without_its_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"line [12] is not netrc syntax") as caught:
        find(URL, environ(tmp_path, text))
    assert "s3cret" not in str(caught.value)


def test_a_netrc_that_is_named_and_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"NETRC names .*/absent, which is not there"):
        find(URL, {"NETRC": str(tmp_path / "absent")})


def test_who_has_no_netrc_is_a_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find(URL, {}) is None
    (tmp_path / ".netrc").write_text(MACHINE)
    (tmp_path / ".netrc").chmod(0o600)
    assert find(URL, {}) == find(URL, {"NETRC": ""}) == Credentials("me", "s3cret")


def test_a_netrc_that_is_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        find(URL, {"NETRC": str(tmp_path)})


@pytest.mark.parametrize("half", ["password s3cret", "login me"])
def test_half_a_login_in_netrc_is_refused(tmp_path: Path, half: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(URL, environ(tmp_path, f"machine db.example.invalid {half}\n"))
    assert "s3cret" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    login = Credentials("me", "s3cret")
    assert "s3cret" not in f"{login!r} {login}"
