"""How much longer a command takes where another program keeps all cores busy: `materium generate -n 8` by default.

    python benchmarks/busy_neighbour.py [-n 8] [--repeats 5] [--burners 2] [--set OMP_NUM_THREADS=2 ...]

In turns, alone and beside processes that do nothing but count; the medians and their ratio are printed, the last line
is JSON. A fair share beside two burners on two cores is two thirds of a core, so that a ratio of 1.5 is the least that
is possible. What OpenMP does by itself is measured with `--set OMP_NUM_THREADS=2 GOMP_SPINCOUNT=300000`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=8, help="Crystals.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="Into the command's environment.")
    asked = parser.parse_args()
    settings = dict(one.split("=", 1) for one in asked.set)
    runs: dict[str, list[tuple[float, float]]] = {"alone": [], "busy": []}
    for _ in range(asked.repeats):
        runs["alone"].append(generate(asked.n, settings))
        with burners(asked.burners):
            runs["busy"].append(generate(asked.n, settings))
    found = summary(runs)
    for name in runs:
        print(f"{name:6} {found[name]['seconds']:.1f} s, {found[name]['processor_seconds']:.1f} s of the processor")
    print(f"ratio  {found['ratio']:.2f}")
    print(json.dumps({"n": asked.n, "cores": os.cpu_count(), "burners": asked.burners, "set": settings, **found}))


def summary(runs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """Return medians of the seconds, of the clock and of the processor, of both kinds of runs, and their ratio."""
    found: dict[str, Any] = {
        name: {"seconds": round(median(clock), 2), "processor_seconds": round(median(processor), 2)}
        for name, (clock, processor) in ((name, zip(*pairs, strict=True)) for name, pairs in runs.items())
    }
    return {**found, "ratio": round(found["busy"]["seconds"] / found["alone"]["seconds"], 2)}


def generate(n: int, settings: dict[str, str]) -> tuple[float, float]:
    """Return the seconds, of the clock and of the processor, of a whole process."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "materium", "generate", "-n", str(n), "--out", str(out), "--quiet"]
        begun, used = time.perf_counter(), children()
        subprocess.run(command, check=True, env={**os.environ, **settings})  # noqa: S603 - its own command
        return time.perf_counter() - begun, children() - used


def children() -> float:
    """Return the processor seconds of all processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def burners(count: int) -> Iterator[None]:
    """Keep so many cores busy, from before the block begins until it ends."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


if __name__ == "__main__":
    main()
