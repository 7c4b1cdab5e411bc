"""Run folders: results are appended as they come, a stopped run goes on, and a finished one is never overwritten.

Each batch becomes one Parquet file in `parts/`, written at once or not at all: that is the journal. CIFs come before,
and are written anew with their batch after a crash. The extxyz files follow it; what a crash left half-written there is
cut off and written again from the journal. A run that symmetrises has, beside `cif/` and `structures.extxyz`, the
refined crystals in `refined/` and `refined.extxyz`, under the same ids. Nothing is held in memory but the batch in
hand, so that a run may be as long as the disk is large.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Protocol

from materium.errors import RequestError
from materium.generate.request import ADDED
from materium.generate.rows import crystal_of, identity, make_row, schema, table_of
from materium.generate.workers import load_first
from materium.io.atomic import is_empty, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from materium.crystal import Crystal
    from materium.generate.decoding import Sample
    from materium.generate.request import Request

WRITERS = ("pymatgen.core",)
"""What `materium.convert` imports when the first crystal is written."""
FIRSTS = "firsts.sqlite"
ROW_GROUP = 8192
"""Rows that are joined, and held, at once; tables of more but smaller groups are slow to read."""
_FACTS = ("id", "seed", "request", "targets", "formula")
"""Columns that every extxyz frame of a run carries."""


@dataclass(frozen=True)
class View:
    """Text files that show one structure of each row.

    Parameters
    ----------
    cifs, frames
        The folder of CIFs and the extxyz file, within the run folder.
    facts
        Columns that each extxyz frame carries.
    column
        The column that holds the structure, which may be null; None if it is the row itself.
    """

    cifs: str
    frames: str
    facts: tuple[str, ...]
    column: str | None = None

    def record(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return what `crystal_of` reads, or None where the row has no such structure, or is a copy."""
        if row.get("copy_of") is not None:
            return None
        return row[self.column] if self.column else row


RAW = View("cif", "structures.extxyz", (*_FACTS, "space_group", "density", "log_likelihood", "valid"))
REFINED = View("refined", "refined.extxyz", (*_FACTS, "space_group_refined"), "refined")


@dataclass(frozen=True)
class Prepared:
    """What a structure comes to in a run folder, before anybody knows whether it is a copy.

    Parameters
    ----------
    sample, row
        The sentence, and its row of the table.
    texts
        By the name of a view its CIF, None where that is written already, and its extxyz frame; views in which it has
        no structure are missing.
    """

    sample: Sample
    row: dict[str, Any]
    texts: dict[str, tuple[str | None, str]]


class Uniques(Protocol):
    """Tells copies of earlier crystals; `materium.evaluate.firsts` has one that keeps what it knows in a file."""

    def add(self, crystal: Crystal, number: int) -> int | None:
        """Return the number of the first crystal that this one is a copy of, or None if it is the first itself."""

    def save(self) -> None:
        """Make what was added last, before the rows of the same crystals are safe."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True)
class RunInfo:
    """What decides a run's crystals and files, for `run.json`: two runs with equal identity write the same."""

    request: Request
    model: str
    versions: dict[str, str]
    command: str
    host: dict[str, Any] = field(default_factory=dict)
    """What is completed, as JSON types; empty where crystals are written from nothing."""
    unique: bool = False
    """Whether copies of earlier crystals are marked in the table, and left out of the other files."""
    table_only: bool = False
    """Whether the table is all that is written, without CIFs and extxyz files."""
    no_space_groups: bool = False
    """Whether the columns of space groups stay empty: searching for them is most of what follows the sentence."""

    @property
    def identity(self) -> dict[str, Any]:
        """Request, model, host, and what is written; of the last only what was asked for."""
        extra = [name for name in ("unique", "table_only", "no_space_groups") if getattr(self, name)]
        return {"request": self.request.to_dict(), "model": self.model, "host": self.host, "output": extra}


