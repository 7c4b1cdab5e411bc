"""The page of the properties: what the model that ships can be told, from its own settings and measurements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from materium.cli.conditions import option_flag
from materium.model.folder import default_model
from materium.properties import table

if TYPE_CHECKING:
    from materium.properties import Property

HEAD = ("property", "option", "unit", "seen in training", "labels", "met", "meaning")
INTRODUCTION = """# Properties

The one table of what a crystal has and a model can be told; reader, trainer, sampler, evaluator and command line take
it from `src/materium/properties.toml`, and [a new property is a new entry](../howto/property.md). Ranges and labels are
those of the training of the model that ships. *Met* is the share of structures that came within 10 % of the number, or
exactly at the group or formula, that they were told and not kept to; `materium conditions` prints it with its targets.
"""


def page() -> str:
    """Return the page as Markdown."""
    folder = default_model()
    seen = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model"]["seen"]
    met = json.loads((folder / "adherence.json").read_text(encoding="utf-8"))["properties"]
    lines = [_line(_cells(entry, seen.get(name), met.get(name))) for name, entry in table().items()]
    return "\n".join([INTRODUCTION, _line(HEAD), _line("---" for _ in HEAD), *lines, ""])


def _cells(entry: Property, seen: dict[str, Any] | None, met: dict[str, Any] | None) -> tuple[object, ...]:
    span = f"{seen['low']:g} to {seen['high']:g}" if seen else ""
    share = f"{100 * met['share']:.0f} %" if met else "not measured"
    flag, labels = f"`{option_flag(entry.name)}`", seen["count"] if seen else ""
    return f"`{entry.name}`", flag, entry.unit, span, labels, share, entry.description


def _line(cells: Any) -> str:  # noqa: ANN401 - anything that can be gone through
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
