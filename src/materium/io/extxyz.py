"""Extended XYZ: frames of a stream, what a frame says, and the names that a comment line gives to nobody's labels.

The comment line is read by the rules of ASE's reader (quotes, brackets, escapes, `T` and `F`, `_JSON`), but what is not
needed for the crystal costs nothing here: ASE refuses a whole file for a `stress` of six numbers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium.crystal import MAX_SITES, too_many_sites
from materium.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Value = float | int | bool | str | dict[str, Any]
    """What a comment line says under one name; arrays of numbers are left out."""

SHOWN_LINES = 16
"""Of a stretch without frames, which is kept as one text to be refused; the rest of it is passed over."""
RESERVED = frozenset(
    {
        "Lattice",
        "Properties",
        "born_effective_charges",
        "dielectric_tensor",
        "dipole",
        "occupancy",
        "pbc",
        "polarization",
        "stress",
        "virial",
    }
)
"""Names to which readers give a meaning and a shape: ASE's refuses a file in which they hold a label."""

_COUNT = re.compile(r"\s*\d{1,6}\s*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BOOLEANS = {"T": True, "true": True, "True": True, "TRUE": True, "F": False, "false": False, "False": False}
_BOOLEANS["FALSE"] = False
_CLOSING = {"'": "'", '"': '"', "{": "}", "[": "]"}
_PLAIN_PROPERTIES = "species:S:1:pos:R:3"
_JSON = "_JSON "


class Frame(NamedTuple):
    """What one frame says.

    Attributes
    ----------
    lattice
        Å, shape (3, 3), rows are the lattice vectors; zeros where the frame has none, which is not periodic then.
    positions
        Å, shape (n, 3).
    symbols
        Of the elements, n of them; None where atomic numbers are given alone.
    columns
        The other columns by name, n entries each: a text, or a tuple of texts where a column has several parts.
    info
        Names and values of the comment line, without the lattice, the columns and the periodicity.
    pbc
        Along which vectors the frame is periodic.
    """

    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    symbols: list[str] | None
    columns: dict[str, list[Any]]
    info: dict[str, Value]
    pbc: tuple[bool, bool, bool]


def split_frames(lines: Iterable[str]) -> Iterator[str]:
    """Yield the frames of a stream, one text each, and stretches that belong to no frame.

    A frame that has fewer or more atoms than it says ends where the next count stands alone on its line; it is yielded
    as it is, for `read_frame` to refuse, and costs no other frame.
    """
    stream = iter(lines)
    head = next(stream, None)
    while head is not None:
        frame, after = _frame(head, stream)
        stray: list[str] = []
        while after is not None and not _COUNT.fullmatch(after):
            if after.strip() and len(stray) < SHOWN_LINES:
                stray.append(after)
            after = next(stream, None)
        if stray and len(frame) > 2 and len(stray[0].split()) == len(frame[-1].split()):
            frame, stray = [*frame, *stray], []  # atoms beyond the count
        yield from ("".join(lines) for lines in (frame, stray) if any(map(str.strip, lines)))
        head = after


def _frame(head: str, stream: Iterator[str]) -> tuple[list[str], str | None]:
    """The lines of the frame that begins with `head`, and the line after it; a line that is no count is alone."""
    frame, count = [head], int(head) if _COUNT.fullmatch(head) else -1
    line = next(stream, None)
    while line is not None and len(frame) < count + 2 and not (len(frame) > 1 and _COUNT.fullmatch(line)):
        frame.append(line)
        line = next(stream, None)
    return frame, line


def read_frame(text: str) -> Frame:
    """Return what a frame says.

    Raises
    ------
    ConversionError
        If the frame has not as many lines as it says, or a line, the lattice or the columns cannot be read.
    """
    head, _, rest = text.lstrip("\r\n").partition("\n")
    if not _COUNT.fullmatch(head):
        raise ConversionError(f"unreadable extxyz frame: {head[:40]!r} is no number of atoms, and needed first")
    if int(head) > MAX_SITES:
        raise too_many_sites(int(head))
    comment, _, body = rest.partition("\n")
    count, lines = int(head), [line for line in body.split("\n") if line.strip()]
    if len(lines) != count:
        raise ConversionError(f"unreadable extxyz frame: it has {len(lines)} lines of atoms and says {count}")
    info = dict(parse_comment(comment))
    columns = _columns(lines, info.pop("Properties", None))
    cell, pbc = info.pop("Lattice", None), info.pop("pbc", None)
    positions = columns.pop("pos", columns.pop("positions", None))
    if positions is None:
        raise ConversionError("unreadable extxyz frame: Properties name no pos, the column of positions")
    symbols = columns.pop("species", columns.pop("symbols", None))
    facts = {name: value for name, text in info.items() if (value := plain_value(text)) is not None}
    lattice = np.zeros((3, 3)) if cell is None else _lattice(cell)
    return Frame(lattice, floats(positions, 3), symbols, columns, facts, _periodic(pbc, known=cell is not None))


def parse_comment(line: str) -> list[tuple[str, str]]:
    """Return names and values of a comment line as texts, quotes and brackets taken off; a name alone has the value T.

    A name that comes twice is there twice.
    """
    pairs: list[list[list[str]]] = [[[]]]
    closing, escaped = "", False
    for sign in line.strip():
        part = pairs[-1][-1]
        if escaped or (closing and sign not in (closing, "\\")):
            part.append(sign)
            escaped = False
        elif sign == "\\":
            escaped = True
        elif closing:
            closing = ""
        elif sign in _CLOSING:
            closing = _CLOSING[sign]
        elif sign == "=":
            if pairs[-1] == [[]] and len(pairs) > 1:
                del pairs[-1]  # a blank before the sign
            pairs[-1].append([])
        elif not sign.isspace():
            part.append(sign)
        elif part:
            pairs.append([[]])
    joined = [["".join(part) for part in pair] for pair in pairs if pair != [[]]]
    return [(name, "=".join(value) if value else "T") for name, *value in joined]


def plain_value(text: str) -> Value | None:
    """Return the value of a comment line's text: a number, yes or no, a dictionary, a text; None for arrays."""
    parts = re.findall(r"[^\s,]+", text)
    if text.startswith(_JSON):
        try:
            value = json.loads(text.removeprefix(_JSON))
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, str | int | float | dict) else None
    if len(parts) == 1 and _NUMBER.fullmatch(parts[0]):
        return int(text) if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text, re.ASCII) else float(parts[0])
    if len(parts) == 1 and parts[0] in _BOOLEANS:
        return _BOOLEANS[parts[0]]
    is_array = all(_NUMBER.fullmatch(part) for part in parts) or all(part in _BOOLEANS for part in parts)
    return None if parts and is_array else text


