"""POSCAR and CONTCAR: pymatgen reads them, but for the second line, whose meanings it does not all know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import MAX_SITES, too_many_sites
from materium.errors import ConversionError
from materium.io.parsing import parsing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core import Structure

HEAD_LINES = 40
"""Above the coordinates at most; VASP breaks long lines of symbols and counts."""


def read_poscar(text: str) -> Structure:
    """Return the structure of a POSCAR that names its elements.

    The second line is a factor, three factors along x, y and z, or, where it is negative, the volume in Å³. All of them
    scale Cartesian positions as they scale the cell, so fractional coordinates do not depend on them.

    Raises
    ------
    ConversionError
        If the text is no POSCAR or is cut short, names no elements, or its scale is 0 or no number.
    """
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp.inputs import Poscar

    with parsing("POSCAR") as caught:
        title, scale, *lines = text.split("\n", MAX_SITES + HEAD_LINES)[: MAX_SITES + HEAD_LINES]
        _check_counts(lines[3 : HEAD_LINES - 2])
        unscaled = Poscar.from_str("\n".join([title.strip() or "-", "1.0", *lines]), read_velocities=False).structure
        lattice = unscaled.lattice.matrix * _factors(scale, unscaled.lattice.volume)
        structure = Structure(Lattice(lattice), unscaled.species, unscaled.frac_coords)
    if any("cannot be determined" in str(warning.message) for warning in caught):
        raise ConversionError("POSCAR names no elements; put a line with their symbols above the line of counts")
    return structure


def _check_counts(lines: Sequence[str]) -> None:
    """Refuse counts that pymatgen would make lists of; they stand somewhere below the cell."""
    for line in lines:
        total = sum(map(int, line.split())) if re.fullmatch(r"[\s\d]+", line, re.ASCII) else 0
        if total > MAX_SITES:
            raise too_many_sites(total)


def _factors(line: str, volume: float) -> NDArray[np.float64]:
    """Factors along x, y and z from the second line of a POSCAR whose cell has this volume before."""
    words = re.split(r"[!#]", line, maxsplit=1)[0].split()
    count = 3 if len(words) >= 3 and all(map(_is_number, words[:3])) else 1
    factors = np.array([float(word) for word in words[:count] if _is_number(word)])
    if factors.size == 1 and -np.inf < factors[0] < 0 and volume > 0:
        factors = np.cbrt(-factors / volume)
    if not factors.size or not (np.isfinite(factors) & (factors > 0)).all():
        raise ConversionError(
            f"POSCAR's scale is {line.strip()[:40]!r}; a factor, three, or a volume below 0 is needed"
        )
    return np.broadcast_to(factors, 3)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
