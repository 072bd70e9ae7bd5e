"""The one place that knows which FUSE binding is used, what it must be told besides, and what differs with it.

libfuse 3 through mfusepy where it is on the machine, else libfuse 2 through fusepy; one Operations class serves
both. What is not alike:

- mfusepy takes libfuse 2 where both are installed, unless it is told otherwise before it is imported.
- libfuse 2 cannot make the kernel forget a path. There the kernel is told to remember nothing, neither names nor
  sizes: each open is preceded by a lookup and each fstat is a question to us, so versions.py's promise holds
  without forgetting, at the price of more questions.
- fusepy calls the operations object with an operation's name, and decodes paths with an encoding that raises on
  what is not UTF-8; it is given one that does not.
- libfuse 2 starts as many threads as there are calls; libfuse 3 is told how many.
- mfusepy leaves out the flags of a rename, without which `mv -n` replaces, and the handle of a truncate.
- libfuse 2 itself refuses a directory that is not empty, libfuse 3 leaves that to us.

Never the `intr` option: on libfuse 3 it kills the daemon at the first interrupt. `fuse_interrupted` is polled
instead, which works without it on both.

Threads: plain functions; `interrupted` must be called in the thread of the callback it asks about.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import importlib
import os
import select
import shutil
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Callable

from cdbfs.config import AUTOMATIC, Settings
from cdbfs.errors import ConfigError

IDLE_THREADS = 10
PATH_ENCODING = "cdbfs_paths"
"""UTF-8 that carries what is none, as os.fsdecode does and as mfusepy has it of itself."""


@dataclass(frozen=True)
class Library:
    """A libfuse: how its binding is called, and what an installation of it consists of."""

    major: int
    binding: str
    module: str
    helper: str
    """The program that mounts for ordinary users; it must be found in PATH."""
    install: str
    install_helper: str

    def __str__(self) -> str:
        return f"libfuse {self.major}"


LIBRARIES = (
    Library(3, "mfusepy", "mfusepy", "fusermount3", "apt-get install fuse3", "apt-get install fuse3"),
    Library(
        2,
        "fusepy",
        "fuse",
        "fusermount",
        "apt-get install libfuse2 (newer systems: libfuse2t64)",
        "apt-get install fuse3 (or fuse)",
    ),
)
"""The first is preferred."""


@dataclass(frozen=True)
class Binding:
    """A binding with its libfuse, loaded."""

    library: Library
    version: tuple[int, int]
    module: ModuleType


def has_helper(library: Library) -> bool:
    """Whether this user can mount with it: root mounts without help."""
    return os.geteuid() == 0 or shutil.which(library.helper) is not None


def load(
    choice: str = AUTOMATIC,
    importing: Callable[[str], ModuleType] = importlib.import_module,
    mounts: Callable[[Library], bool] = has_helper,
) -> Binding:
    """The binding that the setting `fuse` asks for. Raises ConfigError naming what to install.

    Automatically, a libfuse whose helper is missing is the last resort.
    """
    wanted = [library for library in LIBRARIES if choice in (AUTOMATIC, str(library.major))]
    reasons = []
    for library in sorted(wanted, key=lambda each: not mounts(each)):
        try:
            return _load(library, importing)
        except ConfigError as error:
            reasons.append(str(error))
    raise ConfigError("; or ".join(reasons))


def _load(library: Library, importing: Callable[[str], ModuleType]) -> Binding:
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"  # for mfusepy; fusepy does not heed it
    try:
        module = importing(library.module)  # late: it loads libfuse, which `cdbfs demo --no-mount` does not need
    except ImportError as error:
        raise ConfigError(f"{library} needs the Python package {library.binding}: {error}") from None
    except (OSError, AttributeError):
        raise ConfigError(f"{library} is not installed: {library.install}") from None
    native = getattr(module, "_libfuse", None)
    if native is None or not hasattr(module, "fuse_get_context"):
        raise ConfigError(
            f"{library} needs the Python package {library.binding}, but another one (python3-fuse?) provides the "
            f"module {library.module}: {getattr(module, '__file__', None)}"
        )
    version = _version(native.fuse_version())
    if version[0] != library.major or version < (2, 9):
        found = ".".join(map(str, version))
        raise ConfigError(f"{library} is wanted, but {native._name} is {found}; is FUSE_LIBRARY_PATH set?")
    return Binding(library, version, module)


def _version(number: int) -> tuple[int, int]:
    """fuse_version(): 29 is 2.9, 314 is 3.14 (FUSE_MAKE_VERSION of fuse_common.h)."""
    return divmod(number, 10 if number < 100 else 100)


def adapted(binding: Binding, settings: Settings) -> Settings:
    """`settings` as this libfuse can keep them: where it cannot make the kernel forget, it must not remember."""
    return settings if binding.library.major == 3 else replace(settings, attr_timeout=0.0, entry_timeout=0.0)


def options(binding: Binding, settings: Settings) -> dict[str, Any]:
    """The options of a mount that only this libfuse has."""
    if binding.library.major == 2:
        return {
            # Reads that wait must not fill the kernel's queue; on libfuse 3 `init_with_config` sets these.
            "max_background": settings.max_threads,
            "congestion_threshold": congestion_threshold(settings),
            "nonempty": settings.nonempty,
        }
    if binding.version < (3, 12):  # threads are not limited
        return {}
    # libfuse 3.14 complains on stderr of its own default for the idle ones.
    return {"max_threads": settings.max_threads, "max_idle_threads": IDLE_THREADS}


def congestion_threshold(settings: Settings) -> int:
    """The length of the kernel's queue of reads from which it counts as congested; 3/4, as in the kernel."""
    return settings.max_threads * 3 // 4


