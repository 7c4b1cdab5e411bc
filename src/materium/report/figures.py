"""Which figures a set of rows calls for, each with the table of its numbers."""

from __future__ import annotations

from itertools import combinations as choose
from typing import TYPE_CHECKING

from materium.properties import table
from materium.report import plots, summary
from materium.report.criterion import wording
from materium.report.drawing import MAX_POINTS, SERIES
from materium.report.rows import label, percent, plain, shown
from materium.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from materium.evaluate.adherence import Share
    from materium.report.drawing import Plot
    from materium.report.rows import Row
    from materium.report.summary import Combination, Outcome, Pair

MAX_PAIRS = 16
"""Asked pairs that a scatter shows in colours of their own; more cannot be told apart."""


def sections(
    rows: Sequence[Row],
    predictor_errors: Mapping[str, float] | None = None,
    cloud: Mapping[str, Sequence[float]] | None = None,
) -> Iterator[Section]:
    """Yield the figures for the targets that occur.

    Parameters
    ----------
    predictor_errors:
        Mean absolute error of what measured a property, in the property's unit.
    cloud:
        Properties of training crystals by name, lists of one length, for the background of scatter plots.
    """
    errors, background = predictor_errors or {}, cloud or {}
    asked = [name for name in table() if any(name in row.targets for row in rows)]
    numeric = [name for name in asked if table()[name].kind == "number"]
    for name in asked:
        yield _numeric(rows, name, errors.get(name)) if name in numeric else _categorical(rows, name)
    for x, y in choose(numeric, 2):
        yield from _pairs(rows, x, y, background)
    for same in summary.combinations(rows):
        yield from _combined(same)
    yield from _guidance(rows)


def share_cells(share: Share) -> tuple[str, str, str]:
    """Return the cells that every table has: count met, share, 95 % interval."""
    low, high = share.interval
    return str(share.met), percent(share.value, 1), f"{100 * low:.1f}–{percent(high, 1)}"


def _numeric(rows: Sequence[Row], name: str, error: float | None) -> Section:
    found = summary.outcomes(rows, name)
    plot = _parity(rows, name, error) if isinstance(found[0].target, str) else plots.violins(found, error)
    head: tuple[str, ...] = (
        "target",
        "asked",
        "met",
        "share",
        "95 % interval",
        "median",
        "quartiles",
        "invalid",
        "not measured",
    )
    body = [_outcome_cells(outcome) + _spread_cells(outcome) + _failed_cells(outcome) for outcome in found]
    targets = tuple(row.targets[name] for row in rows if name in row.targets)
    note = f"Met: {label(name)} {wording(name, targets)} of the target. {_NOT_DRAWN}"
    if error is not None:
        head = (*head, "median within predictor's error")
        body = [(*cells, _within(outcome, error)) for cells, outcome in zip(body, found, strict=True)]
        note += f" The predictor's mean absolute error is {error:.3g} {table()[name].unit}.".replace(" .", ".")
    return Section(plot, head, body, note)


_NOT_DRAWN = "Crystals that are invalid or were not measured count as not met; they have no value to draw."


def _parity(rows: Iterable[Row], name: str, error: float | None) -> Plot:
    asked = [(float(row.targets[name]), row.value(name)) for row in rows if name in row.targets]
    span = min(target for target, _ in asked), max(target for target, _ in asked)
    return plots.parity(name, span, [(target, found) for target, found in asked if isinstance(found, float)], error)


def _categorical(rows: Sequence[Row], name: str) -> Section:
    found = summary.outcomes(rows, name)
    head = ("target", "asked", "met", "share", "95 % interval", "invalid", "not measured")
    body = [_outcome_cells(outcome) + _failed_cells(outcome) for outcome in found]
    note = (
        f"Met: {plain(name)} {wording(name)} as asked. Crystals that are invalid or were not measured count as not met."
    )
    return Section(plots.bars(found), head, body, note)


def _outcome_cells(outcome: Outcome) -> tuple[str, ...]:
    return (shown(outcome.target), str(outcome.share.of), *share_cells(outcome.share))


def _spread_cells(outcome: Outcome) -> tuple[str, str]:
    if outcome.quartiles is None:
        return "–", "–"
    low, middle, high = outcome.quartiles
    return f"{middle:.4g}", f"{low:.4g}–{high:.4g}"


def _failed_cells(outcome: Outcome) -> tuple[str, str]:
    return str(outcome.invalid), str(outcome.missing)


def _within(outcome: Outcome, error: float) -> str:
    if outcome.quartiles is None or isinstance(outcome.target, str):
        return "–"
    return "yes" if abs(outcome.quartiles[1] - outcome.target) <= error else "no"


def _pairs(rows: Sequence[Row], x: str, y: str, cloud: Mapping[str, Sequence[float]]) -> Iterator[Section]:
    found = summary.pairs(rows, x, y)
    if not 0 < len(found) <= MAX_PAIRS:
        return
    background = list(zip(cloud[x], cloud[y], strict=True)) if x in cloud and y in cloud else None
    head = (label(x), label(y), "asked", "met both", "share", "95 % interval", "measured")
    body = [_pair_cells(pair) for pair in found]
    note = "Met: both within the criterion of their property."
    if (total := sum(len(pair.points) for pair in found)) > MAX_POINTS:
        note += f" Of {total} points, a seeded sample of {MAX_POINTS} is drawn; the table counts all."
    yield Section(plots.scatter(x, y, found, background), head, body, note)


def _pair_cells(pair: Pair) -> tuple[str, ...]:
    asked = (shown(value) for value in pair.asked)
    return (*asked, str(pair.share.of), *share_cells(pair.share), str(len(pair.points)))


def _combined(found: Sequence[Combination]) -> Iterator[Section]:
    names = list(found[0].each)
    head = ("targets", "asked", *(f"{plain(name)} met" for name in names), "all met", "share of all", "95 % interval")
    # As many polygons as there are colours; more would not be told apart.
    for number, start in enumerate(range(0, len(found), len(SERIES)), start=1):
        drawn = found[start : start + len(SERIES)]
        body = [_combination_cells(combination) for combination in drawn]
        note = (
            f"Each axis: share that meets the condition, 0 to 1. Targets in the order {', '.join(map(plain, names))}."
        )
        yield Section(plots.radar(drawn, number), head, body, note)


def _combination_cells(found: Combination) -> tuple[str, ...]:
    each = (f"{share.met} ({percent(share.value, 1)})" for share in found.each.values())
    return (found.label, str(found.together.of), *each, *share_cells(found.together))


def _guidance(rows: Iterable[Row]) -> Iterator[Section]:
    points = summary.guidance_points(rows)
    if len(points) < 2:
        return
    head = ("weight", "asked", "all met", "share", "95 % interval", "valid", "share", "95 % interval", "diversity")
    body = [
        (
            f"{point.weight:g}",
            str(point.adherence.of),
            *share_cells(point.adherence),
            *share_cells(point.validity),
            "–" if point.diversity is None else percent(point.diversity, 1),
        )
        for point in points
    ]
    note = (
        "Diversity: distinct pairs of formula and space group among the valid crystals of each request, as a share"
        " of all crystals. Bands are 95 % intervals. The other figures count all weights together."
    )
    yield Section(plots.guidance(points), head, body, note)
