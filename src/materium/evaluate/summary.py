"""From rows to fractions: every figure with its count, its denominator, its 95 % interval and what it means.

The denominator of a fraction is the number of structures that were asked for: one that is unreadable, invalid or failed
to relax counts as not met. By class and by rarity it is the number of readable structures of that group.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from math import exp, sqrt
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from materium.crystal import MIN_DISTANCE, VOLUME_PER_ATOM
from materium.evaluate.adherence import Z95, Share
from materium.evaluate.hull import SUPPORTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Row = Mapping[str, Any]
    Figure = dict[str, Any]
    """A metric as `metrics.json` has it."""

STABLE = 0.0
"""eV/atom above the hull."""
METASTABLE = 0.1
"""eV/atom above the hull; the field's bound for what may be made."""
ROUNDING = 1e-4
"""eV/atom; a crystal that is on the hull comes out a little above it: references hold float32, and a network's energies
change in the last digits with the batch that a crystal is in."""
RELAXED = ("converged", "max_steps", "single_point")
"""Statuses with which a row has an energy."""


@dataclass(frozen=True)
class Metric:
    """A fraction: what a row must be to count, and the stages without which nobody knows."""

    name: str
    definition: str
    met: Callable[[Row], bool]
    needs: tuple[str, ...] = ()


def verdicts(row: Row, ran: Collection[str] = ()) -> dict[str, bool | str | None]:
    """Return the verdicts that follow from several stages; None where one of them did not run.

    `unique_final`, `novel_final` and `novelty_final` are those of the relaxed structure where there is one, else those
    of the structure as it was made. `stable`, `metastable`: the energy above the hull is known, supported by the
    reference, and at most 0 or 0.1 eV/atom. `unsupported`: see `materium.evaluate.hull.Hull.unsupported`. `sun`,
    `msun`: stable or metastable, and unique and novel by the final verdicts.

    Parameters
    ----------
    ran
        Those of the stages `unique` and `novel` that ran: what is not valid fails them without having been judged.
    """
    unique, novel = (_final(row, name, ran=name in ran) for name in ("unique", "novel"))
    stable, metastable = _below(row, STABLE), _below(row, METASTABLE)
    return {
        "unique_final": unique,
        "novel_final": novel,
        "novelty_final": row.get("novelty_relaxed") or row.get("novelty"),
        "unsupported": None if stable is None else bool(row.get("unsupported")),
        "stable": stable,
        "metastable": metastable,
        "sun": _all(stable, unique, novel),
        "msun": _all(metastable, unique, novel),
    }


def _final(row: Row, name: str, *, ran: bool) -> bool | None:
    if ran and not row.get("valid"):
        return False
    relaxed = row.get(f"{name}_relaxed")
    found = row.get(name) if relaxed is None else relaxed
    return None if found is None else bool(found)


def _below(row: Row, bound: float) -> bool | None:
    if "hull_reason" not in row:
        return None
    height = row.get("energy_above_hull")
    return height is not None and not row.get("unsupported") and height <= bound + ROUNDING


def _all(*known: bool | None) -> bool | None:
    return None if None in known else all(known)


def _true(name: str, row: Row) -> bool:
    return bool(row.get(name))


def _column(name: str, definition: str, *needs: str, of: str | None = None) -> Metric:
    return Metric(name, definition, partial(_true, of or name), needs)


def _apart(row: Row) -> bool:
    distance = row.get("min_distance")
    return distance is not None and distance >= MIN_DISTANCE


def _has_energy(row: Row) -> bool:
    return row.get("relax_status") in RELAXED


def _converged(row: Row) -> bool:
    return row.get("relax_status") == "converged"


def _known(name: str, row: Row) -> bool:
    return row.get(name) is not None


def _both(one: str, other: str, row: Row) -> bool:
    return bool(row.get(one)) and bool(row.get(other))


def _only(one: str, other: str, row: Row) -> bool:
    return bool(row.get(one)) and not row.get(other)


