"""What every peer's script shares: a clock about repeated steps, and one line of JSON.

The clock counts the processor's seconds, of all threads together. With one thread that is what the wall clock shows on
an idle core, and other work on the machine hardly changes it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def options(batch: int) -> argparse.Namespace:
    """Return what `run.py` tells a peer: numbers of atoms, crystals at once, and steps that are timed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--atoms", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--steps", type=int, default=3)
    return parser.parse_args()


def seconds_of(step: Callable[[], object], times: int) -> float:
    """Return the median processor seconds of a step, after one that is not counted."""
    step()
    taken = []
    for _ in range(times):
        begun = time.process_time()
        step()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def report(name: str, rows: Iterable[dict[str, object]], **facts: object) -> None:
    """Print what was measured as one line of JSON, with the most memory that the process held."""
    print(json.dumps({"peer": name, "rows": list(rows), "peak_mb": peak_mb(), **facts}))


def peak_mb() -> int:
    """Return the most memory that this process has held, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1000
