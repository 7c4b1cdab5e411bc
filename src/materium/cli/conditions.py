"""Options for the conditions, one for each property of the table: a new property needs no edit here."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from materium.properties import Property, table

SHORT_NAMES = {"reduced_formula": "formula"}
"""Options that are called otherwise than their property."""

TYPES: dict[str, type] = {"number": float, "category": int, "formula": str, "elements": str}


def with_conditions(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every property, and pass what was given on as its argument `conditions`."""

    @wraps(command)
    def wrapped(**arguments: Any) -> None:
        given = {name: arguments.pop(option_name(name)) for name in table()}
        command(**arguments, conditions={name: value for name, value in given.items() if value is not None})

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "conditions"]
    parameters = [*own, *(_parameter(entry) for entry in table().values())]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def option_name(name: str) -> str:
    """Return the option's name for a property."""
    return SHORT_NAMES.get(name, name)


def _parameter(entry: Property) -> inspect.Parameter:
    unit = f", in {entry.unit}" if entry.unit else ""
    option = typer.Option(help=f"To aim at: {entry.description}{unit}.")
    kind: Any = Annotated[TYPES[entry.kind] | None, option]
    return inspect.Parameter(option_name(entry.name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