_LOW, _HIGH = VOLUME_PER_ATOM
_FINAL = "judged on the relaxed structure where there is one, else as made"
_NOISE = (
    "; with CHGNet close to a coin toss: of 431 crystals with 0 eV/atom by DFT, in the reference themselves, only 40 % "
    f"come out at or below 0 (98 % at or below {METASTABLE:g}), of 395 above it 12 %"
)
"""Measured on the 826 rows of `test` with a label, as they are."""
_SUN = f"unique and novel, both {_FINAL}"
METRICS = (
    Metric("parsed", "could be read as an ordered crystal", partial(_known, "formula")),
    _column(
        "valid",
        f"readable, no two atoms closer than {MIN_DISTANCE} Å, {_LOW:g} to {_HIGH:g} Å³ per atom; "
        "only valid structures are judged further",
    ),
    Metric("apart", f"no two atoms closer than {MIN_DISTANCE} Å", _apart),
    _column("neutral", "integer oxidation states that elements are known in sum to zero"),
    _column("smact_valid", "composition passes SMACT's test of charges and electronegativities; alloys pass", "smact"),
    Metric("valid_and_smact", "valid, and passes SMACT's test", partial(_both, "valid", "smact_valid"), ("smact",)),
    _column("unique", "valid, and equals no earlier valid structure (StructureMatcher), as made", "unique"),
    _column("novel", "valid, and equals no structure of the reference, as made", "novel"),
    _column("novel_formula", "valid, and no structure of the reference has its reduced formula", "novel"),
    _column("novel_prototype", "valid, and no structure of the reference has its Wyckoff positions", "novel"),
    Metric("unique_novel", "unique and novel, as made", partial(_both, "unique", "novel"), ("unique", "novel")),
    _column("unique_final", f"valid, and equals no earlier valid structure, {_FINAL}", "unique"),
    _column("novel_final", f"valid, and equals no structure of the reference, {_FINAL}", "novel"),
    Metric("unique_novel_final", _SUN, partial(_both, "unique_final", "novel_final"), ("unique", "novel")),
    Metric("converged", "relaxed to the bounds of force and stress", _converged, ("relax", "move")),
    Metric("relaxed", "has an energy: converged, or stopped at the step cap", _has_energy, ("relax",)),
    _column("matched", "StructureMatcher calls the structures as made and relaxed equal", "relax", "move"),
    Metric(
        "placed",
        "its energy above the hull is known, the unsupported ones included",
        partial(_known, "energy_above_hull"),
        ("hull",),
    ),
    _column(
        "unsupported",
        f"its energy above the hull has no meaning, since only elements compete with it in the reference or it lies "
        f"over {-SUPPORTED:g} eV/atom below the hull; counted neither as stable nor as metastable",
        "hull",
    ),
    _column("stable", f"at most {STABLE:g} eV/atom above the hull{_NOISE}", "hull"),
    _column("metastable", f"at most {METASTABLE:g} eV/atom above the hull, the stable ones included", "hull"),
    Metric("metastable_only", "metastable and not stable", partial(_only, "metastable", "stable"), ("hull",)),
    _column("sun", f"stable at {STABLE:g} eV/atom, {_SUN}{_NOISE}", "hull", "unique", "novel"),
    _column("msun", f"stable at {METASTABLE:g} eV/atom, {_SUN}", "hull", "unique", "novel"),
    Metric("msun_only", "msun and not stable", partial(_only, "msun", "stable"), ("hull", "unique", "novel")),
)

MEANS = {
    "rmsd": ("Å between the structures as made and relaxed, see the documentation of `rmsd`", "relax"),
    "rmsd_of_matched": ("the same, of those alone that StructureMatcher calls equal as made and relaxed", "move"),
    "energy_above_hull": ("eV/atom above the hull, where it is known and not unsupported", "hull"),
    "energy_change": ("eV/atom won by relaxing", "relax"),
    "volume_change": ("relative change of the volume by relaxing", "relax"),
    "relax_steps": ("steps of the relaxation", "move"),
    "num_sites": ("sites of the primitive cell", ""),
}
"""Columns with a mean, and the stage they need; `rmsd_of_matched` is `rmsd` where `matched`."""

