"""The funnel from crystals that come in batches to candidates.

A crystal is dropped at the first stage that it fails, so that the dear stages see few: `check` (it is valid), `unique`
(the first of equals), `novel` (unknown to the reference), `support` (the reference has compounds to compete with it),
`screen` (energy above the hull as it came), `relax` (it relaxes), `hull` (energy above the hull, relaxed), `final`
(still unique and novel when relaxed). Who makes the crystals
is unknown here. What is done is on the disk step by step: a batch up to its screen, then a few relaxations at a time.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium import convert
from materium.errors import DataError, MateriumError
from materium.evaluate import verdicts
from materium.evaluate.hull import Hull, too_deep
from materium.evaluate.lemat import made_crystal
from materium.evaluate.reference import load
from materium.evaluate.stages import Journal
from materium.evaluate.uniqueness import Uniques
from materium.relax.relaxer import FMAX, single_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.evaluate.measure import Value
    from materium.evaluate.novelty import Known
    from materium.relax.potential import Potential

    Row = dict[str, Any]
    """What is known of a crystal, as JSON types."""
    Batches = Callable[[int], Iterator[Sequence["Made"]]]
    """Gives the batches from number k on; a batch depends on its number alone."""
    Show = Callable[[list["Count"]], None]
    """Called with the counts after every step."""
    Progress = Callable[[str, int, int], None]
    """Called with what is done, with how many crystals it is done, and their number, 0 where it is unknown."""

STAGES = ("check", "unique", "novel", "support", "screen", "relax", "hull", "final")
KEPT = "kept"
"""Where a candidate ends, in place of a stage."""
LEFT = "the search ended before it was relaxed"
NO_REFERENCE = "no reference"
"""How the reason begins where the hull lacks an element."""
ENOUGH, BUDGET, CAP, EXHAUSTED = "keep", "budget", "cap", "exhausted"
"""What ends a search: enough candidates, the time, the number of crystals, or that none came any more."""
CHUNK = 4
"""Crystals that are relaxed and saved together: few enough to lose little and to keep to a budget."""


class BudgetError(Exception):
    """The time was used up within a step, which is dropped: nothing of it is on the disk."""


@dataclass(frozen=True)
class Made:
    """A crystal that comes in, with its likelihood (nats) and its targets where they are known."""

    id: str
    crystal: Crystal
    log_likelihood: float | None = None
    targets: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What a candidate must keep to, and how many are wanted.

    Attributes
    ----------
    keep
        Candidates that end the search; the last relaxations may bring some more.
    max_hull
        eV/atom above the hull that a candidate may have.
    screen
        eV/atom above the hull, as made, beyond which a crystal is not relaxed. Of 72 crystals of Li, Fe, P and O that
        were relaxed with CHGNet from below 2 eV/atom, 6 of the 24 below 0.3 became candidates, and 8 of the 48 above
        it, at seven times the cost.
    fmax, max_steps
        As in `materium.relax.relaxer.relax`.

    Raises
    ------
    MateriumError
        If a limit has no meaning.
    """

    keep: int = 50
    max_hull: float = 0.05
    screen: float = 0.3
    fmax: float = FMAX
    max_steps: int = 300

    def __post_init__(self) -> None:
        """Refuse what no crystal could keep to."""
        if self.keep < 1 or self.max_steps < 1 or not self.fmax > 0:
            raise MateriumError(
                f"keep {self.keep} and max_steps {self.max_steps} must be at least 1, fmax {self.fmax:g} above 0"
            )
        if not self.max_hull <= self.screen < np.inf:
            raise MateriumError(f"screen {self.screen:g} eV/atom must be at least max_hull {self.max_hull:g}")


@dataclass(frozen=True)
class Judges:
    """What crystals are judged with."""

    potential: Potential
    hull: Hull
    known: Known

    @classmethod
    def open(cls, potential: str, reference: str | None = None) -> Judges:
        """Load a potential and a reference by name, by default the potential's; what does not fit is refused."""
        hull = Hull(load(reference or potential))
        model = verdicts.loaded(potential)
        hull.require(model)
        return cls(model, hull, hull.reference.known())

    def facts(self) -> dict[str, dict[str, str]]:
        """Return names and versions, which decide the verdicts."""
        model, reference = self.potential, self.hull.reference
        return {
            "potential": {"name": model.name, "version": model.version, "scheme": model.scheme},
            "reference": {"name": reference.name, "fingerprint": reference.fingerprint},
        }


