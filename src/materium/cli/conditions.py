"""Options for the conditions, one for each property of the table: a new property needs no edit here."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from materium.cli.help import CONDITIONS, SectionedCommand
from materium.properties import Property, option_flag, option_name, table
from materium.refine import REFINE_SYMPREC

TYPES: dict[str, type] = {"number": float, "category": int, "formula": str, "elements": str}


def with_conditions(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every property, and pass what was given on as its argument `conditions`."""
    return _with_options(command, several=False)


def with_targets(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same with options that take ranges, and several targets each; `TargetsCommand` reads them."""
    return _with_options(command, several=True)


class TargetsCommand(SectionedCommand):
    """A command without arguments, whose conditions take several values: `--density 2.5 5 7.5`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a type of the parser within typer
        """Write `--density 2.5 5` as `--density 2.5 --density 5` first, for that is what the parser reads."""
        return super().parse_args(ctx, spread(args))


def spread(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a condition's name before each of its values."""
    names = {option_flag(name) for name in table()}
    result: list[str] = []
    current = ""
    for position, word in enumerate(arguments):
        if word.startswith("-") and not _is_number(word):
            current = word if word in names else ""
            result.append(word)
            following = [*arguments[position + 1 :], "--"][0]
            if word == "--symmetrize" and not _is_number(following):
                result.append(str(REFINE_SYMPREC))
        elif current and result[-1] != current:
            result += [current, word]
        else:
            result.append(word)
    return result


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _with_options(command: Callable[..., None], *, several: bool) -> Callable[..., None]:
    @wraps(command)
    def wrapped(**arguments: Any) -> None:
        given = {name: arguments.pop(option_name(name)) for name in table()}
        command(**arguments, conditions={name: value for name, value in given.items() if value not in (None, [])})

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "conditions"]
    parameters = [*own, *(_parameter(entry, several=several) for entry in table().values())]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    if several:
        wrapped.command_class = TargetsCommand  # type: ignore[attr-defined]  # `load_command` reads it
    return wrapped


def _parameter(entry: Property, *, several: bool) -> inspect.Parameter:
    unit = f", in {entry.unit}" if entry.unit else ""
    text = f"Target: {entry.description}{unit}."
    single: Any = Annotated[TYPES[entry.kind] | None, typer.Option(help=text, rich_help_panel=CONDITIONS)]
    several_of = typer.Option(help=text, metavar=f"<{_form(entry)}>...", rich_help_panel=CONDITIONS)
    multiple: Any = Annotated[list[str] | None, several_of]
    kind = multiple if several else single
    return inspect.Parameter(option_name(entry.name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _form(entry: Property) -> str:
    return {"formula": "formula", "elements": "elements"}.get(entry.kind, "number or range")
