"""Every setting of a mount, in one frozen object: flags over environment over profile over defaults.

Used by cli, which builds a Settings and hands it to runtime. A setting is a field of Settings: its name is the
key in `-o KEY=VALUE`, in `CDBFS_KEY` and in `[profiles.NAME]` of the configuration file; its metadata is its help.

Threads: frozen data and plain functions.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timezone, tzinfo
from pathlib import Path
from typing import Any, Callable, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import platformdirs

from cdbfs.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

IGNORED_OPTIONS = frozenset(
    (
        "rw",
        "ro",
        "nosuid",
        "nodev",
        "defaults",
        "auto",
        "noauto",
        "user",
        "users",
        "owner",
        "nofail",
        "_netdev",
        "noatime",
    )
)
"""What /etc/fstab and mount(8) hand to every filesystem; a mount of cdbfs is nosuid and nodev in any case."""

LISTING_CONNECTIONS = 2
"""Requests for listings at once, beside `connections` for documents."""

SEARCHES = 2
"""Searches at once, beside these: one may keep a server busy for minutes."""

LOGIN_VARIABLES = ("CDBFS_USER", "CDBFS_PASSWORD")
"""What credentials.find reads."""

AUTOMATIC = "auto"
"""What leaves a choice to us."""

SERVER_VARIABLE = "CDBFS_SERVER"
"""The profile or URL that commands without a mount ask."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    known = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def _whole(value: str) -> int:
    number = _parse(int, value, "a whole number")
    if number < 1:
        raise ValueError("a whole number of at least 1")
    return number


def _count(value: str) -> int:
    number = _parse(int, value, "a whole number")
    if number < 0:
        raise ValueError("a whole number of at least 0")
    return number


def _seconds(value: str) -> float:
    number = _parse(float, value.removesuffix("s"), "seconds, like 30")
    if not 0 <= number < 1e9:
        raise ValueError("seconds, like 30")
    return number


def _positive_seconds(value: str) -> float:
    number = _seconds(value)
    if number <= 0:
        raise ValueError("seconds above 0")
    return number


def _size(value: str) -> int:
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    text = value.strip().upper().removesuffix("B").removesuffix("I")
    unit = text[-1:] if text[-1:] in units else ""
    number = _parse(float, text.removesuffix(unit), "bytes, like 500M or 2G")
    if not 0 <= number * units[unit] < 2**63:
        raise ValueError("bytes, like 500M or 2G")
    return int(number * units[unit])


def _octal(value: str) -> int:
    return int(value, 8)


def _mask(value: str) -> int:
    number = _parse(_octal, value, "an octal mask, like 022")
    if not 0 <= number <= 0o777:
        raise ValueError("an octal mask, like 022")
    return number


def _directory(value: str) -> Path:
    if not value:
        raise ValueError("a directory")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("a directory of a user this machine knows") from None


def _fuse(value: str) -> str:
    if value not in (AUTOMATIC, "2", "3"):
        raise ValueError("2, 3 or auto")
    return value


def _names(value: str) -> frozenset[str]:
    return frozenset(value.replace(":", " ").split())


def _zone(value: str) -> tzinfo:
    if value.upper() == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone this machine knows, like America/Chicago") from None


def _parse(kind: Callable[[str], T], value: str, expected: str) -> T:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(expected) from None


def _setting(default: Any, parse: Callable[[str], Any], help_text: str, shown: str = "") -> Any:
    metadata = {"parse": parse, "help": help_text, "shown": shown}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _default_cache() -> Path:
    return Path(platformdirs.user_cache_dir("cdbfs"))


def _default_shelf() -> Path:
    return Path(platformdirs.user_data_dir("cdbfs")) / "search"