class Count(NamedTuple):
    """What became of the crystals at a stage: `came` is the sum of `passed`, `dropped` and those `left` waiting."""

    stage: str
    came: int
    passed: int
    dropped: int
    left: int


def counts(rows: Iterable[Mapping[str, Any]]) -> list[Count]:
    """Return the counts of every stage; the crystals that pass one are those that come to the next."""
    rows = list(rows)
    found, came = [], len(rows)
    for stage in STAGES:
        ended = [row["outcome"] for row in rows if row["stage"] == stage]
        dropped = ended.count("dropped")
        found.append(Count(stage, came, came - len(ended), dropped, len(ended) - dropped))
        came -= len(ended)
    return found


def relaxed_crystal(row: Mapping[str, Any]) -> Crystal:
    """Return the relaxed crystal of a row that has one."""
    return made_crystal({**row, "cell": row["relaxed_cell"], "frac_coords": row["relaxed_frac_coords"]})


class Funnel:
    """A search that is under way, or ended.

    Parameters
    ----------
    judges, limits
        What decides the verdicts.
    folder
        Where the journals are, so that a stopped search goes on; None keeps all in memory.
    show
        Called with the counts after every step.
    progress
        Called on the way through a step.
    """

    def __init__(
        self,
        judges: Judges,
        limits: Limits,
        folder: Path | None = None,
        show: Show | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.judges, self.limits, self._show, self._progress = judges, limits, show, progress
        names = ("made", "relaxed", "clock")
        self._made, self._relaxed, self._clock = (
            Journal(None if folder is None else folder / f"{name}.jsonl") for name in names
        )
        self._check_journals(folder)
        self._since, self._deadline = time.monotonic(), np.inf
        self._remember()

    def _remember(self) -> None:
        """Know the crystals that are on the disk, of which later ones may be copies."""
        self._firsts, self._firsts_relaxed = _Firsts(), _Firsts()
        for row in self._made.columns.values():
            if row.get("unique"):
                self._firsts.add(row["id"], made_crystal(row))
        for place in self._relaxed.columns:  # in the order in which they were relaxed, which decides who is first
            row = self._row(place)
            if row.get("unique_relaxed"):
                self._firsts_relaxed.add(row["id"], relaxed_crystal(row))

    def _check_journals(self, folder: Path | None) -> None:
        """Refuse journals of which parts are lost: which crystal is the first of equals follows from their order."""
        ticks = self._clock.columns
        known = self._relaxed.columns.keys() <= self._made.columns.keys() and ticks.keys() == set(range(len(ticks)))
        noted = ticks[len(ticks) - 1]["steps"] if ticks and known else 0
        damaged = any(one.damaged for one in (self._made, self._relaxed, self._clock))
        if damaged or not known or not 0 <= self._steps - noted <= 1:
            raise DataError(f"{folder} is damaged: steps of the search are lost; remove {folder and folder.parent}")
        if self._steps > noted:  # it was killed before the time of its last step was noted
            self._clock.add({len(ticks): {"seconds": 0.0, "steps": self._steps}})

    @property
    def _steps(self) -> int:
        """Steps that are on the disk; one that the budget ended leaves a tick of the clock alone."""
        return self._made.lines + self._relaxed.lines

    @property
    def rows(self) -> list[Row]:
        """All crystals that came in, in their order: `stage` and `outcome` tell where each ended, `why` the reason."""
        return [self._row(place) for place in sorted(self._made.columns)]

    @property
    def seconds(self) -> float:
        """Time that was spent on what is saved, those of earlier runs included."""
        return float(sum(step["seconds"] for step in self._clock.columns.values()))

    def run(self, batches: Batches, *, budget: float | None = None, cap: int | None = None) -> str:
        """Search until something ends it, and return what: `ENOUGH`, `BUDGET`, `CAP` or `EXHAUSTED`.

        Parameters
        ----------
        batches
            Gives the crystals.
        budget
            Seconds, `seconds` counted. It is looked at within the steps, too: one that it ends is done anew by a later
            run with a larger budget.
        cap
            Crystals after which no further batch is taken.
        """
        source: Iterator[Sequence[Made]] | None = None
        self._since = time.monotonic()
        self._deadline = np.inf if budget is None else self._since + budget - self.seconds
        while (reason := self.ended(budget, cap)) is None:
            chunk = self._waiting()[:CHUNK]
            try:
                if chunk:
                    self._relax(chunk)
                else:
                    source = batches(self._batches) if source is None else source
                    self._tell("generate", 0)
                    batch = next(source, ())
                    if not batch:
                        return EXHAUSTED
                    self._take(batch)
            except BudgetError:
                self._remember()
            self._tick()
        return reason

    def _tell(self, what: str, count: int, done: int = 0) -> None:
        """Say what is under way, and end it where there is no time left."""
        self._keep_to_time()
        if self._progress is not None:
            self._progress(what, done, count)

    def _keep_to_time(self) -> None:
        if time.monotonic() >= self._deadline:
            raise BudgetError

    def ended(self, budget: float | None, cap: int | None) -> str | None:
        """Return what ends the search where it stands, or None."""
        kept = sum(row["stage"] == KEPT for row in self._relaxed.columns.values())
        if kept >= self.limits.keep:
            return ENOUGH
        if budget is not None and self.seconds >= budget:
            return BUDGET
        return CAP if cap is not None and len(self._made.columns) >= cap and not self._waiting() else None

    @property
    def _batches(self) -> int:
        """Batches that were taken."""
        return 1 + max((row["batch"] for row in self._made.columns.values()), default=-1)

    def _row(self, place: int) -> Row:
        return {**self._made.columns[place], **self._relaxed.columns.get(place, {})}

    def _waiting(self) -> list[Row]:
        """Crystals that are to be relaxed, the lowest above the hull first."""
        rows = [row for place, row in self._made.columns.items() if place not in self._relaxed.columns]
        return sorted(
            (row for row in rows if row["outcome"] == "left"), key=lambda row: (row["screened"], row["index"])
        )

    def _tick(self) -> None:
        now = time.monotonic()
        self._clock.add({len(self._clock.columns): {"seconds": round(now - self._since, 3), "steps": self._steps}})
        self._since = now
        if self._show is not None:
            self._show(counts(self.rows))

    # --- a batch, up to its screen ---

    def _take(self, batch: Sequence[Made]) -> None:
        start, number = len(self._made.columns), self._batches
        rows = [_facts(start + place, number, one) for place, one in enumerate(batch)]
        for stage in ("check", "unique", "novel", "support", "screen"):
            alive = [row for row in rows if row["outcome"] == "left"]
            self._tell(stage, len(alive))
            getattr(self, f"_{stage}")(alive, [made_crystal(row) for row in alive])
        self._made.add({row["index"]: row for row in rows})

    def _check(self, rows: list[Row], crystals: list[Crystal]) -> None:
        for row, found in zip(rows, verdicts.checks(crystals), strict=True):
            reason = found.pop("reason")
            row.update(found)
            if not row["valid"]:
                _drop(row, "check", reason)

    def _unique(self, rows: list[Row], crystals: list[Crystal]) -> None:
        for done, (row, crystal) in enumerate(zip(rows, crystals, strict=True)):
            self._tell("unique", len(rows), done)
            first = self._firsts.add(row["id"], crystal)
            row |= {"unique": first is None, "duplicate_of": first}
            if first is not None:
                _drop(row, "unique", f"equals {first}")

    def _novel(self, rows: list[Row], crystals: list[Crystal]) -> None:
        for row, found in zip(rows, verdicts.novelty(crystals, self.judges.known), strict=True):
            row.update(found)
            if not row["novel"]:
                _drop(row, "novel", found.get("novelty_reason") or f"known as {found['nearest_id']}")

    def _support(self, rows: list[Row], crystals: list[Crystal]) -> None:
        hull = self.judges.hull
        for row, crystal in zip(rows, crystals, strict=True):
            row["hull_support"] = hull.support(crystal)
            if missing := hull.missing(crystal):
                _drop(row, "support", f"{NO_REFERENCE} for {', '.join(missing)}")
            elif doubt := hull.unsupported(crystal):
                _drop(row, "support", doubt)

    def _screen(self, rows: list[Row], crystals: list[Crystal]) -> None:
        hull, limit = self.judges.hull, self.limits.screen
        energies = single_points(crystals, self.judges.potential, stop=self._keep_to_time)
        for row, crystal, energy in zip(rows, crystals, energies, strict=True):
            above = None if energy is None else hull.energy_above_hull(crystal, energy)
            row["screened"] = above
            if above is None:
                _drop(row, "screen", f"{self.judges.potential.name} gives no energy")
            elif doubt := too_deep(above) or hull.unsupported(crystal, above):
                _drop(row, "screen", doubt)
            elif above > limit:
                _drop(row, "screen", f"{above:.3f} eV/atom above the hull as made, more than {limit:g}")

    # --- relaxing a few ---

    def _relax(self, chunk: Sequence[Row]) -> None:
        self._tell("relax", len(self._relaxed.columns) + len(self._waiting()), len(self._relaxed.columns))
        found = self._relaxed_or_not([made_crystal(row) for row in chunk])
        columns: dict[int, Row] = {}
        for row, more in zip(chunk, found, strict=True):
            self._judge({**row, **more}, more)
            columns[row["index"]] = more
        self._relaxed.add(columns)

    def _relaxed_or_not(self, crystals: list[Crystal]) -> list[Row]:
        """What relaxing makes of crystals; where that fails each is tried alone, and harms itself only."""
        limits = self.limits
        try:
            return verdicts.relaxation(
                crystals, self.judges.potential, limits.fmax, limits.max_steps, self._keep_to_time
            )
        except MateriumError:
            raise  # the potential itself is missing or misused
        except ValueError as error:  # moyo's, of a cell on its way that it cannot reduce
            if len(crystals) == 1:
                return [{"relax_status": "error", "relax_reason": " ".join(str(error).split())}]
        return [self._relaxed_or_not([crystal])[0] for crystal in crystals]

    def _judge(self, row: Row, more: Row) -> None:
        """Put the verdicts on a relaxed crystal, `row`, into `more`."""
        if more.get("energy") is None:
            _drop(more, "relax", f"{more['relax_status']}: {more['relax_reason']}")
            return
        crystal = relaxed_crystal(row)
        above = self.judges.hull.energy_above_hull(crystal, more["energy"])
        more["energy_above_hull"] = above
        if above is None or above > self.limits.max_hull:
            far = f"{above:.3f} eV/atom above the hull, more than {self.limits.max_hull:g}" if above is not None else ""
            _drop(more, "hull", far or "its energy is not finite")
            return
        if doubt := too_deep(above) or self.judges.hull.unsupported(crystal, above):
            _drop(more, "hull", doubt)
            return
        (found,) = verdicts.novelty([crystal], self.judges.known, "_relaxed")
        more |= found
        if not found["novel_relaxed"]:
            _drop(more, "final", f"relaxed, it is known as {found.get('nearest_id_relaxed')}")
            return
        first = self._firsts_relaxed.add(row["id"], crystal)
        more |= {"unique_relaxed": first is None, "duplicate_of_relaxed": first}
        if first is None:
            more |= {"stage": KEPT, "outcome": KEPT, "why": None}
        else:
            _drop(more, "final", f"relaxed, it equals {first}")


class _Firsts:
    """`Uniques` that knows crystals by their ids."""

    def __init__(self) -> None:
        self._uniques, self._ids = Uniques(), list[str]()

    def add(self, name: str, crystal: Crystal) -> str | None:
        """Return the id of the earlier crystal that this one equals, or None."""
        self._ids.append(name)
        first = self._uniques.add(crystal)
        return None if first is None else self._ids[first]


def _facts(index: int, batch: int, one: Made) -> Row:
    """What is known of a crystal before it is judged; until it is dropped it waits to be relaxed."""
    crystal = one.crystal
    return {
        "id": one.id,
        "index": index,
        "batch": batch,
        "formula": convert.formula(crystal),
        "num_sites": len(crystal),
        "log_likelihood": one.log_likelihood,
        "targets": json.dumps(dict(one.targets), sort_keys=True),
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "stage": "relax",
        "outcome": "left",
        "why": LEFT,
    }


def _drop(row: Row, stage: str, why: str | None) -> None:
    row |= {"stage": stage, "outcome": "dropped", "why": why}
