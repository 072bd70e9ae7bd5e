"""What is mounted where, as the kernel tells it, and how to take a mount of ours away.

Used by daemon, asking and cli. A mount whose daemon hangs must not hang us.

Threads: plain functions.
"""

from __future__ import annotations

import errno
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdbfs.errors import CdbfsError, ConfigError

FSTYPE = "fuse.cdbfs"
MOUNTINFO = Path("/proc/self/mountinfo")
UNMOUNT_SECONDS = 10.0
ANSWER_SECONDS = 3.0
MOST_LINKS = 40
UNMOUNTERS = ("fusermount3", "fusermount")
"""libfuse 3's and libfuse 2's; each takes away the other's mounts too."""


class Mount(NamedTuple):
    """A mount as the kernel lists it."""

    point: str
    kind: str
    device: str
    root: str = "/"
    """What of its filesystem is mounted there: "/" but for bind mounts."""
    source: str = ""
    user: int = -1
    """Whose it is; -1 where that is not told."""

    @property
    def is_ours(self) -> bool:
        return self.kind == FSTYPE


def all_of(user: int) -> list[Mount]:
    """The cdbfs mounts of a user, those that are dead among them."""
    return sorted(mount for mount in _on_top().values() if mount.is_ours and mount.user == user)


def leading_to(path: str) -> tuple[Mount, str] | None:
    """The cdbfs that a path leads into, and the path in it; None where it leads into none.

    Nothing is asked of the cdbfs: it may be dead, and what is meant may have to be fetched first.
    """
    tops = {point: mount for point, mount in _on_top().items() if mount.is_ours}
    here, found, links = "/", tops.get("/"), 0
    names = (path if os.path.isabs(path) else os.path.join(os.getcwd(), path)).split("/")
    while names:
        name = names.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            found = None if found is not None and here == found.point else found
            here = os.path.dirname(here)
            continue
        here = os.path.join(here, name)
        if found is not None:
            continue
        found = tops.get(here)
        target = "" if found is not None else _link(here)
        if target:
            links += 1
            if links > MOST_LINKS:
                raise ConfigError(f"{path} is a link that leads to itself")
            here = os.path.dirname(here)
            if target.startswith("/"):
                here, found = "/", tops.get("/")
            names = [*target.split("/"), *names]
    if found is None:
        return None
    return found, os.path.normpath(f"{found.root}/{here[len(found.point.rstrip('/')) :]}").lstrip("/")


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def is_mounted(directory: str) -> bool:
    """Whether a cdbfs, alive or dead, is what lies on top of `directory` (an absolute path without links)."""
    return device(directory) != ""


def device(directory: str) -> str:
    """The device number of the cdbfs on top of `directory`, which tells mounts apart; "" if there is none."""
    found = _on_top().get(directory)
    return found.device if found is not None and found.is_ours else ""


def is_dead(directory: str) -> bool:
    """Whether the daemon behind the mount on `directory` is gone: the kernel answers ENOTCONN for it."""
    return is_mounted(directory) and _errno_of(directory) in (errno.ENOTCONN, errno.ECONNABORTED)


def answers(directory: str) -> bool:
    """Whether the daemon behind the mount on `directory` answers at all."""
    return _errno_of(directory) != errno.ETIMEDOUT


def _errno_of(directory: str) -> int:
    """What a question to the daemon comes to: 0, or an errno; ETIMEDOUT where it does not answer.

    statfs, since a stat may be answered from what the kernel remembers; in a thread, since one that is stopped
    would hold us for ever.
    """
    answer: queue.Queue[int] = queue.Queue()

    def ask() -> None:
        try:
            os.statvfs(directory)
            answer.put(0)
        except OSError as error:
            answer.put(error.errno or errno.EIO)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        return errno.ETIMEDOUT


def real_path(directory: str) -> str:
    """`directory` made absolute and free of links without looking into it, so that a dead mount does no harm."""
    path = directory if os.path.isabs(directory) else os.path.join(os.getcwd(), directory)
    for _ in range(MOST_LINKS):
        above, name = os.path.split(path.rstrip("/"))
        if name == ".":
            path = above
            continue
        if name in ("", ".."):
            return os.path.dirname(real_path(above)) if name else "/"
        path = os.path.join(os.path.realpath(above), name)
        try:
            # Not islink: lstat of a mount point may wait for ever for a daemon that is stopped, readlink does not.
            target = os.readlink(path)
        except OSError:
            return path
        path = os.path.join(os.path.dirname(path), target)
    raise ConfigError(f"{directory} is a link that leads to itself")


def unmount(directory: str, *, lazy: bool = False) -> None:
    """Take the mount of ours on `directory` away, and wait until it is gone.

    Lazily: at once, while who still uses it keeps what is open. Raises ConfigError where no cdbfs is mounted, and
    CdbfsError, naming who uses it, where it is busy.
    """
    if not is_mounted(directory):
        raise ConfigError(f"no cdbfs is mounted on {directory}")
    try:
        done = subprocess.run(
            _command(directory, lazy), capture_output=True, text=True, timeout=UNMOUNT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CdbfsError(f"{directory} does not answer; cdbfs umount --lazy {directory} takes it away") from None
    if done.returncode != 0:
        users = ", ".join(_users(directory))
        if users:
            raise CdbfsError(f"{directory} is in use by {users}; end them, or: cdbfs umount --lazy {directory}")
        raise CdbfsError(f"{directory} could not be unmounted: {done.stderr.strip()}")
    _wait_until_gone(directory)


def _command(directory: str, lazy: bool) -> list[str]:
    if os.geteuid() == 0 and shutil.which("umount"):
        return ["umount", *(["-l"] if lazy else []), "--", directory]
    helper = next(filter(shutil.which, UNMOUNTERS), None)
    if helper is None:
        raise CdbfsError(f"to unmount, {' or '.join(UNMOUNTERS)} is needed: apt-get install fuse3")
    return [helper, "-u", "-q", *(["-z"] if lazy else []), "--", directory]


def _wait_until_gone(directory: str) -> None:
    ends = time.monotonic() + UNMOUNT_SECONDS
    while is_mounted(directory) and time.monotonic() < ends:
        time.sleep(0.02)


def _on_top() -> dict[str, Mount]:
    """The mount that is on top of each mount point: the last."""
    return {mount.point: mount for mount in _mounts()}


def _mounts() -> Iterator[Mount]:
    """Every mount. Format: proc(5), /proc/pid/mountinfo."""
    for line in MOUNTINFO.read_bytes().split(b"\n"):
        left, separator, right = line.decode("utf-8", "surrogateescape").partition(" - ")
        if separator:
            fields, (kind, source, options) = left.split(" "), right.split(" ", 2)
            user = re.search(r"(?:^|,)user_id=(\d+)", options)
            yield Mount(
                _unescape(fields[4]),
                kind,
                fields[2],
                _unescape(fields[3]),
                _unescape(source),
                int(user[1]) if user else -1,
            )


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _users(directory: str) -> Iterator[str]:
    """Processes of ours that have a file or their working directory below `directory`."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _uses(process, directory):
            try:
                name = (process / "comm").read_text().strip()
            except OSError:
                continue
            yield f"{name} ({process.name})"


def _uses(process: Path, directory: str) -> bool:
    try:
        links = [process / "cwd", process / "root", *(process / "fd").iterdir()]
        targets = [os.readlink(link) for link in links]
    except OSError:
        return False
    return any(target == directory or target.startswith(directory + "/") for target in targets)
