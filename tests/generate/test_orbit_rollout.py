from __future__ import annotations

import numpy as np
import torch

from materium.generate.orbit_rollout import MAX_CHOICES, Rollout, advance
from tiny_orbits import TOKENIZER, plan_of


def test_a_dead_end_starts_anew_with_other_random_numbers_and_is_counted() -> None:
    rollout = Rollout(TOKENIZER, plan_of(max_attempts=3), 5)
    span = TOKENIZER.vocab.counts.stop - TOKENIZER.vocab.counts.start
    numbers = []
    for attempt in range(3):
        assert rollout.dead_ends == attempt
        assert not rollout.is_done
        numbers.append(rollout.uniform)
        rollout.take(TOKENIZER.vocab.species_ids.start, -1.0, 0.0)
        advance([rollout], "count", torch.zeros(1, span), {0: np.zeros(span, dtype=bool)})
    assert len(set(numbers)) == 3
    assert rollout.is_done
    assert rollout.failure == "no sequence in 3 attempts; the last one ended at its count"


def test_there_are_random_numbers_for_the_longest_sequence() -> None:
    config = TOKENIZER.config
    assert 2 * config.max_components + 8 + 5 * config.max_sites < MAX_CHOICES
