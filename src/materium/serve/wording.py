"""What is wrong with a request, in the words of the page's form: the field, what is needed, and what came."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORM = Path(__file__).parent / "static" / "index.html"
TITLES = {
    "reduced_formula": "Formula",
    "num_sites": "Number of atoms",
    "mag_density": "Magnetic density",
    "hhi": "Scarcity (HHI)",
    "elements": "Allowed elements",
    "require": "Required elements",
    "forbid": "Forbidden elements",
    "add": "Atoms to add",
}
"""Of fields whose words are not those of their names; the page has the same, and a test compares them."""
TAGS = {"body", "query", "path", "header", "upload", "crystals"}
"""Parts of a place that are no field of the request."""
MOST = 20
"""Faults that an answer lists."""
MOST_CHARACTERS = 40
"""Of a value that is repeated in a message."""
MOST_OF_NAME, MOST_OF_LINE = 120, 400
"""Characters of a field's path, and of a line; both may hold what came."""
NEEDED = {
    "missing": "it is needed, and was not given",
    "greater_than_equal": "at least {ge:.10g} is needed",
    "greater_than": "more than {gt:.10g} is needed",
    "less_than_equal": "at most {le:.10g} is taken",
    "less_than": "less than {lt:.10g} is needed",
    "int_type": "a whole number is needed",
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "int_parsing_size": "a whole number of fewer digits is needed",
    "float_type": "a number is needed",
    "float_parsing": "a number is needed",
    "finite_number": "a finite number is needed",
    "bool_type": "true or false is needed",
    "string_type": "a text is needed",
    "list_type": "a list is needed",
    "dict_type": "an object with named fields is needed",
    "model_type": "an object with named fields is needed",
    "model_attributes_type": "an object with named fields is needed",
    "literal_error": "one of {expected} is needed",
    "string_unicode": "a text of whole characters is needed",
    "string_too_short": "it is empty; a text is needed",
    "string_too_long": "at most {max_length} characters are taken",
    "too_short": "at least {min_length} is needed",
    "too_long": "at most {max_length} are taken",
    "string_pattern_mismatch": "characters are in it that it cannot have",
}
"""By the type of a fault, as pydantic calls it."""
SEVERAL = "a value, a range such as 1..2, or a list of these is needed"
SYMBOL = "the symbol of an element is needed, such as Na"


class Fault(NamedTuple):
    """One thing that is wrong: the dotted path of the field, and a line."""

    field: str
    message: str


def faults(entries: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Return what is wrong with a request, one fault a field, from the entries of pydantic's error."""
    by_field: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        by_field.setdefault(field_of(entry["loc"]), []).append(entry)
    found = [_fault(field, entries) for field, entries in list(by_field.items())[:MOST]]
    return [Fault(_plain(one.field[:MOST_OF_NAME]), _plain(one.message[:MOST_OF_LINE])) for one in found]


def _plain(text: str) -> str:
    """Text on one line that UTF-8 can say: the halves of characters that JSON may hold are replaced."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def field_of(location: Sequence[str | int]) -> str:
    """Return the dotted path of a place in a request, `conditions.density`; entries of a list are no places."""
    parts = [str(part) for part in location if part not in TAGS]
    if parts[:1] == ["source"]:
        return ".".join(parts)
    return ".".join(parts[: 2 if parts[:1] == ["conditions"] else 1])


def label(field: str) -> str:
    """Return what the form calls a field; its own name where the form has none."""
    name = field.removeprefix("conditions.")
    if name in table() or name in TITLES:
        return TITLES.get(name, name[:1].upper() + name[1:].replace("_", " "))
    return form_labels().get(name, name)


@cache
def form_labels() -> dict[str, str]:
    """Return the labels of the page's form by field."""
    text = FORM.read_text(encoding="utf-8")
    pairs = re.findall(r'<label for="([a-z_]+)">([^<]+)', text)
    pairs += re.findall(r'<input id="([a-z_]+)" type="checkbox">([^<]+)', text)
    return {name: words.strip() for name, words in pairs}


def worded(message: str) -> Fault:
    """Return a line of the command line's own code with the field that it begins with, `z = a is …`, if any."""
    line = " ".join(message.split())
    name, _, rest = line.partition(" ")
    if name not in table() and name not in form_labels():
        return Fault("", line)
    field = f"conditions.{name}" if name in table() else name
    return Fault(field, f"{label(field)}: {rest.removeprefix('= ')}" if rest.startswith("= ") else line)


def _fault(field: str, entries: Sequence[Mapping[str, Any]]) -> Fault:
    """One line for what is wrong at a place; where several kinds of value were tried, the one that came nearest."""
    near = [entry for entry in entries if not entry["type"].endswith("_type")]
    entry = (near or entries)[0]
    own = entry.get("ctx", {}).get("error")
    if isinstance(own, ValueError):
        found = worded(str(own))
        if not field:
            return found
        line = found.message.removeprefix(f"{label(field)}: ")
    elif entry["type"] == "extra_forbidden":
        line = _unknown(field)
    elif len(entries) > 1 and not near:
        line = f"{SEVERAL}{_not(entry)}"
    elif entry["type"] == "string_pattern_mismatch" and field in ("elements", "require", "forbid"):
        line = f"{SYMBOL}{_not(entry)}"
    else:
        line = NEEDED.get(entry["type"], str(entry["msg"])).format(**entry.get("ctx", {})) + _not(entry)
    return Fault(field, f"{label(field)}: {line}" if field else line)


def _unknown(field: str) -> str:
    from materium.serve.schema import FIELDS

    place, _, name = field.rpartition(".")
    names = table() if place == "conditions" else FIELDS
    if name in names:
        return "this request has no such field"
    close = get_close_matches(name, names, n=1)
    return f"there is no such field; did you mean {close[0]}?" if close else "there is no such field; /docs lists them"


def _not(entry: Mapping[str, Any]) -> str:
    """What came, where it is short."""
    value = entry.get("input")
    if entry["type"] == "missing" or not isinstance(value, str | int | float | bool | None) or value == "":
        return ""
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return f", not {text}" if len(text) <= MOST_CHARACTERS else ""
