"""Conditions: not given is not zero, every property has its own voice, and a formula is a sorted set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from materium.data.loader import encode_labels
from materium.generate.request import Request
from materium.model.conditions import LAYOUT_CLASSES, MAX_COUNT, ConditionEncoder, Conditions, layout_id
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import ORDERS
from tiny import tiny_model

if TYPE_CHECKING:
    from torch import Tensor

VALUES = {name: 3.0 if table()[name].kind == "category" else 1.5 for name in scalar_names()}


@pytest.fixture(params=["sum", "separate"])
def encoder(request: pytest.FixtureRequest) -> ConditionEncoder:
    return tiny_model(prefix=request.param).conditions


def prefix(encoder: ConditionEncoder, **conditions: float | str) -> Tensor:
    with torch.no_grad():
        return encoder(Request(conditions=conditions).told(1))[0]


@pytest.mark.parametrize("name", scalar_names())
def test_not_given_differs_from_zero_and_from_a_value(encoder: ConditionEncoder, name: str) -> None:
    column = scalar_names().index(name)
    rows = Conditions.none(3)
    rows.scalars[1, column] = 0.0
    rows.scalars[2, column] = table()[name].encode(VALUES[name])
    with torch.no_grad():
        nothing, zero, value = encoder(rows)
    assert not torch.allclose(nothing, zero)
    assert not torch.allclose(nothing, value)
    assert nothing.isfinite().all()


@pytest.mark.parametrize("name", scalar_names())
def test_missing_label_takes_the_embedding_made_for_it(encoder: ConditionEncoder, name: str) -> None:
    """... and no gradient reaches the value's own weights through a label that is not there."""
    column = scalar_names().index(name)
    encoder(Conditions.none(2)).square().sum().backward()
    assert encoder.not_given.weight.grad is not None
    assert encoder.not_given.weight.grad[column].abs().sum() > 0
    assert all(not weight.grad.any() for weight in encoder.values[column].parameters() if weight.grad is not None)


def test_each_property_says_something_else(encoder: ConditionEncoder) -> None:
    prefixes = [prefix(encoder), *(prefix(encoder, **{name: value}) for name, value in VALUES.items())]
    flat = torch.stack(prefixes).flatten(1)
    apart = torch.cdist(flat, flat) + torch.eye(len(flat))
    assert apart.min() > 1e-3


def test_prefix_has_the_positions_it_says(encoder: ConditionEncoder) -> None:
    for conditions in ({}, {"reduced_formula": "LiFePO4"}, {"chemical_system": "Li-O", "density": 3.0}):
        told = Request(conditions=conditions).told(2)
        assert encoder(told).shape[:2] == (2, encoder.positions(told))


def test_formula_is_told_by_element_and_count(encoder: ConditionEncoder) -> None:
    dioxide = prefix(encoder, reduced_formula="TiO2")
    assert not torch.allclose(dioxide, prefix(encoder, reduced_formula="Ti2O"))
    assert not torch.allclose(dioxide, prefix(encoder, chemical_system="Ti-O"))


@pytest.mark.parametrize("same", ["O2Ti", "Ti2O4", "TiOO"])
def test_formula_can_be_written_in_any_way(encoder: ConditionEncoder, same: str) -> None:
    """Elements stand in the order of atomic numbers, as the loader has them: slots have positions."""
    assert torch.equal(prefix(encoder, reduced_formula=same), prefix(encoder, reduced_formula="TiO2"))


def test_counts_above_the_largest_share_its_embedding(encoder: ConditionEncoder) -> None:
    largest = prefix(encoder, reduced_formula=f"HO{MAX_COUNT}")
    assert torch.equal(prefix(encoder, reduced_formula=f"HO{MAX_COUNT + 9}"), largest)


def test_layouts_are_numbered_without_gap_or_clash() -> None:
    numbers = {
        layout_id(order, lattice_first=first, canonical=canonical)
        for order in ORDERS
        for first in (False, True)
        for canonical in (False, True)
    }
    assert numbers == set(range(LAYOUT_CLASSES))


def test_layouts_are_told(encoder: ConditionEncoder) -> None:
    with torch.no_grad():
        rows = torch.cat([encoder(Conditions.none(1, layout)) for layout in range(LAYOUT_CLASSES)]).flatten(1)
    assert (torch.cdist(rows, rows) + torch.eye(LAYOUT_CLASSES)).min() > 1e-3


def test_sampling_and_training_encode_alike() -> None:
    """One property scaled in two places is the oldest bug of this kind of program."""
    raw = np.array([[VALUES[name] for name in scalar_names()]], dtype=np.float32)
    told = Request(conditions=dict(VALUES)).told(1).scalars.numpy()
    np.testing.assert_allclose(told, encode_labels(raw), rtol=1e-6)


def test_rows_can_be_taken_out() -> None:
    conditions = Request(conditions={"density": 3.0, "reduced_formula": "NaCl"}).told(3)
    assert len(conditions[torch.tensor([2, 0])].layout) == 2
    assert conditions[1:].elements.tolist() == [[11, 17], [11, 17]]
    assert math.isnan(Request().told(1).scalars[0, 0])


def test_sentences_that_are_told_the_same_are_alike() -> None:
    """Nothing, NaN, is the same as nothing; one value, element, count or layout that differs is enough."""
    alike = Conditions.none(3, layout=5)
    assert alike.alike
    assert Conditions(alike.scalars, *(torch.ones(3, 2, dtype=torch.long) for _ in range(2)), alike.layout).alike
    scalars, elements = alike.scalars.clone(), torch.ones(3, 2, dtype=torch.long)
    scalars[1, 0], elements[2, 1] = 0.5, 7
    assert not Conditions(scalars, alike.elements, alike.counts, alike.layout).alike
    assert not Conditions(alike.scalars, elements, torch.ones_like(elements), alike.layout).alike
    assert not Conditions(alike.scalars, torch.ones_like(elements), elements, alike.layout).alike
    assert not Conditions(alike.scalars, alike.elements, alike.counts, torch.tensor([5, 5, 6])).alike
