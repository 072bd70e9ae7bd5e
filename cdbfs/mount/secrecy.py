"""Keeps what this process knows to itself: the login, the session, and data about people.

Used by cli before it reads a login.

Threads: plain functions, called once at start.
"""

from __future__ import annotations

import ctypes
import os

from cdbfs.config import LOGIN_VARIABLES

PR_SET_DUMPABLE = 4
"""prctl(2)"""


def keep_memory_private() -> None:
    """No core of this process, and no look into its memory or its environment for others than root.

    A limit of 0 on the size of cores would not do: the kernel hands cores to a program such as systemd-coredump
    all the same (core(5)). Children that run another program are as they were.
    """
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_login_variables() -> None:
    """Take the login out of the environment that children get, such as fusermount3."""
    for name in LOGIN_VARIABLES:
        os.environ.pop(name, None)
