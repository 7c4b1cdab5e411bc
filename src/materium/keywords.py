"""Keywords of public functions: a misspelt one is refused with the name that was meant."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from materium.errors import RequestError, nearest
from materium.properties import option_name, table

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
Result = TypeVar("Result")


def names_keywords(function: Callable[P, Result]) -> Callable[P, Result]:
    """Return the function with unknown keywords refused by a `RequestError` that names the nearest known one.

    Python's own `TypeError` names none. Where the function takes further keywords, these are conditions: properties of
    the table.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "self"]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        if unknown := [name for name in kwargs if name not in known]:
            names = [*known, *(option_name(name) for name in table() if open_ended)]
            allowed = {*table(), "conditions"} if open_ended else set()
            for name in unknown:
                if name not in allowed:
                    raise RequestError(f"unknown option {name!r}; {nearest(name, dict.fromkeys(names))}")
        return function(*args, **kwargs)

    return call