def interrupted_function(binding: Binding) -> Callable[[], bool]:
    """libfuse's own answer to: has the process that this callback works for been interrupted?"""
    function = binding.module._libfuse.fuse_interrupted
    function.restype = ctypes.c_int

    def interrupted() -> bool:
        return bool(function())

    return interrupted


def forgetter(binding: Binding) -> Callable[[str], None]:
    """A function that makes the kernel forget what it knows of a path; to be made in `init`, on libfuse 3.

    fuse.h: it must not be called where a lookup in its directory, or a setattr or readdir of it, waits for the
    caller; a pending open is no hindrance. A path that the kernel does not know is no error here. Nothing is
    done once the mount is gone: libfuse, which then ends, would complain, or be taken apart meanwhile.
    """
    library = binding.module._libfuse
    library.fuse_invalidate_path.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.fuse_get_session.argtypes = library.fuse_session_fd.argtypes = [ctypes.c_void_p]
    library.fuse_get_session.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.fuse_get_context().contents.fuse)
    device = library.fuse_session_fd(library.fuse_get_session(handle))

    def forget(path: str) -> None:
        poll = select.poll()
        poll.register(device, 0)
        if not poll.poll(0):  # else /dev/fuse tells that nobody is at its other end
            library.fuse_invalidate_path(handle, path.encode("utf-8", "surrogateescape"))

    return forget


class _Called:
    """Operations as fusepy wants them: called with the name of the operation. mfusepy warns of such a thing."""

    use_ns = True

    def __init__(self, operations: object) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operations, name)

    def __call__(self, name: str, *arguments: Any) -> Any:
        return getattr(self._operations, name)(*arguments)


@functools.cache
def _register_path_encoding() -> None:
    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        return codecs.utf_8_encode(text, "surrogateescape")

    def decode(data: Any, errors: str = "strict") -> tuple[str, int]:
        return codecs.utf_8_decode(data, "surrogateescape", True)

    info = codecs.CodecInfo(encode, decode, name=PATH_ENCODING)
    codecs.register(lambda name: info if name == PATH_ENCODING else None)


def _readdir(c_stat: Any) -> Callable[..., int]:
    """The callback of readdir. The bindings' own make a dictionary of each name, and hand over the whole directory
    before its first name is out."""

    def readdir(self: Any, path: Any, buffer: Any, filler: Any, offset: int, info: Any, *flags: int) -> int:
        found = c_stat()
        reference = ctypes.byref(found)
        more = (0,) * len(flags)  # libfuse 3 has them, of the filler too
        for name, type_bits, number in self.operations.readdir(None, info.contents.fh, offset):
            found.st_mode = type_bits
            found.st_ino = number
            offset += 1
            if filler(buffer, name, reference, offset, *more):
                break
        return 0

    return readdir


def _fuse_2(module: ModuleType) -> Any:
    """fusepy's FUSE with a faster readdir."""

    class Fuse(module.FUSE):  # type: ignore[name-defined, misc]
        readdir = _readdir(module.c_stat)

    return Fuse


def _fuse_3(module: ModuleType) -> Any:
    """mfusepy's FUSE with a faster readdir, and with what it leaves out though libfuse 3 hands it over: rename's
    flags, and truncate's file handle."""

    class Fuse(module.FUSE):  # type: ignore[name-defined, misc]
        readdir_fuse_3 = _readdir(module.c_stat)

        def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
            return int(self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags) or 0)

        def truncate_fuse_3(self, path: bytes | None, length: int, handle: Any) -> int:
            name = None if path is None else os.fsdecode(path)
            return int(self.operations.truncate(name, length, handle.contents if handle else None) or 0)

    return Fuse


def run(binding: Binding, operations: object, mountpoint: str, options: dict[str, Any]) -> None:
    """Mount and serve until unmounted. Raises ConfigError where it could not mount."""
    if binding.library.major == 2:
        _register_path_encoding()
        operations = _Called(operations)
        options = {**options, "encoding": PATH_ENCODING}
    fuse = (_fuse_2 if binding.library.major == 2 else _fuse_3)(binding.module)
    try:
        fuse(operations, mountpoint, raw_fi=True, foreground=True, **options)
    except RuntimeError:  # with libfuse's status, which tells nothing
        raise ConfigError(f"{mountpoint} could not be mounted; {_reason(binding.library)}") from None


def _reason(library: Library) -> str:
    if has_helper(library):
        return f"{library}'s own message says why"
    return f"{library} needs the program {library.helper}: {library.install_helper}"
