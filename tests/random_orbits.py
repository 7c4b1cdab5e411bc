"""Random crystals in any space group, and random walks through the legal tokens of orbit sequences."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np

from materium.core.wyckoff import space_group
from materium.tokens.orbit_representatives import smallest_point
from materium.tokens.orbit_state import OrbitState
from materium.tokens.orbit_tokenizer import GridOrbits, OrbitTokenizer, OrbitTokenizerConfig, Order
from materium.tokens.orbit_vocab import LENGTHS, Role

if TYPE_CHECKING:
    from materium.core.header import HeaderMasks

SPECIES = ((3, 0), (8, 0), (8, -2), (12, 0), (12, 2), (17, 0), (17, -1), (26, 0), (26, 2), (26, 3))
TOKENIZER = OrbitTokenizer(OrbitTokenizerConfig(species=SPECIES))


def random_grid(group: int, rng: np.random.Generator, tokenizer: OrbitTokenizer = TOKENIZER) -> GridOrbits:
    """Return up to six orbits of up to four species on random positions, in a cell of random shape."""
    positions, bins = space_group(group).positions, tokenizer.config.bins
    room, free, found = tokenizer.config.max_sites, np.ones(len(positions), dtype=bool), []
    for _ in range(rng.integers(1, 7)):
        fits = np.flatnonzero(free & (np.array([len(p.coset) for p in positions]) <= room))
        if len(fits) == 0:
            break
        index = int(rng.choice(fits))
        values = rng.integers(bins, size=positions[index].freedom)
        point = positions[index].point(values, bins)
        if on_special_point(group, index, point):
            continue
        point = smallest_point(positions[index].number, point, bins)
        found.append((int(rng.integers(4)), index, *point.tolist()))
        room -= len(positions[index].coset)
        free[index] = positions[index].freedom > 0
    if not found:
        return random_grid(group, rng, tokenizer)
    species, places, *points = np.array(sorted(found)).T
    return GridOrbits(group, random_lattice(group, rng, tokenizer), species, places, np.stack(points, axis=1))


def random_lattice(group: int, rng: np.random.Generator, tokenizer: OrbitTokenizer = TOKENIZER) -> np.ndarray:
    """Return grid points of the free parameters, each length from 6 to 20 Å."""
    points: list[int] = []
    for role in tokenizer.lattice_roles(group):
        if role in LENGTHS:
            low, high = tokenizer.log_lengths[0], tokenizer.log_lengths[-1]
            points.append(round((log(rng.uniform(6, 20)) - low) / (high - low) * tokenizer.config.bins))
        else:
            legal = np.ones(tokenizer.config.bins + 1, dtype=bool)
            points.append(rng.choice(np.flatnonzero(tokenizer.gammas(*points[3:]) if role == Role.GAMMA else legal)))
    return np.array(points)


def on_special_point(group: int, index: int, point: np.ndarray) -> bool:
    """Return whether two images of an orbit are one, by a comparison of all."""
    entry = space_group(group)
    images = entry.positions[index].images(point)
    everywhere = (images[:, None] + entry.centring * (1008 // 24)).reshape(-1, 3) % 1008
    return len({tuple(place) for place in everywhere.tolist()}) < len(everywhere)


def walk(order: Order, rng: np.random.Generator, constraints: HeaderMasks | None = None) -> OrbitState:
    """Return a complete sequence of random legal tokens, its lengths from 8 to 16 Å."""
    return finish(OrbitState(TOKENIZER, order, constraints), rng)


def finish(state: OrbitState, rng: np.random.Generator) -> OrbitState:
    """Go on with random legal tokens to the end; half of the time the composition ends where it may."""
    while state.role is not None:
        contacts = state.contacts()
        legal = np.flatnonzero(state.legal() if contacts is None else state.legal_coordinates(contacts))
        if state.role == Role.COMPONENT and legal[-1] >= len(SPECIES) and rng.random() < 0.5:
            legal = legal[legal >= len(SPECIES)]
        if state.role in LENGTHS:
            lengths = np.exp(state.tokenizer.log_lengths)
            legal = np.flatnonzero((lengths > 8) & (lengths < 16))
        state.advance(state.span().start + int(rng.choice(legal)))
    return state


def rows(grid: GridOrbits) -> list[list[int]]:
    """Return species, position and point of each orbit, sorted."""
    return sorted(np.column_stack([grid.species, grid.positions, grid.points]).tolist())
