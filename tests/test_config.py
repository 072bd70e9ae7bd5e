"""Settings: where they come from, which wins, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cdbfs import config
from cdbfs.config import Settings, check_url, default_config_file, load, parse_options, settings
from cdbfs.errors import ConfigError

URL = "https://db.example.invalid"


def given(**options: str) -> Settings:
    return load(URL, options, {})


def profile(tmp_path: Path, text: str, name: str = "lab", environ: Mapping[str, str] | None = None) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load(name, {}, environ or {}, file)


def test_a_url_alone_gives_the_defaults() -> None:
    assert load(URL, {}, {}) == Settings(url=URL)


def test_flags_win_over_environment_over_profile_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[profiles.lab]\nurl = "{URL}"\nlistings = 1\nconnections = 1\nmax_waiters = 1\n')
    environ = {"CDBFS_LISTINGS": "2", "CDBFS_CONNECTIONS": "2"}
    got = load("lab", {"connections": "3"}, environ, file)
    assert (got.url, got.max_waiters, got.listings, got.connections) == (URL, 1, 2, 3)
    assert got.listing_ttl == Settings().listing_ttl


def test_the_login_in_the_environment_is_no_setting_and_no_mistake() -> None:
    got = load(URL, {}, {"CDBFS_USER": "somebody", "CDBFS_PASSWORD": "s3cret"})
    assert got == Settings(url=URL)


@pytest.mark.parametrize(
    ("variable", "offered"), [("CDBFS_LISTING", "CDBFS_LISTINGS"), ("CDBFS_URL", ""), ("CDBFS_PASSWD", "")]
)
def test_a_variable_that_is_no_setting_is_told(variable: str, offered: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable} in the environment is no setting.*{offered}") as caught:
        load(URL, {}, {variable: "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_variables_of_others_are_no_concern() -> None:
    assert load(URL, {}, {"CDBF": "1", "XCDBFS_LISTING": "1", "LISTINGS": "1"}) == Settings(url=URL)


@pytest.mark.parametrize("key", ["password", "passwd", "CDBFS_PASSWORD"])
def test_a_password_among_the_settings_is_sent_elsewhere_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match=r"a password comes from CDBFS_PASSWORD or ~/\.netrc") as caught:
        given(**{key: "s3cret"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("user", "me", "me"),
        ("umask", "022", 0o022),
        ("umask", "0", 0),
        ("allow_other", "", True),
        ("allow_other", "Yes", True),
        ("nonempty", "false", False),
        ("attr_timeout", "2.5", 2.5),
        ("listing_ttl", "30s", 30.0),
        ("listing_ttl", "0", 0.0),
        ("cache_size", "500M", 500 * 2**20),
        ("cache_size", "1.5GiB", 3 * 2**29),
        ("cache_size", "2tb", 2 * 2**40),
        ("cache_size", "0", 0),
        ("cache_size", " 7 ", 7),
        ("connections", "3", 3),
        ("zone", "utc", timezone.utc),
        ("zone", "America/Chicago", ZoneInfo("America/Chicago")),
        ("allow_http", "a.lab:b.lab", frozenset({"a.lab", "b.lab"})),
    ],
)
def test_a_value_is_read(key: str, text: str, value: object) -> None:
    assert getattr(given(**{key: text}), key) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("umask", "8"),
        ("umask", "-1"),
        ("umask", "1777"),
        ("umask", ""),
        ("allow_other", "perhaps"),
        ("attr_timeout", "nan"),
        ("attr_timeout", "inf"),
        ("attr_timeout", "-1"),
        ("attr_timeout", "soon"),
        ("connect_timeout", "0"),
        ("cache_size", "big"),
        ("cache_size", "B"),
        ("cache_size", "nan"),
        ("cache_size", "inf"),
        ("cache_size", "-1"),
        ("cache_size", "9999999T"),
        ("connections", "0"),
        ("connections", "1.5"),
        ("connections", "9" * 5000),
        ("zone", "Mars/Olympus"),
        ("zone", "../../etc/passwd"),
        ("zone", "/etc/passwd"),
        ("zone", "America"),
        ("zone", ""),
        ("cache_dir", ""),
        ("cache_dir", "~nobody-of-that-name/x"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_place(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}=.* \(-o\): expected "):
        given(**{key: text})


def test_a_wrong_value_of_the_environment_names_the_environment() -> None:
    with pytest.raises(ConfigError, match=r"\(the environment\): expected a whole number"):
        load(URL, {}, {"CDBFS_LISTINGS": "many"})


def test_an_unknown_key_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"umsk \(-o\) is no setting; did you mean umask"):
        given(umsk="022")


@pytest.mark.parametrize(
    "options",
    ["rw", "ro", "defaults", "noauto,user", "_netdev,nofail", "noatime", "x-systemd.automount", "comment=mine"],
)
def test_what_fstab_and_mount_hand_to_every_filesystem_is_let_be(options: str) -> None:
    assert load(URL, parse_options((options,)), {}) == Settings(url=URL)


def test_the_bare_word_user_is_fstabs_and_a_users_name_is_ours() -> None:
    assert load(URL, parse_options(("user",)), {}).user == ""
    assert load(URL, parse_options(("noauto,user=me",)), {}).user == "me"


@pytest.mark.parametrize(
    ("items", "pairs"),
    [
        ((), {}),
        (("a=1,b", "c=2"), {"a": "1", "b": "", "c": "2"}),
        (("a=x=y",), {"a": "x=y"}),
        ((",a=,",), {"a": ""}),
        (("a=1", "a=2"), {"a": "2"}),
    ],
)
def test_options_are_pairs_between_commas(items: tuple[str, ...], pairs: dict[str, str]) -> None:
    assert parse_options(items) == pairs


def test_a_home_directory_is_expanded_and_a_path_made_absolute() -> None:
    assert given(cache_dir="~/kept").cache_dir == Path.home() / "kept"
    assert given(cache_dir="kept").cache_dir == Path.cwd() / "kept"


def test_a_profile_is_read_with_its_own_types(tmp_path: Path) -> None:
    text = f'[profiles.lab]\nurl = "{URL}"\nallow_other = true\nlisting_ttl = 1.5\nlistings = 7\n'
    got = profile(tmp_path, text + 'allow_http = ["a", "b"]\n')
    assert (got.allow_other, got.listing_ttl, got.listings) == (True, 1.5, 7)
    assert got.allow_http == {"a", "b"}


@pytest.mark.parametrize("number", ["0o077", "77", "0", "0x3f"])
def test_a_mask_that_is_a_number_of_toml_is_refused(tmp_path: Path, number: str) -> None:
    """0o077 is 63 to a TOML reader; taken for octal digits again it would open everything to others."""
    with pytest.raises(ConfigError, match=r'umask in .*config\.toml must stand in quotes, like umask = "027"'):
        profile(tmp_path, f'[profiles.lab]\nurl = "{URL}"\numask = {number}\n')


def test_a_mask_in_quotes_is_octal(tmp_path: Path) -> None:
    assert profile(tmp_path, f'[profiles.lab]\nurl = "{URL}"\numask = "077"\n').umask == 0o077


def test_a_profile_that_is_not_there_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \[profiles.labb\]; did you mean lab\?"):
        profile(tmp_path, f'[profiles.lab]\nurl = "{URL}"\n', "labb")


@pytest.mark.parametrize("text", ["[profiles.lab", "\udcff", "profiles = 3\n", "[profiles]\nlab = 3\n"])
def test_a_file_that_is_no_configuration_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load("lab", {}, {}, file)


def test_a_name_without_a_file_says_that_it_is_no_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'db\.org' is no address .* there is no .*config\.toml"):
        load("db.org", {}, {}, tmp_path / "config.toml")


def test_a_profile_without_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a server's address"):
        profile(tmp_path, "[profiles.lab]\nlistings = 1\n")


def test_the_configuration_file_is_where_the_environment_says(tmp_path: Path) -> None:
    (tmp_path / "cdbfs").mkdir()
    (tmp_path / "cdbfs" / "config.toml").write_text(f'[profiles.lab]\nurl = "{URL}"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert default_config_file(environ) == tmp_path / "cdbfs" / "config.toml"
    assert load("lab", {}, environ).url == URL


@pytest.mark.parametrize(
    "url",
    [URL, URL + "/", URL + ":8443/xnat", "HTTPS://db.example.invalid", "http://localhost:80", "http://[::1]:8080"],
)
def test_an_encrypted_or_local_address_is_taken(url: str) -> None:
    assert load(url, {}, {}).url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://db.example.invalid",
        "https://",
        "https:///data",
        "https://db.example.invalid:port",
        "https://db.example.invalid:99999",
        "https://[::1",
        "https://me:secret@db.example.invalid",
        "https://me@db.example.invalid",
        "https://db.example.invalid/?a=b",
        "https://db.example.invalid/#top",
        "https://db.example.invalid/#",
        "https://db.example.invalid?",
        "://db.example.invalid",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(url, {}, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://db.example.invalid", "http://127.0.0.1.example.invalid", "http://localhost.lab"]
)
def test_an_address_without_encryption_is_refused_unless_its_host_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="is not encrypted"):
        check_url(url, frozenset({"other.lab"}))
    check_url(url, frozenset({url.removeprefix("http://")}))


def test_the_host_that_the_refusal_names_can_be_allowed() -> None:
    assert load("http://db.lab:80", {"allow_http": "db.lab"}, {}).allow_http == {"db.lab"}


def test_waiters_must_leave_threads_for_others() -> None:
    assert given(max_threads="12", max_waiters="10").max_threads == 12
    with pytest.raises(ConfigError, match="max_threads=11 must leave room"):
        given(max_threads="11", max_waiters="10")


def test_the_cache_is_not_looked_at_before_it_is_used(tmp_path: Path) -> None:
    """What is wrong with it runtime says; `cdbfs config` must show settings even so."""
    (tmp_path / "cache").touch(mode=0o600)
    assert given(cache_dir=str(tmp_path / "cache")).cache_dir == tmp_path / "cache"
    assert given(cache_dir=str(tmp_path / "absent")).cache_dir == tmp_path / "absent"
    assert not (tmp_path / "absent").exists()


def test_documents_are_fresh_for_an_hour_unless_said_otherwise() -> None:
    assert Settings().document_ttl == 3600.0
    assert given(document_ttl="0").document_ttl == 0.0


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: str(setting.name))
def test_every_setting_has_help_and_a_default_that_its_own_parser_takes(setting: Any) -> None:
    assert setting.metadata["help"]
    shown = setting.metadata["shown"] or str(setting.default)
    if shown != "none" and "$" not in shown:
        default = getattr(Settings(), setting.name)
        assert setting.metadata["parse"](shown) == default


def test_the_server_of_a_command_without_a_mount(tmp_path: Path) -> None:
    """The one given, else the one of the environment, else the default profile, or the only one."""
    file = tmp_path / "config.toml"
    assert config.server("https://a", {"CDBFS_SERVER": "b"}, file) == "https://a"
    assert config.server(None, {"CDBFS_SERVER": "b"}, file) == "b"
    with pytest.raises(ConfigError, match="which server"):
        config.server(None, {}, file)
    file.write_text("[profiles.hcp]\nurl = 'https://a'\n")
    assert config.server(None, {}, file) == "hcp"
    file.write_text("[profiles.hcp]\n[profiles.lab]\n")
    with pytest.raises(ConfigError, match="which server"):
        config.server(None, {"CDBFS_SERVER": ""}, file)
    file.write_text("[profiles.hcp]\n[profiles.default]\n")
    assert config.server(None, {}, file) == "default"
    file.write_text("profiles = 5")
    with pytest.raises(ConfigError, match="which server"):
        config.server(None, {}, file)
    file.write_text("[[")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.server(None, {}, file)


def test_the_server_of_commands_is_no_setting() -> None:
    assert config.load("https://a.org", {}, {"CDBFS_SERVER": "https://b.org"}).url == "https://a.org"
