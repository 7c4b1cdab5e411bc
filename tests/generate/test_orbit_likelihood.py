from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from materium.errors import RequestError
from materium.generate.orbit_likelihood import OrbitLikelihood, score, score_over_orders
from materium.model.orbit_conditions import OrbitConditions, layout_id
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_tokenizer import GridOrbits
from tiny_orbits import TOKENIZER, decoded, plan_of, tiny_orbit_model

ROCK_SALT = GridOrbits(225, np.array([291]), np.array([2, 6]), np.array([0, 1]), np.array([[0, 0, 0], [504, 504, 504]]))
RUTILE = GridOrbits(
    136, np.array([242, 127]), np.array([10, 1]), np.array([0, 5]), np.array([[0, 0, 0], [307, 307, 0]])
)
GRIDS = [ROCK_SALT, RUTILE]


def test_a_known_crystal_has_the_likelihood_that_sampling_reports() -> None:
    written = [replay(TOKENIZER, grid, "high") for grid in GRIDS]
    spans = TOKENIZER.vocab.spans
    given = [[spans[choice.role].start + choice.place for choice in choices] for _, choices in written]
    conditions = OrbitConditions.none(len(GRIDS), layout_id("high"))
    known = score(tiny_orbit_model(), TOKENIZER, GRIDS, "high", conditions)
    for rollout, likelihood in zip(decoded(plan_of(given=given.__getitem__), range(2)), known, strict=True):
        sampled = OrbitLikelihood.of(rollout.state, ((one.slot, one.nats) for one in rollout.scores))
        assert likelihood.by_type == pytest.approx(sampled.by_type, abs=1e-4)
        assert likelihood.by_orbit == pytest.approx(sampled.by_orbit, abs=1e-4)
        assert likelihood.log_likelihood == pytest.approx(rollout.log_likelihood, abs=1e-4)
        assert len(likelihood.by_orbit) == 2


def test_all_orders_are_summed_where_they_are_few_and_estimated_else() -> None:
    conditions = OrbitConditions.none(1, layout_id("random"))
    (every,) = score_over_orders(tiny_orbit_model(), TOKENIZER, [RUTILE], conditions, draws=4)
    assert (every.draws, every.error) == (factorial(2) * factorial(2), 0.0)
    (some,) = score_over_orders(tiny_orbit_model(), TOKENIZER, [RUTILE], conditions, draws=3)
    assert some.draws == 3
    assert abs(some.log_likelihood - every.log_likelihood) < every.spread + 2
    plain = decoded(plan_of(order="random", given=_tokens_in_every_order().__getitem__), range(4))
    nats = np.logaddexp.reduce([rollout.log_likelihood for rollout in plain])
    assert every.log_likelihood == pytest.approx(nats, abs=1e-4)


def test_what_has_no_canonical_sequence_is_refused() -> None:
    conditions = OrbitConditions.none(1)
    with pytest.raises(RequestError, match="random has no canonical sequence"):
        score(tiny_orbit_model(), TOKENIZER, [RUTILE], "random", conditions)
    with pytest.raises(RequestError, match="draws = 1"):
        score_over_orders(tiny_orbit_model(), TOKENIZER, [RUTILE], conditions, draws=1)


def _tokens_in_every_order() -> list[list[int]]:
    """The tokens of rutile in both orders of species and both of orbits, written by hand."""
    vocab, found = TOKENIZER.vocab, []
    first, coordinates = vocab.positions_of(136).start, vocab.coordinates.start
    species = {10: vocab.species_ids.start + 10, 1: vocab.species_ids.start + 1}
    counts = {10: vocab.counts.start, 1: vocab.counts.start + 1}
    cell = [vocab.groups.start + 135, vocab.counts.start + 1, vocab.lengths.start + 242, vocab.lengths.start + 127]
    orbits = {10: [first], 1: [first + 5, coordinates + 307]}
    for header in permutations((10, 1)):
        for order in permutations((10, 1)):
            names = [token for one in header for token in (species[one], counts[one])]
            found.append([*names, *cell, species[order[0]], *orbits[order[0]], *orbits[order[1]]])
    return found