@dataclass(frozen=True)
class Settings:
    """What a mount runs by. Times are seconds, sizes bytes."""

    url: str = _setting("", _text, "the server, such as https://db.humanconnectome.org", "none")
    user: str = _setting("", _text, "the login, where netrc has several", "none")
    umask: int = _setting(0o077, _mask, "permission bits taken away from everything shown", "077")
    allow_other: bool = _setting(False, _flag, "let other users of this machine in, as umask allows")
    nonempty: bool = _setting(False, _flag, "mount over a directory that holds files")
    fuse: str = _setting(AUTOMATIC, _fuse, "the libfuse to mount with, 2 or 3; auto takes 3 where it is installed")
    attr_timeout: float = _setting(1.0, _seconds, "how long the kernel keeps sizes and times (libfuse 3)")
    entry_timeout: float = _setting(1.0, _seconds, "how long the kernel keeps names (libfuse 3)")
    zone: tzinfo = _setting(timezone.utc, _zone, "the server's time zone", "UTC")
    cache_dir: Path = _setting(_default_cache, _directory, "where documents are kept", "$XDG_CACHE_HOME/cdbfs")
    cache_size: int = _setting(2**30, _size, "how much of the disk kept documents may take", "1G")
    search_dir: Path = _setting(
        _default_shelf,
        _directory,
        "where the queries of search/ lie, by login and server",
        "$XDG_DATA_HOME/cdbfs/search",
    )
    results_size: int = _setting(5 * 2**30, _size, "how much of the disk kept results may take", "5G")
    result_ttl: float = _setting(86400.0, _seconds, "how long the result of a search counts as fresh")
    save_wait: float = _setting(30.0, _seconds, "how long saving a query waits for its result")
    memory_size: int = _setting(64 * 2**20, _size, "how much memory kept documents may take", "64M")
    listings: int = _setting(512, _whole, "how many listings are kept in memory")
    listing_ttl: float = _setting(300.0, _seconds, "how long a listing counts as fresh")
    document_ttl: float = _setting(
        3600.0, _seconds, "how long a kept document counts as fresh though no date changed"
    )
    retry_pause: float = _setting(5.0, _seconds, "pause before a failed refresh is tried again")
    connect_timeout: float = _setting(5.0, _positive_seconds, "longest wait for a connection")
    silence_timeout: float = _setting(30.0, _positive_seconds, "longest silence of the server")
    request_deadline: float = _setting(120.0, _positive_seconds, "longest time for one listing or document")
    search_deadline: float = _setting(600.0, _positive_seconds, "longest time for one search")
    lookup_deadline: float = _setting(10.0, _positive_seconds, "longest wait of ls and stat")
    login_pause: float = _setting(
        600.0, _seconds, "pause before a server that refuses its own sessions is asked again"
    )
    connections: int = _setting(8, _whole, "how many documents are fetched at once")
    packages_size: int = _setting(
        0, _size, "how much of the disk packages may take; 0 is 50G, or a fifth of the disk", "0"
    )
    packages_free: int = _setting(2 * 2**30, _size, "how much of the disk packages leave free", "2G")
    packages_dir: Path | None = _setting(
        None, _directory, "a directory that packages are copied from, instead of Aspera", "none"
    )
    packages_command: str = _setting("", _text, "a command that fetches packages, instead of Aspera", "none")
    aspera_hosts: frozenset[str] = _setting(
        frozenset({"*.humanconnectome.org", "*.wustl.edu"}),
        _names,
        "hosts that packages may come from, beside the server itself, separated by colons",
        "*.humanconnectome.org:*.wustl.edu",
    )
    transfers: int = _setting(3, _whole, "how many transfers run at once")
    transfer_stall: float = _setting(60.0, _positive_seconds, "how long a transfer may stand still")
    transfer_grace: float = _setting(60.0, _seconds, "how long a transfer goes on that nobody waits for")
    stat_fetches: frozenset[str] = _setting(
        frozenset({"unzip", "zipinfo"}),
        _names,
        "programs whose look at a package fetches it: they go by its size before they open it",
        "unzip:zipinfo",
    )
    bulk_limit: int = _setting(
        25, _count, "how many packages one program may have fetched by opening them; 0 is any number"
    )
    max_member_ratio: int = _setting(1000, _whole, "how many times its packed size a large member may unpack to")
    max_waiters: int = _setting(160, _whole, "how many readers may wait at once; the next get EAGAIN")
    max_threads: int = _setting(200, _whole, "how many filesystem calls are worked on at once")
    max_listing_bytes: int = _setting(256 * 2**20, _size, "largest listing taken", "256M")
    max_document_bytes: int = _setting(64 * 2**20, _size, "largest document taken", "64M")
    max_result_bytes: int = _setting(2**31, _size, "largest answer to a search taken", "2G")
    allow_http: frozenset[str] = _setting(
        frozenset(), _names, "hosts that may be asked without encryption, separated by colons", "none"
    )


def settings() -> tuple[Field[Any], ...]:
    """Every setting, as dataclass fields whose metadata hold `parse`, `help` and `shown` (its default)."""
    return fields(Settings)


def load(
    target: str,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    config_file: Path | None = None,
) -> Settings:
    """The settings for `target`: a URL, or the name of a profile in the configuration file.

    `options` are the flags' KEY=VALUE. Raises ConfigError naming the key, where it stands and what was expected.
    """
    layers: list[tuple[str, Mapping[str, str]]] = []
    if "://" in target:
        layers.append(("the command line", {"url": target}))
    else:
        path = config_file or default_config_file(environ)
        layers.append((f"[profiles.{target}] in {path}", _profile(target, path)))
    layers.append(("the environment", _from_environment(environ)))
    layers.append(("-o", {key: value for key, value in options.items() if not _ignored(key, value)}))
    values: dict[str, Any] = {}
    for source, layer in layers:
        for key, text in layer.items():
            values[key] = _value(key, text, source)
    settings = Settings(**values)
    check_url(settings.url, settings.allow_http)
    _check(settings)
    return settings


