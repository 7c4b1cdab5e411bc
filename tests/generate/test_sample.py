"""The links of sampling, each without a model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from materium.generate import sample

LOGITS = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 3.0, 0.0, 0.0]])


def test_guidance_blends() -> None:
    told, untold = LOGITS, LOGITS.flip(1)
    assert torch.equal(sample.guide(told, untold, 0), untold)
    assert torch.equal(sample.guide(told, untold, 1), told)
    torch.testing.assert_close(sample.guide(told, untold, 2), 2 * told - untold)


def test_mask_leaves_the_legal_ones() -> None:
    legal = torch.tensor([[True, False, True, False]] * 2)
    found = sample.mask(LOGITS, legal)
    assert found.isfinite().equal(legal)
    assert torch.equal(found[legal], LOGITS[legal])


def test_odds_of_one_token_are_multiplied() -> None:
    places = torch.tensor([2, 0])
    before, after = (x.softmax(-1).gather(1, places[:, None]) for x in (LOGITS, sample.weigh(LOGITS, places, 0.25)))
    torch.testing.assert_close(after / (1 - after), before / (1 - before) / 4)
    assert sample.weigh(LOGITS, places, 1) is LOGITS


def test_temperature_of_each_row() -> None:
    found = sample.temper(LOGITS, torch.tensor([[2.0], [0.5]]))
    assert torch.equal(found[0], LOGITS[0] / 2)
    assert torch.equal(found[1], LOGITS[1] / 0.5)


@pytest.mark.parametrize(("top_p", "kept"), [(1.0, 4), (0.99, 4), (0.9, 3), (0.6, 1), (1e-9, 1)])
def test_cut_keeps_the_likeliest_that_hold_the_share(top_p: float, kept: int) -> None:
    """Their probabilities are 0.64, 0.24, 0.09, 0.03."""
    found = sample.cut(LOGITS[:1], top_p)
    assert int(found.isfinite().sum()) == kept
    assert found.argmax() == LOGITS[0].argmax()


def test_cut_never_brings_back_what_is_illegal() -> None:
    masked = LOGITS[:1].clone()
    masked[0, 2] = -math.inf
    assert sample.cut(masked, 0.5)[0, 2] == -math.inf
    assert sample.cut(masked, 1.0)[0, 2] == -math.inf


def test_draw_inverts_the_distribution() -> None:
    """Probabilities 0.1, 0.2, 0.3, 0.4: their sums are the borders."""
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().expand(6, -1)
    uniform = torch.tensor([0.0, 0.0999, 0.1001, 0.2999, 0.5999, 0.9999], dtype=torch.float64)
    assert sample.draw(logits, uniform).tolist() == [0, 0, 1, 1, 2, 3]


AXIS = slice(1, 9)
PLACES = torch.tensor([0.0, 0.05, 0.3, 0.05, 0.0, 0.1, 0.3, 0.15, 0.05]).log()
"""A mark that is impossible, and an axis of eight points with two places: 2 and 6."""
EVENLY = torch.arange(4001, dtype=torch.float64) * (5**0.5 / 2 - 0.5) % 1
"""Multiples of the golden ratio are spread evenly, and so are their later digits."""


def settled(temperature: float, reach: int, logits: Tensor = PLACES) -> Tensor:
    """How often each token comes of evenly spread numbers."""
    rows = logits.expand(len(EVENLY), -1)
    found = sample.settle(rows, EVENLY, temperature, AXIS, reach, cyclic=False)
    return torch.bincount(found, minlength=len(logits)) / len(EVENLY)


def test_settling_without_reach_is_drawing() -> None:
    rows = PLACES.expand(len(EVENLY), -1)
    found = sample.settle(rows, EVENLY, 0.1, AXIS, 0, cyclic=False)
    assert torch.equal(found, sample.draw(rows, EVENLY))


def test_settling_cold_goes_to_the_peak_near_by_and_keeps_how_likely_each_is() -> None:
    """0.4 lies around the first place, 0.6 around the second; a temperature alone would take either half the time."""
    torch.testing.assert_close(settled(1e-6, 2)[[2, 6]], torch.tensor([0.4, 0.6]), atol=1e-3, rtol=0)


def test_settling_draws_the_neighbours_by_their_weight_at_the_temperature() -> None:
    """From point 3: the weights of 2, 3 and 4 are 0.09, 0.0025 and 0 at temperature 0.5."""
    logits = torch.full_like(PLACES, -math.inf)
    logits[2:4] = torch.tensor([0.3, 0.05]).log()
    share = 0.09 / (0.09 + 0.0025)
    torch.testing.assert_close(settled(0.5, 1, logits=logits)[2], torch.tensor(share), atol=2e-3, rtol=0)


def test_where_a_number_falls_within_the_first_token_does_not_choose_the_second() -> None:
    """What lies out of reach moves the borders of the first tokens, and none of the second draws around them."""
    other = PLACES + torch.tensor([*[0.0] * 6, 0.1, 0.0, 0.0])
    rows, moved = PLACES.expand(len(EVENLY), -1), other.expand(len(EVENLY), -1)
    first = sample.draw(rows, EVENLY)
    same = (first == sample.draw(moved, EVENLY)) & (first >= 2) & (first <= 4)
    found, again = (sample.settle(x, EVENLY, 0.4, AXIS, 1, cyclic=False) for x in (rows, moved))
    assert same.sum() > 1000
    assert torch.equal(found[same], again[same])


def test_numbers_with_digits_for_one_draw_are_refused() -> None:
    with pytest.raises(TypeError, match="float32"):
        sample.settle(PLACES[None], torch.zeros(1), 0.4, AXIS, 1, cyclic=False)


@pytest.mark.parametrize(("cyclic", "ends"), [(True, 1), (False, 8)])
def test_the_ends_of_an_axis_are_neighbours_where_it_is_cyclic(ends: int, *, cyclic: bool) -> None:
    logits = torch.tensor([-math.inf, 5.0, *[-math.inf] * 6, 0.0])
    start = torch.tensor([1 - 2**-30], dtype=torch.float64)  # the last point is drawn
    assert sample.settle(logits[None], start, 1e-3, AXIS, 1, cyclic=cyclic).tolist() == [ends]


def test_a_mark_beside_the_axis_stays() -> None:
    logits = torch.tensor([0.0, *[-math.inf] * 8])
    for cyclic in (True, False):
        assert sample.settle(logits[None], EVENLY[-1:], 0.1, AXIS, 4, cyclic=cyclic).tolist() == [0]


def test_draw_never_takes_what_is_impossible() -> None:
    """At the very ends of [0, 1), where rounding could step over."""
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 1.0, -math.inf]]).expand(3, -1)
    uniform = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert set(sample.draw(logits, uniform).tolist()) <= {1, 3}


def test_draw_follows_the_distribution() -> None:
    """Frequencies of 20,000 even steps are within one step of the probabilities."""
    steps = 20_000
    uniform = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    found = torch.bincount(sample.draw(LOGITS[:1].expand(steps, -1), uniform), minlength=4) / steps
    torch.testing.assert_close(found, LOGITS[0].softmax(-1), atol=2 / steps, rtol=0)


def test_random_numbers_belong_to_structures() -> None:
    many = sample.uniforms(7, range(5), 40)
    assert torch.equal(sample.uniforms(7, [3, 1], 40), many[[3, 1]])
    assert torch.equal(sample.uniforms(7, [2], 9)[0], many[2, :9])
    assert not torch.equal(sample.uniforms(8, [2], 40)[0], many[2])
    assert many.unique().numel() == many.numel()
    assert (many >= 0).all()
    assert (many < 1).all()
