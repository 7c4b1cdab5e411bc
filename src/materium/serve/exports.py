"""Crystals as files that are written in memory: CIF, POSCAR, extxyz, CSV, and all of them in a zip."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import zipfile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from materium import convert
from materium.errors import RequestError
from materium.serve.answers import CrystalRow
from materium.serve.rows import crystal_in
from materium.wyckoff import to_cif

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from materium.crystal import Crystal
    from materium.serve.schema import Which
    from materium.serve.sources import TextFile

Format = Literal["cif", "poscar", "extxyz", "csv", "zip", "json"]
MEDIA = {
    "cif": "chemical/x-cif",
    "poscar": "text/plain; charset=utf-8",
    "extxyz": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "zip": "application/zip",
    "json": "application/json",
}
SUFFIX = {"poscar": "vasp"}
"""Endings that are not the format's name."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time that a zip gives its files: the same crystals make the same file."""
INFO = ("id", "formula", "log_likelihood", "valid")
"""What each extxyz frame says of its crystal."""
ENERGIES = ("energy_above_hull", "hull_support", "unsupported", "stable")
"""What a frame says of a crystal that was judged."""
COLUMNS = ("id", "formula", "num_sites", "space_group", "density", "volume", "log_likelihood", "valid", "reason")
NOVELTY = ("novel", "novelty", "nearest_id", "nearest_distance")
VERDICT = (
    "unique", "relax_status", "relax_steps", "energy", "energy_above_hull", "hull_support", "unsupported",
    "hull_reason", "space_group_relaxed", "rmsd", "stable", "metastable", "sun", "msun", "smact_valid", "neutral",
)  # fmt: skip
FORMULA_SIGNS = ("=", "+", "-", "@")
"""What a formula of a spreadsheet begins with."""
UNSEEN = "".join(map(chr, range(0x21))) + "\x7f\ufeff\u200b"
"""White space and control characters that a spreadsheet may drop from the start of a cell."""


class Download(NamedTuple):
    """A file."""

    name: str
    media: str
    content: bytes


class Named(NamedTuple):
    """A row with the crystal that was chosen of it."""

    row: CrystalRow
    crystal: Crystal


def chosen(texts: Iterable[str], which: Which, later: Iterable[Mapping[str, str]] = ()) -> list[Named]:
    """Return the crystals of rows (JSON) that have one of this kind.

    `later` are rows by id of jobs that judged them, oldest first: the last verdict joins the row.

    Raises
    ------
    RequestError
        If none has.
    """
    rows = [CrystalRow.model_validate_json(text) for text in texts]
    for judged in later:
        for row in rows:
            if (text := judged.get(row.id)) is not None:
                row.verdict = CrystalRow.model_validate_json(text).verdict or row.verdict
    found = [Named(row, crystal) for row in rows if (crystal := _crystal(row, which)) is not None]
    if not found:
        raise RequestError(f"none of these {len(rows)} crystals has a structure of the kind {which!r}")
    return found


def _crystal(row: CrystalRow, which: Which) -> Crystal | None:
    relaxed = row.verdict.relaxed if row.verdict else None
    structure = {"made": row.structure, "refined": row.refined, "relaxed": relaxed}[which]
    return None if structure is None else crystal_in(structure)


def download(stem: str, named: Sequence[Named], form: Format, *, p1: bool = False) -> Download:
    """Return crystals as one file; POSCARs of several crystals as a zip. With `p1` CIFs hold the cell as it stands."""
    form_of_file: Format = "zip" if form == "poscar" and len(named) > 1 else form
    name = f"{stem}.{SUFFIX.get(form_of_file, form_of_file)}"
    return Download(name, MEDIA[form_of_file], _content(named, form, p1=p1))


def _content(named: Sequence[Named], form: Format, *, p1: bool) -> bytes:
    if form == "zip":
        return packed(_everything(named, p1=p1))
    if form == "cif":
        return "".join(cif(one, p1=p1) for one in named).encode()
    if form == "poscar" and len(named) > 1:
        return packed({f"poscar/{one.row.id}.vasp": poscar(one) for one in named})
    return WRITERS[form](named).encode()