class RunFolder:
    """A run folder that is being written, or that is whole."""

    def __init__(
        self,
        folder: Path,
        info: RunInfo,
        read: Callable[[Sample], Crystal],
        uniques: Callable[[Path, int], Uniques] | None = None,
    ) -> None:
        """Make the folder, or take one up that was left by the same request.

        Parameters
        ----------
        read
            Gives the crystal of a sentence.
        uniques
            Opens what tells copies, from its file and the number of structures that are safe; for a run of which
            `info.unique` is true.

        Raises
        ------
        RequestError
            If the folder holds a run of another request or model, or something else.
        """
        self.folder, self.info, self.read = folder, info, read
        self.parts = folder / "parts"
        shown = (RAW,) if info.request.symmetrize is None else (RAW, REFINED)
        self.views = () if info.table_only else shown
        found = self._found()
        self.finished: bool = found["finished"] if found else False
        self.seconds: float = found["seconds"] if found else 0.0
        if self.finished:
            shutil.rmtree(self.parts, ignore_errors=True)  # a kill between the mark and the clean-up leaves them
            return
        folder.mkdir(parents=True, exist_ok=True)
        if found is None:
            self._write_run(finished=False)  # first of all: it is how a folder is known again
        if self.views:
            load_first(*WRITERS)
        for view in self.views:
            (folder / view.cifs).mkdir(exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        self._mend_extxyz()
        self._uniques = uniques(self.parts / FIRSTS, self.done) if uniques and info.unique else None
        self._since = time.monotonic()

    @property
    def done(self) -> int:
        """How many structures are safe on the disk."""
        return sum(int(path.stem.split("-")[1]) for path in self._part_files())

    def prepare(self, samples: Sequence[Sample]) -> list[Prepared]:
        """Judge samples and put them into words, in the process that made them.

        Their CIFs are written at once, for a new file is dear, unless copies, which get none, are still to be told.
        What the disk refuses is left to `append`, which says why.
        """
        return [self._with_cifs(self._prepared(sample)) for sample in samples]

    def append(self, batch: Sequence[Prepared]) -> None:
        """Append a batch of consecutive samples."""
        import pyarrow.parquet as pq

        rows = [self._marked(one) for one in batch]
        if self._uniques is not None:
            self._uniques.save()
        shown = [{} if row["copy_of"] is not None else one.texts for one, row in zip(batch, rows, strict=True)]
        for row, texts in zip(rows, shown, strict=True):
            self._write_cifs(row["id"], texts)
        name = f"{batch[0].sample.index:09d}-{len(batch)}"
        temporary = self.parts / f"{name}.part"
        pq.write_table(table_of(rows), temporary)
        temporary.replace(self.parts / f"{name}.parquet")
        for view in self.views:
            self._append_frames(view, (texts[view.cifs][1] for texts in shown if view.cifs in texts))

    def finish(self) -> None:
        """Join the parts into `structures.parquet` and mark the run as finished."""
        import pyarrow.parquet as pq

        temporary = self.folder / "structures.part"
        with pq.ParquetWriter(temporary, schema()) as file:
            for table in self._joined():
                file.write_table(table)
        temporary.replace(self.folder / "structures.parquet")
        self._close()
        self._note_time()
        self._write_run(finished=True)
        self.finished = True
        shutil.rmtree(self.parts)

    def pause(self) -> None:
        """Note the time that was spent, for a run that is stopped."""
        self._close()
        self._note_time()
        self._write_run(finished=False)

    def _close(self) -> None:
        if self._uniques is not None:
            self._uniques.close()

    def _joined(self) -> Iterator[pa.Table]:
        """The rows of all parts, in tables that are large enough to be read fast and small enough to be held."""
        import pyarrow as pa

        held: list[pa.Table] = []
        for path in self._part_files():
            held.append(_read(path))
            if sum(map(len, held)) >= ROW_GROUP:
                yield pa.concat_tables(held)
                held = []
        if held:
            yield pa.concat_tables(held)

    def _note_time(self) -> None:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now

    def summary(self) -> dict[str, float]:
        """Return the facts of a finished run: counts, time and speed.

        `symmetrized` and `unique`, the valid ones that are no copies, are there only where that was asked for.
        """
        import pyarrow.parquet as pq

        columns = ["valid", "formula", "num_sites", "symmetrized", "copy_of"]
        tally: Counter[str] = Counter()
        formulas: set[str] = set()
        with pq.ParquetFile(self.folder / "structures.parquet") as file:
            for batch in file.iter_batches(columns=[name for name in columns if name in file.schema_arrow.names]):
                for row in batch.to_pylist():
                    formulas.add(row["formula"])
                    tally.update(_counts(row))
        count, request = tally["crystals"], self.info.request
        return {
            "crystals": count,
            "parsed": count,
            "valid": tally["valid"],
            "distinct_formulas": len(formulas),
            **({"unique": tally["unique"]} if self.info.unique else {}),
            **({"symmetrized": tally["symmetrized"]} if request.symmetrize is not None else {}),
            "mean_sites": tally["num_sites"] / count,
            "seconds": self.seconds,
            "crystals_per_second": count / self.seconds,
        }

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("*.parquet"))

    def _found(self) -> dict[str, Any] | None:
        path = self.folder / "run.json"
        if not path.exists():
            if self.folder.is_dir() and not is_empty(self.folder):
                raise RequestError(f"{self.folder} is not empty and holds no run; choose another --out")
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = {"output": [], **found}  # runs of before the choice wrote everything
            found["request"] = {**ADDED, **found["request"]}
            same = all(found[name] == value for name, value in self.info.identity.items())
            found = {**found, "finished": bool(found["finished"]), "seconds": float(found["seconds"])}
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"{path} describes no run ({error}); choose another --out") from error
        if not same:
            state = "a finished" if found["finished"] else "an unfinished"
            raise RequestError(f"{self.folder} holds {state} run with other settings; choose another --out")
        return found

    def _write_run(self, *, finished: bool) -> None:
        facts = {**self.info.identity, "command": self.info.command, "versions": self.info.versions}
        data = {**facts, "seconds": round(self.seconds, 3), "finished": finished}
        write_json(self.folder / "run.json", data)

    def _prepared(self, sample: Sample) -> Prepared:
        from materium.convert import to_cif

        crystal = self.read(sample)
        row = make_row(sample, crystal, self.info.request, space_groups=not self.info.no_space_groups)
        texts: dict[str, tuple[str | None, str]] = {}
        for view in self.views:
            if record := view.record(row):
                shown = crystal if record is row else crystal_of(record)
                texts[view.cifs] = to_cif(shown, row["id"]), _frame(view, row, shown)
        return Prepared(sample, row, texts)

    def _marked(self, one: Prepared) -> dict[str, Any]:
        """The row, which says now what it is a copy of."""
        row = {**one.row}
        if self._uniques is not None and row["valid"]:
            first = self._uniques.add(self.read(one.sample), one.sample.index)
            row["copy_of"] = None if first is None else identity(self.info.request.seed, first)
        return row

    def _with_cifs(self, one: Prepared) -> Prepared:
        """The same, its CIFs being written."""
        if self.info.unique:
            return one
        try:
            self._write_cifs(one.row["id"], one.texts)
        except OSError:
            return one
        return replace(one, texts={view: (None, frame) for view, (_, frame) in one.texts.items()})

    def _write_cifs(self, name: str, texts: Mapping[str, tuple[str | None, str]]) -> None:
        for folder, (cif, _) in texts.items():
            if cif is not None:
                (self.folder / folder / f"{name}.cif").write_text(cif, encoding="utf-8")

    def _append_frames(self, view: View, frames: Iterable[str]) -> None:
        with (self.folder / view.frames).open("a", encoding="utf-8") as file:
            file.writelines(frames)

    def _mend_extxyz(self) -> None:
        """Write the extxyz files anew from the journal, so that they hold what is safe and nothing else."""
        for view in self.views:
            (self.folder / view.frames).unlink(missing_ok=True)
        for path in self._part_files():
            rows = _read(path).to_pylist()
            for view in self.views:
                records = ((row, view.record(row)) for row in rows)
                self._append_frames(view, (_frame(view, row, crystal_of(record)) for row, record in records if record))


def _read(path: Path) -> pa.Table:
    """A part; pyarrow's `read_table` imports pandas, as `table_of` says."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read()


def _frame(view: View, row: dict[str, Any], crystal: Crystal) -> str:
    from materium.convert import write_extxyz_frame

    text = StringIO()
    write_extxyz_frame(text, crystal, {name: row[name] for name in view.facts})
    return text.getvalue()


def _counts(row: dict[str, Any]) -> dict[str, int]:
    """What one row adds to the facts of its run."""
    return {
        "crystals": 1,
        "valid": int(row["valid"]),
        "unique": int(row["valid"] and row.get("copy_of") is None),
        "symmetrized": int(bool(row["symmetrized"])),
        "num_sites": row["num_sites"],
    }
