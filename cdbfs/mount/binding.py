"""The one place that knows which FUSE binding is used, and what ctypes must be told besides.

libfuse 3 through mfusepy. mfusepy takes libfuse 2 where both are installed unless it is told otherwise before it
is imported. Never the `intr` option: it kills the daemon at the first interrupt; `fuse_interrupted` is polled
instead, which works without it.

Threads: `interrupted` must be called in the thread of the callback it asks about.
"""

from __future__ import annotations

import ctypes
import os
from types import ModuleType
from typing import Any, Callable

from cdbfs.errors import ConfigError

MISSING = "libfuse 3 is not installed: apt-get install fuse3"


def load() -> ModuleType:
    """The mfusepy module on libfuse 3. Raises ConfigError naming what to install."""
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
    try:
        import mfusepy  # late: it loads libfuse, which `cdbfs demo --no-mount` does not need
    except (OSError, AttributeError):
        raise ConfigError(MISSING) from None
    module: ModuleType = mfusepy
    return module


def interrupted_function(fuse: ModuleType) -> Callable[[], bool]:
    """libfuse's own answer to: has the process that this callback works for been interrupted?"""
    function = fuse._libfuse.fuse_interrupted
    function.restype = ctypes.c_int

    def interrupted() -> bool:
        return bool(function())

    return interrupted


def forgetter(fuse: ModuleType) -> Callable[[str], None]:
    """A function that makes the kernel forget what it knows of a path; to be made in `init`.

    fuse.h: it must not be called where a lookup in its directory, or a setattr or readdir of it, waits for the
    caller; a pending open is no hindrance. A path that the kernel does not know is no error here.
    """
    library = fuse._libfuse
    library.fuse_invalidate_path.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    handle = ctypes.c_void_p(library.fuse_get_context().contents.fuse)

    def forget(path: str) -> None:
        library.fuse_invalidate_path(handle, path.encode("utf-8", "surrogateescape"))

    return forget


def run(fuse: ModuleType, operations: Any, mountpoint: str, options: dict[str, Any]) -> None:
    """Mount and serve until unmounted. Raises RuntimeError with libfuse's status where it could not mount."""
    fuse.FUSE(operations, mountpoint, raw_fi=True, foreground=True, **options)
