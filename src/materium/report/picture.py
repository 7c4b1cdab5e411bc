"""A small picture of a crystal as SVG: its cell and its atoms, seen a little from the side and from above."""

from __future__ import annotations

from html import escape
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from materium.convert import formula, symbols

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from materium.crystal import Crystal

SIZE = 150
"""Pixels."""
VIEW = np.array([[0.94, -0.34, 0.0], [-0.12, -0.33, 0.94], [-0.32, -0.88, -0.35]])
"""Rows: right, up and towards the eye."""
CORNERS = np.array(list(product((0.0, 1.0), repeat=3)))
EDGES = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(CORNERS[i] - CORNERS[j]).sum() == 1]
ON_FACE = 1e-3
"""Fraction of the cell; an atom this close to a face is drawn on the opposite one too."""
DARK = 0.4
"""Brightness up to which a symbol is written in white."""
MAX_ATOMS = 400
FILLED = 0.97
"""Share of the picture's width that the crystal may take."""
RADIUS = 0.55
"""Å per cube root of the volume per atom that an atom is drawn with."""


def picture(crystal: Crystal) -> str:
    """Return the cell as an `<svg>` element; beyond `MAX_ATOMS` the farthest atoms are left out."""
    frac, numbers = with_images(crystal)
    seen = _centred(frac @ crystal.lattice @ VIEW.T, crystal)
    corners = _centred(CORNERS @ crystal.lattice @ VIEW.T, crystal)
    size = 0.5 * RADIUS * float(np.cbrt(crystal.volume / len(crystal)))
    reach = max(float(np.abs(seen[:, :2]).max()) + size, float(np.abs(corners[:, :2]).max()))
    scale = FILLED * 0.5 * SIZE / reach
    radius = max(2.0, scale * size)
    order = np.argsort(seen[:, 2])[-MAX_ATOMS:]
    lines = "".join(_line(corners[i], corners[j], scale) for i, j in EDGES)
    atoms = "".join(_atom(seen[k], int(numbers[k]), scale, radius) for k in order)
    name = escape(f"Cell of {formula(crystal)} with {len(crystal)} atoms")
    head = f'<svg role="img" aria-label="{name}" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}">'
    return f"{head}{lines}{atoms}</svg>"


def with_images(crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sites and atomic numbers, those on a face of the cell on the opposite face too."""
    places, numbers = [], []
    for site, number in zip(crystal.frac_coords, crystal.numbers, strict=True):
        near = [[0.0, 1.0] if x < ON_FACE else [0.0, -1.0] if x > 1 - ON_FACE else [0.0] for x in site]
        for shift in product(*near):
            places.append(site + np.array(shift))
            numbers.append(number)
    return np.array(places), np.array(numbers)


def _centred(points: NDArray[np.float64], crystal: Crystal) -> NDArray[np.float64]:
    return np.asarray(points - np.array([0.5, 0.5, 0.5]) @ crystal.lattice @ VIEW.T)


def _at(point: NDArray[np.float64], scale: float) -> tuple[float, float]:
    return SIZE / 2 + scale * float(point[0]), SIZE / 2 - scale * float(point[1])


def _line(start: NDArray[np.float64], end: NDArray[np.float64], scale: float) -> str:
    (x, y), (u, v) = _at(start, scale), _at(end, scale)
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{u:.1f}" y2="{v:.1f}" stroke="var(--muted)" stroke-width="0.8"/>'


def _atom(point: NDArray[np.float64], number: int, scale: float, radius: float) -> str:
    x, y = _at(point, scale)
    fill = f'fill="{colour(number)}" stroke="var(--ink)" stroke-width="0.5"'
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {fill}/>'
    if radius < 5:
        return circle
    (symbol,) = symbols([number])
    ink = "#111" if _brightness(number) > DARK else "#fff"
    style = f'font-size="{radius:.1f}" text-anchor="middle" dominant-baseline="central" fill="{ink}"'
    return f'{circle}<text x="{x:.1f}" y="{y:.1f}" {style}>{symbol}</text>'


def colour(number: int) -> str:
    """Return the colour of an element that chemists are used to, Jmol's, as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in _jmol(number))


def _brightness(number: int) -> float:
    """How bright an element's colour looks, 0 to 1 (the weights of sRGB)."""
    return float(np.dot([0.2126, 0.7152, 0.0722], _jmol(number)))


def _jmol(number: int) -> NDArray[np.float64]:
    from ase.data.colors import jmol_colors

    return np.asarray(jmol_colors[number if number < len(jmol_colors) else 0])