def server(given: str | None, environ: Mapping[str, str], config_file: Path | None = None) -> str:
    """The profile or URL meant: the one given, else CDBFS_SERVER, else the profile `default`, or the only one."""
    if given or environ.get(SERVER_VARIABLE):
        return given or environ[SERVER_VARIABLE]
    path = config_file or default_config_file(environ)
    names = sorted(_profiles(path)) if path.exists() else []
    if "default" in names or len(names) == 1:
        return "default" if "default" in names else names[0]
    raise ConfigError(f"which server? Say -s PROFILE|URL, or set {SERVER_VARIABLE}, or name it in {path}")


def parse_options(items: tuple[str, ...]) -> dict[str, str]:
    """The KEY=VALUE pairs of `-o a=1,b -o c=2`; a bare KEY stands for KEY=true."""
    pairs = [pair.partition("=") for item in items for pair in item.split(",") if pair]
    return {key.strip(): value if equals else "" for key, equals, value in pairs}


def default_config_file(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "cdbfs" / "config.toml"


def check_url(url: str, allow_http: frozenset[str] = frozenset()) -> None:
    """Raise ConfigError unless `url` is https, or http to this machine or to a host named in `allow_http`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigError(f"not a server's address: {url!r}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"not a server's address: {url!r}; it looks like https://db.humanconnectome.org")
    if parts.username or parts.password:
        raise ConfigError("the address holds a login; put it into CDBFS_USER and CDBFS_PASSWORD, or ~/.netrc")
    if "?" in url or "#" in url:
        raise ConfigError(f"the address ends in more than a path: {url!r}")
    if parts.scheme == "http" and host not in LOOPBACK | allow_http:
        raise ConfigError(f"{url} is not encrypted: use https, or allow this one host with -o allow_http={host}")


def _ignored(key: str, value: str) -> bool:
    if key == "user" and value:
        return False  # the bare word is fstab's, user=NAME is ours
    return key in IGNORED_OPTIONS or key.startswith(("x-", "comment"))


def _profiles(path: Path) -> dict[str, Any]:
    """The tables [profiles.NAME] of the configuration file."""
    try:
        with path.open("rb") as file:
            profiles = tomllib.load(file).get("profiles", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return profiles if isinstance(profiles, dict) else {}


def _profile(name: str, path: Path) -> dict[str, str]:
    if not path.exists():
        raise ConfigError(f"{name!r} is no address (https://...), and no profile: there is no {path}")
    profiles = _profiles(path)
    table = profiles.get(name)
    if not isinstance(table, dict):
        raise ConfigError(f"{path} has no [profiles.{name}]{_nearest(name, profiles)}")
    if isinstance(table.get("umask"), int):
        raise ConfigError(f'umask in {path} must stand in quotes, like umask = "027"')
    return {key: _toml_text(value) for key, value in table.items()}


def _toml_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ":".join(str(item) for item in value)
    return str(value)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    names = {f"CDBFS_{key.name.upper()}": key.name for key in settings() if key.name not in ("url", "user")}
    for variable in environ:
        if (
            variable.startswith("CDBFS_")
            and variable not in names
            and variable not in (*LOGIN_VARIABLES, SERVER_VARIABLE)
        ):
            raise ConfigError(f"{variable} in the environment is no setting{_nearest(variable, names)}")
    return {name: environ[variable] for variable, name in names.items() if variable in environ}


def _value(key: str, text: str, source: str) -> Any:
    for setting in settings():
        if setting.name == key:
            try:
                return setting.metadata["parse"](text)
            except ValueError as expected:
                raise ConfigError(f"{key}={text} ({source}): expected {expected}") from None
    if "passw" in key.lower():
        raise ConfigError(f"{key} ({source}) is no setting: a password comes from CDBFS_PASSWORD or ~/.netrc")
    raise ConfigError(f"{key} ({source}) is no setting{_nearest(key, [k.name for k in settings()])}")


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _check(settings: Settings) -> None:
    if settings.max_threads < settings.max_waiters + 2:
        raise ConfigError(
            f"max_threads={settings.max_threads} must leave room above max_waiters={settings.max_waiters}: "
            "else readers that wait would stop everybody"
        )
