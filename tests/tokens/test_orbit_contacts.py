"""Laws of distances between the atoms of orbits."""

from __future__ import annotations

import moyopy
import numpy as np
import pytest

from materium.core.wyckoff import space_group
from materium.tokens.orbit_contacts import Contacts, decided_images, fixed_points, nearest_distances, orbit_maps


def test_nearest_distances_are_those_over_all_translations() -> None:
    """Where they are shorter than half the least distance between lattice planes; else they are not shorter."""
    rng = np.random.default_rng(0)
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for _ in range(20):
        lattice = np.array(moyopy.niggli_reduce(rng.normal(scale=4, size=(3, 3)).tolist())[0])
        offsets = rng.uniform(-2, 2, size=(50, 3))
        found = nearest_distances(offsets, lattice @ lattice.T)
        exact = np.linalg.norm((offsets % 1)[:, None] @ lattice - shifts @ lattice, axis=-1).min(axis=1)
        surely = exact < 0.5 / np.linalg.norm(np.linalg.inv(lattice), axis=0).max()
        assert (found >= exact - 1e-9).all()
        assert found[surely] == pytest.approx(exact[surely])


def test_contacts_move_atoms_along_their_steps() -> None:
    start, step = np.array([[0.0, 0.25, 0], [0.5, 0, 0]]), np.array([[0.0, 0, 1], [2.0, 0, 0]])
    contacts = Contacts(start, step, np.array([1, 2]), 1, 2, np.diag([9.0, 16.0, 25.0]))
    assert contacts.distances(np.array([0, 12]), 48) == pytest.approx(np.array([[1, 1.5], [np.hypot(1, 1.25), 0]]))


@pytest.mark.parametrize("group", [1, 8, 62, 160, 194, 227, 230])
def test_maps_give_the_images_and_what_each_coordinate_decides(group: int) -> None:
    rng = np.random.default_rng(group)
    for position in space_group(group).positions:
        matrices, offsets = orbit_maps(position.number)
        free, other = rng.integers(1008, size=(2, position.freedom))
        images = position.images(position.point(free))
        assert ((matrices @ free + offsets * 42) % 1008).tolist() == images.tolist()
        decided = decided_images(position.number)
        constant = np.flatnonzero((matrices == matrices[0]).all(axis=(1, 2))).tolist()
        assert sorted([*constant, *(k for which in decided for k in which)]) == list(range(len(images)))
        for place, which in enumerate(decided):
            changed = np.concatenate([free[: place + 1], other[place + 1 :]])
            moved = position.images(position.point(changed))
            assert not ((moved - moved[0] - images + images[0]) % 1008)[which].any()


def test_fixed_points_of_a_group() -> None:
    indices, points, images = fixed_points(221)
    assert indices == [0, 1, 2, 3]
    assert points.tolist() == [[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0]]
    assert [len(others) for others in images] == [0, 0, 2, 2]
    assert fixed_points(1)[0] == []
