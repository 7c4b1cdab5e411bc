"""Run folders: results are appended as they come, a stopped run goes on, and a finished one is never overwritten.

Each batch becomes one Parquet file in `parts/`, written at once or not at all, with its checksum in its name: that is
the journal. What a crash or a bad disk did to a part is found when a run goes on, and the structures from there on are
generated again, which depend on their numbers alone. CIFs, extxyz files and the index that tells copies follow from the
parts, and are held to them. A finished run has the digests of its files in `run.json`. A run that symmetrises has,
beside `cif/` and `structures.extxyz`, the refined crystals in `refined/` and `refined.extxyz`, under the same ids.
Nothing is held in memory but the batch in hand, so that a run may be as long as the disk is large.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Protocol

from materium.errors import DataError, RequestError
from materium.generate.request import ADDED
from materium.generate.rows import crystal_of, identity, make_row, schema, table_of
from materium.generate.workers import load_first
from materium.io.atomic import damaged, digest, digests, is_empty, read_signed, replacing, write_signed

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
TABLE = "structures.parquet"
CHECKSUM_DIGITS = 16
"""Of the sha256 of a part, hexadecimal, in its name."""
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

    def restore(self, crystal: Crystal, number: int) -> None:
        """Take a crystal that is known to be the first of its kind; numbers only grow."""

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
    p1: bool = False
    """Whether CIFs hold the cell as it was generated in P1, and not the asymmetric unit of its space group."""

    @property
    def identity(self) -> dict[str, Any]:
        """Request, model, host, and what is written; of the last only what was asked for."""
        extra = [name for name in ("unique", "table_only", "no_space_groups", "p1") if getattr(self, name)]
        return {"request": self.request.to_dict(), "model": self.model, "host": self.host, "output": extra}


class RunFolder:
    """A run folder that is being written, or that is whole."""

    def __init__(
        self,
        folder: Path,
        info: RunInfo,
        read: Callable[[Sample], Crystal],
        uniques: Callable[[Path], Uniques] | None = None,
    ) -> None:
        """Make the folder, or take one up that was left by the same request.

        Parameters
        ----------
        read
            Gives the crystal of a sentence.
        uniques
            Makes what tells copies, in a file that is written anew; for a run of which `info.unique` is true.

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
        self.repaired: list[str] = []
        """What was damaged, and is written anew: one line each."""
        if found is not None and self.finished:
            shutil.rmtree(self.parts, ignore_errors=True)  # a kill between the mark and the clean-up leaves them
            self._check_finished(found["files"])
            return
        folder.mkdir(parents=True, exist_ok=True)
        if found is None:
            self._write_run(finished=False)  # first of all: it is how a folder is known again
        if self.views:
            load_first(*WRITERS)
        for view in self.views:
            (folder / view.cifs).mkdir(exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        self._drop_damaged_parts()
        self._restore_texts(_read(path) for path in self._part_files())
        self._uniques = uniques(self.parts / FIRSTS) if uniques and info.unique else None
        if self._uniques is not None:
            for row in self._rows():
                if row["valid"] and row["copy_of"] is None:
                    self._uniques.restore(crystal_of(row), row["index"])
        self._since = time.monotonic()

    @property
    def done(self) -> int:
        """How many structures are safe on the disk."""
        return sum(map(_count, self._part_files()))

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
        shown = [{} if row["copy_of"] is not None else one.texts for one, row in zip(batch, rows, strict=True)]
        for row, texts in zip(rows, shown, strict=True):
            self._write_cifs(row["id"], texts)
        name = f"{batch[0].sample.index:09d}-{len(batch)}"
        with replacing(self.parts / name) as part:
            pq.write_table(table_of(rows), part)
            checksum = digest(part)[:CHECKSUM_DIGITS]
        (self.parts / name).rename(self.parts / f"{name}-{checksum}.parquet")
        for view in self.views:
            self._append_frames(view, (texts[view.cifs][1] for texts in shown if view.cifs in texts))

    def finish(self) -> None:
        """Join the parts into `structures.parquet` and mark the run as finished."""
        import pyarrow.parquet as pq

        with replacing(self.folder / TABLE) as part, pq.ParquetWriter(part, schema()) as file:
            for table in self._joined():
                file.write_table(table)
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
        with pq.ParquetFile(self.folder / TABLE) as file:
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
        found = {"output": [], **read_signed(path, "no run")}  # runs of before the choice wrote everything
        found["request"] = {**ADDED, **found["request"]}
        if not all(found[name] == value for name, value in self.info.identity.items()):
            state = "a finished" if found["finished"] else "an unfinished"
            raise RequestError(f"{self.folder} holds {state} run with other settings; choose another --out")
        return found

    def _write_run(self, *, finished: bool) -> None:
        facts = {**self.info.identity, "command": self.info.command, "versions": self.info.versions}
        written = [TABLE, *(name for view in self.views for name in (view.cifs, view.frames))] if finished else []
        state = {"seconds": round(self.seconds, 3), "finished": finished, "files": digests(self.folder, written)}
        write_signed(self.folder / "run.json", {**facts, **state})

    def _prepared(self, sample: Sample) -> Prepared:
        crystal = self.read(sample)
        row = make_row(sample, crystal, self.info.request, space_groups=not self.info.no_space_groups)
        texts: dict[str, tuple[str | None, str]] = {}
        for view in self.views:
            if record := view.record(row):
                shown = crystal if record is row else crystal_of(record)
                texts[view.cifs] = self._cif(row, shown), _frame(view, row, shown)
        return Prepared(sample, row, texts)

    def _cif(self, row: Mapping[str, Any], crystal: Crystal) -> str:
        from materium.wyckoff import to_cif

        # A completion stays in the cell of its host; where atoms overlap, moyo may take two of them for one.
        p1 = self.info.p1 or self.info.no_space_groups or bool(self.info.host) or not row["valid"]
        return to_cif(crystal, row["id"], p1=p1)

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

    def _drop_damaged_parts(self) -> None:
        """Keep the parts up to the first that is missing, or other than it was written; the rest comes again."""
        done, lost = 0, False
        for path in self._part_files():
            lost = lost or not _is_whole(path, done)
            if lost:
                self.repaired.append(f"{path} is damaged, or follows one that is; its structures are generated again")
                path.unlink()
            else:
                done += _count(path)

    def _check_finished(self, files: Mapping[str, str]) -> None:
        """Hold the files of a finished run to their digests; texts follow from the table, and are written anew."""
        lost = damaged(self.folder, files)
        if TABLE in lost:
            name = self.folder / TABLE
            raise RequestError(f"{name} is damaged or missing; remove {self.folder} and run the same command again")
        if lost:
            import pyarrow.parquet as pq

            with pq.ParquetFile(self.folder / TABLE) as file:
                self._restore_texts(file.read_row_group(number) for number in range(file.num_row_groups))
            self.repaired += [f"{self.folder / name} was damaged or missing, and is written anew" for name in lost]

    def _restore_texts(self, tables: Iterable[pa.Table]) -> None:
        """Write the extxyz files anew, and the CIFs that are missing or others, so that they hold what the rows say."""
        for view in self.views:
            (self.folder / view.cifs).mkdir(exist_ok=True)
            (self.folder / view.frames).unlink(missing_ok=True)
            (self.folder / view.frames).touch()
        for table in tables:
            rows = table.to_pylist()
            for view in self.views:
                shown = [(row, crystal_of(record)) for row in rows if (record := view.record(row))]
                self._append_frames(view, (_frame(view, row, crystal) for row, crystal in shown))
                for row, crystal in shown:
                    path, text = self.folder / view.cifs / f"{row['id']}.cif", self._cif(row, crystal).encode()
                    if not path.exists() or path.read_bytes() != text:
                        path.write_bytes(text)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for path in self._part_files():
            yield from _read(path).to_pylist()


def _count(part: Path) -> int:
    """How many structures a part holds."""
    return int(part.stem.split("-")[1])


def _is_whole(part: Path, first: int) -> bool:
    """Whether a part begins with structure `first`, and is as it was written."""
    name = part.stem.rpartition("-")
    return bool(re.fullmatch(f"{first:09d}-[1-9][0-9]*", name[0])) and digest(part)[:CHECKSUM_DIGITS] == name[2]


def _read(path: Path) -> pa.Table:
    """A part; pyarrow's `read_table` imports pandas, as `table_of` says."""
    import pyarrow.parquet as pq

    if digest(path)[:CHECKSUM_DIGITS] != path.stem.rpartition("-")[2]:
        raise DataError(f"{path} is damaged; the same command generates its structures again")
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
