"""Run folders: results are appended as they come, a stopped run goes on, and a finished one is never overwritten.

Each batch becomes one Parquet file in `parts/`, written at once or not at all: that is the journal. The extxyz file
follows it; what a crash left half-written there is cut off and written again from the journal.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.crystal import MIN_DISTANCE, Crystal
from materium.errors import MateriumError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from materium.generate.engine import Sample
    from materium.generate.request import Request
    from materium.tokens.tokenizer import Tokenizer

RUN_PART = "run.part"
VOLUME_PER_ATOM = (3.0, 250.0)
"""Å³; outside of it a structure is not called valid. The training crystals lie within."""
TOLERANCES = {"space_group": 0.1, "space_group_fine": 0.01}
"""Å; columns of the table, with the tolerance of the symmetry search."""


@dataclass(frozen=True)
class RunInfo:
    """What decides a run's crystals, for `run.json`: two runs with equal identity write the same."""

    request: Request
    model: str
    versions: dict[str, str]
    command: str

    @property
    def identity(self) -> dict[str, Any]:
        """Request and model."""
        return {"request": self.request.to_dict(), "model": self.model}


class RunFolder:
    """A run folder that is being written, or that is whole."""

    def __init__(self, folder: Path, info: RunInfo, tokenizer: Tokenizer) -> None:
        """Make the folder, or take one up that was left by the same request.

        Raises
        ------
        RequestError
            If the folder holds a run of another request or model, or something else.
        """
        self.folder, self.info, self.tokenizer = folder, info, tokenizer
        self.parts = folder / "parts"
        found = self._found()
        self.finished: bool = found["finished"] if found else False
        self.seconds: float = found["seconds"] if found else 0.0
        if self.finished:
            shutil.rmtree(self.parts, ignore_errors=True)  # a kill between the mark and the clean-up leaves them
            return
        folder.mkdir(parents=True, exist_ok=True)
        if found is None:
            self._write_run(finished=False)  # first of all: it is how a folder is known again
        (folder / "cif").mkdir(exist_ok=True)
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
        pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), temporary)
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
        """Return the facts of a finished run: counts, shares of valid and distinct, time and speed."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.folder / "structures.parquet", columns=["valid", "formula", "num_sites"])
        count = len(table)
        return {
            "crystals": count,
            "parsed": count,
            "valid": sum(table["valid"].to_pylist()),
            "distinct_formulas": len(set(table["formula"].to_pylist())),
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
            state = "finished" if found["finished"] else "unfinished"
            raise RequestError(f"{self.folder} holds a {state} run with other settings; choose another --out")
        return found

    def _write_run(self, *, finished: bool) -> None:
        facts = {**self.info.identity, "command": self.info.command, "versions": self.info.versions}
        data = {**facts, "seconds": round(self.seconds, 3), "finished": finished}
        temporary = self.folder / RUN_PART
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.folder / "run.json")

    def _row(self, written: Sample) -> dict[str, Any]:
        crystal = self.tokenizer.decode(written.tokens)
        reason = fault(crystal)
        request = self.info.request
        return {
            "id": f"{request.seed}-{written.index:06d}",
            "index": written.index,
            "seed": request.seed,
            **_facts(crystal),
            **_groups(crystal, reason),
            "log_likelihood": written.log_likelihood,
            "valid": reason is None,
            "reason": reason,
            "ended": "complete",
            "conditions": json.dumps(dict(request.conditions), sort_keys=True),
            "order": request.order,
            "tokens": written.tokens.tolist(),
        }

    def _write_cif(self, row: dict[str, Any]) -> None:
        from materium.convert import to_cif

        (self.folder / "cif" / f"{row['id']}.cif").write_text(to_cif(_crystal(row), row["id"]), encoding="utf-8")

    def _append_extxyz(self, rows: Sequence[dict[str, Any]]) -> None:
        from materium.convert import write_extxyz_frame

        with (self.folder / "structures.extxyz").open("a", encoding="utf-8") as file:
            for row in rows:
                write_extxyz_frame(file, _crystal(row), {name: row[name] for name in _FRAME_FACTS})

    def _mend_extxyz(self) -> None:
        """Write the extxyz file anew from the journal, so that it holds what is safe and nothing else."""
        import pyarrow.parquet as pq

        (self.folder / "structures.extxyz").unlink(missing_ok=True)
        for path in self._part_files():
            self._append_extxyz(pq.read_table(path).to_pylist())


_FRAME_FACTS = ("id", "seed", "formula", "space_group", "density", "log_likelihood", "valid")


def fault(crystal: Crystal) -> str | None:
    """Return why a crystal is not structurally valid (two atoms too close, or an absurd volume), or None."""
    low, high = VOLUME_PER_ATOM
    each = crystal.volume / len(crystal)
    if not low <= each <= high:
        return f"volume per atom {each:.2f} Å³ is outside {low:g} to {high:g} Å³"
    if crystal.min_distance < MIN_DISTANCE:
        return f"atoms {crystal.min_distance:.3f} Å apart"
    return None


def _facts(crystal: Crystal) -> dict[str, Any]:
    from materium.convert import formula

    states = crystal.oxidation_states
    return {
        "formula": formula(crystal),
        "num_sites": len(crystal),
        "density": crystal.density,
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "oxidation_states": None if states is None else states.tolist(),
    }


def _groups(crystal: Crystal, reason: str | None) -> dict[str, int | None]:
    """Space groups at two tolerances; null where atoms overlap or moyo finds none."""
    from materium.symmetry import space_group

    groups: dict[str, int | None] = {}
    for name, symprec in TOLERANCES.items():
        try:
            groups[name] = space_group(crystal, symprec) if reason is None else None
        except MateriumError:
            groups[name] = None
    return groups


def _crystal(row: dict[str, Any]) -> Crystal:
    states = None if row["oxidation_states"] is None else np.array(row["oxidation_states"])
    cell, frac = np.array(row["cell"]).reshape(3, 3), np.array(row["frac_coords"]).reshape(-1, 3)
    return Crystal(cell, frac, np.array(row["atomic_numbers"]), states)


def _schema() -> pa.Schema:
    import pyarrow as pa

    whole, real, text = pa.int64(), pa.float64(), pa.string()
    numbers, reals = pa.list_(pa.int64()), pa.list_(pa.float64())
    return pa.schema(
        {
            "id": text, "index": whole, "seed": whole, "formula": text, "num_sites": whole,
            "space_group": whole, "space_group_fine": whole, "density": real, "log_likelihood": real,
            "valid": pa.bool_(), "reason": text, "ended": text, "conditions": text, "order": text,
            "cell": reals, "atomic_numbers": numbers, "frac_coords": reals, "oxidation_states": numbers,
            "tokens": numbers,
        }
    )  # fmt: skip
