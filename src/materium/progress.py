"""Signs of life of what takes long: bars on a terminal or in a notebook, elsewhere a line now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from materium.heartbeat import Heartbeat, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

Item = TypeVar("Item")


class Counted(ProgressColumn):
    """How much is done: `3/8`, or `3` where nobody knows of how many, or `37 %` of a task that counts to 100."""

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        return Text(counted(task))


class Left(TimeRemainingColumn):
    """The time left, where the number is known."""

    def render(self, task: Task) -> Text:
        """Return the text of a task; nothing before there is an estimate."""
        return Text() if task.time_remaining is None else Text("left ") + super().render(task)


def columns() -> tuple[ProgressColumn, ...]:
    """Return what a bar shows of a task."""
    return (TextColumn("{task.description}", markup=False), BarColumn(), Counted(), TimeElapsedColumn(), Left())


class Bars(Progress):
    """Bars on a terminal; where there is none, `Heartbeat` says how far they are."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """Show bars if the console is a terminal or a notebook, and nothing if it is to be quiet."""
        shown = (console.is_terminal or console.is_jupyter) and not quiet
        if not shown:
            console.quiet = True  # some versions of rich end a bar that is off with an empty line
        super().__init__(*columns(), console=console, transient=True, disable=not shown)

    above: RenderableType | None = None
    """What stands above the bars."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is shown, from above."""
        if self.above is not None:
            yield self.above
        yield from super().get_renderables()

    def start(self) -> None:
        """Begin to show them."""
        Heartbeat.watch(self)
        super().start()

    def stop(self) -> None:
        """Take them away."""
        Heartbeat.watch(None)
        super().stop()


def tracked(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Yield the items, with a bar where Python runs at a terminal or in a notebook."""
    with Bars(Console(stderr=True)) as bars:
        yield from bars.track(items, total=total, description=description)
