"""Counts, intervals and quartiles of the rows; crystals that failed stay in every denominator."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from materium.evaluate.adherence import Share
from materium.properties import table
from materium.report.rows import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materium.report.rows import Row, Target

MAX_TARGETS = 12
"""Distinct targets of a number that get a violin each; a range asks for more, and is cut into bins."""
BINS = 8
MAX_LABELS = 40
"""Distinct targets of a category that get a bar each; what was asked least often is counted together."""
MAX_COMBINATIONS = 28
"""Combinations of the same properties that are shown one by one; more are counted together."""
Targets = tuple[tuple[str, "Target"], ...]
"""Names with targets, in the order of the table of properties."""


@dataclass(frozen=True)
class Outcome:
    """What became of one target of one property, over all rows that asked for it.

    Attributes
    ----------
    values:
        What was measured, in the property's unit; numbers only, of valid crystals.
    """

    name: str
    target: Target
    share: Share
    invalid: int
    missing: int
    values: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median and upper quartile, or None if nothing was measured."""
        if not self.values:
            return None
        low, middle, high = np.quantile(self.values, [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)


@dataclass(frozen=True)
class Combination:
    """What became of several targets at once: the share that meets each of them, and all."""

    label: str
    each: dict[str, Share]
    together: Share


@dataclass(frozen=True)
class Pair:
    """Two numbers asked for together: the targets, the measured points and the share that meets both."""

    asked: tuple[float, float]
    points: list[tuple[float, float]]
    share: Share


@dataclass(frozen=True)
class GuidancePoint:
    """What one weight of the guidance gave.

    Attributes
    ----------
    diversity:
        Distinct pairs of formula and space group among the valid crystals of each request, summed, by the rows; None
        if formulas were not measured.
    """

    weight: float
    adherence: Share
    validity: Share
    diversity: float | None


def outcomes(rows: Iterable[Row], name: str) -> list[Outcome]:
    """Return one outcome for each target of a property, ascending; numbers of a range in bins, rare labels together."""
    groups: dict[Target, list[Row]] = {}
    for row in rows:
        if name in row.targets:
            groups.setdefault(row.targets[name], []).append(row)
    ordered = [(target, groups[target]) for target in sorted(groups, key=_ascending)]
    if table()[name].kind == "number":
        ordered = _in_bins(ordered) if len(ordered) > MAX_TARGETS else ordered
    elif len(ordered) > MAX_LABELS:
        ordered = _with_rest(ordered)
    return [_outcome(name, target, asked) for target, asked in ordered]


def combinations(rows: Iterable[Row]) -> list[list[Combination]]:
    """Return the sets of two targets or more that rows asked for, those of the same properties in one list."""
    groups: dict[tuple[str, ...], dict[Targets, list[Row]]] = {}
    for row in rows:
        if len(row.targets) > 1:
            targets = _in_order(row)
            same = groups.setdefault(tuple(name for name, _ in targets), {})
            same.setdefault(targets, []).append(row)
    return [_same_properties(groups[names]) for names in sorted(groups)]


def pairs(rows: Iterable[Row], x: str, y: str) -> list[Pair]:
    """Return one entry for each pair of targets of two numeric properties, ascending."""
    groups: dict[tuple[float, float], list[Row]] = {}
    for row in rows:
        if x in row.targets and y in row.targets:
            groups.setdefault((float(row.targets[x]), float(row.targets[y])), []).append(row)
    return [_pair(x, y, asked, groups[asked]) for asked in sorted(groups)]


def guidance_points(rows: Iterable[Row]) -> list[GuidancePoint]:
    """Return one point for each guidance weight that rows with targets bring, ascending."""
    groups: dict[float, list[Row]] = {}
    for row in rows:
        if row.guidance is not None and row.targets:
            groups.setdefault(row.guidance, []).append(row)
    return [_guidance_point(weight, groups[weight]) for weight in sorted(groups)]


def validity(rows: Sequence[Row]) -> Share:
    """Return the share of valid crystals."""
    return Share(sum(row.valid for row in rows), len(rows))


def adherence(rows: Sequence[Row]) -> Share:
    """Return the share of crystals that meet all of their targets."""
    return Share(sum(all(row.met.values()) for row in rows), len(rows))


def numbers(rows: Iterable[Row], name: str) -> tuple[float, ...]:
    """Return the numbers that were measured, those of invalid crystals left out."""
    return tuple(value for row in rows if isinstance(value := row.value(name), float))


def _ascending(target: Target) -> tuple[int, float, str]:
    return (1, 0.0, target) if isinstance(target, str) else (0, target, "")


def _in_order(row: Row) -> Targets:
    return tuple((name, row.targets[name]) for name in table() if name in row.targets)


def _in_bins(ordered: Sequence[tuple[Target, list[Row]]]) -> list[tuple[Target, list[Row]]]:
    """Rows by neighbouring targets, the same number of targets to a bin; its label says from where to where."""
    cuts = [len(ordered) * number // BINS for number in range(BINS + 1)]
    parts = [ordered[start:end] for start, end in pairwise(cuts)]
    return [(f"{part[0][0]:.4g} to {part[-1][0]:.4g}", [row for _, rows in part for row in rows]) for part in parts]


def _with_rest(ordered: Sequence[tuple[Target, list[Row]]]) -> list[tuple[Target, list[Row]]]:
    """The labels that were asked most often, in their order, and the rest as one."""
    by_count = sorted(ordered, key=lambda entry: -len(entry[1]))
    most, rest = {target for target, _ in by_count[: MAX_LABELS - 1]}, by_count[MAX_LABELS - 1 :]
    together = [row for _, rows in rest for row in rows]
    return [entry for entry in ordered if entry[0] in most] + [(f"{len(rest)} others", together)]


def _same_properties(groups: dict[Targets, list[Row]]) -> list[Combination]:
    """Combinations of the same properties; too many of them, as a range makes, become one."""
    names = tuple(name for name, _ in next(iter(groups)))
    if len(groups) > MAX_COMBINATIONS:
        together = [row for rows in groups.values() for row in rows]
        return [_combination(f"all {len(groups)} combinations", names, together)]
    order = sorted(groups, key=lambda targets: [_ascending(target) for _, target in targets])
    return [_combination(", ".join(shown(target) for _, target in key), names, groups[key]) for key in order]


def _pair(x: str, y: str, asked: tuple[float, float], rows: Sequence[Row]) -> Pair:
    points = [(row.value(x), row.value(y)) for row in rows]
    measured = [(a, b) for a, b in points if isinstance(a, float) and isinstance(b, float)]
    return Pair(asked, measured, Share(sum(row.met[x] and row.met[y] for row in rows), len(rows)))


def _outcome(name: str, target: Target, rows: Sequence[Row]) -> Outcome:
    invalid = sum(not row.valid for row in rows)
    return Outcome(
        name=name,
        target=target,
        share=Share(sum(row.met[name] for row in rows), len(rows)),
        invalid=invalid,
        missing=sum(row.value(name) is None for row in rows) - invalid,
        values=numbers(rows, name),
    )


def _combination(label: str, names: Sequence[str], rows: Sequence[Row]) -> Combination:
    each = {name: Share(sum(row.met[name] for row in rows), len(rows)) for name in names}
    return Combination(label, each, adherence(rows))


def _guidance_point(weight: float, rows: Sequence[Row]) -> GuidancePoint:
    # Formula and group are asked of valid crystals alone; a run without formulas has no diversity to show.
    known = any(row.value("reduced_formula") is not None for row in rows)
    kinds = {(row.request, row.value("reduced_formula"), row.value("space_group")) for row in rows if row.valid}
    return GuidancePoint(weight, adherence(rows), validity(rows), len(kinds) / len(rows) if known else None)
