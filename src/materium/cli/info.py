"""`materium info`: what a model is."""

from materium.cli.console import make_console, make_table
from materium.cli.options import ModelOption, QuietOption


def info(model: ModelOption = None, quiet: QuietOption = False) -> None:
    """Print what a model is: size, tokens, training, conditions.

    Example:

        materium info
    """
    from materium.model.facts import facts
    from materium.model.folder import count_parameters, read_description
    from materium.properties import table

    shape, config = read_description(model)
    console = make_console(quiet=quiet)
    console.print(make_table(("", "model"), facts(shape, count_parameters(model), config)))
    console.print("")
    rows = []
    for name, entry in table().items():
        seen = shape.seen.get(name)
        span = f"{seen.low:g} to {seen.high:g}" if seen else ""
        rows.append((name, entry.unit, span, seen.count if seen else "", entry.description))
    console.print(make_table(("condition", "unit", "seen in training", "labels", "meaning"), rows))
