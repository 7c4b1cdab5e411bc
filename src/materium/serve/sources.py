"""Structures that requests bring: text that is parsed from memory, under names that are never paths."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from materium import convert
from materium.data.records import Row, make_row, properties_of
from materium.errors import ConversionError, MateriumError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materium.crystal import Crystal

MADE_NAME = "crystals.extxyz"
"""The file that a job's crystals become."""
MAX_NAME = 80
MAX_DIGITS = 12
"""Of a count, of which the first say enough."""


class TextFile(NamedTuple):
    """A file of structures in memory."""

    name: str
    text: str


def safe_name(name: str) -> str:
    """Return a file's name without folders, of letters, digits, dots, dashes and underscores alone.

    Raises
    ------
    ConversionError
        If it is not that of a CIF, POSCAR or extxyz file.
    """
    base = PurePosixPath(PureWindowsPath(name).name).name
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", base).lstrip(".-")[-MAX_NAME:].lstrip(".-")
    if kind_of(plain) is None:
        raise ConversionError(f"{base[:MAX_NAME]!r} is no file of structures; .cif, .vasp, POSCAR or .extxyz is needed")
    return plain


def kind_of(name: str) -> str | None:
    """Return `cif`, `poscar` or `extxyz`, or None for a name of another kind; databases are no text."""
    kind = convert.file_kind(Path(name))
    return None if kind == "db" else kind


def read(files: Sequence[TextFile], most: int, atoms: int) -> list[Row]:
    """Return a row for each structure, in the order of the files' names, unreadable ones with their reason.

    Parameters
    ----------
    most
        Structures; more are refused.
    atoms
        In a cell; a larger one is a row with that as its reason.

    Raises
    ------
    MateriumError
        If there are more structures, or none.
    """
    rows: list[Row] = []
    for file in sorted(files):
        for row in _rows(file):
            rows.append(_bounded(row, atoms))
            if len(rows) > most:
                raise ConversionError(f"more than {most} structures came; at most {most} are taken at once")
    if not rows:
        raise ConversionError("no structure came; give a file with at least one")
    return rows


def _rows(file: TextFile) -> Iterator[Row]:
    kind = kind_of(file.name)
    if kind == "extxyz":
        yield from _frames(file)
    else:
        parse = _poscar if kind == "poscar" else convert.from_cif
        yield make_row(file.name, lambda: parse(file.text), {})


def _poscar(text: str) -> Crystal:
    """The crystal of a POSCAR; one that counts more atoms than it has lines would fill the memory first."""
    lines = text.splitlines()
    words = [word for line in lines[5:7] for word in line.split() if word.lstrip("+").isdecimal()]
    if sum(int(word[:MAX_DIGITS]) for word in words) > len(lines):
        raise ConversionError(f"POSCAR counts more atoms than its {len(lines)} lines hold; a whole one is needed")
    return convert.from_poscar(text)


def _frames(file: TextFile) -> Iterator[Row]:
    stem = file.name.rpartition(".")[0]
    index = -1
    try:
        for index, frame in enumerate(convert.split_extxyz(file.text.splitlines(keepends=True))):
            yield _frame(frame, f"{stem}-{index:06d}")
    except ValueError as error:  # a count of atoms that no integer of the machine holds
        yield Row(f"{stem}-{index + 1:06d}", None, {}, f"unreadable extxyz file: {error}")


def _frame(frame: str, name: str) -> Row:
    facts: convert.Facts = {}

    def build() -> Crystal:
        crystal, found = convert.from_extxyz(frame)
        facts.update(found)
        return crystal

    row = make_row(name, build, {})
    try:
        properties, left_out = properties_of(facts)
        return Row(str(facts.get("id", name)), row.crystal, properties, row.reason, row.overlapping, left_out)
    except MateriumError as error:
        return Row(name, None, {}, str(error))


def _bounded(row: Row, atoms: int) -> Row:
    """The row, its overlapping atoms left to those who judge them; or that it is too large."""
    crystal = row.crystal or row.overlapping
    if crystal is None:
        return row
    if len(crystal) > atoms:
        return Row(row.id, None, {}, f"{len(crystal)} atoms in the cell; at most {atoms} are taken, reduce the cell")
    return Row(row.id, crystal, row.properties)
