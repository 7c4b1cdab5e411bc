"""Charts of counts: histograms, elements, symmetry, funnels, and what differs between groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium.report.drawing import BAND, GRID, INK, MUTED, PAPER, SERIES, Plot, blank, short, style
from materium.report.rows import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    Figure = Mapping[str, Any]
    """A fraction as `metrics.json` has it."""


class Step(NamedTuple):
    """A step of a funnel: how many crystals came through it, and how many wait for it when a search is cut short."""

    name: str
    passed: int
    left: int = 0


BINS = (8, 40)
"""Fewest and most bars of a histogram."""
CLIP = (0.005, 0.995)
"""Quantiles between which a histogram is drawn; what lies outside is counted in the bars at its ends."""


def histogram(  # noqa: PLR0913 - a figure has as many words
    slug: str,
    title: str,
    axis: str,
    values: Sequence[float],
    *,
    marks: Sequence[float] = (),
    whole: bool = False,
) -> Plot:
    """Draw how often each value occurs.

    Parameters
    ----------
    marks
        Values at which a line is drawn.
    whole
        Whether each whole number gets a bar of its own.
    """
    numbers = np.asarray(values, dtype=np.float64)
    low, high = (numbers.min(), numbers.max()) if whole else np.quantile(numbers, CLIP)
    bins = int(np.clip(2 * np.sqrt(len(numbers)), *BINS))
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, max(high, low + 1e-9), bins + 1)
    with style():
        figure, axes = blank(2.6)
        axes.hist(np.clip(numbers, edges[0], edges[-1]), bins=edges.tolist(), color=SERIES[0], alpha=0.75, rwidth=0.9)
        for mark in marks:
            axes.axvline(mark, color=SERIES[1], lw=1.4, zorder=4)
        axes.locator_params(axis="y", integer=True)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(axis)
        axes.set_ylabel("crystals")
    first, middle, third = np.quantile(numbers, [0.25, 0.5, 0.75])
    alt = f"Histogram of {axis}, {len(numbers)} crystals: median {middle:.3g}, quartiles {first:.3g} and {third:.3g}."
    return Plot(slug, title, alt, figure)


def group_bars(slug: str, title: str, axis: str, groups: Mapping[str, Figure]) -> Plot:
    """Draw a fraction for each group of crystals with its 95 % interval, and beside it the counts."""
    with style():
        figure, axes = blank(0.9 + 0.32 * len(groups))
        places = np.arange(len(groups))
        values = np.array([one["value"] for one in groups.values()])
        reach = np.array([one["interval"] for one in groups.values()]).T
        axes.barh(places, values, height=0.62, color=SERIES[0], alpha=0.75)
        spans = np.abs(reach - values)
        axes.errorbar(values, places, xerr=spans, fmt="none", clip_on=False, color=INK, elinewidth=1, capsize=2.5)
        for place, one in enumerate(groups.values()):
            axes.text(1.02, place, f"{one['numerator']}/{one['denominator']}", va="center", fontsize=9.5)
        axes.set_yticks(places, [short(name, 26) for name in groups])
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(axis)
    told = [
        f"{name}: {one['numerator']} of {one['denominator']} ({percent(one['value'])})" for name, one in groups.items()
    ]
    return Plot(slug, title, f"Bars of {axis}. {'; '.join(told)}.", figure)


def periodic_table(counts: Mapping[int, int], of: int) -> Plot:
    """Draw how many crystals hold each element, by atomic number, as shades on the periodic table."""
    most = max(counts.values(), default=1)
    with style():
        figure, axes = blank(3.0, 6.4)
        for number in range(1, 119):
            _cell(axes, number, counts.get(number, 0), most)
        axes.set_xlim(-0.1, 18.1)
        axes.set_ylim(9.6, -0.1)
        axes.set_aspect("equal")
        axes.axis("off")
    symbols = _symbols()
    common = sorted(counts, key=lambda number: -counts[number])[:10]
    told = ", ".join(f"{symbols[number]} {counts[number]}" for number in common)
    alt = f"Periodic table shaded by how many of {of} crystals hold an element ({len(counts)} do); most often {told}."
    return Plot("elements", "Elements", alt, figure)


def _cell(axes: Axes, number: int, count: int, most: int) -> None:
    from matplotlib.patches import Rectangle

    row, column = position(number)
    depth = np.log1p(count) / np.log1p(most)  # a few hundred oxides would leave all else white
    axes.add_patch(Rectangle((column, row), 0.94, 0.94, facecolor=PAPER, edgecolor=GRID, lw=0.5))
    if count:
        axes.add_patch(Rectangle((column, row), 0.94, 0.94, facecolor=SERIES[0], alpha=0.1 + 0.75 * depth, lw=0))
    ink = INK if count else MUTED
    axes.text(column + 0.47, row + 0.36, _symbols()[number], ha="center", va="center", fontsize=7.5, color=ink)
    if count:
        axes.text(column + 0.47, row + 0.74, f"{count}", ha="center", va="center", fontsize=4.8, color=ink)


def position(number: int) -> tuple[float, int]:
    """Return row and column of an element in the 18-column table; lanthanides and actinides stand below."""
    noble = (0, 2, 10, 18, 36, 54, 86, 118)
    period = next(row for row in range(1, 8) if number <= noble[row])
    before, last = noble[period - 1], noble[period]
    place = number - before - 1
    if period == 1:
        return 0, 17 * place
    if period >= 6 and 2 <= place <= 16:
        return period + 1.6, place + 1
    from_end = last - number
    return period - 1, place if place < 2 and from_end >= 6 else 17 - from_end


def _symbols() -> dict[int, str]:
    from materium.convert import symbols

    return dict(zip(range(1, 119), symbols(range(1, 119)), strict=True))


def funnel(steps: Sequence[Step]) -> Plot:
    """Draw how many crystals came through each step: those that wait for it still, in grey."""
    most = max(1, *(step.passed for step in steps))
    with style():
        figure, axes = blank(0.7 + 0.3 * len(steps))
        for place, step in enumerate(steps):
            axes.barh(place, step.passed, height=0.74, color=SERIES[0], alpha=0.85)
            axes.barh(place, step.left, left=step.passed, height=0.74, color=BAND)
            end = (step.passed + step.left, place)
            axes.annotate(_said(step, most), end, (5, 0), textcoords="offset points", va="center", fontsize=9.5)
        axes.set_yticks(range(len(steps)), [short(step.name, 32) for step in steps])
        axes.set_ylim(len(steps) - 0.4, -0.6)
        axes.set_xlim(0, 1.45 * most)
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return Plot("funnel", "The funnel", f"Funnel: {', '.join(f'{one.name} {one.passed}' for one in steps)}.", figure)


def _said(step: Step, most: int) -> str:
    waiting = f", {step.left} not reached" if step.left else ""
    return f"{step.passed} ({percent(step.passed / most, 0 if step.passed == most else 1)}){waiting}"


def counts(slug: str, title: str, found: Sequence[tuple[str, int]], of: int, beside: Mapping[str, float]) -> Plot:
    """Draw how many crystals fall under each name, and as marks how many would if they were as the test set is."""
    with style():
        figure, axes = blank(0.7 + 0.24 * len(found))
        places = np.arange(len(found))
        values = [count for _, count in found]
        axes.barh(places, values, height=0.7, color=SERIES[0], alpha=0.75)
        expected = [beside.get(name, 0.0) * of for name, _ in found]
        if beside:
            axes.plot(expected, places, "|", color=INK, ms=12, mew=2, label="as in the test set")
            axes.legend()
        axes.set_yticks(places, [short(name) for name, _ in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_xlim(0, 1.1 * max(1, *values, *expected))
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(f"crystals, of {of}")
    alt = f"{title}. {'; '.join(f'{name}: {count} of {of}' for name, count in found)}."
    return Plot(slug, title, alt, figure)
