from __future__ import annotations

import pytest
import torch

from materium.errors import RequestError
from materium.generate.orbit_draw import DrawSettings, choose
from materium.tokens.orbit_vocab import Role

LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0, -1.0]).repeat(4000, 1)
UNIFORM = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
LEGAL = torch.tensor([True, True, True, False, True]).repeat(4000, 1)
OPEN = torch.tensor([True, False, True, False, True]).repeat(4000, 1)


@pytest.mark.parametrize(
    ("role", "temperature"), [(Role.COMPONENT, 2.0), (Role.POSITION, 0.5), (Role.X, 0.25), (Role.A, 0.25)]
)
@pytest.mark.parametrize("top_p", [1.0, 1 - 1e-9], ids=["in C", "in PyTorch"])
def test_tokens_come_as_often_as_their_probability_says(role: Role, temperature: float, top_p: float) -> None:
    """With evenly spread random numbers each frequency is right to 1 / 4000."""
    settings = DrawSettings(2.0, 0.25, position_temperature=0.5, top_p=top_p)
    drawn = choose(settings, role, LOGITS, LEGAL, OPEN, UNIFORM)
    expected = torch.where(OPEN[0], LOGITS[0] / temperature, float("-inf")).softmax(0)
    assert torch.allclose(torch.bincount(drawn.places, minlength=5) / 4000, expected, atol=5e-4)
    among_legal = torch.where(LEGAL[0], LOGITS[0], float("-inf")).log_softmax(0)
    assert torch.allclose(drawn.nats, among_legal[drawn.places].double(), atol=1e-5)
    tempered = torch.where(LEGAL[0], LOGITS[0] / temperature, float("-inf")).softmax(0)
    assert drawn.open_nats.exp() == pytest.approx([float(tempered[OPEN[0]].sum())] * 4000, abs=1e-5)


def test_local_resampling_moves_no_farther_than_its_reach() -> None:
    logits = torch.zeros(2000, 100)
    logits[:, 30] = 4.0
    everything = torch.ones(2000, 100, dtype=torch.bool)
    uniform = torch.rand(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = choose(DrawSettings(), Role.X, logits, everything, everything, uniform).places
    second = choose(DrawSettings(1.0, 0.05, reach=0.03), Role.X, logits, everything, everything, uniform).places
    moved = (second - first + 50) % 100 - 50
    assert int(moved.abs().max()) == 3
    assert (second[(first - 30).abs() <= 3] == 30).all(), "the peak attracts its neighbours"
    assert not (second[(first - 30).abs() > 6] == 30).any()


def test_given_places_are_taken_and_illegal_ones_cost_everything() -> None:
    given = torch.full((4000,), 3)
    given[0] = 1
    drawn = choose(DrawSettings(), Role.COUNT, LOGITS, LEGAL, LEGAL, UNIFORM, given)
    assert drawn.places.tolist() == given.tolist()
    assert drawn.nats[1] == float("-inf")
    assert drawn.nats[0] == pytest.approx(float(LOGITS[0, [0, 1, 2, 4]].log_softmax(0)[1]), abs=1e-5)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"temperature": 0.0}, {"position_temperature": float("nan")}, {"reach": 0.5}, {"top_p": 0.0}):
        with pytest.raises(RequestError, match=" = "):
            DrawSettings(**wrong)
