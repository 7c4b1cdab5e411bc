"""Files that users name: opened only if they are files, unpacked within limits, decoded whatever program wrote them.

A named pipe would wait for ever, a device never ends, and a small `.gz` may hold terabytes: each is one line here.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import stat
from typing import IO, TYPE_CHECKING, Any

from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Buffer

MAX_STRUCTURE_BYTES = 64 << 20
"""Of a file that holds one structure: one of `MAX_SITES` sites has a hundredth of that."""
MAX_JSON_BYTES = 256 << 20
"""Of a JSON file, unpacked: it is in memory as a whole, some ten times as large."""
MAX_UNPACKED_RATIO = 100
"""Times which a packed file may grow; tables of crystals grow 3 to 30 times, what is made to fill a memory 1,000."""
FREE_UNPACKED_BYTES = 64 << 20
"""Unpacked bytes for which the ratio is not looked at."""
MAX_LINE = 16 << 20
"""Characters of a line."""
_READ_BYTES = 1 << 20
_UNDECODED = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as Python's `surrogateescape` writes them."""
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)


def check_file(path: Path) -> int:
    """Return the size in bytes of a regular file; raises `DataError` on a pipe, a device, a folder, or none at all."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"cannot open {path}: {error.strerror}") from error
    except ValueError as error:  # a zero byte in the name
        raise DataError(f"cannot open {str(path)!r}: {error}") from error
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise DataError(f"{path} is {name}, not a file; save its content in a file first")
    return found.st_size


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacking `.gz` within `MAX_UNPACKED_RATIO`; raises `DataError`, also on the way where it grows."""
    size = check_file(path)
    file: IO[bytes] = path.open("rb")
    return io.BufferedReader(_Unpacked(path, file, size), _READ_BYTES) if path.suffix.lower() == ".gz" else file


def read_bytes(path: Path, limit: int) -> bytes:
    """Return a file's content, unpacked; raises `DataError` on more than `limit` bytes."""
    size = check_file(path)
    if size <= limit:
        with open_bytes(path) as file:
            content = file.read(limit + 1)
        if len(content) <= limit:
            return content
    raise DataError(f"{path} has more than {limit >> 20} MiB; split it, or write a Parquet table")


def read_text(path: Path) -> str:
    """Return the text of a file of one structure; raises `DataError`."""
    return decode(read_bytes(path, MAX_STRUCTURE_BYTES))


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return what a JSON file holds; raises `DataError` on what is none, and on brackets in brackets without end."""
    text = decode(read_bytes(path, limit))
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DataError(f"cannot read {path}: its brackets are nested too deeply; give JSON of records") from error
    except ValueError as error:
        raise DataError(f"cannot read {path}: {str(error)[:160]}; give a whole JSON file") from error


def decode(content: bytes) -> str:
    """Return a text by its byte-order mark, or as UTF-8; bytes that are not UTF-8 are taken for Windows' Latin-1."""
    for mark, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(name, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _as_latin(content.decode("utf-8", errors="surrogateescape"))


def utf8_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of an open file as UTF-8 without a byte-order mark, decoded as `decode` does."""
    first = file.read(_READ_BYTES)
    mark, name = next(((m, n) for m, n in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", "utf-8"))
    decoder = codecs.getincrementaldecoder(name)(errors="surrogateescape" if name == "utf-8" else "replace")
    block = first[len(mark) :]
    while True:
        text = decoder.decode(block, final=not block)
        yield (text if text.isascii() else _as_latin(text)).encode("utf-8", errors="replace")
        if not block:
            return
        block = file.read(_READ_BYTES)


class Utf8File(io.RawIOBase):
    """A table's bytes as UTF-8, for readers that know nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = open_bytes(path)
        self._blocks = utf8_blocks(self._file)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that this can be read from."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer; returns the number of bytes, 0 at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file; raises `DataError`, also for a line of more than `MAX_LINE` characters."""
    with io.TextIOWrapper(io.BufferedReader(Utf8File(path), _READ_BYTES), encoding="utf-8") as lines:
        while line := lines.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith("\n"):
                raise DataError(f"{path} has a line of more than {MAX_LINE >> 20} MiB; it is no text of structures")
            yield line


class _Unpacked(io.RawIOBase):
    """The content of a gzip file; raises `DataError` once it is out of proportion to what was packed."""

    def __init__(self, path: Path, file: IO[bytes], packed: int) -> None:
        super().__init__()
        self._path, self._raw, self._limit = path, file, max(FREE_UNPACKED_BYTES, MAX_UNPACKED_RATIO * packed)
        self._file = gzip.GzipFile(fileobj=file, mode="rb")
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        count = self._file.readinto(memoryview(buffer).cast("B"))
        self._count += count
        if self._count > self._limit:
            raise DataError(
                f"{self._path} unpacks to more than {self._limit >> 20} MiB, over {MAX_UNPACKED_RATIO} times its size; "
                f"unpack it yourself if that is right"
            )
        return count

    def close(self) -> None:
        self._file.close()
        self._raw.close()
        super().close()


def _as_latin(text: str) -> str:
    """The text with its undecodable bytes as the signs of Windows-1252, or of Latin-1 where that has none."""
    return _UNDECODED.sub(lambda found: _latin(ord(found[0]) - 0xDC00), text)


def _latin(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)
