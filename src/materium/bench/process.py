"""A whole process: how long it takes, and what memory it and its children hold at most."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from materium.errors import MateriumError

if TYPE_CHECKING:
    from collections.abc import Sequence

PAUSE = 0.1
"""Seconds between two looks."""


def run(arguments: Sequence[str]) -> tuple[float, float | None]:
    """Return seconds, and the peak of memory in GB where Linux tells, of a command of Materium.

    Memory is the proportional share of each process of the family: what two of them share counts once.

    Raises
    ------
    MateriumError
        If the command fails.
    """
    begun, peak = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "materium", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - its own interpreter and command
    while child.poll() is None:
        peak = max(peak, held(child.pid))
        time.sleep(PAUSE)
    if child.returncode:
        raise MateriumError(f"materium {' '.join(arguments)} ended with status {child.returncode}; run it alone")
    return time.perf_counter() - begun, peak or None


def held(pid: int) -> float:
    """Return the memory of a process and its children in GB, as `run` counts it; 0 once they are gone."""
    return sum(map(_share, _family(pid))) / 1e6


def _family(pid: int) -> list[int]:
    children = _read(Path(f"/proc/{pid}/task/{pid}/children")).split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _share(pid: int) -> float:
    """The proportional share of a process, in kB."""
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""  # it has ended meanwhile, or this is no Linux
