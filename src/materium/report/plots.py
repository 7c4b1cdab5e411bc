"""The figures, as the paper has them: violins, pairs, bars, radar and guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from materium.evaluate.adherence import RELATIVE, Share
from materium.report.criterion import wording
from materium.report.drawing import (
    BAND,
    DASHES,
    GRID,
    INK,
    MARKERS,
    MAX_POINTS,
    MUTED,
    PAPER,
    SERIES,
    WIDTH,
    Plot,
    blank,
    sample,
    short,
    style,
)
from materium.report.rows import label, percent, plain, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike

    from materium.report.summary import Combination, GuidancePoint, Outcome, Pair

FEW = 8
"""Below so many values a violin would be invention: the points are drawn."""


def violins(found: Sequence[Outcome], error: float | None = None) -> Plot:
    """Draw the measured values of a numeric property, one violin per target.

    Parameters
    ----------
    found:
        Outcomes of one property.
    error:
        Mean absolute error of what measured it, in the property's unit, drawn as a band about each target.
    """
    name = found[0].name
    with style():
        figure, axes = blank(3.6, max(WIDTH, 0.65 * len(found) + 0.9))
        for place, outcome in enumerate(found):
            _violin(axes, place, outcome, error)
        axes.set_xticks(range(len(found)), [_under(outcome) for outcome in found])
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.6, len(found) - 0.4)
        met = wording(name, tuple(outcome.target for outcome in found)).replace(" (", "\n(")
        axes.set_xlabel(f"target {label(name)}; n asked; share\n{met}")
        axes.set_ylabel(_upright(name))
        _violin_legend(figure, error)
    parts = [f"target {shown(o.target)}: {_words(o.share)}, {_median(o)}" for o in found]
    alt = f"Violins of measured {label(name)} for {len(found)} targets. {'; '.join(parts)}."
    return Plot(f"violins-{name}", f"Measured {plain(name)} per target", alt, figure)


def parity(name: str, span: tuple[float, float], points: ArrayLike, error: float | None = None) -> Plot:
    """Draw measured against asked numbers where the targets are too many for violins.

    Parameters
    ----------
    span:
        Lowest and highest target, in the property's unit.
    points:
        Target and measured value of each crystal that has one, shape (N, 2).
    error:
        Mean absolute error of what measured it, in the property's unit.
    """
    drawn = sample(np.reshape(points, (-1, 2)))
    with style():
        figure, axes = blank(3.4)
        line = np.array(span)
        axes.fill_between(
            line, line * (1 - RELATIVE), line * (1 + RELATIVE), color=BAND, alpha=0.6, lw=0, label=wording(name)
        )
        if error is not None:
            axes.plot(line, line - error, ":", color=MUTED, lw=1)
            axes.plot(line, line + error, ":", color=MUTED, lw=1, label=f"predictor's error, ±{error:.3g}")
        axes.plot(line, line, color=INK, lw=1, label="target")
        axes.plot(*drawn.T, "o", ms=3, color=SERIES[0], alpha=0.45, mew=0)
        axes.set_xlabel(f"target {label(name)}")
        axes.set_ylabel(_upright(name))
        figure.legend(loc="outside upper center", ncols=3)
    where = f"targets from {span[0]:g} to {span[1]:g}"
    alt = f"Measured {label(name)} against {where}, {len(drawn)} points about the diagonal."
    return Plot(f"parity-{name}", f"Measured against asked {plain(name)}", alt, figure)


def scatter(x: str, y: str, found: Sequence[Pair], cloud: ArrayLike | None = None) -> Plot:
    """Draw two measured numbers against each other, one colour and marker per asked pair, the asked point as a cross.

    Parameters
    ----------
    cloud:
        The same two properties of training crystals, shape (N, 2), drawn behind in grey.
    """
    total = sum(len(pair.points) for pair in found)
    keep = min(1.0, MAX_POINTS / max(1, total))
    with style():
        rows = -(-len(found) // 2)
        figure, axes = blank(3.7 + 0.2 * rows)
        if cloud is not None:
            axes.plot(*sample(cloud).T, ".", ms=2.5, color=MUTED, alpha=0.3, mew=0, label="training data")
        for number, pair in enumerate(found):
            _pair(axes, number, pair, keep)
        axes.set_xlabel(f"measured {label(x)}")
        axes.set_ylabel(_upright(y))
        heading = f"asked {plain(x)}, {plain(y)} (cross): share meeting both"
        legend = figure.legend(loc="outside lower center", ncols=2, title=heading)
        for handle in legend.legend_handles:
            cast("Line2D", handle).set(alpha=1, markersize=6)
    parts = [f"{_asked(pair)}: {_words(pair.share)} meet both" for pair in found]
    alt = f"Measured {label(x)} against measured {label(y)} for {len(found)} asked pairs. {'; '.join(parts)}."
    return Plot(f"scatter-{x}-{y}", f"Measured {plain(x)} and {plain(y)}", alt, figure)


def bars(found: Sequence[Outcome]) -> Plot:
    """Draw the share that met each target of a category or formula, with 95 % Wilson intervals."""
    name = found[0].name
    with style():
        figure, axes = blank(0.9 + 0.32 * len(found))
        places = np.arange(len(found))
        values = np.array([outcome.share.value for outcome in found])
        reach = np.array([outcome.share.interval for outcome in found]).T
        axes.barh(places, values, height=0.62, color=SERIES[0], alpha=0.75)
        spans = np.abs(reach - values)
        axes.errorbar(values, places, xerr=spans, fmt="none", clip_on=False, color=INK, elinewidth=1, capsize=2.5)
        for place, outcome in enumerate(found):
            axes.text(1.02, place, f"{outcome.share.met}/{outcome.share.of}", va="center", fontsize=9.5)
        axes.set_yticks(places, [short(shown(outcome.target)) for outcome in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        _percent(axes, "x")
        axes.set_xlabel(f"share with exactly the asked {plain(name)}")
    parts = [f"{shown(o.target)}: {_words(o.share)}" for o in found]
    alt = f"Bars of the share that met the asked {plain(name)}. {'; '.join(parts)}."
    return Plot(f"bars-{name}", f"Asked {plain(name)} met", alt, figure)


def radar(found: Sequence[Combination], number: int = 1) -> Plot:
    """Draw combinations of the same properties: the share that meets each condition, and all of them.

    Parameters
    ----------
    found:
        As many as there are colours, or fewer; each becomes a polygon over linear axes from 0 to 1.
    number:
        Of this radar among those of the same properties, for its title.
    """
    names = list(found[0].each)
    angles = np.linspace(0, 2 * np.pi, len(names) + 1, endpoint=False)
    with style():
        figure, axes = blank(3.7 + 0.2 * len(found), projection="polar")
        for place, combination in enumerate(found):
            _polygon(axes, place, combination, angles)
        _spokes(axes, angles, [*(plain(name) for name in names), "all of them"])
        figure.legend(loc="outside lower center", ncols=1)
    properties = ", ".join(plain(name) for name in names)
    alt = f"Radar of {len(found)} combinations of {properties}. {'; '.join(map(_shares, found))}."
    title = f"Combined: {properties}"
    slug = f"radar-{'-'.join(names)}-{number}"
    return Plot(slug, title if number == 1 else f"{title} ({number})", alt, figure)


def guidance(points: Sequence[GuidancePoint]) -> Plot:
    """Draw adherence, validity and diversity against the guidance weight."""
    weights = [point.weight for point in points]
    with style():
        figure, axes = blank(3.2)
        _line(axes, 0, weights, [p.adherence.value for p in points], "adherence: all targets met")
        _line(axes, 1, weights, [p.validity.value for p in points], "validity")
        known = [point for point in points if point.diversity is not None]
        _line(axes, 2, [p.weight for p in known], [p.diversity or 0.0 for p in known], "diversity: distinct crystals")
        for place, shares in enumerate(([p.adherence for p in points], [p.validity for p in points])):
            low, high = np.array([share.interval for share in shares]).T
            axes.fill_between(weights, low, high, color=SERIES[place], alpha=0.15, lw=0)
        _percent(axes, "y")
        axes.set_xlabel("guidance weight (0: not told, 1: as learned)")
        axes.set_ylabel("share of all crystals")
        figure.legend(loc="outside upper center", ncols=1)
    parts = [
        f"weight {p.weight:g}: {percent(p.adherence.value)} met, {percent(p.validity.value)} valid" for p in points
    ]
    alt = f"Adherence, validity and diversity against guidance weight. {'; '.join(parts)}."
    return Plot("guidance", "What the guidance weight does", alt, figure)


def _violin(axes: Axes, place: int, outcome: Outcome, error: float | None) -> None:
    target = float(outcome.target)
    if error is not None:
        axes.fill_between([place - 0.42, place + 0.42], target - error, target + error, color=BAND, alpha=0.6, lw=0)
    axes.plot([place - 0.42, place + 0.42], [target, target], color=SERIES[1], lw=1.6, zorder=4)
    if outcome.quartiles is None:
        axes.annotate("none\nmeasured", (place, target), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    elif len(outcome.values) < FEW:
        axes.plot(np.full(len(outcome.values), place), outcome.values, "o", ms=4, color=SERIES[0], mec=PAPER, zorder=3)
    else:
        _body(axes, place, outcome.values)
        low, middle, high = outcome.quartiles
        axes.plot([place, place], [low, high], color=INK, lw=3.5, solid_capstyle="butt", zorder=5)
        axes.plot([place], [middle], "o", ms=5, color=PAPER, mec=INK, zorder=6)


def _body(axes: Axes, place: int, values: Sequence[float]) -> None:
    drawn = axes.violinplot([values], [place], widths=0.8, showextrema=False)
    for body in cast("list[Artist]", drawn["bodies"]):  # typed as one collection, but a list of them
        body.set(facecolor=SERIES[0], edgecolor=SERIES[0], alpha=0.45, linewidth=0.8)


def _violin_legend(figure: Figure, error: float | None) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=SERIES[1], lw=1.6, label="target"),
        Line2D([], [], color=INK, lw=3.5, marker="o", mfc=PAPER, mec=INK, label="quartiles, median"),
    ]
    band = [] if error is None else [Patch(color=BAND, alpha=0.6, label=f"predictor's error ±{error:.3g}")]
    figure.legend(
        handles=[*handles, *band],
        loc="outside upper center",
        ncols=3,
        columnspacing=1,
        handlelength=1.4,
        handletextpad=0.5,
    )


def _pair(axes: Axes, number: int, pair: Pair, keep: float) -> None:
    colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
    points = sample(pair.points, max(1, int(keep * len(pair.points)))) if pair.points else np.empty((0, 2))
    named = f"{_asked(pair)}: {percent(pair.share.value)} of {pair.share.of}"
    axes.plot(*points.T, marker, ms=4, color=colour, alpha=0.5, mew=0, label=named)
    axes.plot(*pair.asked, "P", ms=10, color=colour, mec=INK, mew=1.2, zorder=5)


def _polygon(axes: Axes, place: int, combination: Combination, angles: ArrayLike) -> None:
    shares = [share.value for share in (*combination.each.values(), combination.together)]
    closed, around = [*shares, shares[0]], [*np.asarray(angles), np.asarray(angles)[0]]
    colour, dash = SERIES[place % len(SERIES)], DASHES[place % len(DASHES)]
    named = f"{short(combination.label, 44)}: all {percent(combination.together.value)} of {combination.together.of}"
    (line,) = axes.plot(around, closed, dash, color=colour, marker=MARKERS[place % len(MARKERS)], ms=5, label=named)
    line.set(clip_on=False, linewidth=1.6)  # marks at 100 % lie on the rim
    axes.fill(around, closed, color=colour, alpha=0.08, lw=0)


def _spokes(axes: Axes, angles: ArrayLike, names: Sequence[str]) -> None:
    from matplotlib.projections.polar import PolarAxes

    axes.set_xticks(np.asarray(angles), names)
    for text, angle in zip(axes.get_xticklabels(), np.asarray(angles), strict=True):
        side = round(float(np.sin(angle)), 3)
        text.set_horizontalalignment("center" if side == 0 else "right" if side > 0 else "left")
    if isinstance(axes, PolarAxes):
        axes.set_theta_zero_location("N")
        axes.set_rlabel_position(180 / len(names))
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1], ["25 %", "50 %", "75 %", "100 %"], fontsize=9, color=MUTED)
    axes.spines["polar"].set_color(GRID)


def _line(axes: Axes, place: int, weights: Sequence[float], shares: Sequence[float], named: str) -> None:
    colour, ring = SERIES[place], place == 1  # a ring about the third line's marks, which often lie on the second's
    (line,) = axes.plot(weights, shares, DASHES[place], color=colour, marker=MARKERS[place], lw=1.6, label=named)
    line.set(markersize=9 if ring else 5, markerfacecolor="none" if ring else colour)


def _percent(axes: Axes, which: str) -> None:
    ticks, names = [0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"]
    if which == "x":
        axes.set_xticks(ticks, names)
        axes.set_xlim(0, 1)
    else:
        axes.set_yticks(ticks, names)
        axes.set_ylim(-0.02, 1.04)


def _upright(name: str) -> str:
    """Label of a vertical axis: the unit on a line of its own where the axis is too short for both."""
    text = f"measured {label(name)}"
    return text if len(text) <= 26 else text.replace(" (", "\n(")


def _under(outcome: Outcome) -> str:
    return f"{shown(outcome.target)}\n{percent(outcome.share.value)}\nn={outcome.share.of}"


def _words(share: Share) -> str:
    return f"{share.met} of {share.of} ({percent(share.value)})"


def _median(outcome: Outcome) -> str:
    return f"median {outcome.quartiles[1]:.3g}" if outcome.quartiles else "none measured"


def _asked(pair: Pair) -> str:
    return ", ".join(shown(value) for value in pair.asked)


def _shares(combination: Combination) -> str:
    each = ", ".join(f"{plain(name)} {percent(share.value)}" for name, share in combination.each.items())
    return f"{combination.label}: {each}, all {percent(combination.together.value)}"
