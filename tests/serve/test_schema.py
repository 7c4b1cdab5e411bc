"""Requests have the fields, the defaults and the refusals of the command line."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from materium.cli.complete import complete
from materium.cli.evaluate import evaluate
from materium.cli.generate import generate
from materium.cli.score import score
from materium.errors import RequestError
from materium.generate.request import Request
from materium.properties import table
from materium.serve.schema import Body, CompleteBody, EvaluateBody, GenerateBody, ScoreBody, Told
from materium.tokens.tokenizer import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable

OF_THE_PROGRAM = {
    "out",
    "bfloat16",
    "model",
    "device",
    "quiet",
    "batch_size",
    "conditions",
    "host",
    "sources",
    "source",
}
"""Options that say where and how a command runs, and arguments that name files."""
ONLY_TYPED = {
    "generate": {"unique", "table_only", "no_space_groups", "p1"},
    "complete": set(),
    "score": set(),
    "evaluate": {"figures", "potential", "reference", "known", "n_asked", "skip", "only", "processes"},
}
"""Options of the command line that a page has no use for, or that name files and programs."""
FILES = {"files": [{"name": "a.cif", "text": "data_a"}]}


def options(command: Callable[..., None]) -> set[str]:
    names = set(inspect.signature(inspect.unwrap(command)).parameters)
    return {name for name in names if name not in table() and name != "formula"} - OF_THE_PROGRAM


@pytest.mark.parametrize(
    ("command", "body"),
    [(generate, GenerateBody), (complete, CompleteBody), (score, ScoreBody), (evaluate, EvaluateBody)],
)
def test_fields_are_the_options_of_the_command(command: Callable[..., None], body: type[Body]) -> None:
    own = set(body.model_fields) - {"conditions", "source", "relax"}
    assert own == options(command) - ONLY_TYPED[inspect.unwrap(command).__name__]


def test_defaults_are_those_of_a_request() -> None:
    assert GenerateBody().request() == Request()


def test_conditions_are_the_table() -> None:
    conditions = GenerateBody.model_fields["conditions"].annotation
    assert conditions is not None
    assert list(conditions.model_fields) == list(table())
    assert list(Told.model_fields) == list(table())
    for name, entry in table().items():
        assert conditions.model_fields[name].description.startswith(entry.description)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_is_taken(order: str) -> None:
    assert GenerateBody.model_validate({"order": order}).request().order == order


@pytest.mark.parametrize(
    ("conditions", "read"),
    [
        ({"density": 3.5}, {"density": 3.5}),
        ({"density": [2, "3..4", ">5"]}, {"density": (2.0, "3..4", ">5")}),
        ({"space_group": ["Fm-3m", 62, "1..2"]}, {"space_group": (225, 62, "1..2")}),
        ({"reduced_formula": ["LiFePO4", "Si"]}, {"reduced_formula": ("LiFePO4", "Si")}),
        ({"chemical_system": "O-Li"}, {"chemical_system": "Li-O"}),
    ],
)
def test_targets_are_read_as_a_request_reads_them(conditions: dict[str, Any], read: dict[str, Any]) -> None:
    body = GenerateBody.model_validate({"conditions": conditions})
    assert body.request() == Request(conditions=read)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 0}, "n"),
        ({"n": "3"}, "n"),
        ({"n": True}, "n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_p": float("nan")}, "top_p"),
        ({"guidance": 21}, "guidance"),
        ({"order": "alphabetical"}, "order"),
        ({"elements": ["Xx"]}, "elements"),
        ({"forbid": ["Li,Fe"]}, "forbid"),
        ({"colour": "blue"}, "colour"),
        ({"symmetrize": 5}, "symmetrize"),
        ({"conditions": {"densiti": 3}}, "conditions.densiti"),
        ({"conditions": {"density": "4..3"}}, "conditions.density"),
        ({"conditions": {"density": []}}, "conditions.density"),
        ({"conditions": {"density": 1e999}}, "conditions.density"),
        ({"conditions": {"band_gap": -1}}, "conditions.band_gap"),
        ({"conditions": {"space_group": 231}}, "conditions.space_group"),
        ({"conditions": {"space_group": "Fm-4m"}}, "conditions.space_group"),
        ({"conditions": {"reduced_formula": "LiFePO4x"}}, "conditions.reduced_formula"),
        ({"conditions": {"reduced_formula": "Li" * 100}}, "conditions.reduced_formula"),
        ({"z": "1..2"}, ""),
        ({"cell_formula": "Na2Cl2", "conditions": {"reduced_formula": "Li2O"}}, ""),
    ],
)
def test_wrong_requests_name_their_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GenerateBody.model_validate(body)
    places = [".".join(map(str, error["loc"])) for error in caught.value.errors()]
    assert any(place.startswith(field) for place in places), places


def test_combinations_are_counted_without_listing_them() -> None:
    hundred = [float(k) for k in range(1, 101)]
    names = ("density", "band_gap", "mag_density", "bulk_modulus", "hhi", "energy_above_hull")
    body = GenerateBody.model_validate({"n": 3, "conditions": dict.fromkeys(names, hundred)})
    assert body.total == 3 * 100**6


def test_a_range_is_no_condition_to_score_under() -> None:
    with pytest.raises(ValidationError, match="range"):
        ScoreBody.model_validate({"source": FILES, "conditions": {"space_group": "1..3"}})


def test_what_a_body_lets_through_a_request_takes() -> None:
    """The two must not drift apart: a body that is valid makes a request, so that no job fails for its form."""
    body = GenerateBody.model_validate({"conditions": {"reduced_formula": "NaCl"}, "z": "1..4", "require": ["Na"]})
    assert body.request().z == (1, 4)
    with pytest.raises(RequestError):
        Request(z="1..4")  # type: ignore[arg-type]


def test_every_field_of_a_request_is_reached() -> None:
    known = {field.name for field in fields(Request)}
    assert set(GenerateBody.model_fields) <= known
