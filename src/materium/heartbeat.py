"""Signs of life of a command: `working` on a terminal that shows nothing yet, elsewhere a line every half minute."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL = 30.0
"""Seconds between two lines where there is no terminal."""
SOON = 0.5
"""Seconds after which a terminal says that a command works."""
WORKING = "working"


class Heartbeat:
    """Beats while a command runs. One for a process; commands print from one thread."""

    bars: Any = None
    """A `Progress` of rich, which is not imported here: `materium --version` needs none."""
    shown = False
    spoken = False

    @classmethod
    def watch(cls, bars: Any) -> None:  # noqa: ANN401 - of rich
        """Tell of these bars from now on; None ends it."""
        cls.erase()
        cls.bars = bars

    @classmethod
    def clear(cls) -> None:
        """Take `working` away, and say it no more: a result is about to be shown."""
        cls.spoken = True
        cls.erase()

    @classmethod
    def erase(cls) -> None:
        """Take `working` away for now."""
        if cls.shown:
            cls.shown = False
            sys.stderr.write(f"\r{' ' * len(WORKING)}\r")
            sys.stderr.flush()

    @classmethod
    @contextmanager
    def beating(cls, *, quiet: bool = False) -> Iterator[None]:
        """Beat while the block runs, unless it is to be quiet."""
        if quiet:
            yield
            return
        cls.bars, cls.shown, cls.spoken = None, False, False
        ended = threading.Event()
        thread = threading.Thread(target=cls._beat, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            cls.clear()

    @classmethod
    def _beat(cls, ended: threading.Event) -> None:
        begun, terminal = time.monotonic(), sys.stderr.isatty()
        while terminal and not ended.wait(SOON):
            if cls.bars is None and not cls.spoken and not cls.shown:
                cls.shown = True
                sys.stderr.write(WORKING)
                sys.stderr.flush()
        while not ended.wait(INTERVAL):
            line = cls._line(time.monotonic() - begun)
            if line:
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()

    @classmethod
    def _line(cls, seconds: float) -> str:
        """What is under way; nothing where a command has said all it has to say, as a server has."""
        if cls.bars is None:
            return "" if cls.spoken else f"{WORKING}, {_clock(seconds)}"
        running = [task for task in cls.bars.tasks if not task.finished]
        if not running:
            return ""
        task = running[-1]
        left = "" if task.time_remaining is None else f", {_clock(task.time_remaining)} left"
        return f"{task.description} {counted(task)}".rstrip() + f", {_clock(seconds)}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def counted(task: Any) -> str:  # noqa: ANN401 - of rich, too
    """Return how much of a task of rich is done: `3/8`, `3` where nobody knows of how many, or `37 %`."""
    if task.fields.get("percent"):
        return f"{task.percentage:.0f} %"
    if task.total is None:
        return f"{int(task.completed)}" if task.completed else ""
    return f"{int(task.completed)}/{int(task.total)}"
