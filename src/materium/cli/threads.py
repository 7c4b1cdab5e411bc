"""The option `--threads` of the commands that compute."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from materium.cli.console import make_console
from materium.model.threads import choose_threads

ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Threads to compute with. Default: OMP_NUM_THREADS, else the cores that are free now."
    ),
]


def with_threads(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--threads`, and choose the threads before it runs: before torch is imported."""

    @wraps(command)
    def wrapped(*, threads: int | None = None, **arguments: Any) -> None:
        note = choose_threads(threads)
        if note is not None:
            make_console(quiet=arguments.get("quiet", False), stderr=True).print(f"threads: {note}")
        command(**arguments)

    option = inspect.Parameter("threads", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ThreadsOption)
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in inspect.signature(command).parameters.values()]
    place = next((i for i, one in enumerate(own) if one.name == "quiet"), len(own))
    both = [*own[:place], option, *own[place:]]
    wrapped.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]  # typer reads it
    wrapped.__annotations__ = {one.name: one.annotation for one in both}
    return wrapped