def _everything(named: Sequence[Named], *, p1: bool) -> dict[str, str]:
    files = {f"cif/{one.row.id}.cif": cif(one, p1=p1) for one in named}
    files |= {f"poscar/{one.row.id}.vasp": poscar(one) for one in named}
    files |= {"structures.extxyz": extxyz(named), "table.csv": table(named)}
    relaxed = [Named(one.row, crystal) for one in named if (crystal := _crystal(one.row, "relaxed")) is not None]
    if relaxed:
        files |= {f"relaxed/{one.row.id}.cif": cif(one, p1=p1) for one in relaxed}
        files["relaxed.extxyz"] = extxyz(relaxed)
    return {**files, "README.txt": _contents(named, relaxed, p1=p1)}


def _contents(named: Sequence[Named], relaxed: Sequence[Named], *, p1: bool) -> str:
    """What the files of a zip are."""
    cell = "the cell in P1" if p1 else "space group, operations and Wyckoff sites in the conventional cell"
    judged = sum(one.row.verdict is not None for one in named)
    lines = [
        f"Materium: {len(named)} crystals, {judged} of them judged, {len(relaxed)} with a relaxed structure",
        "",
        "table.csv          one line for each crystal, with its verdict where it was judged; energies in eV/atom",
        f"cif/               {cell}; the crystals as generated, to 0.01 A",
        "poscar/            the cells as generated, fractional coordinates",
        "structures.extxyz  the crystals as generated, positions in A",
    ]
    if relaxed:
        lines += [
            f"relaxed/           CIFs of the relaxed crystals; {cell}",
            "relaxed.extxyz     the relaxed crystals, with their energy above hull in eV/atom",
        ]
    return "\n".join([*lines, "", "The same id stands in every file. An empty cell of the table: not known.", ""])


def cif(one: Named, *, p1: bool = False) -> str:
    """Return a crystal as a CIF with its symmetry; in P1 where that is asked for, or the crystal is not valid."""
    return to_cif(one.crystal, one.row.id, p1=p1 or not one.row.valid)


def poscar(one: Named) -> str:
    """Return a crystal as a POSCAR."""
    return convert.to_poscar(one.crystal, one.row.id)


def extxyz(named: Sequence[Named]) -> str:
    """Return a frame for each crystal, with its energies if it was judged."""
    text = io.StringIO()
    for row, crystal in named:
        energies = {name: getattr(row.verdict, name) for name in ENERGIES} if row.verdict else {}
        convert.write_extxyz_frame(text, crystal, {**{name: getattr(row, name) for name in INFO}, **energies})
    return text.getvalue()


def table(named: Sequence[Named]) -> str:
    """Return a line for each crystal; columns of what nobody asked for are left out."""
    rows = [_cells(one.row) for one in named]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)  # with "\n" as the end of a line it would not quote a "\r"
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cells(row: CrystalRow) -> dict[str, Any]:
    cells: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    cells["space_group"] = row.space_group.number if row.space_group else None
    if row.novelty:
        cells |= {name: getattr(row.novelty, name) for name in NOVELTY}
    if row.verdict:
        cells |= {name: getattr(row.verdict, name) for name in VERDICT}
        group = row.verdict.space_group_relaxed
        cells["space_group_relaxed"] = group.number if group else None
    return {**cells, **{f"target {name}": value for name, value in row.targets.items()}}


def csv_cell(value: object) -> object:
    """Return the value of a cell; text that a spreadsheet would take for a formula begins with an apostrophe.

    Spreadsheets look past white space and control characters, and take full-width signs for plain ones; see
    https://owasp.org/www-community/attacks/CSV_Injection.
    """
    if not isinstance(value, str):
        return value
    seen = unicodedata.normalize("NFKC", value).lstrip(UNSEEN)
    return f"'{value}" if value.startswith(("\t", "\r", "\n")) or seen.startswith(FORMULA_SIGNS) else value


def _json(named: Sequence[Named]) -> str:
    rows: list[Any] = [one.row.model_dump(mode="json") for one in named]
    return json.dumps(rows[0] if len(rows) == 1 else rows)


WRITERS: dict[str, Callable[[Sequence[Named]], str]] = {
    "poscar": lambda named: poscar(named[0]),
    "extxyz": extxyz,
    "csv": table,
    "json": _json,
}


def packed(files: Mapping[str, str]) -> bytes:
    """Return texts by name as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def source(files: Sequence[TextFile]) -> Download:
    """Return what a job was given: a file as it came, several as a zip of the folder `source`."""
    if len(files) == 1:
        return Download(files[0].name, MEDIA["extxyz"], files[0].text.encode())
    return Download("source.zip", MEDIA["zip"], packed({f"source/{file.name}": file.text for file in files}))
