"""What a page needs to know before anything is asked: conditions, elements, bounds, presets, the model."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from materium import convert
from materium.properties import option_flag, table
from materium.serve.answers import (
    Adherence,
    Condition,
    Conditions,
    Fact,
    ModelFacts,
    Preset,
    Presets,
    ReferenceFacts,
    Trained,
)
from materium.serve.rows import space_groups
from materium.serve.schema import GenerateBody
from materium.tokens.tokenizer import ORDERS
from materium.tokens.vocab import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.properties import Property
    from materium.serve.limits import Limits

ENFORCEABLE = ("reduced_formula", "chemical_system", "num_sites")
"""Conditions that the mask keeps, unless a request is soft."""
EXTRAS = ("chgnet", "smact")


def vocabulary(facts: Mapping[str, Any]) -> Vocabulary:
    """Return the words of the model, from what the worker tells of it."""
    return Vocabulary(tuple((z, state) for z, state in facts["species"]), facts["bins"])


def conditions(facts: Mapping[str, Any], limits: Limits) -> Conditions:
    """Return all that a form needs to know."""
    elements = sorted({z for z, _ in facts["species"]})
    return Conditions(
        conditions=[_condition(entry, facts) for entry in table().values()],
        elements=convert.symbols(elements),
        orders=list(ORDERS),
        space_groups=list(space_groups().values()),
        defaults=GenerateBody().model_dump(mode="json"),
        limits=asdict(limits),
    )


def _condition(entry: Property, facts: Mapping[str, Any]) -> Condition:
    seen, found = facts["seen"].get(entry.name), facts["adherence"].get(entry.name)
    return Condition(
        name=entry.name,
        option=option_flag(entry.name),
        kind=entry.kind,
        unit=entry.unit,
        description=entry.description,
        classes=entry.classes,
        trained=None if seen is None else Trained(low=seen["low"], high=seen["high"], labels=seen["count"]),
        adherence=None if found is None else Adherence(**{k: found[k] for k in Adherence.model_fields if k in found}),
        enforceable=entry.name in ENFORCEABLE,
    )


def model(facts: Mapping[str, Any]) -> ModelFacts:
    """Return what the model is, and what is installed to judge with."""
    from materium import __version__

    own = {name: facts[name] for name in ("fingerprint", "parameters", "max_sites", "card")}
    return ModelFacts(
        **own,
        version=__version__,
        facts=[Fact(name=name, value=value) for name, value in facts["facts"]],
        extras={name: find_spec(name) is not None for name in EXTRAS},
        reference=ReferenceFacts(**facts["reference"]),
    )


@cache
def presets() -> Presets:
    """Return the requests of `presets.toml`."""
    text = files("materium.serve").joinpath("presets.toml").read_text(encoding="utf-8")
    return Presets(presets=[_preset(name, entry) for name, entry in tomllib.loads(text).items()])


def _preset(name: str, entry: dict[str, Any]) -> Preset:
    seed = {"seed": None} if entry.get("draw") else {}
    request = {**entry["request"], **seed}
    return Preset(name=name, title=entry["title"], description=entry["description"], request=request)
