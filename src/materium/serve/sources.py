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
MAX_OPERATIONS = 1000
"""In a CIF; no space group has more than 192 in its conventional cell, a magnetic one twice as many."""
OPERATION = ("_symmetry_equiv_pos", "_space_group_symop")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
MAX_COMMENT = 100_000
MANY_COLUMNS = re.compile(r"Properties=\S*:[A-Z]:[0-9]{4}", re.IGNORECASE)


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
        for row in _rows(file, atoms):
            rows.append(_bounded(row, atoms))
            if len(rows) > most:
                raise ConversionError(f"more than {most} structures came; at most {most} are taken at once")
    if not rows:
        raise ConversionError("no structure came; give a file with at least one")
    return rows


def _rows(file: TextFile, atoms: int) -> Iterator[Row]:
    kind = kind_of(file.name)
    if kind == "extxyz":
        yield from _frames(file, atoms)
    else:
        parse = _poscar if kind == "poscar" else _cif
        yield make_row(file.name, lambda: parse(file.text, atoms), {})


def _poscar(text: str, atoms: int) -> Crystal:
    """The crystal of a POSCAR; one that counts more atoms than it has lines would fill the memory first."""
    lines = text.splitlines()
    words = [word for line in lines[5:7] for word in line.split() if word.lstrip("+").isdecimal()]
    count = sum(int(word[:MAX_DIGITS]) for word in words)
    if count > len(lines):
        raise ConversionError(f"POSCAR counts more atoms than its {len(lines)} lines hold; a whole one is needed")
    _check_atoms(count, atoms)
    return convert.from_poscar(text)


def _cif(text: str, atoms: int) -> Crystal:
    """The crystal of a CIF; readers compare each atom with each, and each image with each."""
    sites, operations = (_rows_of_loop(text, name) for name in ("_atom_site_", OPERATION))
    _check_atoms(sites, atoms)
    if operations > MAX_OPERATIONS:
        raise ConversionError(f"CIF lists {operations} symmetry operations; no group has more than {MAX_OPERATIONS}")
    return convert.from_cif(text)


def _rows_of_loop(text: str, names: str | tuple[str, ...]) -> int:
    """Return a lower bound of the rows of the longest loop whose names begin so; a quoted text counts as one word."""
    longest = columns = words = 0
    for line in text.splitlines():
        begin = line.strip()
        if begin.startswith("_"):
            columns, words = (0, 0) if words else (columns, words)
            columns += begin.lower().replace(".", "_").startswith(names)
        elif begin.lower().startswith(("loop_", "data_")):
            columns = words = 0
        elif columns and begin:
            words += len(QUOTED.sub("x", begin).split())
            longest = max(longest, words // columns)
    return longest


def _check_atoms(count: int, atoms: int) -> None:
    if count > atoms:
        raise ConversionError(f"{count} atoms in the cell; at most {atoms} are taken, reduce the cell")


def _frames(file: TextFile, atoms: int) -> Iterator[Row]:
    stem = file.name.rpartition(".")[0]
    index = -1
    try:
        for index, frame in enumerate(convert.split_extxyz(file.text.splitlines(keepends=True))):
            yield _frame(frame, atoms, f"{stem}-{index:06d}")
    except ValueError as error:  # a count of atoms that no integer of the machine holds
        yield Row(f"{stem}-{index + 1:06d}", None, {}, f"unreadable extxyz file: {error}")


def _frame(frame: str, atoms: int, name: str) -> Row:
    facts: convert.Facts = {}

    def build() -> Crystal:
        _check_frame(frame, atoms)
        crystal, found = convert.from_extxyz(frame)
        facts.update(found)
        return crystal

    row = make_row(name, build, {})
    try:
        properties, left_out = properties_of(facts)
        return Row(str(facts.get("id", name)), row.crystal, properties, row.reason, row.overlapping, left_out)
    except MateriumError as error:
        return Row(name, None, {}, str(error))


def _check_frame(frame: str, atoms: int) -> None:
    """Refuse what a reader would take long over: many atoms, a long comment, columns that no line holds."""
    lines = frame.split("\n", 2)
    _check_atoms(int(lines[0].strip()[:MAX_DIGITS] or 0), atoms)
    if len(lines) > 1 and len(lines[1]) > MAX_COMMENT:
        raise ConversionError(f"extxyz comment of {len(lines[1])} characters; at most {MAX_COMMENT} are taken")
    if len(lines) > 1 and MANY_COLUMNS.search(lines[1]):
        raise ConversionError("extxyz Properties name more columns than a line holds; a whole frame is needed")


def _bounded(row: Row, atoms: int) -> Row:
    """The row, its overlapping atoms left to those who judge them; or that it is too large."""
    crystal = row.crystal or row.overlapping
    if crystal is None:
        return row
    if len(crystal) > atoms:
        return Row(row.id, None, {}, f"{len(crystal)} atoms in the cell; at most {atoms} are taken, reduce the cell")
    return Row(row.id, crystal, row.properties)
