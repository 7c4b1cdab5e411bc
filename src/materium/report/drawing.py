"""How figures look and how they are written: colours, size, SVG for the page, SVG and PNG for papers.

The figures are drawn in the colours of the light page. For the page each colour becomes a CSS variable with that colour
as its fallback, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from materium.errors import DataError
from materium.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType
    from numpy.typing import ArrayLike, NDArray

WIDTH = 4.8
"""Inches: 346 CSS pixels, so that 9.5 pt stays readable on a phone and at a column's width in print."""
MAX_POINTS = 3000
"""Points drawn in one figure; of more, a seeded sample is drawn."""
INK, MUTED, GRID, PAPER, BAND = "#1b1e23", "#5a636e", "#d7dbe0", "#ffffff", "#c9ced5"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4d4d4d")
"""Okabe and Ito's colours, told apart by all common kinds of colour vision; yellow is left out, faint on white."""
MARKERS = ("o", "s", "^", "D", "v")
"""Five against seven colours: 35 series differ in colour or marker, and read in grey."""
DASHES = ("-", "--", "-.", ":")
VARIABLES = {
    **dict(zip((INK, MUTED, GRID, PAPER, BAND), ("ink", "muted", "grid", "paper", "band"), strict=True)),
    **{colour: f"series-{number}" for number, colour in enumerate(SERIES)},
}
"""Colours of the drawing with the names of the CSS variables in `page.css`."""

_STYLE: dict[RcKeyType, object] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.title_fontsize": 9.5,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.hashsalt": "materium",  # equal figures get equal ids
}


@dataclass(frozen=True)
class Plot:
    """A figure with the slug that names its files, its title and its description for those who cannot see it."""

    name: str
    title: str
    alt: str
    figure: Figure


@contextmanager
def style(fonts: Literal["none", "path"] = "none") -> Iterator[None]:
    """Draw or save in the report's style; text in an SVG stays text (`none`) or becomes outlines (`path`).

    Raises
    ------
    DataError
        If Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise DataError(f"plots need Matplotlib, which is not installed; {install_command('report')}") from error
    with mpl.rc_context({**_STYLE, "svg.fonttype": fonts}):
        yield


def blank(height: float, width: float = WIDTH, projection: str | None = None) -> tuple[Figure, Axes]:
    """Return an empty figure of a size in inches, and its axes; no display and no global state take part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot(projection=projection)


def sample(points: ArrayLike, most: int = MAX_POINTS) -> NDArray[np.float64]:
    """Return at most so many of the points (along the first axis), the same ones every time."""
    array = np.asarray(points, dtype=np.float64)
    if len(array) <= most:
        return array
    chosen = np.random.default_rng(0).choice(len(array), most, replace=False)
    return array[np.sort(chosen)]


def short(text: str, most: int = 22) -> str:
    """Return a label that fits: cut with an ellipsis, and without characters that the fonts of figures may lack."""
    known = "".join(c if c.isprintable() and ord(c) < 0x400 else "?" for c in text)
    return known if len(known) <= most else f"{known[: most - 1]}…"


def inline_svg(plot: Plot) -> str:
    """Return a figure as an `<svg>` element for the page: named, described, in CSS variables, with ids of its own."""
    from html import escape

    text = _svg(plot.figure, "none").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{plot.name}-", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    width = plot.figure.get_figwidth() / WIDTH
    opening = f'<svg role="img" aria-label="{escape(plot.alt)}" style="--wide: {width:.3g}"'
    return text.replace("<svg", opening, 1).strip()


def save(plot: Plot, path: Path, dpi: int = 300) -> None:
    """Write a figure for a paper as SVG (text as outlines) or PNG; the suffix decides, the bytes repeat.

    Raises
    ------
    DataError
        If the suffix is another one.
    """
    if path.suffix == ".svg":
        path.write_bytes(_svg(plot.figure, "path"))
    elif path.suffix == ".png":
        with style():
            plot.figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
    else:
        raise DataError(f"figures are written as .svg or .png, not {path.suffix or 'without a suffix'}")


def _svg(figure: Figure, fonts: Literal["none", "path"]) -> bytes:
    buffer = BytesIO()
    with style(fonts):
        # No date, no version: the same rows give the same bytes.
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
