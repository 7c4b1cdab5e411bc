"""Work for processes of their own: they import it by name, which a test's module does not allow."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def nap(seconds: float) -> None:
    time.sleep(seconds)


def squares(items: Sequence[int]) -> list[dict[str, Any]]:
    return [{"square": item * item} for item in items]


def squares_unless_unlucky(items: Sequence[int]) -> list[dict[str, Any]]:
    """Die of the number 13, as a process does that runs out of memory."""
    if 13 in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return squares(items)


def threads_of(items: Sequence[int]) -> list[dict[str, Any]]:
    return [{"threads": os.environ["OMP_NUM_THREADS"]} for _ in items]
