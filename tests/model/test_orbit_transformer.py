"""The network of orbit sequences: causal, every weight in use, and its costs those of the choices."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest
import torch

from materium.model.orbit_transformer import OrbitTransformer, costs
from orbit_rows import CONDITIONS, FIRST, SLOTS, random_model

if TYPE_CHECKING:
    from materium.model.orbit_tensors import SlotTensors


@pytest.fixture(scope="module")
def model() -> OrbitTransformer:
    return random_model()


def part(slots: SlotTensors, columns: slice) -> SlotTensors:
    per_slot = {f.name: getattr(slots, f.name)[:, columns] for f in fields(slots) if f.name != "components"}
    return replace(slots, **per_slot)


@torch.no_grad()
def test_a_slot_knows_nothing_of_later_ones(model: OrbitTransformer) -> None:
    whole, begun = model(SLOTS, CONDITIONS), model(part(SLOTS, slice(0, 9)), CONDITIONS)
    torch.testing.assert_close(whole.hidden[:, :9], begun.hidden, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_costs_are_those_of_the_choices_under_their_masks(model: OrbitTransformer) -> None:
    found = costs(model, SLOTS, CONDITIONS, FIRST.choices, FIRST.contacts)
    outlook = model(SLOTS, CONDITIONS)
    entry = FIRST.choices["position"]
    logits = model.logits("position", outlook, (torch.from_numpy(entry.rows), torch.from_numpy(entry.slots)))
    assert entry.legal is not None
    for i, place in enumerate(entry.places):
        own = logits[i][torch.from_numpy(entry.legal[i])]
        assert found["position"][i].item() == pytest.approx(float(own.logsumexp(0) - logits[i, place]), abs=1e-4)
    assert {head: len(values) for head, values in found.items()} == {h: len(c.rows) for h, c in FIRST.choices.items()}


def test_every_weight_learns(model: OrbitTransformer) -> None:
    """A weight without a gradient is one that nothing reads."""
    found = costs(model.train(), SLOTS, CONDITIONS, FIRST.choices, FIRST.contacts)
    torch.stack([values.sum() for values in found.values()]).sum().backward()
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    model.zero_grad(set_to_none=True)
    model.eval()
    assert missing == []
