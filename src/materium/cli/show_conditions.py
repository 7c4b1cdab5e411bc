"""`materium conditions`: what a model can be told, and how well it listens."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materium.cli.conditions import option_flag
from materium.cli.console import make_console, make_table
from materium.cli.options import ModelOption, QuietOption

if TYPE_CHECKING:
    from materium.model.config import Seen
    from materium.properties import Property

ADHERENCE = "adherence.json"
"""Beside the weights: what `benchmarks/adherence.py` measured on the model."""
HEAD = ("condition", "option", "unit", "seen in training", "labels", "met", "measured on")


def conditions(model: ModelOption = None, quiet: QuietOption = False) -> None:
    """Print what a model can be told: ranges seen in training, labelled crystals, and the share that met its targets.

    Example:

        materium conditions
    """
    from materium.model.checkpoint import default_model, load_checkpoint
    from materium.properties import table

    network, _ = load_checkpoint(model)
    found = _adherence((model or default_model()) / ADHERENCE)
    console = make_console(quiet=quiet)
    rows = [_row(entry, network.config.seen.get(name), found.get(name)) for name, entry in table().items()]
    console.print(make_table(HEAD, rows))
    console.print("met: structures of all that were asked for within 10 % of a number, or exactly the group or formula")


def _adherence(path: Path) -> dict[str, Any]:
    """What was measured on the model; nothing where the file is not there."""
    if not path.exists():
        return {}
    properties: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["properties"]
    return properties


def _row(entry: "Property", seen: "Seen | None", found: dict[str, Any] | None) -> tuple[object, ...]:
    span = f"{seen.low:g} to {seen.high:g}" if seen else ""
    share = f"{100 * found['share']:.0f} %" if found else "not measured"
    asked = ", ".join(f"{t:g}" if isinstance(t, float) else str(t) for t in found["targets"]) if found else ""
    return entry.name, option_flag(entry.name), entry.unit, span, seen.count if seen else "", share, asked
