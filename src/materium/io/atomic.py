"""Files that are there whole or not at all, and the checksums by which damage to them is found.

Everything that Materium writes and reads again goes through here: a file is written under another name, flushed to the
disk, and renamed. JSON that a later run relies on carries a checksum of itself; larger files have theirs in such JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

CHECKSUM = "checksum"
"""The key of signed JSON that holds the checksum of all the others."""
LOCK = ".lock"
"""The file of `materium.io.lock` in a folder."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` when the block ends, and goes if the block fails."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # on a full disk half a file is in the way


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that a reader sees the old one or the new one whole."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: Path, data: Mapping[str, Any], *, allow_nan: bool = False) -> None:
    """Write JSON at once or not at all; what is not finite is refused unless it is allowed."""
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=allow_nan) + "\n").encode())


def write_signed(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON that `read_signed` finds damage in."""
    write_json(path, {**data, CHECKSUM: _checksum(data)})


def read_signed(path: Path, kind: str, remedy: str = "choose another --out") -> dict[str, Any]:
    """Return what `write_signed` wrote.

    Parameters
    ----------
    kind
        What the file describes, for the message: "no run", say.
    remedy
        What to do about damage.

    Raises
    ------
    DataError
        If the file is no JSON object, or another one than was written.
    """
    if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
        raise DataError(f"{path} describes {kind} (no regular file); {remedy}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} describes {kind} ({error}); {remedy}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} describes {kind} (no JSON object); {remedy}")
    if data.pop(CHECKSUM, None) != _checksum(data):
        raise DataError(f"{path} describes {kind} (damaged or edited: its checksum is another); {remedy}")
    return data


def digest(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal; of a folder, that of its files' names and digests."""
    if path.is_dir():
        inside = sorted((file.name, digest(file)) for file in path.iterdir())
        return hashlib.sha256(json.dumps(inside).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the digests of files and folders in a folder, by name."""
    return {name: digest(folder / name) for name in names}


def damaged(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """Return the names of files and folders that are missing, or other ones than those of `expected`."""
    return [name for name, value in expected.items() if not (folder / name).exists() or digest(folder / name) != value]


def whole(mark: Path) -> bool:
    """Whether signed JSON and the files beside it, whose digests it has under `files`, are as they were written."""
    try:
        return not damaged(mark.parent, read_signed(mark, "nothing")["files"])
    except (DataError, FileNotFoundError):
        return False


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a stopped write or a lock leaves."""
    return all(file.name == LOCK or (file.name[0] == "." and file.suffix == ".part") for file in folder.iterdir())


def _checksum(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
