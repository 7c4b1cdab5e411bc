"""The page of the command line: every command with its help text, as the program itself prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materium.cli.main import COMMANDS, load_command

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# Command line

Every option means the same wherever it stands. A mistake gets one line and the exit status 2; a run that is stopped
goes on when the same command is given again. `materium COMMAND --help` prints what is written here.
"""


def page() -> str:
    """Return the page as Markdown, in the order of the program's own list."""
    return INTRODUCTION + "".join(_command(name, load_command(name), "##") for name in COMMANDS)


def _command(name: str, command: Any, mark: str) -> str:  # noqa: ANN401 - a class of typer's own click
    parts = getattr(command, "commands", {})
    below = "".join(_command(f"{name} {part}", inner, mark + "#") for part, inner in parts.items())
    body = "" if parts else _table(command, _context(command, f"materium {name}"))
    return f"\n{mark} materium {name}\n\n{_text(command.help or '')}\n{body}{below}"


def _context(command: Any, name: str) -> Any:  # noqa: ANN401 - the same
    return command.make_context(name, [], resilient_parsing=True)


def _text(text: str) -> str:
    """A help text as Markdown: what is indented there is an example."""
    paragraphs = text.replace("\b\n", "").split("\n\n")
    return "\n".join(_fenced(part) if part.startswith(" ") else f"{' '.join(part.split())}\n" for part in paragraphs)


def _fenced(example: str) -> str:
    return f"```console\n$ {example.strip()}\n```\n"


def _table(command: Any, context: Any) -> str:  # noqa: ANN401 - the same
    lines = [f"| `{name}` | {_cell(help_text)} |" for name, help_text in _records(command, context)]
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    return f"```text\n{usage}\n```\n\n| option | meaning |\n|---|---|\n" + "\n".join(lines) + "\n"


def _records(command: Any, context: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - the same
    """Name and help of every parameter that the program shows, arguments first."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    return (record for record in records if record is not None)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
