"""Ctrl-C, SIGTERM and SIGHUP: one line and the status that shells give, within two seconds, however often they come.

The first raises `KeyboardInterrupt`, and what follows is ignored while files are closed and workers ended. Where that
takes too long, or the interrupt got lost in a library's callback, the process ends as it is: every file that counts is
whole at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SECONDS = 1.2
"""Between a signal and the end of a process that has not ended by itself."""
STOPPED = "stopped; what was finished stays on the disk, and the same command goes on from there"
SHOW_CURSOR = "\x1b[?25h"
"""A progress bar hides it."""


class Heard:
    """What came of signals in this process."""

    number: int | None = None
    first: int | None = None
    """Of several that wait at once, Python handles the lowest number first."""
    line = STOPPED
    said = False
    wakeup: int | None = None


def listen() -> None:
    """Take over the signals of this process, once; those that it was started deaf to stay ignored."""
    if Heard.wakeup is not None:
        return
    _open_missing_streams()
    read, Heard.wakeup = os.pipe()
    os.set_blocking(Heard.wakeup, False)
    signal.set_wakeup_fd(Heard.wakeup, warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave)
    Thread(target=_watch, args=(read,), name="signals", daemon=True).start()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _lost


@contextmanager
def left_to_others(line: str) -> Iterator[None]:
    """Let a library handle signals, and take its time over it; `line` is what will be said."""
    Heard.line = line
    before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)


def status() -> int:
    """Return the exit status of a process that was stopped: 128 and the signal's number."""
    return 128 + (Heard.first or Heard.number or signal.SIGINT)


def say() -> None:
    """Print the one line, once."""
    if not Heard.said:
        Heard.said = True
        with suppress(OSError):
            os.write(2, f"materium: {Heard.line}\n".encode())


def deafen() -> None:
    """Ignore signals from now on: all is done but the end of the interpreter."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    if Heard.number is not None:
        return
    Heard.number = number
    if _is_importing(frame):  # extensions in C++ abort where an import that they make is interrupted
        _end(number)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end(number: int) -> NoReturn:
    if os.isatty(2):
        os.write(2, SHOW_CURSOR.encode())
    say()
    os._exit(128 + number)


def _watch(read: int) -> None:
    """In a thread that hears of signals even while the main one is deep in a library."""
    while (number := os.read(read, 1)[0]) not in SIGNALS:
        pass
    Heard.first = number
    time.sleep(SECONDS)
    _end(number)


def _lost(info: sys.UnraisableHookArgs) -> None:
    """Python prints an interrupt that fell into a callback, and goes on; the line is to come, and no trace."""
    if not (Heard.number and isinstance(info.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(info)


def _leave() -> None:
    """A copy of the process must not write to the pipe of the original."""
    with suppress(ValueError):  # where the copy was made by another thread
        signal.set_wakeup_fd(-1)


def _open_missing_streams() -> None:
    """A process started with closed streams would take the next file that it opens for its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin, sys.stdout, sys.stderr = (
        stream or open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process lives
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )
