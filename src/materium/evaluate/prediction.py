"""How often predicted crystals are the real ones: match rate and RMSE as in the literature, METRe and cRMSE.

Two crystals match where pymatgen's StructureMatcher, at ltol 0.3, stol 0.5 and 10°, says so; their distance is its
root mean square displacement, in units of the cube root of the volume per atom. As in the evaluation of CDVAE (Xie et
al., ICLR 2022) and DiffCSP (Jiao et al., NeurIPS 2023) a prediction that is not valid matches nothing, but valid means
less here: there the composition must pass SMACT's test too, so that no prediction of a composition that fails it ever
matches, and theirs are the lower rates. Also unlike there, RMSE stands beside the number of matches that it is a mean
of, and no crystal of the table leaves the denominator.

METRe, "match everything to reference", and cRMSE are those of Martirossyan et al., arXiv:2509.12178, as understood
here. METRe: a crystal of the table counts as found when *any* prediction for any crystal of the table with its reduced
formula matches it, so that a right polymorph that was written for the wrong row is no failure, and one polymorph
written for each row of several finds one only. cRMSE: the mean over *all* crystals of the least distance of a match, a
crystal without a match counting as far as a match may be, 0.5.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from materium import convert
from materium.crystal import Crystal
from materium.errors import CrystalError
from materium.evaluate.adherence import Share
from materium.io.matching import unskewed
from materium.processes import Pool
from materium.symmetry import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pymatgen.core.structure_matcher import StructureMatcher

    from materium.data.records import Row

    Facts = dict[str, Any]
    """Columns of a row of a table."""
    Task = tuple[Crystal, Sequence[Crystal]]
    """A real crystal with the predictions to compare it with."""
    Match = Callable[[Iterable[Task]], Iterator[list[float | None]]]
    """Distances of each task's predictions from its crystal, task by task."""

LENGTH_TOLERANCE = 0.3
"""Relative."""
SITE_TOLERANCE = 0.5
"""In units of the cube root of the volume per atom; no match is farther."""
ANGLE_TOLERANCE = 10.0
"""Degrees."""
MAX_COMPARISONS = 100_000
"""METRe compares each with each within a formula. Where it would take more than these, some ten minutes, it is left out
and named in `left_out` of `metrics.json`."""
UNREADABLE = "unreadable"
PREDICTED = "predicted"


@dataclass(frozen=True)
class Figure:
    """A choice among the predictions of a crystal: the column with its distance, and what it is."""

    column: str
    definition: str


FIGURES: Mapping[str, Figure] = {
    "first": Figure("rms_first", "the first prediction of a crystal matches it (n = 1)"),
    "any": Figure("rms_any", "any of its n predictions matches it; the nearest gives the distance"),
    "likeliest": Figure("rms_likeliest", "its valid prediction with the highest likelihood matches it"),
    "lowest_energy": Figure(
        "rms_lowest_energy", "its prediction with the lowest relaxed energy matches it, as generated"
    ),
    "lowest_energy_relaxed": Figure("rms_lowest_energy_relaxed", "the same, once relaxed"),
    "metre_first": Figure(
        "rms_metre_first", "METRe with one prediction each: any for a crystal of the same formula matches it"
    ),
    "metre_any": Figure(
        "rms_metre_any", "METRe with n predictions each: any for a crystal of the same formula matches it"
    ),
}
"""By their names in `metrics.json`."""
DEFINITIONS: Mapping[str, str] = {
    "match": f"StructureMatcher, ltol {LENGTH_TOLERANCE}, stol {SITE_TOLERANCE}, {ANGLE_TOLERANCE:g} degrees; "
    "a prediction that is not valid (atoms under 0.5 Å apart, absurd volume) matches nothing; "
    "CDVAE and DiffCSP ask in addition that the composition passes SMACT's test, which is not asked here",
    "denominator": "all crystals of the table, or all with so few atoms in the primitive cell; "
    "those that were not asked for or cannot be read are misses",
    "interval": "95 %, Wilson",
    "rmse": "mean over the matches of the root mean square displacement over the cube root of the volume per atom",
    "crmse": f"the same over the denominator, {SITE_TOLERANCE} for each crystal without a match (arXiv:2509.12178)",
    "metre": "share of crystals that any prediction for any crystal of their formula matches (arXiv:2509.12178)",
}
"""What the words in `metrics.json` mean."""
RELAXED = ("lowest_energy", "lowest_energy_relaxed")