MATTERGEN = {
    "avg_structure_validity": "apart",
    "avg_comp_validity": "smact_valid",
    "avg_structure_comp_validity": "valid_and_smact",
    "frac_unique_structures": "unique_final",
    "frac_novel_structures": "novel_final",
    "frac_novel_unique_structures": "unique_novel_final",
    "frac_successful_jobs": "relaxed",
    "frac_stable_structures": "metastable",
    "frac_novel_unique_stable_structures": "msun",
    "avg_rmsd_from_relaxation": "rmsd",
    "avg_energy_above_hull_per_atom": "energy_above_hull",
}
"""MatterGen's names for our metrics; its bound for stable is 0.1 eV/atom, and it judges relaxed structures."""
LEMAT = {
    "validity": "valid_and_smact",
    "uniqueness": "unique",
    "novelty": "novel",
    "stable": "stable",
    "metastable": "metastable_only",
    "sun": "sun",
    "msun": "msun_only",
    "mean_e_above_hull": "energy_above_hull",
    "mean_relaxation_rmsd": "rmsd",
}
"""LeMat-GenBench's names; its own runs use other potentials and another reference, and leave the stable out of the
metastable."""
TALLIED = ("novelty_final", "relax_status", "reason", "relax_reason", "hull_reason")
"""Columns whose texts are counted."""
GROUPS = {
    "class": "classes",
    "rarity_of_elements": "element_rarity",
    "rarity_of_space_group": "space_group_rarity",
    "rarity_of_sites": "num_sites_rarity",
}
"""Groups of rows, with the column that holds a row's group or list of groups."""


def summarise(rows: Sequence[Row], asked: int, skipped: Collection[str]) -> dict[str, Any]:
    """Return all figures of the rows.

    Parameters
    ----------
    asked
        Structures that were asked for, at least as many as there are rows: the denominator.
    skipped
        Stages that did not run, `move` where relaxing was only taking energies; figures that need them are left out.

    Returns
    -------
    dict
        `metrics`, `mattergen` and `lemat_genbench`: name to figure. `groups`: kind of group, group, name to figure.
        `counts`: how often each status and reason occurs.
    """
    figures = {**fractions(rows, asked, skipped), **means(rows, skipped)}
    return {
        "metrics": figures,
        "mattergen": _renamed(figures, MATTERGEN),
        "lemat_genbench": _renamed(figures, LEMAT),
        "groups": {kind: _by_group(rows, column, skipped) for kind, column in GROUPS.items()},
        "counts": {name: _tally(rows, name) for name in TALLIED},
    }


def fractions(rows: Sequence[Row], of: int, skipped: Collection[str]) -> dict[str, Figure]:
    """Return the fractions whose stages ran, by name."""
    known = [metric for metric in METRICS if not set(metric.needs) & set(skipped)]
    return {one.name: figure(Share(sum(map(one.met, rows)), of), one.definition) for one in known}


def figure(share: Share, definition: str) -> Figure:
    """Return a fraction as `metrics.json` has it."""
    numbers = {"value": share.value, "numerator": share.met, "denominator": share.of}
    return {**numbers, "interval": list(share.interval), "definition": definition}


def means(rows: Sequence[Row], skipped: Collection[str]) -> dict[str, Figure]:
    """Return mean and median of the columns in `MEANS` over the rows that have a value, and how many these are."""
    found = {}
    for name, (definition, needs) in MEANS.items():
        values = [value for row in rows if (value := _value(row, name)) is not None]
        if values and needs not in skipped:
            found[name] = _mean(values, f"mean over rows with a value: {definition}")
    return found


def _value(row: Row, name: str) -> float | None:
    if name == "rmsd_of_matched":
        return row.get("rmsd") if row.get("matched") else None
    if name == "energy_above_hull" and row.get("unsupported"):
        return None
    return row.get(name)


def _mean(values: Sequence[float], definition: str) -> Figure:
    """A mean with the normal interval of its error, on a log scale where no value is negative."""
    mean, interval = fmean(values), None
    if len(values) > 1:
        half = Z95 * stdev(values) / sqrt(len(values))
        positive = min(values) >= 0 and mean > 0  # then a mean below 0 is impossible; for small errors both agree
        interval = [mean * exp(-half / mean), mean * exp(half / mean)] if positive else [mean - half, mean + half]
    return {"value": mean, "median": median(values), "n": len(values), "interval": interval, "definition": definition}


def _renamed(figures: Mapping[str, Figure], names: Mapping[str, str]) -> dict[str, Figure]:
    return {name: {**figures[ours], "metric": ours} for name, ours in names.items() if ours in figures}


def _by_group(rows: Iterable[Row], column: str, skipped: Collection[str]) -> dict[str, dict[str, Figure]]:
    members: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        held = row.get(column)
        for group in [held] if isinstance(held, str) else held or []:
            members[group].append(row)
    return {
        group: {**fractions(members[group], len(members[group]), skipped), **means(members[group], skipped)}
        for group in sorted(members)
    }


def _tally(rows: Iterable[Row], name: str) -> dict[str, int]:
    """How often each text occurs, most often first; numbers in it are taken for the same."""
    import re

    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.get(name):
            counts[re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", str(row[name]))] += 1
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
