"""One process to a folder: a lock that the kernel releases when its holder ends, however it ends.

flock(2) on a file beside what is written. Linux carries it over NFS, where the server keeps locks; a file system that
keeps none, and Windows, are named in a warning, and nothing guards the folder there. What a killed process leaves, the
file, blocks nobody.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from threading import get_ident
from typing import TYPE_CHECKING

from materium.errors import DataError
from materium.io.atomic import LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

HAS_LOCKS = find_spec("fcntl") is not None
"""Not on Windows."""
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_HELD: dict[Path, tuple[int, int]] = {}
"""Of this process, by the lock's file: the descriptor, and the thread that holds it."""


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from working in it until the block ends.

    Within one thread a folder may be held several times over. A folder that takes no files is not locked: whoever
    writes to it is refused by the file system.

    Raises
    ------
    DataError
        If another process, or another thread of this one, holds the folder.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _hold(folder.resolve() / LOCK, folder):
            yield
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()  # refused where something was written


@contextmanager
def hold_target(target: Path) -> Iterator[None]:
    """Keep other processes from writing a file, or a folder that is to appear whole; errors as in `hold_folder`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _hold(target.parent.resolve() / f".{target.name}{LOCK}", target):
        yield


@contextmanager
def new_target(target: Path) -> Iterator[Path]:
    """Give a path to write a file or folder to, which gets the name `target` when the block ends, and goes if it fails.

    Raises
    ------
    DataError
        If the target exists, or as `hold_folder`.
    """
    with hold_target(target):
        if target.exists():
            raise DataError(f"{target} exists and is never overwritten; name another output or remove it")
        part = target.with_name(f".{target.name}.part")
        _remove(part)  # what a kill left
        try:
            yield part
            part.rename(target)
        finally:
            _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _hold(file: Path, shown: Path) -> Iterator[None]:
    if file in _HELD and _HELD[file][1] == get_ident():
        yield
        return
    if not HAS_LOCKS:
        log.warning("warning: this system has no file locks; start no second process on %s", shown)
    descriptor = _locked(file, shown) if HAS_LOCKS else None
    if descriptor is None:
        yield
        return
    _HELD[file] = descriptor, get_ident()
    try:
        yield
    finally:
        if _HELD.pop(file, None):  # else this is a copy of the process that holds it
            file.unlink(missing_ok=True)  # while it is held: who opened it meanwhile sees that it is gone
            os.close(descriptor)


def _locked(file: Path, shown: Path) -> int | None:
    """The descriptor of a lock that is held now; None where there can be none."""
    import fcntl

    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno in NOT_WRITABLE:
                return None
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise DataError(f"{shown} is in use by {holder}; wait until it ends, or name another folder") from None
        except OSError as error:
            os.close(descriptor)
            file.unlink(missing_ok=True)
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF):
                raise
            log.warning(
                "warning: the file system of %s keeps no locks (%s); start no second process on it",
                shown,
                error.strerror,
            )
            return None
        if _is_there(file, descriptor):
            break
        os.close(descriptor)  # its holder has removed it between the two calls
    note = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):  # on a full disk it is held without a name
        os.fchmod(descriptor, 0o666)  # others who share the folder must be able to open it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
    return descriptor


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    """What the lock's file says of its holder; a holder of this moment may not have said anything yet."""
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {note['process']} on host {note['host']} since {note['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _forget_in_child() -> None:
    """A process that begins as a copy holds nothing: else the lock would outlive the process that took it."""
    for descriptor, _ in _HELD.values():
        os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