@dataclass(frozen=True)
class Reference:
    """A crystal of the table.

    Parameters
    ----------
    number
        Its place in the table, from 0.
    id
        Its name there.
    crystal
        A primitive cell without oxidation states; None where the table has nothing readable.
    status
        `PREDICTED`, or the kind of reason why it is not asked for; such a crystal counts as a miss.
    reason
        One line on that; None where it is asked for.
    """

    number: int
    id: str
    crystal: Crystal | None
    status: str = PREDICTED
    reason: str | None = None

    @property
    def formula(self) -> str | None:
        """The reduced formula."""
        return None if self.crystal is None else convert.formula(self.crystal)

    @property
    def num_sites(self) -> int | None:
        """Atoms in the primitive cell."""
        return None if self.crystal is None else len(self.crystal)

    @property
    def cell_formula(self) -> str | None:
        """The content of the primitive cell, which is all that a prediction is told: `O4 Ti2` without the space."""
        if self.crystal is None:
            return None
        numbers = self.crystal.numbers.tolist()
        kinds = sorted(set(numbers))
        counts = zip(convert.symbols(kinds), map(numbers.count, kinds), strict=True)
        return "".join(f"{symbol}{count}" for symbol, count in counts)


def reference(number: int, row: Row) -> Reference:
    """Return a row of a table as a crystal to predict."""
    if row.crystal is None:
        return Reference(number, row.id, None, UNREADABLE, row.reason)
    return Reference(number, row.id, primitive(row.crystal))


def primitive(crystal: Crystal) -> Crystal:
    """Return the crystal without oxidation states, in a primitive cell; as it came where it is primitive.

    A table that holds conventional cells asks for the same as one that holds primitive ones. A crystal in which no
    symmetry is found is taken to be primitive.
    """
    plain = _plain(crystal)
    try:
        smaller = canonical(plain)  # also moves atoms, by the tolerance of the symmetry search
    except CrystalError:
        return plain
    return smaller if len(smaller) < len(plain) else plain


def rms(predicted: Crystal, real: Crystal) -> float | None:
    """Return the distance of two crystals that match, in units of the cube root of the volume per atom, else None."""
    structures = [convert.to_structure(unskewed(_plain(crystal))) for crystal in (predicted, real)]
    if len({structure.composition.reduced_formula for structure in structures}) > 1:
        return None
    found = _matcher().get_rms_dist(*structures)  # type: ignore[no-untyped-call]
    return None if found is None else float(found[0])


@contextmanager
def matching(workers: int = 1) -> Iterator[Match]:
    """Give a function that compares predictions with real crystals, in this process or in so many of its own."""
    if workers <= 1:
        yield lambda tasks: map(_distances, tasks)
        return
    with Pool(workers) as pool:
        yield lambda tasks: pool.map(_distances, tasks)


def summary_rows(references: Sequence[Reference], samples: Iterable[Facts]) -> list[Facts]:
    """Return a row for each crystal of the table: what became of it, and the distances of `FIGURES` but METRe's.

    Parameters
    ----------
    references
        All crystals of the table, shape (crystals,).
    samples
        Rows of the predictions, with `reference` (the crystal's number), `log_likelihood`, `valid`, `rms`, `energy` and
        `rms_relaxed`; those of a crystal in the order in which they were written.
    """
    groups: defaultdict[int, list[Facts]] = defaultdict(list)
    for row in samples:
        groups[row["reference"]].append(row)
    return [{**_facts(one), **_chosen(groups[one.number])} for one in references]


def comparisons(references: Sequence[Reference], predictions: Mapping[int, Sequence[Crystal]]) -> tuple[int, int]:
    """Return of how many crystals `everything` finds the least distance, and by how many comparisons."""
    counts = [len(crystals) for _, crystals in _everything_tasks(references, predictions)]
    return len(counts), sum(counts)


def everything(
    references: Sequence[Reference], predictions: Mapping[int, Sequence[Crystal]], match: Match
) -> Iterator[tuple[int, float | None]]:
    """Yield the number of each crystal that others of its formula were predicted for, and their least distance from it.

    Parameters
    ----------
    references
        All crystals of the table.
    predictions
        The valid predictions by the number of the crystal that they were made for.
    match
        From `matching`.
    """
    tasks = list(_everything_tasks(references, predictions))
    found = match((real.crystal, crystals) for real, crystals in tasks if real.crystal is not None)
    for (real, _), distances in zip(tasks, found, strict=True):
        yield real.number, _least(distances)


