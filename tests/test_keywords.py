"""The keywords of the public calls are those of `Request` and of the table of properties; misspelt ones are named."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import materium
from materium.errors import MateriumError, RequestError
from materium.evaluate import SETTINGS
from materium.evaluate.pipeline import Settings
from materium.generate.complete import Completion
from materium.generate.engine import Materium
from materium.generate.request import Request
from materium.properties import option_name, table

if TYPE_CHECKING:
    from collections.abc import Callable

TUNED = {"aims", "hints"}
"""Fields that a model's measurement fills, and no caller."""
CONDITIONS = {option_name(name) for name in table()}


@pytest.fixture(scope="module")
def model() -> Materium:
    return materium.load(device="cpu")


def keywords(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if name != "self" and p.kind is not p.VAR_KEYWORD}


def test_generate_takes_every_field_and_every_property() -> None:
    fields_of_request = {field.name for field in fields(Request)} - TUNED - {"conditions"}
    found = keywords(Materium.generate)
    assert found.keys() == fields_of_request | CONDITIONS
    for name in fields_of_request:
        assert found[name].default in (None, getattr(Request, name)), name


def test_complete_and_log_likelihood_and_evaluate_too() -> None:
    assert keywords(Materium.complete).keys() == {field.name for field in fields(Completion)} - {"engine"}
    for field in fields(Completion)[3:]:
        assert keywords(Materium.complete)[field.name].default == field.default
    assert keywords(Materium.log_likelihood).keys() >= CONDITIONS
    assert {field.name for field in fields(Settings)} == set(SETTINGS) <= keywords(materium.evaluate).keys()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 3}, "'temprature'; did you mean temperature?"),
        ({"densty": 3}, "did you mean density?"),
        ({"formla": "NaCl"}, "did you mean formula?"),
        ({"colour": "red"}, "there are n, seed, formula, "),
    ],
)
def test_misspelt_keyword_is_named(model: Materium, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        model.generate(1, **options)
    assert said in str(caught.value)
    with pytest.raises(RequestError, match="did you mean keep_lattice"):
        model.complete(None, "Li", keep_latice=True)  # type: ignore[call-arg, arg-type]
    with pytest.raises(RequestError, match="did you mean skip"):
        materium.evaluate("nowhere", skp="relax")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("pair", "text"), [((3, 5), "3..5"), ((None, 5), "<=5"), ((2, None), ">=2"), ((np.float64(1), 2), "1..2")]
)
@pytest.mark.parametrize("name", ["band_gap", "num_sites"])
def test_a_pair_is_a_range(name: str, pair: tuple[float | None, float | None], text: str) -> None:
    asked = Request(conditions={name: pair})
    assert asked == Request(conditions={name: text})
    assert len(asked.cells) == 1
    assert len(Request(conditions={name: [3, 5]}).cells) == 2
    assert Request(conditions={name: np.array([3, 5])}) == Request(conditions={name: [3, 5]})
    both = Request(conditions={name: [3, pair]})
    assert Request(**vars(both)).conditions == both.conditions  # what is read is read again as the same


@pytest.mark.parametrize("value", [(3, 4, 5), (3,), (5, 3), (None, None)])
def test_what_is_no_pair_is_refused(value: tuple[float, float]) -> None:
    with pytest.raises(MateriumError, match=r"band_gap|range"):
        Request(conditions={"band_gap": value})
    several = Request(conditions={"reduced_formula": ("NaCl", "Si")})  # texts cannot be the bounds of a range
    assert several == Request(conditions={"reduced_formula": ["NaCl", "Si"]})


def test_device_by_name(model: Materium) -> None:
    assert model.device.type == "cpu"
    with pytest.raises(MateriumError, match="no device"):
        materium.load(device="gpu")
