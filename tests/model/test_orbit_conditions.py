"""What is not given is no zero, and every kind of condition says something of its own."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from materium.model.orbit_conditions import DESCRIPTIONS, OrbitConditions, layout_id
from materium.tokens.orbit_tokenizer import ORDERS
from orbit_rows import random_model

NONE = OrbitConditions.none(1)
FLAG = torch.zeros_like(NONE.required)
FLAG[0, 8] = True


@pytest.mark.parametrize(
    "given",
    [
        replace(NONE, scalars=torch.zeros_like(NONE.scalars)),
        replace(NONE, required=FLAG),
        replace(NONE, forbidden=FLAG),
        replace(NONE, num_elements=NONE.num_elements + 3),
        replace(NONE, layout=NONE.layout + 1),
    ],
    ids=[f.name for f in fields(OrbitConditions) if f.name != "layout"] + ["layout"],
)
@torch.no_grad()
def test_what_is_given_differs_from_nothing(given: OrbitConditions) -> None:
    encoder = random_model().conditions
    assert not torch.allclose(encoder(given), encoder(NONE))


def test_layouts_have_numbers_of_their_own() -> None:
    numbers = {layout_id(order, kind) for order in ORDERS for kind in DESCRIPTIONS}
    assert numbers == set(range(len(ORDERS) * len(DESCRIPTIONS)))