def floats(rows: list[Any], width: int) -> NDArray[np.float64]:
    """Return a column as numbers, shape (n, width); raises `ConversionError` on one that is none."""
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise ConversionError(f"unreadable extxyz frame: {str(error)[:80]}; a number is needed") from error
    if values.size != len(rows) * width:
        raise ConversionError(f"unreadable extxyz frame: a column has not {width} parts")
    return values.reshape(-1, width)


def as_value(text: str) -> str:
    """Return a text for a comment line, in one line, which is read as a text again: not as a number or an array."""
    line = " ".join(text.split())
    return line if plain_value(line) == line else _JSON + json.dumps(line, ensure_ascii=False)


def without_reserved(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and values for a comment line, with `label_name` for each name."""
    return {label_name(name, info): value for name, value in info.items()}


def label_name(name: str, names: Iterable[str]) -> str:
    """Return the name under which a label among others is written: in one line, and never one of `RESERVED`."""
    line = " ".join(name.split()).replace("=", "_")
    if line == name and name not in RESERVED:
        return name
    new = f"{line}_label" if line in RESERVED else line
    while new in names:
        new += "_"
    return new


def _columns(lines: list[str], properties: str | None) -> dict[str, list[Any]]:
    """The columns by name, as texts; without `Properties` they are species and positions, and more is passed over."""
    fields = (properties or _PLAIN_PROPERTIES).split(":")
    names, kinds, widths = fields[::3], fields[1::3], fields[2::3]
    if len(fields) % 3 or not all(re.fullmatch(r"[1-9]\d{0,2}", width) for width in widths):
        raise ConversionError(f"unreadable extxyz frame: Properties are {properties!r:.60}; name:kind:count is needed")
    ends = np.cumsum([int(width) for width in widths]).tolist()
    open_ended = properties is None or kinds[-1] == "S"  # a last text may have blanks
    rows = [line.split() for line in lines]
    for row in rows:
        if len(row) < ends[-1] or (len(row) > ends[-1] and not open_ended):
            came = f"{len(row)} columns, Properties name {ends[-1]}: {' '.join(row)[:60]}"
            raise ConversionError(f"unreadable extxyz frame: a line has {came}")
    starts = [0, *ends]
    return {
        name: [row[start] if end - start == 1 else tuple(row[start:end]) for row in rows]
        for name, start, end in zip(names, starts, ends, strict=False)
    }


def _lattice(text: str) -> NDArray[np.float64]:
    parts = re.findall(r"[^\s,]+", text)
    if len(parts) != 9 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ConversionError(f"unreadable extxyz frame: Lattice is {text[:60]!r}; nine numbers in Å are needed")
    return np.array([float(part) for part in parts]).reshape(3, 3)


def _periodic(text: str | None, *, known: bool) -> tuple[bool, bool, bool]:
    """Without a word on it, a frame with a lattice is periodic; one without a lattice never is."""
    if text is None:
        return known, known, known
    parts = [_BOOLEANS.get(part, {"1": True, "0": False}.get(part)) for part in re.findall(r"[^\s,]+", text)]
    if len(parts) not in (1, 3) or None in parts:
        raise ConversionError(f"unreadable extxyz frame: pbc is {text[:40]!r}; three of T and F are needed")
    first, second, third = (bool(part) and known for part in (parts * 3)[:3])
    return first, second, third