def metrics(rows: Sequence[Facts], names: Iterable[str], max_sites: int) -> Facts:
    """Return the figures of all crystals, and of those with at most `max_sites` atoms.

    Parameters
    ----------
    rows
        Of `summary_rows`, with the columns of METRe where it is named.
    names
        Keys of `FIGURES` that are known.

    Returns
    -------
    Facts
        `all` and `at_most_<max_sites>_sites`: how many crystals of each status, and for each name `numerator`,
        `denominator`, `match_rate`, its 95 % `interval`, `rmse` (None without a match), `crmse` and `definition`.
    """
    small = [row for row in rows if row["num_sites"] is not None and row["num_sites"] <= max_sites]
    known = list(names)
    return {"all": _figures(rows, known), f"at_most_{max_sites}_sites": _figures(small, known)}


def samples_schema() -> pa.Schema:
    """Return the columns of `rows.parquet`; the energy is in eV/atom, distances as in `rms`."""
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    types = {"id": text, "reference": whole, "reference_id": text, "sample": whole, "log_likelihood": real}
    types |= {"valid": pa.bool_(), "reason": text, "rms": real, "energy": real, "relaxation": text}
    types |= {"rms_relaxed": real, "cell": pa.list_(real), "atomic_numbers": pa.list_(whole)}
    return pa.schema(types | {"frac_coords": pa.list_(real), "oxidation_states": pa.list_(whole)})


def crystals_schema() -> pa.Schema:
    """Return the columns of `crystals.parquet`; see `summary_rows`."""
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    types = {"number": whole, "id": text, "formula": text, "cell_formula": text, "num_sites": whole, "status": text}
    types |= {"reason": text, "samples": whole, "valid": whole, "matched": whole}
    return pa.schema(types | {figure.column: real for figure in FIGURES.values()})


def _plain(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


@cache
def _matcher() -> StructureMatcher:
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=LENGTH_TOLERANCE, stol=SITE_TOLERANCE, angle_tol=ANGLE_TOLERANCE)


def _distances(task: Task) -> list[float | None]:
    real, crystals = task
    return [rms(crystal, real) for crystal in crystals]


def _least(distances: Iterable[float | None]) -> float | None:
    return min((distance for distance in distances if distance is not None), default=None)


def _facts(one: Reference) -> Facts:
    content = {"formula": one.formula, "cell_formula": one.cell_formula, "num_sites": one.num_sites}
    return {"number": one.number, "id": one.id, **content, "status": one.status, "reason": one.reason}


def _chosen(samples: Sequence[Facts]) -> Facts:
    """Distances by the ways to choose among the predictions of a crystal."""
    valid = [row for row in samples if row["valid"]]
    matched = sum(row["rms"] is not None for row in samples)
    likeliest = max(valid, key=lambda row: row["log_likelihood"], default=None)
    lowest = min((row for row in valid if row["energy"] is not None), key=lambda row: row["energy"], default=None)
    return {
        "samples": len(samples),
        "valid": len(valid),
        "matched": matched,
        "rms_first": samples[0]["rms"] if samples else None,
        "rms_any": _least(row["rms"] for row in samples),
        "rms_likeliest": likeliest and likeliest["rms"],
        "rms_lowest_energy": lowest and lowest["rms"],
        "rms_lowest_energy_relaxed": lowest and lowest["rms_relaxed"],
        "rms_metre_first": None,
        "rms_metre_any": None,
    }


def _everything_tasks(
    references: Sequence[Reference], predictions: Mapping[int, Sequence[Crystal]]
) -> Iterator[tuple[Reference, list[Crystal]]]:
    """Each crystal with the predictions made for the others of its formula; none where there are none."""
    groups: defaultdict[str | None, list[int]] = defaultdict(list)
    formulas = [one.formula for one in references]
    for one, formula in zip(references, formulas, strict=True):
        groups[formula].append(one.number)
    for one, formula in zip(references, formulas, strict=True):
        numbers = [number for number in groups[formula] if number != one.number]
        crystals = [crystal for number in numbers for crystal in predictions.get(number, ())]
        if one.crystal is not None and crystals:
            yield one, crystals


def _figures(rows: Sequence[Facts], names: Sequence[str]) -> Facts:
    statuses = [row["status"] for row in rows]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    facts: Facts = {"crystals": len(rows), "statuses": counts}
    return facts | ({name: _figure(rows, FIGURES[name]) for name in names} if rows else {})


def _figure(rows: Sequence[Facts], figure: Figure) -> Facts:
    found = [row[figure.column] for row in rows if row[figure.column] is not None]
    share = Share(len(found), len(rows))
    return {
        "numerator": share.met,
        "denominator": share.of,
        "match_rate": share.value,
        "interval": list(share.interval),
        "rmse": sum(found) / len(found) if found else None,
        "crmse": (sum(found) + SITE_TOLERANCE * (share.of - share.met)) / share.of,
        "definition": figure.definition,
    }
