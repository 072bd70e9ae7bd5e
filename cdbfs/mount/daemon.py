"""Serves one mount until it is unmounted or a signal ends it.

Used by cli (`cdbfs mount -f`). Signals are taken by one thread of ours, with sigwait: libfuse's own handlers would
leave readers waiting, and a Python handler never runs while the main thread is inside libfuse. So SIGTERM, SIGINT
and SIGHUP all end the mount cleanly while readers wait: they are let go, the mount is taken away, lazily where it
is in use, and after a grace the process ends even if somebody still holds a file open.

Threads: `serve` belongs to the main thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable

from cdbfs.config import Settings
from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.mount import binding, control, mounts
from cdbfs.mount.operations import Operations
from cdbfs.runtime import Runtime
from cdbfs.store.disk import own

log = logging.getLogger(__name__)

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_SECONDS = 3.0
READY_SECONDS = 10.0


def prepare(directory: str, settings: Settings) -> str:
    """The real path of a mount point that can be mounted on; a dead mount of ours on it is cleared.

    Raises ConfigError, saying in one line what is wrong and what helps.
    """
    path = clear(directory)
    _check_directories(path, settings)
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise ConfigError(f"{directory} is no directory")
        raise ConfigError(f"there is no {directory}; make it first: mkdir -p {directory}")
    try:
        empty = not os.listdir(path)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be looked into: {error.strerror}") from None
    if not empty and not settings.nonempty:
        raise ConfigError(
            f"{directory} is not empty, and a mount would hide what is in it; cdbfs mount -o nonempty allows it"
        )
    _check_fuse(settings)
    own(settings.cache_dir, "cache_dir")
    own(settings.search_dir, "search_dir")
    return path


def clear(directory: str) -> str:
    """The real path of `directory`, a dead mount of ours on it taken away. Raises ConfigError if one lives."""
    path = mounts.real_path(directory)
    if mounts.is_dead(path):
        mounts.unmount(path, lazy=True)
    if mounts.is_mounted(path):
        state = "" if mounts.answers(path) else f", and does not answer (cdbfs umount --lazy {directory})"
        raise ConfigError(f"a cdbfs is mounted on {directory} already{state}")
    return path


def _check_directories(mountpoint: str, settings: Settings) -> None:
    """What the daemon keeps must not lie in its own mount: it would wait for itself."""
    for name in ("cache_dir", "search_dir"):
        kept = Path(os.path.realpath(getattr(settings, name)))
        if Path(mountpoint) in (kept, *kept.parents):
            raise ConfigError(f"{name}={kept} lies below the mount point {mountpoint}; give it another place")


def _check_fuse(settings: Settings) -> None:
    if not os.path.exists("/dev/fuse"):
        raise ConfigError(
            "there is no /dev/fuse: load the kernel module (modprobe fuse), or open it to the container"
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise ConfigError("/dev/fuse is closed to you; distributions open it: chmod 666 /dev/fuse (as root)")
    if os.geteuid() != 0 and settings.allow_other and not _user_allow_other():
        raise ConfigError("allow_other needs the line user_allow_other in /etc/fuse.conf")
    binding.load(settings.fuse)  # so that what is missing is told before anybody logs in


def _user_allow_other() -> bool:
    try:
        with open("/etc/fuse.conf", encoding="utf-8") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False


def serve(runtime: Runtime, directory: str, on_ready: Callable[[], None]) -> None:
    """Mount on `directory` (see `prepare`) and serve it. Returns when it is unmounted; signals end it, too.

    `on_ready` is called once the mount has answered. Raises ConfigError where it cannot be mounted.
    """
    fuse = binding.load(runtime.settings.fuse)
    log.info("mounting with libfuse %d.%d", *fuse.version)
    settings = binding.adapted(fuse, runtime.settings)
    operations = Operations(
        runtime.tree,
        runtime.search,
        runtime.journal,
        settings,
        binding.interrupted_function(fuse),
        fuse.module.fuse_get_context,
        lambda: binding.forgetter(fuse),
    )
    runtime.runs.ended = operations.search_ended
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)  # inherited by every thread made from here on
    ours = _Ours(directory)
    _in_background(lambda: _end_on_signal(runtime, operations, ours))
    _in_background(lambda: _tell_when_ready(ours, on_ready))
    socket = control.serve(runtime)
    runtime.control = socket.path
    os.umask(0)  # that of who makes a file in search/ was heeded by the kernel; all else says its mode itself
    try:
        binding.run(fuse, operations, directory, {**_options(settings), **binding.options(fuse, settings)})
    finally:
        operations.end()
        socket.close()


def _options(settings: Settings) -> dict[str, Any]:
    options = {
        "fsname": settings.url.replace("\\", "\\\\").replace(",", "\\,"),
        "subtype": "cdbfs",
        "nosuid": True,
        "nodev": True,
        "use_ino": True,
        "attr_timeout": settings.attr_timeout,
        "entry_timeout": settings.entry_timeout,
        "negative_timeout": 0,
    }
    if settings.allow_other:
        # Without default_permissions the kernel would not hold others to the modes that umask leaves.
        options.update(allow_other=True, default_permissions=True)
    return options


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


class _Ours:
    """The mount of this process, told apart from one that takes its place while this process still ends.

    Threads: `device` is set once, by who waits for the mount.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.device = ""

    def appeared(self) -> bool:
        self.device = mounts.device(self.directory)
        return self.device != ""

    def take_away(self, *, lazy: bool) -> None:
        """Unmount it, if it is there."""
        try:
            found = mounts.device(self.directory)
            if found and self.device in ("", found):
                mounts.unmount(self.directory, lazy=lazy)
        except (CdbfsError, OSError) as error:
            log.info("%s", error)


def _tell_when_ready(ours: _Ours, on_ready: Callable[[], None]) -> None:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        if ours.appeared():
            os.stat(ours.directory)
            on_ready()
            return
        time.sleep(0.01)
    log.error("%s did not appear among the mounts within %g s", ours.directory, READY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_on_signal(runtime: Runtime, operations: Operations, ours: _Ours) -> None:
    number = signal.sigwait(ENDING_SIGNALS)
    log.info("signal %s: unmounting %s", signal.Signals(number).name, ours.directory)
    operations.end()
    ours.take_away(lazy=False)
    ends = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < ends:
        ours.take_away(lazy=True)  # it is in use, or appears only now
        time.sleep(GRACE_SECONDS / 10)
    # Somebody still holds a file open on the detached mount. The main thread stays in libfuse as long as they do.
    with contextlib.suppress(Exception):
        runtime.close()
    ours.take_away(lazy=True)
    os._exit(0)
