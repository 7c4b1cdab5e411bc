"""The folder of an evaluation: journals of its stages while it runs, tables and structures when it is done."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from materium.errors import MateriumError
from materium.evaluate.lemat import made_crystal, write_lemat
from materium.io.atomic import damaged, digests, is_empty, read_signed, replacing, write_json, write_signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from materium.crystal import Crystal

MARK = "evaluation.json"
FILES = ("rows.parquet", "rows.csv", "metrics.json", "lemat.csv", "relaxed.extxyz")
"""Whose digests the mark of a finished evaluation has."""
PACKAGES = ("materium", "numpy", "moyopy", "pymatgen-core", "torch")
"""Their versions are noted."""
INFO = ("id", "formula", "energy", "energy_above_hull", "unsupported", "relax_status", "sun", "msun")
"""What `relaxed.extxyz` says of each structure."""
STRUCTURE = frozenset({"cell", "atomic_numbers", "frac_coords", "relaxed_cell", "relaxed_frac_coords"})
"""Columns of `rows.parquet` that `rows.csv` leaves out."""


class Folder:
    """A folder in which an evaluation is being made, or is finished.

    Parameters
    ----------
    identity
        What decides the verdicts, as JSON types: another one in the folder is refused.
    command
        How it was called, noted for people.
    source
        What is judged; the folder may not lie in a folder that is read as a whole.

    Raises
    ------
    MateriumError
        If the folder holds something else, or lies in the source.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], command: str, source: object) -> None:
        self.path, self.identity, self.command = path, dict(identity), command
        _check_outside(path, source)
        self.finished = self._take_up()
        self.parts = path / "parts"
        if not self.finished:
            self.parts.mkdir(parents=True, exist_ok=True)
            self._mark(finished=False)

    def journal(self, stage: str) -> Path:
        """Return the file of a stage's journal."""
        return self.parts / f"{stage}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of a finished evaluation."""
        import pyarrow.parquet as pq

        found: list[dict[str, Any]] = pq.read_table(self.path / "rows.parquet").to_pylist()
        return found

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of a finished evaluation."""
        found: dict[str, Any] = json.loads((self.path / "metrics.json").read_text(encoding="utf-8"))
        return found

    def finish(self, rows: Sequence[dict[str, Any]], metrics: Mapping[str, Any]) -> None:
        """Write the results, each whole or not at all, and mark the evaluation as finished."""
        import pyarrow.parquet as pq

        with replacing(self.path / "rows.parquet") as part:
            pq.write_table(to_table(rows), part)
        write_json(self.path / "metrics.json", metrics)
        with replacing(self.path / "lemat.csv") as part:
            write_lemat(part, rows)
        with replacing(self.path / "rows.csv") as part:
            _write_csv(part, rows)
        _write_cifs(self.path / "relaxed", rows)
        with replacing(self.path / "relaxed.extxyz") as part:
            _write_relaxed(part, rows)
        self._mark(finished=True, files=digests(self.path, FILES))
        self.finished = True
        shutil.rmtree(self.parts)

    def _take_up(self) -> bool:
        """Whether the folder holds this evaluation, finished."""
        mark = self.path / MARK
        if not mark.exists():
            if self.path.exists() and not (self.path.is_dir() and is_empty(self.path)):
                raise MateriumError(f"{self.path} is not empty and holds no evaluation; choose another --out")
            return False
        found = read_signed(mark, "no evaluation")
        same, finished = found["identity"], bool(found["finished"])
        if same != json.loads(json.dumps(self.identity)):
            changed = [name for name in self.identity if same.get(name) != self.identity[name]]
            raise MateriumError(
                f"{self.path} holds an evaluation with another {' and '.join(changed)}; choose another --out"
            )
        if lost := damaged(self.path, found["files"]):
            raise MateriumError(f"{self.path / lost[0]} is damaged or missing; remove {self.path} and evaluate again")
        return finished

    def _mark(self, *, finished: bool, files: Mapping[str, str] = MappingProxyType({})) -> None:
        versions = {name: version(name) for name in PACKAGES}
        facts = {"identity": self.identity, "command": self.command, "versions": versions, "finished": finished}
        write_signed(self.path / MARK, {**facts, "files": dict(files)})


def _check_outside(path: Path, source: object) -> None:
    if not isinstance(source, str | Path) or not Path(source).is_dir() or (Path(source) / "run.json").exists():
        return
    if Path(source).resolve() in (path.resolve(), *path.resolve().parents):
        raise MateriumError(f"{path} lies in {source}, which is read as a whole; choose an --out beside it")


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the verdicts without the structures: numbers and words, a list as its words between semicolons."""
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in STRUCTURE]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            lists = {
                name: "; ".join(map(str, row[name])) for name in columns if isinstance(row.get(name), list | tuple)
            }
            writer.writerow({**row, **lists})


def _relaxed(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Crystal]]:
    for row in rows:
        if row.get("relaxed_cell") is not None:
            yield row, made_crystal({**row, "cell": row["relaxed_cell"], "frac_coords": row["relaxed_frac_coords"]})


def _write_relaxed(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from materium.convert import write_extxyz_frame

    with path.open("w", encoding="utf-8") as file:
        for row, crystal in _relaxed(rows):
            write_extxyz_frame(file, crystal, {name: row.get(name) for name in INFO})


def _write_cifs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the relaxed crystals with their symmetry, a file each, under what a file name can hold of their ids."""
    from materium.dft.folder import folder_name
    from materium.wyckoff import to_cif

    shutil.rmtree(path, ignore_errors=True)  # of a process that was killed here
    taken: Counter[str] = Counter()
    for row, crystal in _relaxed(rows):
        path.mkdir(exist_ok=True)
        name = folder_name(str(row["id"]), taken)
        (path / f"{name}.cif").write_text(to_cif(crystal, str(row["id"])), encoding="utf-8")


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the rows as a table with a column for every name that occurs; its type follows from the values."""
    import pyarrow as pa

    known = _types()
    names = dict.fromkeys([*known, *(name for row in rows for name in row)])
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        columns[name] = pa.array(values, known[name]) if name in known else _inferred(values)
    return pa.table(columns)


def _inferred(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    array = pa.array(values)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _types() -> dict[str, pa.DataType]:
    """Types of the columns that every table has, in their order."""
    import pyarrow as pa

    text, real, whole, yes = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    reals = pa.list_(real)
    return {
        "id": text, "index": whole, "formula": text, "num_sites": whole, "space_group": whole,
        "space_group_fine": whole, "space_group_relaxed": whole, "valid": yes, "reason": text, "unique": yes,
        "duplicate_of": text, "novel": yes, "novelty": text, "nearest_id": text, "nearest_distance": real,
        "relax_status": text, "relax_reason": text, "relax_steps": whole, "energy_as_made": real, "energy": real,
        "energy_change": real, "volume_change": real, "max_force": real, "max_stress": real, "matched": yes,
        "rmsd": real, "energy_above_hull": real, "hull_support": whole, "unsupported": yes,
        "hull_reason": text, "unique_final": yes, "novel_final": yes, "novelty_final": text, "stable": yes,
        "metastable": yes, "sun": yes, "msun": yes, "classes": pa.list_(text), "log_likelihood": real, "cell": reals,
        "atomic_numbers": pa.list_(whole), "frac_coords": reals, "relaxed_cell": reals, "relaxed_frac_coords": reals,
    }  # fmt: skip
