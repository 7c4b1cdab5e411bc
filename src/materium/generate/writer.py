"""Run folders: results are appended as they come, a stopped run goes on, and a finished one is never overwritten.

Each batch becomes one Parquet file in `parts/`, written at once or not at all: that is the journal. The extxyz files
follow it; what a crash left half-written there is cut off and written again from the journal. A run that symmetrises
has, beside `cif/` and `structures.extxyz`, the refined crystals in `refined/` and `refined.extxyz`, under the same ids.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.errors import RequestError
from materium.generate.rows import crystal_of, make_row, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.generate.decoding import Sample
    from materium.generate.request import Request

RUN_PART = "run.part"
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
        """Return what `crystal_of` reads, or None where the row has no such structure."""
        return row[self.column] if self.column else row


RAW = View("cif", "structures.extxyz", (*_FACTS, "space_group", "density", "log_likelihood", "valid"))
REFINED = View("refined", "refined.extxyz", (*_FACTS, "space_group_refined"), "refined")


@dataclass(frozen=True)
class RunInfo:
    """What decides a run's crystals, for `run.json`: two runs with equal identity write the same."""

    request: Request
    model: str
    versions: dict[str, str]
    command: str
    host: dict[str, Any] = field(default_factory=dict)
    """What is completed, as JSON types; empty where crystals are written from nothing."""

    @property
    def identity(self) -> dict[str, Any]:
        """Request, model and host."""
        return {"request": self.request.to_dict(), "model": self.model, "host": self.host}


class RunFolder:
    """A run folder that is being written, or that is whole."""

    def __init__(self, folder: Path, info: RunInfo, read: Callable[[Sample], Crystal]) -> None:
        """Make the folder, or take one up that was left by the same request; `read` gives the crystal of a sentence.

        Raises
        ------
        RequestError
            If the folder holds a run of another request or model, or something else.
        """
        self.folder, self.info, self.read = folder, info, read
        self.parts = folder / "parts"
        self.views = (RAW,) if info.request.symmetrize is None else (RAW, REFINED)
        found = self._found()
        self.finished: bool = found["finished"] if found else False
        self.seconds: float = found["seconds"] if found else 0.0
        if self.finished:
            shutil.rmtree(self.parts, ignore_errors=True)  # a kill between the mark and the clean-up leaves them
            return
        folder.mkdir(parents=True, exist_ok=True)
        if found is None:
            self._write_run(finished=False)  # first of all: it is how a folder is known again
        for view in self.views:
            (folder / view.cifs).mkdir(exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        self._mend_extxyz()
        self._since = time.monotonic()

    @property
    def done(self) -> int:
        """How many structures are safe on the disk."""
        return sum(int(path.stem.split("-")[1]) for path in self._part_files())

    def add(self, samples: Sequence[Sample]) -> None:
        """Judge and append a batch of consecutive samples."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [self._row(s) for s in samples]
        for row in rows:
            self._write_cif(row)
        name = f"{samples[0].index:09d}-{len(samples)}"
        temporary = self.parts / f"{name}.part"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), temporary)
        temporary.replace(self.parts / f"{name}.parquet")
        self._append_extxyz(rows)

    def finish(self) -> None:
        """Join the parts into `structures.parquet` and mark the run as finished."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.concat_tables([pq.read_table(path) for path in self._part_files()])
        temporary = self.folder / "structures.part"
        pq.write_table(table, temporary)
        temporary.replace(self.folder / "structures.parquet")
        self._note_time()
        self._write_run(finished=True)
        self.finished = True
        shutil.rmtree(self.parts)

    def pause(self) -> None:
        """Note the time that was spent, for a run that is stopped."""
        self._note_time()
        self._write_run(finished=False)

    def _note_time(self) -> None:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now

    def summary(self) -> dict[str, float]:
        """Return the facts of a finished run: counts, time and speed; `symmetrized` only where that was asked for."""
        import pyarrow.parquet as pq

        columns = ["valid", "formula", "num_sites", "symmetrized"]
        table = pq.read_table(self.folder / "structures.parquet", columns=columns)
        count = len(table)
        asked = self.info.request.symmetrize is not None
        return {
            "crystals": count,
            "parsed": count,
            "valid": sum(table["valid"].to_pylist()),
            "distinct_formulas": len(set(table["formula"].to_pylist())),
            **({"symmetrized": sum(table["symmetrized"].to_pylist())} if asked else {}),
            "mean_sites": float(np.mean(table["num_sites"].to_pylist())),
            "seconds": self.seconds,
            "crystals_per_second": count / self.seconds,
        }

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("*.parquet"))

    def _found(self) -> dict[str, Any] | None:
        path = self.folder / "run.json"
        if not path.exists():
            if self.folder.is_dir() and any(file.name != RUN_PART for file in self.folder.iterdir()):
                raise RequestError(f"{self.folder} is not empty and holds no run; choose another --out")
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
        temporary = self.folder / RUN_PART
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.folder / "run.json")

    def _row(self, written: Sample) -> dict[str, Any]:
        return make_row(written, self.read(written), self.info.request)

    def _write_cif(self, row: dict[str, Any]) -> None:
        from materium.convert import to_cif

        for view in self.views:
            if record := view.record(row):
                text = to_cif(crystal_of(record), row["id"])
                (self.folder / view.cifs / f"{row['id']}.cif").write_text(text, encoding="utf-8")

    def _append_extxyz(self, rows: Sequence[dict[str, Any]]) -> None:
        from materium.convert import write_extxyz_frame

        for view in self.views:
            with (self.folder / view.frames).open("a", encoding="utf-8") as file:
                for row in rows:
                    if record := view.record(row):
                        write_extxyz_frame(file, crystal_of(record), {name: row[name] for name in view.facts})

    def _mend_extxyz(self) -> None:
        """Write the extxyz files anew from the journal, so that they hold what is safe and nothing else."""
        import pyarrow.parquet as pq

        for view in self.views:
            (self.folder / view.frames).unlink(missing_ok=True)
        for path in self._part_files():
            self._append_extxyz(pq.read_table(path).to_pylist())
