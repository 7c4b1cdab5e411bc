"""Running totals and scores by distance are those of the crystal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from materium.model.orbit_features import BINS, CUTOFF, STRIDE
from materium.model.orbit_tensors import DistanceTensors
from orbit_rows import CONDITIONS, FIRST, SLOTS, random_model, shard, tokenizer

if TYPE_CHECKING:
    from torch import Tensor


@torch.no_grad()
def test_room_is_what_the_last_length_has_to_be() -> None:
    """With volumes such that the species fill the very cell, the room for its last length is that length."""
    model, rutile = random_model(), 3
    numbers = (FIRST.slots.roles[rutile] > 0).sum()
    counts = FIRST.slots.counts[rutile, numbers - 1]
    grid = shard().grid(int(shard().row_start[rutile]))
    a, c = (math.exp(tokenizer().log_lengths[point]) for point in grid.lattice.tolist())
    model.features.totals_of[:, 3] = a * a * c / float(counts.sum())
    _, room = model.features(SLOTS, CONDITIONS)
    before_c = int(np.flatnonzero(FIRST.slots.cell[rutile, :, 1] == 1)[0])
    assert math.exp(float(room[rutile, before_c, 0])) == pytest.approx(c, rel=1e-4)


@torch.no_grad()
def test_distance_scores_depend_on_distances_alone() -> None:
    """A step that the curves score by distance gives each candidate the sum of its atoms' scores."""
    scores = random_model().distance_scores
    assert scores is not None
    assert FIRST.contacts is not None
    contacts = DistanceTensors.of(FIRST.contacts)
    places, weights = scores._places(contacts)
    along = np.arange(0, tokenizer().config.bins, STRIDE) / tokenizer().config.bins
    for i in range(len(contacts.choices)):
        for j in np.flatnonzero(FIRST.contacts.sites[i]):
            offsets = FIRST.contacts.start[i, j] + FIRST.contacts.step[i, j] * along[:, None]
            offsets = offsets - np.rint(offsets)
            far = np.sqrt(((offsets @ FIRST.contacts.metric[i]) * offsets).sum(1))
            radii = scores.radii[contacts.own[i]] + scores.radii[contacts.sites[i, j]]
            wanted = np.minimum(far / float(radii) * BINS / CUTOFF, BINS)
            found: Tensor = places[i, j] + weights[i, j]
            np.testing.assert_allclose(found.numpy(), wanted, atol=2e-3)
