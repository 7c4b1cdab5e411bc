"""Operations and Wyckoff positions: laws for all groups, values of International Tables A, real crystals."""

from __future__ import annotations

import importlib.util
import string
from itertools import islice
from typing import TYPE_CHECKING

import moyopy
import numpy as np
import pytest

from materium.core.space_groups import NUMBERS
from materium.core.wyckoff import GRID, POSITIONS, SpaceGroup, parse_coordinates, space_group, wyckoff_position
from materium.crystal import lattice_from_parameters
from materium.data.readers import read
from materium.errors import CrystalError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from materium.core.wyckoff import WyckoffPosition

LETTERS = string.ascii_lowercase + "A"
PARAMETERS = {"a": 4.7, "b": 5.9, "c": 7.3, "alpha": 79.0, "beta": 97.0, "gamma": 71.0}
FINE = 24 * 9973
"""A grid on which random points have no symmetry but that of their position."""
GROUPS = [space_group(number) for number in NUMBERS]


def codes(points: NDArray[np.int64], group: SpaceGroup, grid: int) -> NDArray[np.int64]:
    """Return one number for each point that all points have in common from which lattice translations lead to it."""
    copies = (points[..., None, :] + group.centring * (grid // GRID)) % grid
    lowest: NDArray[np.int64] = (copies @ np.array([grid**2, grid, 1])).min(-1)
    return lowest


def moved(points: NDArray[np.int64], group: SpaceGroup, grid: int) -> NDArray[np.int64]:
    """Return what every operation makes of points, shape (..., m, 3)."""
    return np.einsum("mij,...j->...mi", group.rotations, points) + group.translations * (grid // GRID)


def test_there_are_1731_positions_with_contiguous_letters() -> None:
    assert sum(len(group.positions) for group in GROUPS) == POSITIONS
    for group in GROUPS:
        assert "".join(position.letter for position in group.positions) == LETTERS[: len(group.positions)]
        general = group.positions[-1]
        assert (general.coordinates, general.site_symmetry) == ("x,y,z", "1")
        assert general.multiplicity == len(group.rotations) * len(group.centring)
        assert [position.index for position in group.positions] == list(range(len(group.positions)))
        sizes = [position.multiplicity for position in group.positions]
        assert sizes == sorted(sizes)
    assert GROUPS[46].positions[-1].label == "8A"


@pytest.mark.parametrize(
    ("number", "known"),
    [
        (1, "1a x,y,z"),
        (14, "2a 0,0,0; 2b 1/2,0,0; 2c 0,0,1/2; 2d 1/2,0,1/2; 4e x,y,z"),
        (62, "4a 0,0,0; 4b 0,0,1/2; 4c x,1/4,z; 8d x,y,z"),
        (
            166,
            "3a 0,0,0; 3b 0,0,1/2; 6c 0,0,z; 9d 1/2,0,1/2; 9e 1/2,0,0; 18f x,0,0; 18g x,0,1/2; 18h x,-x,z; 36i x,y,z",
        ),
        (186, "2a 0,0,z; 2b 1/3,2/3,z; 6c x,-x,z; 12d x,y,z"),
        (
            225,
            (
                "4a 0,0,0; 4b 1/2,1/2,1/2; 8c 1/4,1/4,1/4; 24d 0,1/4,1/4; 24e x,0,0; 32f x,x,x; 48g x,1/4,1/4; 48h "
                "0,y,y; 48i 1/2,y,y; 96j 0,y,z; 96k x,x,z; 192l x,y,z"
            ),
        ),
        (
            227,
            (
                "8a 1/8,1/8,1/8; 8b 3/8,3/8,3/8; 16c 0,0,0; 16d 1/2,1/2,1/2; 32e x,x,x; 48f x,1/8,1/8; 96g x,x,z; "
                "96h 0,y,-y; 192i x,y,z"
            ),
        ),
    ],
)
def test_known_positions(number: int, known: str) -> None:
    group = space_group(number)
    assert "; ".join(f"{position.label} {position.coordinates}" for position in group.positions) == known


def test_known_site_symmetries() -> None:
    spinel = space_group(227)
    assert [spinel.position(label).site_symmetry for label in ("8a", "d", "32e")] == ["-43m", ".-3m", ".3m"]
    assert (space_group(62).position("c").site_symmetry, space_group(221).position("c").site_symmetry) == (
        ".m.",
        "4/mm.m",
    )


def test_operations_are_a_group_that_keeps_the_cell() -> None:
    """Products of operations are operations, and distances in a cell of the system's free parameters stay."""
    for group in GROUPS:
        rotations, translations = group.rotations, group.translations
        products = (rotations[:, None] @ rotations).reshape(-1, 9)
        shifts = codes(np.einsum("aij,bj->abi", rotations, translations) + translations[:, None], group, GRID)
        known = np.column_stack([rotations.reshape(-1, 9), codes(translations, group, GRID)])
        both = np.column_stack([products, shifts.reshape(-1)])
        assert {*map(tuple, both.tolist())} == {*map(tuple, known.tolist())}, group
        assert len(np.unique(known, axis=0)) == len(rotations)
        assert (rotations[0] == np.eye(3)).all()
        assert not translations[0].any()
        assert not group.centring[0].any()
        assert group.centrosymmetric == bool((rotations == -np.eye(3)).all((1, 2)).any())
        assert group.chiral == bool((np.linalg.det(rotations) > 0).all())
        assert group.polar == bool(np.linalg.matrix_rank(rotations.sum(0)) > 0)

        lattice = lattice_from_parameters(group.cell([PARAMETERS[name] for name in group.lattice_parameters]))
        metric = lattice @ lattice.T
        assert np.allclose(np.swapaxes(rotations, 1, 2) @ metric @ rotations, metric, atol=1e-9)


def test_primitive_vectors_span_the_centring() -> None:
    for group in GROUPS:
        assert np.isclose(np.linalg.det(group.primitive) * len(group.centring), 1)
        steps = np.vstack([group.centring / GRID, np.eye(3)]) @ np.linalg.inv(group.primitive)
        assert np.allclose(steps, np.round(steps))


def test_images_are_the_orbit_of_the_representative() -> None:
    """Distinct for random free variables, as many as the multiplicity says, and all that the operations lead to."""
    rng = np.random.default_rng(0)
    for group in GROUPS:
        for position in group.positions:
            free = rng.integers(FINE, size=(2, position.freedom))
            points = position.point(free, FINE)
            images = position.images(points, FINE)
            assert images.shape == (2, len(position.coset), 3)
            assert (images[:, 0] == points).all()
            assert (position.free_values(points, FINE) == free).all()
            for point, orbit in zip(points, codes(images, group, FINE), strict=True):
                everything = codes(moved(point, group, FINE), group, FINE)
                assert len(np.unique(orbit)) * len(group.centring) == position.multiplicity, position
                assert set(orbit.tolist()) == set(everything.tolist()), position


def belongs(point: NDArray[np.int64], position: WyckoffPosition, group: SpaceGroup) -> bool:
    """Whether an image of a point on the grid of 24 has the form of the position's representative."""
    images = (moved(point, group, GRID)[:, None] + group.centring).reshape(-1, 3) % GRID
    return bool((position.point(position.free_values(images, GRID), GRID) == images).all(1).any())


def test_every_point_is_on_one_position() -> None:
    """Of those whose orbits are as large as the point's own; on the grid of 24 most points are special."""
    rng = np.random.default_rng(1)
    for group in GROUPS:
        for point in rng.integers(6, size=(6, 3)) * rng.choice([3, 4], size=(6, 1)):
            size = len(np.unique(codes(moved(point, group, GRID), group, GRID)))
            same = [position for position in group.positions if len(position.coset) == size]
            assert sum(belongs(point, position, group) for position in same) == 1, (group, point)


def test_points_and_images_on_the_grid_of_the_model() -> None:
    """Wurtzite: two sites at z and z + 1/2, rotated by 60 degrees."""
    sites = space_group(186).position("2b")
    point = sites.point(np.array([100]))
    assert point.tolist() == [336, 672, 100]
    assert sites.images(point).tolist() == [[336, 672, 100], [672, 336, 604]]
    assert (sites.free, sites.freedom, sites.coset[0]) == (("z",), 1, 0)


def test_numbers_of_positions_are_an_order_of_all() -> None:
    every = [position for group in GROUPS for position in group.positions]
    assert [position.number for position in every] == list(range(POSITIONS))
    assert all(wyckoff_position(position.number) is position for position in every)


def test_coordinates_are_read() -> None:
    matrix, offset = parse_coordinates("x,2x-1/4,-y+1/3")
    assert matrix.tolist() == [[1, 0, 0], [2, 0, 0], [0, -1, 0]]
    assert offset.tolist() == [0, -6, 8]


def test_wrong_input_is_one_line() -> None:
    for number in (0, 231):
        with pytest.raises(CrystalError, match=f"space group {number} does not exist; .* from 1 to 230"):
            space_group(number)
    for label in ("e", "8a", "A", "", "4"):
        with pytest.raises(CrystalError, match=f"group 62 has no Wyckoff position '{label}'; it has 4a, 4b, 4c, 8d"):
            space_group(62).position(label)
    with pytest.raises(CrystalError, match="multiple of 24"):
        space_group(62).positions[0].point(np.zeros(0, dtype=np.int64), grid=100)
    with pytest.raises(CrystalError, match="from 0 to 1730"):
        wyckoff_position(POSITIONS)


def test_shared_arrays_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        space_group(2).positions[0].offset[0] = 1


@pytest.mark.parametrize("number", [2, 38, 47, 62, 146, 186, 205, 227])
def test_the_table_is_what_its_script_finds(number: int, root: Path) -> None:
    """With another seed, for which moyo may choose another origin."""
    spec = importlib.util.spec_from_file_location("wyckoff_table", root / "tools" / "wyckoff_table.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shipped = [
        (position.letter, position.multiplicity, position.site_symmetry, position.coordinates)
        for position in space_group(number).positions
    ]
    assert script.positions(number, seed=1) == shipped


@pytest.mark.shared_data
def test_real_crystals_are_their_letters_and_free_variables(shared_data: Path) -> None:
    """The standard cell of each of 200 crystals, rebuilt from a letter and free variables for each orbit."""
    rows = [row.crystal for row in islice(read(shared_data / "val.parquet"), 200) if row.crystal is not None]
    assert len(rows) > 190
    for crystal in rows:
        cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
        dataset = moyopy.MoyoDataset(cell, symprec=0.01, setting=moyopy.Setting.standard())
        group, standard = space_group(dataset.number), dataset.std_cell
        assert np.allclose(dataset.prim_std_cell.basis, group.primitive @ np.array(standard.basis))
        named = [position.letter for position in dataset.normalizer_wyckoff_positions().wyckoffs]
        assert_rebuilt(group, np.array(standard.positions), np.array(standard.numbers), named)


def assert_rebuilt(group: SpaceGroup, sites: NDArray[np.float64], numbers: NDArray[np.int64], named: list[str]) -> None:
    """Assert that sites of the conventional cell are whole orbits on the positions that they are said to be on."""
    left = set(range(len(sites)))
    while left:
        position = group.position(named[min(left)])
        candidates = [site for site in left if named[site] == position.letter and numbers[site] == numbers[min(left)]]
        orbit = next(found for site in candidates if (found := orbit_of(sites[site], position, group)) is not None)
        apart = orbit[:, None] - sites
        near = np.abs(apart - np.round(apart)).max(-1) < 1e-5
        assert (near.sum(1) == 1).all()
        members = set(near.argmax(1).tolist())
        assert len(members) == position.multiplicity
        assert members <= left
        assert {int(numbers[site]) for site in members} == {int(numbers[min(left)])}
        left -= members


def orbit_of(site: NDArray[np.float64], position: WyckoffPosition, group: SpaceGroup) -> NDArray[np.float64] | None:
    """Return all images in the conventional cell if the site, but for centring, has the representative's form."""
    for point in site + group.centring / GRID:
        rows, signs = position.free_rows
        free = (point[rows] - position.offset[rows] / GRID) * signs
        built = position.matrix @ free + position.offset / GRID
        if np.abs(built - point - np.round(built - point)).max() < 1e-5:
            images = position.rotations @ built + position.translations / GRID
            orbit: NDArray[np.float64] = (images[:, None] + group.centring / GRID).reshape(-1, 3)
            return orbit
    return None
