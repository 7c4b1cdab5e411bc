"""The conventions of `Crystal`: what it accepts, what it refuses, and laws of cells and distances."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crystals import KNOWN, NACL, RUTILE
from materium.crystal import MAX_ATOMIC_NUMBER, Crystal, fault, lattice_from_parameters, lengths_angles
from materium.errors import CrystalError

CUBE = 4.0 * np.eye(3)
ORIGIN = np.zeros((1, 3))

fractions = st.floats(-3.0, 3.0)


@st.composite
def cells(draw: st.DrawFn, lengths: tuple[float, float] = (1, 50), skew: float = 60) -> np.ndarray:
    """Return lattice parameters of a cell that exists and is not nearly flat."""
    parameters = [draw(st.floats(*lengths)) for _ in range(3)] + [
        draw(st.floats(90 - skew, 90 + skew)) for _ in range(3)
    ]
    cosines = np.cos(np.radians(parameters[3:]))
    assume(1 - (cosines**2).sum() + 2 * cosines.prod() > 1e-3)
    return np.array(parameters)


@st.composite
def crystals(draw: st.DrawFn, **shape: Any) -> Crystal:
    """Return a crystal of one to five atoms in a cell of this shape."""
    count = draw(st.integers(1, 5))
    frac = np.array(draw(st.lists(st.tuples(fractions, fractions, fractions), min_size=count, max_size=count)))
    numbers = draw(st.lists(st.integers(1, MAX_ATOMIC_NUMBER), min_size=count, max_size=count))
    return Crystal(lattice_from_parameters(draw(cells(**shape))), frac, np.array(numbers))


def test_values_are_those_given() -> None:
    crystal = Crystal(CUBE, [[0, 0.5, 0.25]], [26], [3])
    np.testing.assert_array_equal(crystal.lattice, CUBE)
    np.testing.assert_array_equal(crystal.frac_coords, [[0, 0.5, 0.25]])
    assert (crystal.numbers.tolist(), crystal.oxidation_states.tolist(), len(crystal)) == ([26], [3], 1)
    assert crystal.volume == pytest.approx(64)


def test_oxidation_states_may_be_unknown() -> None:
    assert Crystal(CUBE, ORIGIN, [26]).oxidation_states is None


@given(crystals())
def test_coordinates_are_wrapped_into_the_cell(crystal: Crystal) -> None:
    assert (crystal.frac_coords >= 0).all()
    assert (crystal.frac_coords < 1).all()


def test_a_tiny_negative_coordinate_wraps_to_zero_and_not_to_one() -> None:
    assert Crystal(CUBE, [[-1e-17, 0, 1]], [1]).frac_coords.tolist() == [[0, 0, 0]]


def test_arrays_are_read_only_copies() -> None:
    lattice = CUBE.copy()
    crystal = Crystal(lattice, ORIGIN, [26], [3])
    lattice[0, 0] = 9
    assert crystal.lattice[0, 0] == 4
    for array in (crystal.lattice, crystal.frac_coords, crystal.numbers, crystal.oxidation_states):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2), ORIGIN, [1]), r"lattice has shape \(2, 2\); \(3, 3\) is needed"),
        ((CUBE, [[0, 0]], [1]), r"frac_coords has shape \(1, 2\); \(1, 3\) is needed"),
        ((CUBE, np.zeros((2, 3)), [1]), r"frac_coords has shape \(2, 3\); \(1, 3\) is needed"),
        ((CUBE, ORIGIN, [[1]]), r"numbers has shape \(1, 1\); one value per site is needed"),
        ((CUBE, [[np.nan, 0, 0]], [1]), "frac_coords holds NaN or infinity"),
        ((np.full((3, 3), np.inf), ORIGIN, [1]), "lattice holds NaN or infinity"),
        ((CUBE, np.zeros((0, 3)), []), "crystal has no atoms"),
        ((CUBE, ORIGIN, [0]), "unknown element: atomic number 0 is outside 1 to 118"),
        ((CUBE, ORIGIN, [119]), "unknown element: atomic number 119"),
        ((CUBE, ORIGIN, [26.5]), "numbers must be integers"),
        ((CUBE, ORIGIN, [26], [2.5]), "oxidation_states must be integers"),
        ((CUBE, ORIGIN, [26], [2, 3]), "oxidation_states has 2 entries for 1 sites"),
        (([[1, 0, 0], [0, 1, 0], [1, 1, 0]], ORIGIN, [1]), "cell volume is 0"),
        ((0.1 * CUBE, ORIGIN, [1]), "cell volume is 0.064 Å³; a cell needs at least 0.1 Å³"),
    ],
)
def test_what_breaks_a_convention_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(CrystalError, match=message) as caught:
        Crystal(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "shortest"), [("NaCl", 2.8201), ("Si", 3.867 * np.sqrt(6) / 4), ("SiO2", 1.604)])
def test_shortest_distances_of_real_crystals(name: str, shortest: float) -> None:
    assert KNOWN[name].min_distance == pytest.approx(shortest, abs=1e-3)


def test_an_atom_and_its_own_image_have_a_distance() -> None:
    assert Crystal(np.diag([2.0, 3.0, 4.0]), ORIGIN, [1]).min_distance == pytest.approx(2.0)


def test_shortest_distance_in_a_skewed_cell() -> None:
    """The shortest lattice vector, 2.80 Å, is -2 a - 2 b + c: twice as far as the neighbouring cells."""
    lattice = np.array([[3, 0, 0], [-1.17219339, 2.76151456, 0], [3, 4.53250558, 2.54094336]])
    assert Crystal(lattice, ORIGIN, [1]).min_distance == pytest.approx(2.80488, abs=1e-4)


@given(crystals(lengths=(3, 8), skew=30))
def test_shortest_distance_is_that_of_a_slow_search(crystal: Crystal) -> None:
    """The slow search takes all images within two cells, enough for cells that are neither long nor very skewed."""
    shifts = np.array(list(product(range(-2, 3), repeat=3)))
    difference = crystal.frac_coords[:, None, None] - crystal.frac_coords[None, :, None] + shifts
    distances = np.linalg.norm(difference @ crystal.lattice, axis=-1)
    for site in range(len(crystal)):
        distances[site, site, len(shifts) // 2] = np.inf
    assert crystal.min_distance == pytest.approx(distances.min(), abs=1e-6)


def test_overlapping_atoms_can_be_held_and_are_refused_when_asked() -> None:
    crystal = Crystal(CUBE, [[0, 0, 0], [0.1, 0, 0]], [1, 1])
    with pytest.raises(CrystalError, match=r"overlapping atoms: 0\.400 Å apart, at least 0\.5 Å is needed"):
        crystal.check_distances()
    assert crystal.check_distances(0.3) is crystal


def test_the_same_site_twice_is_an_overlap() -> None:
    with pytest.raises(CrystalError, match="overlapping atoms"):
        Crystal(CUBE, [[0.3, 0.3, 0.3], [1.3, -0.7, 0.3]], [1, 1]).check_distances()


@given(cells())
def test_lattice_parameters_come_back(parameters: np.ndarray) -> None:
    np.testing.assert_allclose(lengths_angles(lattice_from_parameters(parameters)), parameters, rtol=1e-7)


def test_lattice_parameters_of_many_cells_at_once() -> None:
    stacked = lengths_angles(np.stack([crystal.lattice for crystal in KNOWN.values()]))
    np.testing.assert_array_equal(stacked, [crystal.lengths_angles for crystal in KNOWN.values()])


@pytest.mark.parametrize("angles", [(60, 60, 130), (100, 130, 131)])
def test_angles_that_no_cell_has_are_refused(angles: tuple[float, float, float]) -> None:
    with pytest.raises(CrystalError, match=f"no cell has the angles {angles[0]}, {angles[1]}, {angles[2]} degrees"):
        lattice_from_parameters([4, 4, 4, *angles])


def test_right_angles_are_exact() -> None:
    np.testing.assert_array_equal(lattice_from_parameters([3, 4, 5, 90, 90, 90]), np.diag([3.0, 4.0, 5.0]))


def test_with_oxidation_states_changes_nothing_else() -> None:
    charged = RUTILE.with_oxidation_states([3, 3, -2, -2, -1, -1])
    assert charged.oxidation_states.tolist() == [3, 3, -2, -2, -1, -1]
    for name in ("lattice", "frac_coords", "numbers"):
        np.testing.assert_array_equal(getattr(charged, name), getattr(RUTILE, name))


def test_select_takes_sites_in_the_order_asked_for() -> None:
    taken = NACL.select([7, 0])
    assert (taken.numbers.tolist(), taken.oxidation_states.tolist()) == ([17, 11], [-1, 1])
    np.testing.assert_array_equal(taken.frac_coords, NACL.frac_coords[[7, 0]])


def test_a_cell_beyond_all_measure_is_refused() -> None:
    """Niggli reduction of this cell, sheared by ten million, takes five seconds, and of worse ones minutes."""
    with pytest.raises(CrystalError, match=r"vector of 1e\+07 Å; at most 100000 Å"):
        Crystal(np.array([[3, 0, 0], [1e7, 3, 0], [0, 1e3, 3]]), np.zeros((1, 3)), np.array([11]))


def test_a_cell_that_cannot_be_reduced_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moyo gives up on some cells; a relaxation that comes by one must not end for that."""

    def give_up(_: object) -> None:
        raise ValueError("Niggli reduction failed")

    monkeypatch.setattr("moyopy.niggli_reduce", give_up)
    crystal = Crystal(4 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    assert fault(crystal) == "cell cannot be reduced (Niggli reduction failed); its shortest distance is not known"
    with pytest.raises(CrystalError, match="cannot be reduced"):
        crystal.check_distances()
