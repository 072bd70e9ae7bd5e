"""Keeps what this process knows to itself: the login, the session, and data about people.

Used by cli before it reads a login.

Threads: plain functions, called once at start.
"""

from __future__ import annotations

import contextlib
import os
import resource

from cdbfs.config import LOGIN_VARIABLES


def leave_no_core() -> None:
    """No core of this process and its children, and no memory in one that is made all the same.

    The limit does not hold where the kernel hands cores to a program such as systemd-coredump; the filter, which
    leaves out every kind of memory, does (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/coredump_filter", "w", encoding="ascii") as file:
        file.write("0")


def forget_login_variables() -> None:
    """Take the login out of the environment that children get, such as fusermount3."""
    for name in LOGIN_VARIABLES:
        os.environ.pop(name, None)
