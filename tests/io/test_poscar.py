"""POSCAR: what its second line means, and the ways in which VASP and others write the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crystals import RUTILE, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError

if TYPE_CHECKING:
    import numpy as np

PLAIN = Crystal(RUTILE.lattice, RUTILE.frac_coords, RUTILE.numbers)


def poscar(scale: str, cell: np.ndarray, *, cartesian: bool, selective: bool = False, after: str = "") -> str:
    """Return rutile with a cell as it stands in the file; Cartesian positions are those of that cell."""
    sites = PLAIN.frac_coords @ cell if cartesian else PLAIN.frac_coords
    flags = " T F T" if selective else ""
    return "\n".join(
        [
            "rutile",
            scale,
            *(" ".join(map(repr, row)) for row in cell.tolist()),
            "Ti O",
            "2 4",
            *(["Selective dynamics"] if selective else []),
            "Cartesian" if cartesian else "Direct",
            *(" ".join(map(repr, row)) + flags for row in sites.tolist()),
            after,
        ]
    )


@pytest.mark.parametrize("cartesian", [True, False])
@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        ("1.0", [1, 1, 1]),
        (f"{-PLAIN.volume!r}", [1, 1, 1]),
        (f"{-PLAIN.volume!r}", [7, 7, 7]),
        ("4.594 ! Å", [4.594] * 3),
        ("4.594 4.594 2.959", [4.594, 4.594, 2.959]),
        (" 2.0\r", [2, 2, 2]),
        ("2.0 4 is a remark", [2, 2, 2]),
    ],
)
def test_every_scale_gives_the_same_crystal(scale: str, factors: list[float], *, cartesian: bool) -> None:
    """A factor, three of them, or a volume scale the cell and Cartesian positions alike."""
    text = poscar(scale, PLAIN.lattice / factors, cartesian=cartesian)
    assert_same(PLAIN, convert.from_poscar(text), tolerance=1e-9)


@pytest.mark.parametrize("cartesian", [True, False])
def test_selective_dynamics_and_velocities_are_passed_over(*, cartesian: bool) -> None:
    velocities = "\n" + "0.1 0.2 0.3\n" * 6
    text = poscar("-62.449", PLAIN.lattice * 3, cartesian=cartesian, selective=True, after=velocities)
    assert convert.from_poscar(text).volume == pytest.approx(62.449)
    assert convert.from_poscar(text.replace("\n", "\r\n")).min_distance == pytest.approx(1.95, abs=0.01)


@pytest.mark.parametrize("scale", ["0", "0.0 1 1", "-1 -1 -1", "1 1 -1", "nan", "-inf", "inf", "1e400", "", "scale"])
def test_a_scale_that_is_none_is_refused(scale: str) -> None:
    with pytest.raises(MateriumError, match="POSCAR's scale is"):
        convert.from_poscar(poscar(scale, PLAIN.lattice, cartesian=True))


def test_a_symbol_that_pymatgen_takes_for_code_is_refused() -> None:
    with pytest.raises(MateriumError, match="unreadable POSCAR"):
        convert.from_poscar(poscar("1.0", PLAIN.lattice, cartesian=False).replace("Ti O", "Ti spin="))


def test_a_blank_title_is_fine() -> None:
    text = poscar("1.0", PLAIN.lattice, cartesian=False)
    assert_same(PLAIN, convert.from_poscar(text.replace("rutile", "", 1)), tolerance=1e-9)
