"""`materium conditions`: the conditions of a model, and how well it meets them."""

from typing import TYPE_CHECKING, Any

from materium.cli.console import make_console, make_table
from materium.cli.options import ModelOption, QuietOption
from materium.properties import option_flag

if TYPE_CHECKING:
    from materium.model.config import Seen
    from materium.properties import Property

HEAD = ("condition", "option", "unit", "seen in training", "labels", "met", "measured on")


def conditions(model: ModelOption = None, quiet: QuietOption = False) -> None:
    """Print the conditions of a model: ranges seen in training, labelled crystals, and the fraction that met targets.

    Example:

        materium conditions
    """
    from materium.model.facts import adherence
    from materium.model.folder import read_description
    from materium.properties import table

    shape, _ = read_description(model)
    found = adherence(model)
    console = make_console(quiet=quiet)
    rows = [_row(entry, shape.seen.get(name), found.get(name)) for name, entry in table().items()]
    console.print(make_table(HEAD, rows))
    console.print("met: structures of all that were asked for within 10 % of a number, or exactly the group or formula")


def _row(entry: "Property", seen: "Seen | None", found: dict[str, Any] | None) -> tuple[object, ...]:
    span = f"{seen.low:g} to {seen.high:g}" if seen else ""
    share = f"{100 * found['share']:.0f} %" if found else "not measured"
    asked = ", ".join(f"{t:g}" if isinstance(t, float) else str(t) for t in found["targets"]) if found else ""
    return entry.name, option_flag(entry.name), entry.unit, span, seen.count if seen else "", share, asked
