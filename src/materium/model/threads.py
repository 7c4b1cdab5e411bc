"""How many threads to compute with, as many as there are free cores when a command starts, and how they wait: asleep.

Threads of OpenMP spin while they wait for each other. Where other programs keep the cores busy, the thread that is
waited for is not running, and what spins takes its core: `generate -n 8` took 18 times as long. All of it is read by
OpenMP when torch is first imported, so that it is put into the environment before.
"""

from __future__ import annotations

import os
import sys
import time
from math import floor
from pathlib import Path

VARIABLE = "OMP_NUM_THREADS"
"""What the user sets in it is taken, unless a command says something else."""
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0", "OPENBLAS_NUM_THREADS": "1"}
"""Of GNU's and LLVM's OpenMP: sleep at once. NumPy's products are small here, and its threads spin too."""
WATCHED = 0.1
"""Seconds over which busy cores are counted, at least; the kernel counts in hundredths."""
TOLERANCE = 0.25
"""Cores that may be busy without a thread less: a look at the clock must not cost one."""


def free_cores(seconds: float = WATCHED) -> float:
    """Return how many of the usable cores are idle, a mean over so many seconds, which this process sleeps.

    Where the system counts no idle time (all but Linux), the load average has to do, a mean over a minute; where there
    is none either, all cores are taken to be free.
    """
    cores = usable_cores()
    begun, before = time.monotonic(), _idle_seconds(cores)
    if before is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return len(cores) - load
    time.sleep(seconds)
    return ((_idle_seconds(cores) or 0.0) - before) / (time.monotonic() - begun)


def usable_cores() -> list[int]:
    """Return the cores that this process may run on, as few of them as its control group has time for."""
    everywhere = range(os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else everywhere)
    return cores[: _quota(len(cores))]


def free_threads() -> int:
    """Return how many threads, or processes of one thread, find a free core now."""
    return threads_for(free_cores(), len(usable_cores()))


def threads_for(free: float, cores: int) -> int:
    """Return how many threads to take where so many of the cores are free: whole ones, and at least one."""
    return max(1, min(cores, floor(free + TOLERANCE)))


def wait_asleep() -> None:
    """Let threads of this process, and of those that it starts, sleep while they wait; to be called before torch."""
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)


def choose_threads(asked: int | None) -> str | None:
    """Set the threads of this process and of those that it starts; return a note where other programs cost some.

    Parameters
    ----------
    asked
        How many; None takes `OMP_NUM_THREADS` where the user has set it, and else counts the free cores.
    """
    wait_asleep()
    if asked is None and VARIABLE in os.environ:
        return None
    count, cores = asked or free_threads(), len(usable_cores())
    os.environ[VARIABLE] = str(count)
    if "torch" in sys.modules:  # it has read the environment already
        sys.modules["torch"].set_num_threads(count)
    if asked is None and count < cores:
        return f"{count} of {cores} cores: other programs keep the rest busy; --threads takes more"
    return None


def _idle_seconds(cores: list[int]) -> float | None:
    """Seconds that the cores have been idle, or waited for a disk, since the system started; None where not counted."""
    found = {fields[0]: fields for fields in map(str.split, _read(Path("/proc/stat"))) if fields}
    try:  # cpuN user nice system idle iowait …
        ticks = sum(int(found[f"cpu{core}"][4]) + int(found[f"cpu{core}"][5]) for core in cores)
    except (KeyError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def _quota(cores: int) -> int:
    """How many cores the control groups of this process allow, rounded up: containers and batch systems limit it so."""
    root = Path("/sys/fs/cgroup")
    quotas = [_read(root / "cpu" / "cpu.cfs_quota_us") + _read(root / "cpu" / "cpu.cfs_period_us")]
    for line in _read(Path("/proc/self/cgroup")):
        group = root / line.rpartition(":")[2].lstrip("/")
        quotas += [_read(folder / "cpu.max") for folder in (group, *group.parents) if folder.is_relative_to(root)]
    limits = [words for words in (" ".join(lines).split() for lines in quotas) if len(words) == 2]
    allowed = [-(-int(quota) // int(period)) for quota, period in limits if quota.isdigit()]
    return max(1, min(cores, *allowed)) if allowed else cores


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
