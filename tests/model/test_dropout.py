"""Dropout: how much is dropped, that the mean stays, and that a seed repeats it."""

from __future__ import annotations

import pytest
import torch

from materium.model.dropout import Dropout


def dropped(probability: float, shape: tuple[int, ...] = (401, 251)) -> torch.Tensor:
    """Ones, some dropped; their number is no multiple of the four that come of one draw."""
    torch.manual_seed(0)
    return Dropout(probability).train()(torch.ones(shape))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_was_asked_for_and_the_mean_stays(probability: float) -> None:
    """Of 100,651 entries: within 5 standard deviations."""
    found = dropped(probability)
    share = (probability * (1 - probability) / found.numel()) ** 0.5
    assert float((found == 0).float().mean()) == pytest.approx(probability, abs=5 * share)
    assert float(found.mean()) == pytest.approx(1, abs=5 * share / (1 - probability))
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=1e-3)


def test_entries_are_dropped_independently() -> None:
    """Four of them come from one draw; the bounds are 6 standard deviations of 100,000 draws."""
    kept = (dropped(0.5, (100_000, 4)) != 0).float()
    torch.testing.assert_close(torch.corrcoef(kept.T), torch.eye(4), atol=0.02, rtol=0)
    torch.testing.assert_close(kept.mean(0), torch.full((4,), 0.5), atol=0.01, rtol=0)


def test_a_seed_repeats_it_and_the_next_call_is_another() -> None:
    assert torch.equal(dropped(0.3), dropped(0.3))
    layer = Dropout(0.3).train()
    assert not torch.equal(layer(torch.ones(50)), layer(torch.ones(50)))


@pytest.mark.parametrize("x", [torch.ones(7, 5).T, torch.ones(()), torch.ones(0, 3), torch.ones(1)])
def test_every_shape_and_stride_is_taken(x: torch.Tensor) -> None:
    found = Dropout(0.5).train()(x)
    assert found.shape == x.shape
    assert set(found.unique().tolist()) <= {0.0, 2.0}


def test_the_largest_probability_leaves_a_number() -> None:
    assert dropped(1 - 2**-20).isfinite().all()


def test_nothing_is_dropped_outside_training_or_at_probability_0() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_gradients_and_types_follow_what_is_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 5, dtype=torch.bfloat16, requires_grad=True)
    found = Dropout(0.5).train()(x)
    found.sum().backward()
    assert found.dtype == torch.bfloat16
    assert x.grad is not None
    assert torch.equal(x.grad == 0, found == 0)


@pytest.mark.parametrize("learns", [False, True])
def test_a_branch_is_dropped_before_it_is_added(*, learns: bool) -> None:
    """By the loops where something learns, and else by PyTorch."""
    x, branch = torch.full((40, 30), 3.0), torch.ones(40, 30, requires_grad=learns)
    found = Dropout(0.5).train().onto(x, branch)
    assert found.unique().tolist() == [3.0, 5.0]
    assert torch.equal(Dropout(0.5).eval().onto(x, branch), x + 1)
