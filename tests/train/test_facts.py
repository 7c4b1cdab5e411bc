"""What a network knows of its training crystals."""

from __future__ import annotations

import numpy as np

from materium.core.orbits import all_settings
from materium.model.config import Seen
from materium.train.facts import orbits_and_volumes, seen_by_both, species_volumes
from orbit_rows import CRYSTALS, shard, tokenizer


def test_atoms_and_volumes_of_orbits_are_those_of_the_crystals() -> None:
    counts, volumes = orbits_and_volumes(shard(), tokenizer())
    primitive = [all_settings(crystal, limit=1)[0].to_crystal() for crystal in CRYSTALS]
    np.testing.assert_allclose(volumes, [abs(np.linalg.det(c.lattice)) for c in primitive], rtol=0.01)
    numbers = tokenizer().vocab.species_table[:, 0]
    for row, crystal in zip(counts, primitive, strict=True):
        atoms = np.bincount(numbers, weights=row, minlength=120)
        np.testing.assert_array_equal(atoms, np.bincount(crystal.numbers, minlength=120))


def test_volumes_of_species_are_found_again() -> None:
    """Of many crystals with known volumes; a species that none of them has is as large as the mean atom."""
    rng = np.random.default_rng(0)
    counts = np.column_stack([rng.integers(1, 6, (3000, 3)), np.zeros(3000)])
    found = species_volumes(counts, counts @ np.array([10.0, 20.0, 30.0, 0.0]))
    np.testing.assert_allclose(found[:3], [10, 20, 30], rtol=0.05)
    mean = (counts @ [10, 20, 30, 0]).sum() / counts.sum()
    np.testing.assert_allclose(found[3], mean)


def test_what_two_runs_saw_keeps_the_scale_of_the_first() -> None:
    first, now = Seen(0.0, 1.0, 0.5, 0.2, 10), Seen(-1.0, 3.0, 0.9, 0.7, 20)
    found = seen_by_both({"density": first, "hhi": first}, {"density": now, "band_gap": now})
    assert found["density"] == Seen(-1.0, 3.0, 0.5, 0.2, 20)
    assert (found["hhi"], found["band_gap"]) == (first, now)
