from __future__ import annotations

import pytest

from materium.errors import RequestError
from materium.generate.orbit_generator import OrbitGenerator
from materium.generate.orbit_plan import OrbitPlan
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from tiny_orbits import TOKENIZER, tiny_orbit_model

GENERATOR = OrbitGenerator(tiny_orbit_model(), TOKENIZER)


def test_samples_are_crystals_in_their_order() -> None:
    samples = list(GENERATOR.sample(6, seed=2, start=3, order="xyz"))
    assert [sample.index for sample in samples] == [3, 4, 5, 6, 7, 8]
    for sample in samples:
        assert sample.crystal is not None
        assert sample.grid is not None
        assert sample.likelihood is not None
        assert len(sample.crystal) == sample.orbits.num_sites <= TOKENIZER.config.max_sites
        assert sample.group == sample.grid.group
        assert sum(sample.likelihood.by_type.values()) == pytest.approx(sample.log_likelihood)
        assert len(sample.likelihood.by_orbit) == len(sample.grid.species)
        assert (sample.open_nats, sample.dead_ends, sample.rejected, sample.failure) == (0.0, 0, 0, None)


def test_constraints_hold_and_cost_what_they_left_out() -> None:
    masks = GENERATOR.header_masks(
        "high", required=frozenset({8, 22}), num_elements=(2, 3), groups=frozenset(range(195, 231)), neutral=True
    )
    for sample in GENERATOR.sample(8, seed=1, constraints=masks):
        assert sample.failure is None
        numbers, states = sample.crystal.numbers, sample.crystal.oxidation_states
        assert {8, 22} <= set(numbers.tolist())
        assert len(set(numbers.tolist())) <= 3
        assert states is None or states.sum() == 0
        assert sample.group >= 195
        assert sample.open_nats < 0


def test_rejection_draws_as_if_there_were_no_constraints() -> None:
    """Its sequences are unconstrained ones that happen to fit: nothing is left out when a token is drawn."""
    masks = GENERATOR.header_masks("high", num_elements=(1, 2))
    plan = OrbitPlan(seed=4, constraints=masks, sampler="rejection", max_attempts=400)
    samples = list(GENERATOR.sample(6, plan=plan))
    assert any(sample.rejected for sample in samples)
    for sample in samples:
        assert sample.failure is None
        assert len(set(sample.crystal.numbers.tolist())) <= 2
        assert sample.open_nats == 0
    never = OrbitPlan(seed=4, constraints=masks, sampler="rejection", max_attempts=1)
    failed = [sample for sample in GENERATOR.sample(12, plan=never) if sample.failure]
    assert failed
    assert all(sample.crystal is None and sample.rejected == 1 for sample in failed)


def test_known_crystals_are_scored() -> None:
    (sample,) = GENERATOR.sample(1, seed=5)
    (known,) = GENERATOR.log_likelihoods([sample.orbits])
    assert known.log_likelihood < 0
    (summed,) = GENERATOR.log_likelihoods_over_orders([sample.orbits], draws=2)
    assert summed.draws == 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RequestError, match="no crystal can keep"):
        GENERATOR.header_masks("high", formula=((11, 1),), units=(1, 1), neutral=True, allowed=frozenset({17}))
    with pytest.raises(RequestError, match="another tokenizer"):
        OrbitGenerator(tiny_orbit_model(), OrbitTokenizer(OrbitTokenizerConfig()))
