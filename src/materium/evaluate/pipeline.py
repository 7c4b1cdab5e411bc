"""The evaluation from end to end: read, check, unique, novel, relax, hull, and the same again on what was relaxed.

Every row of the source is a row of the result. Stages run one after the other over all rows; what they find is on the
disk chunk by chunk, so that the same call goes on where a stopped one stood.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.evaluate import folder as results
from materium.evaluate import verdicts
from materium.evaluate.inputs import check_asked, read_inputs
from materium.evaluate.reference import DEFAULT
from materium.evaluate.stages import Journal, Stage, run
from materium.evaluate.summary import summarise
from materium.evaluate.summary import verdicts as final_verdicts
from materium.evaluate.tools import Tools
from materium.io.lock import hold_folder
from materium.relax.relaxer import FMAX, MAX_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from materium.data.records import Row
    from materium.evaluate.hull import Hull
    from materium.evaluate.inputs import Inputs, Source
    from materium.evaluate.stages import Columns, Progress
    from materium.relax.potential import Potential

STAGES = ("unique", "novel", "relax", "hull")
"""Those that can be left out; reading and checking cannot."""
NEEDS = {"hull": "relax"}
CHUNK_CHECK = 64
CHUNK_RELAX = 16
"""Crystals that are relaxed and saved together: few enough to lose little, enough for a batch."""


@dataclass(frozen=True)
class Settings:
    """What decides the verdicts.

    Attributes
    ----------
    potential
        Name of a potential, import path of a calculator, or a potential (which then runs in this process only).
    fmax
        eV/Å; bound of the forces when a structure counts as relaxed.
    max_steps
        Of a relaxation; 0 takes the energies of the structures as they were made.
    reference
        Name or file of the reference for hull and novelty; by default the one that ships for the potential.
    known
        Table of structures to match against for novelty, instead of the reference's fingerprints.
    n_asked
        Structures that were asked for, where more were than arrived.
    skip
        Stages to leave out, of `STAGES`; without relaxation there is no hull.
    bond_valence
        Whether pymatgen's bond valence analysis takes part in the check; it takes seconds for some structures.
    """

    potential: str | Potential = DEFAULT
    fmax: float = FMAX
    max_steps: int = MAX_STEPS
    reference: str | None = None
    known: str | None = None
    n_asked: int | None = None
    skip: frozenset[str] = frozenset()
    bond_valence: bool = False

    def __post_init__(self) -> None:
        """Refuse what has no meaning, and leave out what needs a stage that is left out."""
        unknown = sorted(set(self.skip) - set(STAGES))
        if unknown:
            raise MateriumError(f"no stage {unknown[0]!r} that could be left out; there are {', '.join(STAGES)}")
        if not 0 < self.fmax < inf or self.max_steps < 0:
            raise MateriumError(
                f"fmax {self.fmax:g} must be positive and finite, and max_steps {self.max_steps} not negative"
            )
        implied = {stage for stage, needed in NEEDS.items() if needed in self.skip}
        object.__setattr__(self, "skip", frozenset(self.skip) | implied)

    def runs(self, stage: str) -> bool:
        """Tell whether a stage is to run."""
        return stage not in self.skip

    @property
    def potential_name(self) -> str:
        """Name of the potential, which is the name of its reference too."""
        return self.potential if isinstance(self.potential, str) else self.potential.name


def without_all_but(only: Iterable[str]) -> frozenset[str]:
    """Return the stages to skip so that only these run, with what they need; raises `MateriumError` on others."""
    wanted = set(only)
    unknown = sorted(wanted - {*STAGES, "check"})
    if unknown:
        raise MateriumError(f"no stage {unknown[0]!r}; there are check, {', '.join(STAGES)}")
    return frozenset(STAGES) - wanted - {NEEDS[stage] for stage in wanted if stage in NEEDS}


@dataclass(frozen=True)
class Evaluation:
    """What came out: a dictionary for each row, and the metrics as `metrics.json` has them."""

    rows: list[dict[str, Any]]
    metrics: dict[str, Any]
    reused: bool = field(default=False, compare=False)
    """Whether it was there already, and nothing was done."""


def evaluate(  # noqa: PLR0913 - what is judged, how, and how it is run
    source: Source,
    out: str | Path | None = None,
    settings: Settings | None = None,
    *,
    processes: int = 1,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
) -> Evaluation:
    """Judge every structure of a file, folder, table, run or list.

    Parameters
    ----------
    source
        As in `materium.evaluate.inputs.read_inputs`.
    out
        Folder for `rows.parquet`, `rows.csv`, `metrics.json`, `relaxed.extxyz`, `relaxed/` and `lemat.csv`; without it
        nothing is written. A stopped evaluation goes on; a finished one of the same input and settings is returned as
        it is.
    processes
        For checking, matching and relaxing; more change no verdict.
    command
        What is noted of where it was called.
    progress
        Called with the stage, the rows done and their number.
    stop
        Called after each chunk that was saved.

    Raises
    ------
    MateriumError
        If the source cannot be read, potential and reference do not fit, or the folder holds something else.
    """
    chosen = settings or Settings()
    inputs = read_inputs(source, chosen.n_asked)
    asked = check_asked(chosen.n_asked, len(inputs.rows))
    tools = Tools.open(chosen)
    with nullcontext() if out is None else hold_folder(Path(out)):
        place = None if out is None else results.Folder(Path(out), _identity(inputs, chosen, tools), command, source)
        if place is not None and place.finished:
            return Evaluation(place.rows(), place.metrics(), reused=True)
        runner = _Runner(place, processes if isinstance(chosen.potential, str) else 1, progress, stop)
        rows = _judge(inputs, chosen, tools, runner)
        metrics = {**_provenance(inputs, chosen, tools, asked), **summarise(rows, asked, _missing(chosen))}
        metrics["distributions"] = tools.distributions(rows)
        if place is not None:
            place.finish(rows, metrics)
        return Evaluation(rows, metrics)


class _Runner:
    """Runs stages on rows, each with the journal that the folder keeps for it."""

    def __init__(
        self,
        place: results.Folder | None,
        processes: int,
        progress: Progress | None,
        stop: Callable[[], None] | None,
    ) -> None:
        self.place, self.processes, self.progress, self.stop = place, processes, progress, stop

    def __call__(self, stage: Stage, items: Mapping[int, Any], rows: list[dict[str, Any]], processes: int = 0) -> None:
        """Put the columns of a stage into the rows."""
        journal = Journal(None if self.place is None else self.place.journal(stage.name))
        count = processes or self.processes
        found = run(stage, items, journal, processes=count, progress=self.progress, stop=self.stop)
        for index, columns in found.items():
            rows[index].update(columns)


def _judge(inputs: Inputs, settings: Settings, tools: Tools, runner: _Runner) -> list[dict[str, Any]]:
    """All rows with all columns."""
    rows = [_facts(index, row) for index, row in enumerate(inputs.rows)]
    crystals = {index: row.crystal for index, row in enumerate(inputs.rows) if row.crystal is not None}
    check = partial(verdicts.checks, bond_valence=settings.bond_valence)
    runner(Stage("check", check, CHUNK_CHECK, {"valid": False}), crystals, rows)
    valid = {index: crystal for index, crystal in crystals.items() if rows[index].get("valid")}
    _compare(valid, settings, tools, runner, rows, "")
    if settings.runs("relax"):
        work = partial(
            verdicts.relaxation, potential=settings.potential, fmax=settings.fmax, max_steps=settings.max_steps
        )
        lost = {"relax_status": "error"}
        runner(Stage("relax", work, CHUNK_RELAX, lost, "relax_reason"), valid, rows)
        relaxed = {index: relaxed_crystal(rows[index], crystals[index]) for index in valid if _has_relaxed(rows[index])}
        if settings.max_steps > 0:
            _compare(relaxed, settings, tools, runner, rows, "_relaxed")
        if tools.hull is not None:
            _place(relaxed, tools.hull, runner, rows)
    for index, crystal in crystals.items():
        rows[index].update(tools.groups(rows[index], crystal))
        if tools.hull is not None:
            rows[index]["hull_support"] = tools.hull.support(crystal)
    for row in rows:
        row.update(final_verdicts(row, set(STAGES) - settings.skip))
    return rows


def _compare(  # noqa: PLR0913, PLR0917 - one call for the structures as made, one for the relaxed
    crystals: Mapping[int, Crystal],
    settings: Settings,
    tools: Tools,
    runner: _Runner,
    rows: list[dict[str, Any]],
    suffix: str,
) -> None:
    """Uniqueness and novelty."""
    if settings.runs("unique"):
        work = partial(verdicts.uniqueness, suffix=suffix)
        runner(Stage(f"unique{suffix}", work), crystals, rows, processes=1)
        order = sorted(crystals)
        for index in order:
            first = rows[index].pop(f"first_equal{suffix}")
            rows[index][f"duplicate_of{suffix}"] = None if order[first] == index else rows[order[first]]["id"]
    if tools.known is not None:
        work = partial(verdicts.novelty, known=tools.known, suffix=suffix)
        runner(Stage(f"novel{suffix}", work, CHUNK_CHECK, reason=f"novelty_reason{suffix}"), crystals, rows)


def _place(crystals: Mapping[int, Crystal], hull: Hull, runner: _Runner, rows: list[dict[str, Any]]) -> None:
    """Energies above the hull; rows without an energy say so."""
    items = {index: (crystal, rows[index]["energy"]) for index, crystal in crystals.items()}
    runner(Stage("hull", partial(verdicts.above_hull, hull=hull), CHUNK_CHECK), items, rows, processes=1)
    for index, row in enumerate(rows):
        if index not in items:
            row["hull_reason"] = row.get("relax_reason") or row.get("reason") or "no energy"


def _facts(index: int, row: Row) -> Columns:
    """What is known of a row before it is judged."""
    facts: Columns = {"id": row.id, "index": index, "valid": False, "reason": row.reason}
    likelihood = row.properties.get("log_likelihood")
    facts["log_likelihood"] = likelihood if isinstance(likelihood, float) else None
    if row.crystal is None:
        return facts
    crystal = row.crystal
    structure = {
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
    }
    return {**facts, "formula": convert.formula(crystal), "num_sites": len(crystal), **structure}


def relaxed_crystal(row: Mapping[str, Any], crystal: Crystal | None = None) -> Crystal:
    """Return the relaxed crystal of a row; the elements are those of `crystal`, by default of the row."""
    numbers = np.array(row["atomic_numbers"]) if crystal is None else crystal.numbers
    return Crystal(np.reshape(row["relaxed_cell"], (3, 3)), np.reshape(row["relaxed_frac_coords"], (-1, 3)), numbers)


def _has_relaxed(row: Mapping[str, Any]) -> bool:
    return row.get("relaxed_cell") is not None and row.get("energy") is not None


def _missing(settings: Settings) -> frozenset[str]:
    """Stages that do not run, SMACT where it is not installed, moving without steps: what needs them has no figure."""
    smact = set() if find_spec("smact") else {"smact"}
    return settings.skip | smact | (set() if settings.max_steps else {"move"})


def _identity(inputs: Inputs, settings: Settings, tools: Tools) -> dict[str, Any]:
    """What two calls must have in common to go on with each other's work."""
    return {
        "input": inputs.digest,
        "n_asked": settings.n_asked,
        "skip": sorted(settings.skip),
        "fmax": settings.fmax,
        "max_steps": settings.max_steps,
        "bond_valence": settings.bond_valence,
        "potential": tools.potential,
        "reference": None if tools.reference is None else tools.reference.fingerprint,
        "known": tools.known_digest,
    }


def _provenance(inputs: Inputs, settings: Settings, tools: Tools, asked: int) -> dict[str, Any]:
    """Where the figures come from."""
    reference, by = (
        tools.reference,
        "full matching with the table" if settings.known else "fingerprints of the reference",
    )
    return {
        "source": inputs.source,
        "left_out": list(inputs.left_out),
        "n_asked": asked,
        "n_rows": len(inputs.rows),
        "skipped": sorted(_missing(settings)),
        "settings": {"fmax": settings.fmax, "max_steps": settings.max_steps},
        "potential": tools.potential,
        "reference": None if reference is None else {"name": reference.name, "fingerprint": reference.fingerprint},
        "novelty": None if tools.known is None else f"{tools.known.novel_means}, by {by}",
        "known": None if tools.known_digest is None else {"table": settings.known, "fingerprint": tools.known_digest},
    }
