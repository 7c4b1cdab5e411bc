from __future__ import annotations

import pytest
import torch

from materium.generate.orbit_decoding import BatchedDecoder
from materium.generate.orbit_draw import DrawSettings
from tiny_orbits import TOKENIZER, decoded, plan_of, tiny_orbit_model, tokens


def test_a_structure_depends_on_its_number_alone() -> None:
    """Not on the size of the batch, on who else is in it, or on where the run starts."""
    plan = plan_of(settings=DrawSettings(0.9, 0.6, reach=0.03))
    together = {rollout.index: tokens(rollout) for rollout in decoded(plan, range(20), batch=20)}
    assert len(set(map(tuple, together.values()))) > 15
    for batch, indices in ((1, range(3, 5)), (5, range(10, 20)), (16, range(1, 20))):
        found = decoded(plan, indices, batch)
        assert [rollout.index for rollout in found] == list(indices)
        assert all(tokens(rollout) == together[rollout.index] for rollout in found)


def test_given_tokens_are_taken_and_scored() -> None:
    """A drawn sequence that is given again costs what it cost, and a given header is kept."""
    plan = plan_of(order="random")
    drawn = decoded(plan, range(4))
    chosen = {r.index: [r.state.slots[score.slot + 1].token for score in r.scores] for r in drawn}
    again = decoded(plan_of(seed=99, order="random", given=chosen.__getitem__), range(4))
    for first, second in zip(drawn, again, strict=True):
        assert tokens(first) == tokens(second)
        assert first.log_likelihood == pytest.approx(second.log_likelihood, abs=1e-4)
    header = [TOKENIZER.vocab.species_ids.start, TOKENIZER.vocab.counts.start]
    for rollout in decoded(plan_of(given=header), range(4)):
        assert tokens(rollout)[1:3] == header


def test_a_shared_header_is_read_once_and_changes_nothing() -> None:
    """The header is given to all by one tuple, or to each by a function, which shares nothing."""
    vocab = TOKENIZER.vocab
    header = [vocab.species_ids.start + 10, vocab.counts.start, vocab.groups.start + 224, vocab.counts.start + 3]
    settings = DrawSettings(guidance=2.0)
    shared = plan_of(given=header, settings=settings, targets={"density": 4.0})
    own = plan_of(given=lambda _: header, settings=settings, targets={"density": 4.0})
    for first, second in zip(decoded(shared, range(12), 5), decoded(own, range(12), 12), strict=True):
        assert tokens(first) == tokens(second)
        assert first.log_likelihood == pytest.approx(second.log_likelihood, abs=1e-5)
        assert first.state.grid().group == 225


def test_an_illegal_given_token_is_taken_at_minus_infinity() -> None:
    twice = [TOKENIZER.vocab.species_ids.start, TOKENIZER.vocab.counts.start + 1, TOKENIZER.vocab.groups.start + 224]
    (rollout,) = decoded(plan_of(given=twice), range(1))
    assert rollout.log_likelihood == float("-inf"), "two atoms are no reduced formula"


def test_narrow_products_give_other_numbers_but_crystals_too() -> None:
    decoder = BatchedDecoder(tiny_orbit_model(), TOKENIZER, plan_of(), 4, torch.bfloat16)
    assert all(rollout.failure is None for rollout in decoder.run(range(4)))
