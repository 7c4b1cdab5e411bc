"""A few crystals as orbits on a grid, with labels, for tests of batches and models."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from crystals import NACL, PEROVSKITE, QUARTZ, RUTILE, SILICON
from materium.core.orbits import all_settings
from materium.data.orbit_loader import OrbitLoader, OrbitMix
from materium.data.orbit_shard import OrbitShard
from materium.model.orbit_conditions import OrbitConditions
from materium.model.orbit_config import OrbitModelConfig
from materium.model.orbit_tensors import SlotTensors
from materium.model.orbit_transformer import OrbitTransformer
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from materium.tokens.vocab import known_species

CRYSTALS = (NACL, SILICON, QUARTZ, RUTILE, PEROVSKITE)


@cache
def tokenizer() -> OrbitTokenizer:
    return OrbitTokenizer(OrbitTokenizerConfig(species=known_species("icsd")))


@cache
def shard() -> OrbitShard:
    """Return the crystals in all their settings, with a density each, and a band gap of the last two."""
    descriptions, labels = [], []
    for index, crystal in enumerate(CRYSTALS):
        settings = all_settings(crystal)
        grids = [tokenizer().grid(orbits) for orbits in settings]
        descriptions.append([(int(k > 0), grid) for k, grid in enumerate(grids)])
        gap = {"band_gap": float(index)} if index > 2 else {}
        labels.append({"density": crystal.density, "energy_above_hull": 0.0, **gap})
    return OrbitShard.pack([f"row-{i}" for i in range(len(CRYSTALS))], labels, descriptions)


FIRST = OrbitLoader(shard(), tokenizer(), OrbitMix(conditional=1.0), max_slots=1000, seed=0).batch(
    np.arange(len(CRYSTALS)), shard().row_start[:-1], np.random.default_rng(0)
)
"""One batch of all crystals."""
SLOTS = SlotTensors.of(FIRST.slots)
CONDITIONS = OrbitConditions(
    *map(torch.from_numpy, (FIRST.scalars, FIRST.layout, FIRST.required, FIRST.forbidden, FIRST.num_elements))
)


def random_model() -> OrbitTransformer:
    """Return a small network whose weights are all drawn, so that nothing is 0."""
    torch.manual_seed(0)
    network = OrbitTransformer(OrbitModelConfig.preset("tiny", tokenizer=tokenizer().config)).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network
