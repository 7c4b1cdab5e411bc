"""What a set of crystals looks like, whoever made it: elements, symmetry, sizes, densities, heights above the hull."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from materium.evaluate.lemat import made_crystal
from materium.evaluate.summary import METASTABLE, STABLE
from materium.evaluate.validity import CRYSTAL_SYSTEMS, crystal_system
from materium.report import charts
from materium.report.rows import percent
from materium.report.section import Section
from materium.symmetry import symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]
    Beside = Mapping[str, Mapping[str, float]]
    """Shares of a test set by label, for `crystal_system` and `space_group`."""

COMMON = 15
"""Space groups that get a bar."""
LISTED = 20
"""Elements that are listed."""


class Quantity(NamedTuple):
    """A column of numbers: its title, its axis, values at which a line is drawn, and whether the numbers are whole."""

    column: str
    title: str
    axis: str
    marks: tuple[float, ...] = ()
    whole: bool = False


_HULL = (STABLE, METASTABLE)
NUMBERS = (
    Quantity("num_sites", "Sites", "sites of the primitive cell", whole=True),
    Quantity("density", "Density", "density (g/cm³)"),
    Quantity("energy_above_hull", "Energy above the hull", "eV/atom above the hull", _HULL),
    Quantity("screened", "Energy above the hull as made", "eV/atom above the hull, before relaxing", _HULL),
    Quantity("rmsd", "Moved by relaxing", "RMSD in Å"),
    Quantity("volume_change", "Volume change by relaxing", "relative change of the volume", (0.0,)),
    Quantity("log_likelihood", "Likelihood", "ln p of the sentence (nats)"),
)


def sections(rows: Sequence[Row], beside: Beside | None = None) -> Iterator[Section]:
    """Yield the plots that the columns of the rows allow, each with the table of its numbers; needs Matplotlib.

    Parameters
    ----------
    rows
        One for each crystal that was asked for; what a row lacks, or holds None of, is counted as not known.
    """
    held = [row for row in rows if row.get("atomic_numbers")]
    if held:
        yield from _systems(held, beside or {})
        yield _elements(held)
        yield from _space_groups(held, beside or {})
    for quantity in NUMBERS:
        yield from _numbers(quantity, rows)


def _elements(rows: Sequence[Row]) -> Section:
    from materium.convert import symbols

    found = Counter(number for row in rows for number in set(row["atomic_numbers"]))
    body = [(symbols([z])[0], str(count), percent(count / len(rows), 1)) for z, count in found.most_common(LISTED)]
    listed = f"; the {LISTED} most common are listed" if len(found) > LISTED else ""
    note = f"{len(found)} elements in {len(rows)} crystals{listed}. Shades are logarithmic."
    return Section(charts.periodic_table(found, len(rows)), ("element", "crystals", "share"), body, note)


def _systems(rows: Sequence[Row], beside: Beside) -> Iterator[Section]:
    found = Counter(map(crystal_system, _groups(rows)))
    if found:
        tally = [(name, found[name]) for name in CRYSTAL_SYSTEMS.values()]
        yield _tally("crystal-systems", "Crystal systems", tally, _groups(rows), beside.get("crystal_system", {}))


def _space_groups(rows: Sequence[Row], beside: Beside) -> Iterator[Section]:
    found = Counter(_groups(rows))
    if found:
        tally = [(named(group), count) for group, count in found.most_common(COMMON)]
        expected = {named(int(group)): share for group, share in beside.get("space_group", {}).items()}
        yield _tally("space-groups", "Space groups", tally, _groups(rows), expected)


def _groups(rows: Iterable[Row]) -> list[int]:
    return [int(row["space_group"]) for row in rows if row.get("space_group")]


def _tally(
    slug: str, title: str, found: Sequence[tuple[str, int]], groups: Sequence[int], beside: Mapping[str, float]
) -> Section:
    body = [(name, str(count), percent(count / len(groups), 1)) for name, count in found]
    note = f"Of {len(groups)} crystals with symmetry found at 0.1 Å, in {len(set(groups))} space groups."
    return Section(charts.counts(slug, title, found, len(groups), beside), ("", "crystals", "share"), body, note)


def named(space_group: int) -> str:
    """Return number and symbol of a space group, such as `225 Fm-3m`."""
    return f"{space_group} {symbol(space_group)}"


def _numbers(quantity: Quantity, rows: Sequence[Row]) -> Iterator[Section]:
    values = [value for row in rows if (value := _value(quantity.column, row)) is not None]
    if not values:
        return
    slug = quantity.column.replace("_", "-")
    plot = charts.histogram(slug, quantity.title, quantity.axis, values, marks=quantity.marks, whole=quantity.whole)
    note = f"{len(values)} of {len(rows)} have a value. Bars at the ends hold what lies beyond."
    cells = (min(values), median(values), sum(values) / len(values), max(values))
    body = [tuple(f"{value:.4g}" for value in cells)]
    yield Section(plot, ("lowest", "median", "mean", "highest"), body, note)


def _value(name: str, row: Row) -> float | None:
    """A number of a row; the density, in g/cm³, from the cell where the table has no column of it.

    An energy above a hull that does not support it has no meaning and is left out.
    """
    if name == "energy_above_hull" and row.get("unsupported"):
        return None
    if name == "density" and name not in row and row.get("valid"):
        return made_crystal(row).density
    return row.get(name)
