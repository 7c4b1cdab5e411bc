"""Writes the table of Wyckoff positions that the package ships: `python tools/wyckoff_table.py`, a minute or less.

For each space group, one synthetic crystal has an orbit of its own element on every Wyckoff position, and moyo names
them. The positions are found from the operations alone: two points whose stabilisers are the same operations, lattice
translations included, lie on the same fixed point, line or plane, and each of these has a point on the grid of 24 that
no further operation fixes. The general position keeps moyo from finding a higher group. moyo may move the origin by an
element of the normaliser, which interchanges positions; as all of them are occupied, each is named nevertheless.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.core.space_groups import NUMBERS, space_group_type
from materium.core.wyckoff import GRID, POSITIONS, TABLE
from materium.crystal import lattice_from_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARAMETERS = {"a": 31.7, "b": 39.1, "c": 47.3, "alpha": 79.3, "beta": 97.1, "gamma": 71.9}
"""Å and degrees of the synthetic cells; no two lengths are alike, so that no lattice has more symmetry than it must."""
SYMPREC = 1e-4
GENERAL = 2
"""Further orbits on the general position, without which polar groups have more symmetry."""


def representatives(number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return points in 1/24, shape (p, 3), at least one on each position, and which operations fix each, (p, m)."""
    found = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=False)
    rotations = np.array(found.rotations)
    translations = np.rint(np.array(found.translations) * GRID).astype(np.int64)
    points = np.indices((GRID,) * 3).reshape(3, -1).T
    images = np.einsum("mij,pj->pmi", rotations, points) + translations
    rank = (images % GRID) @ np.array([GRID**2, GRID, 1])
    first = rank.min(1) == np.arange(len(points))  # one point of each orbit
    moves = images[first] - points[first, None]
    fixed = (moves % GRID == 0).all(-1)
    codes = np.where(fixed, (moves // GRID + 8) @ np.array([256, 16, 1]), -1)
    chosen = np.unique(codes, axis=0, return_index=True)[1]
    return points[first][chosen], fixed[chosen]


def positions(number: int, seed: int = 0) -> list[tuple[str, int, str, str]]:
    """Return letter, multiplicity, site symmetry and coordinates of each Wyckoff position of a group, `a` first."""
    rng = np.random.default_rng(seed)
    found = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=False)
    rotations, translations = np.array(found.rotations), np.array(found.translations)
    sites, numbers = [], []
    points, stabilisers = representatives(number)
    general = np.flatnonzero(stabilisers.sum(1) == 1)[:1]
    chosen = [*range(len(points)), *np.repeat(general, GENERAL)]
    for element, (point, fixed) in enumerate(zip(points[chosen], stabilisers[chosen], strict=True), start=1):
        generic = point / GRID + rotations[fixed].mean(0) @ rng.uniform(-0.5, 0.5, 3)
        orbit = (rotations @ generic + translations) % 1.0
        distinct = np.unique(np.round(orbit, 9) % 1.0, axis=0)
        sites.append(distinct)
        numbers += [element] * len(distinct)
    kind = space_group_type(number)
    lattice = lattice_from_parameters(kind.cell([PARAMETERS[name] for name in kind.lattice_parameters]))
    cell = moyopy.Cell(lattice.tolist(), np.concatenate(sites).tolist(), numbers)
    dataset = moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.standard())
    if dataset.number != number:
        raise SystemExit(f"group {number}: moyo found {dataset.number}; try another seed")
    named = {
        (position.letter, position.multiplicity, position.site_symmetry, position.coordinates)
        for position in dataset.normalizer_wyckoff_positions().wyckoffs
    }
    return sorted(named, key=lambda row: (row[0].isupper(), row[0]))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TABLE)
    args = parser.parse_args()
    table = {number: positions(number) for number in NUMBERS}
    total = sum(map(len, table.values()))
    if total != POSITIONS:
        raise SystemExit(f"{total} Wyckoff positions; {POSITIONS} are needed")
    lines = (f'"{number}": {json.dumps(rows)}' for number, rows in table.items())
    args.output.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{total} positions in {args.output}")


if __name__ == "__main__":
    main()
