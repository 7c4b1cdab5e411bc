from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from materium.crystal import MIN_DISTANCE
from materium.data.orbit_batch import pack_contacts
from materium.generate.orbit_spacing import apart_points
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_vocab import LENGTHS
from random_orbits import TOKENIZER, random_grid


@pytest.mark.parametrize("group", [1, 2, 14, 62, 139, 167, 194, 221, 225, 227])
def test_stretches_say_what_all_distances_say(group: int) -> None:
    """Small cells of many atoms, in which much of each line is too near to something."""
    rng, bins = np.random.default_rng(group), TOKENIZER.config.bins
    contacts = []
    while len(contacts) < 12:
        grid = random_grid(group, rng)
        roles = TOKENIZER.lattice_roles(group)
        small = np.array([100 if role in LENGTHS else point for role, point in zip(roles, grid.lattice, strict=True)])
        choices = replay(TOKENIZER, replace(grid, lattice=small), "high")[1]
        contacts += [choice.contacts for choice in choices if choice.contacts is not None]
    expected = np.array([(one.distances(np.arange(bins), bins) >= MIN_DISTANCE).all(1) for one in contacts])
    assert (apart_points(contacts, pack_contacts(range(len(contacts)), contacts), bins) == expected).all()
    assert not expected.all()
