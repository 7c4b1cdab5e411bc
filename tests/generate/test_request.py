"""Requests: what is refused, and what the model is told."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from materium.errors import RequestError
from materium.generate.request import Request, parse_composition
from materium.generate.targets import parse_target
from materium.model.conditions import layout_id
from materium.model.config import Seen
from materium.properties import scalar_names


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": 0}, "n = 0 is not possible; give at least 1"),
        ({"n": -3}, "n = -3"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 2**32}, "seed"),
        ({"temperature": 0}, "temperature = 0"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"geometry_temperature": -0.5}, "geometry_temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"guidance": -1}, "guidance"),
        ({"guidance": 1e4}, "guidance"),
        ({"guidance": math.nan}, "guidance"),
        ({"order": "heavy"}, "choose one of high, low"),
    ],
)
def test_impossible_values(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Request(**changes)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("densty", 3, "did you mean density?"),
        ("colour", "red", "there are reduced_formula, "),
        ("density", "heavy", "is no number"),
        ("density", math.nan, "finite"),
        ("band_gap", -1, "starts at 0"),
        ("space_group", 231, "runs from 1 to 230"),
        ("space_group", 1.5, "label"),
        ("num_sites", 0, "label"),
        ("reduced_formula", "Xx2O", "is no formula"),
        ("reduced_formula", "", "formula"),
        ("reduced_formula", "Li0.5O", "whole numbers"),
        ("chemical_system", "Li-Qq", "is no formula"),
    ],
)
def test_impossible_conditions(name: str, value: float | str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        Request(conditions={name: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_formula_is_read_as_elements_in_order() -> None:
    assert parse_composition("LiFePO4") == [(3, 1), (8, 4), (15, 1), (26, 1)]
    assert parse_composition("O2Ti") == parse_composition("TiO2")


def test_reduced_formula_and_chemical_system() -> None:
    told = Request(conditions={"reduced_formula": "Ti2O4"}).told(2)
    assert told.elements.tolist() == [[8, 22]] * 2
    assert told.counts.tolist() == [[2, 1]] * 2
    system = Request(conditions={"chemical_system": "Ti-O"}).told(1)
    assert (system.elements.tolist(), system.counts.tolist()) == ([[8, 22]], [[0, 0]])


def test_what_is_not_given_is_nan() -> None:
    told = Request(conditions={"density": 3.5}).told(1)
    assert told.scalars[0, scalar_names().index("density")] == 3.5
    assert told.scalars.isnan().sum() == len(scalar_names()) - 1


def test_untold_keeps_the_layout_and_nothing_else() -> None:
    request = Request(order="xyz", lattice_first=True, conditions={"reduced_formula": "NaCl", "density": 2.0})
    untold = request.untold(2)
    assert untold.layout.tolist() == [layout_id("xyz", lattice_first=True)] * 2
    assert untold.scalars.isnan().all()
    assert untold.elements.shape == (2, 0)


def test_request_is_json() -> None:
    request = Request(n=3, conditions={"density": 3.5, "reduced_formula": "NaCl"}, geometry_temperature=0.5)
    assert Request(**json.loads(json.dumps(request.to_dict()))) == request


def test_targets_outside_training_are_warned_of() -> None:
    seen = {"density": Seen(1.0, 20.0, 5.0, 3.0, 9)}
    conditions = {"density": 50.0, "bulk_modulus": 100.0, "reduced_formula": "NaCl"}
    lines = Request(conditions=conditions).warnings(seen)
    assert len(lines) == 2
    assert "density = 50.0 g/cm³" in lines[0]
    assert "1 to 20 g/cm³" in lines[0]
    assert "bulk_modulus: training saw no label" in lines[1]
    assert Request(conditions={"density": 3.0}).warnings(seen) == []


def test_rows_are_alike() -> None:
    told = Request(conditions={"density": 3.5}).told(4)
    assert torch.equal(told.scalars.nan_to_num(), told.scalars[:1].expand(4, -1).nan_to_num())


@pytest.mark.parametrize(
    ("text", "number"), [("Fm-3m", 225), ("F m -3 m", 225), ("P6_3/mmc", 194), ("Cmce", 64), ("225", 225)]
)
def test_a_space_group_is_named_by_its_symbol_too(text: str, number: int) -> None:
    assert parse_target("space_group", text) == number


def test_a_space_group_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match=r"space_group = 'Xx' is neither a symbol such as Fm-3m nor a number"):
        parse_target("space_group", "Xx")
