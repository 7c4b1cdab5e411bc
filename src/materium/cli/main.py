"""The program `materium`: finds the command, and turns a user's mistake into one line and an exit status."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from inspect import cleandoc
from typing import Annotated, TextIO, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command, get_group

import materium
from materium.cli import interrupts
from materium.cli.failures import explain_os_error, explain_usage_error, nearest
from materium.cli.help import SectionedCommand, write_purposes
from materium.errors import MateriumError
from materium.heartbeat import Heartbeat

COMMANDS = {
    "generate": ("materium.cli.generate", "generate"),
    "discover": ("materium.cli.discover", "discover"),
    "complete": ("materium.cli.complete", "complete"),
    "report": ("materium.cli.report", "report"),
    "predict": ("materium.cli.predict", "predict"),
    "score": ("materium.cli.score", "score"),
    "evaluate": ("materium.cli.evaluate", "evaluate"),
    "export": ("materium.cli.export", "export"),
    "serve": ("materium.cli.serve", "serve"),
    "prepare": ("materium.cli.prepare", "prepare"),
    "train": ("materium.cli.train", "train"),
    "data": ("materium.cli.data", "app"),
    "reference": ("materium.cli.reference", "app"),
    "conditions": ("materium.cli.show_conditions", "conditions"),
    "info": ("materium.cli.info", "info"),
    "doctor": ("materium.cli.doctor", "doctor"),
    "bench": ("materium.cli.bench", "bench"),
}
"""Name to module and attribute (a function or a `typer.Typer`); a module is imported when its command is asked for."""

USER_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 1

plain_app = partial(typer.Typer, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class LazyGroup(TyperGroup):
    """A group that imports a command's module only when the command is run or listed."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - the signature is the base class's
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002 - the same
        """Return the command; an option in its place (`materium --sed 1`) is left to the parser."""
        if cmd_name.startswith("-"):
            return None
        if cmd_name not in COMMANDS:
            raise MateriumError(f"no command {cmd_name!r}; {nearest(cmd_name, COMMANDS)}")
        return load_command(cmd_name)

    def format_commands(self, ctx: object, formatter: object) -> None:
        """Write the commands with their purposes, none of them imported."""
        write_purposes(formatter, self.list_commands(ctx))


app = plain_app(cls=LazyGroup, add_completion=True, context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"materium {materium.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Write crystals with a language model, and judge them.

    Example:

        materium generate -n 64 --seed 1 --out runs/first
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import the command `name` of `COMMANDS`: a function becomes a command, a `typer.Typer` a group of them."""
    module, attribute = COMMANDS[name]
    target = getattr(import_module(module), attribute)
    parent = plain_app()
    if isinstance(target, typer.Typer):
        parent.add_typer(target, name=name)
    else:
        parent.command(name, cls=getattr(target, "command_class", SectionedCommand))(target)
    command = cast("TyperCommand | TyperGroup", get_group(parent).commands[name])
    command.no_args_is_help = False  # a group without a command is a mistake like any other: one line
    for part in (command, *getattr(command, "commands", {}).values()):
        part.help = keep_examples(part.help or "")
    return command


def keep_examples(text: str) -> str:
    """Mark the indented paragraphs of a help text, so that they are printed line by line."""
    paragraphs = cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{part}" if part.startswith(" ") else part for part in paragraphs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, or those of the process, and return its exit status."""
    if arguments is None:
        interrupts.listen()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except MateriumError as error:
        status = _complain(str(error))
    except TyperException as error:
        status = _complain(explain_usage_error(error))
    except BrokenPipeError:
        status = BROKEN_PIPE  # the reader has gone, `materium ... | head` say: nobody is left to tell
    except OSError as error:
        message = explain_os_error(error)
        if message is None:
            raise
        status = _complain(message)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        interrupts.say()
        status = interrupts.status()
    _drop_what_cannot_be_written(sys.stdout)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    command = get_command(app)
    command.help = keep_examples(command.help or "")
    words = sys.argv[1:] if arguments is None else arguments
    with Heartbeat.beating(quiet=not {"-q", "--quiet"}.isdisjoint(words)):
        result = command.main(arguments, prog_name="materium", standalone_mode=False)
    return result if isinstance(result, int) else 0  # typer returns the status of `typer.Exit`, 130 after Ctrl-C


def _complain(message: str) -> int:
    sys.stderr.write(f"materium: {' '.join(message.split())}\n")
    return USER_ERROR


def _drop_what_cannot_be_written(stream: TextIO) -> None:
    """Flush, and after a failure send the rest nowhere: the interpreter flushes again and would report it once more."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
