"""Memory of a long run against its length: crystals streamed to the disk, copies told, nothing held.

    python benchmarks/streaming.py OUT [-n 200000] [--minutes M] [--every 1000]

Runs `materium generate --unique --table-only` and reads the memory of its processes while it goes. A run that is
stopped, by --minutes or from outside, goes on when the same command is given again. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from materium.bench.limits import machine
from materium.bench.process import held

PAUSE = 2.0
"""Seconds between two looks at the process."""


def main() -> None:
    """Run, watch and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("-n", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--every", type=int, default=1000, help="Crystals between two lines of the table.")
    options = parser.parse_args()
    words = ["generate", "-n", options.n, "--seed", options.seed, "--out", options.out, "--unique", "--table-only"]
    command = [sys.executable, "-m", "materium", *map(str, words)]
    begun = time.monotonic()
    child = subprocess.Popen([*command, "--quiet"])  # noqa: S603 - its own interpreter and its own arguments
    curve = watched(child, options.out, begun + 60 * options.minutes, options.every)
    facts = {"machine": machine(), "command": " ".join(["materium", *map(str, words)])}
    print(json.dumps({**facts, "seconds": round(time.monotonic() - begun, 1), **result(options.out), **curve}))


def watched(child: "subprocess.Popen[bytes]", out: Path, until: float, every: int) -> dict[str, object]:
    """Return the memory that was seen, its workers' too, in MB: most, and against the crystals that are safe."""
    peak, curve, due, stopped = 0.0, [], 0, False
    while child.poll() is None:
        time.sleep(PAUSE)
        done, now = written(out), 1000 * held(child.pid)
        peak = max(peak, now)
        if now and done >= due:
            due = done + every
            curve.append((done, round(now), time.strftime("%H:%M:%S")))
            print(*curve[-1], flush=True)
        if time.monotonic() > until and not stopped:
            child.terminate()  # no interrupt: what a shell starts in the background ignores those
            stopped = True
    return {"peak_mb": round(peak), "curve": [row[:2] for row in curve]}


def written(out: Path) -> int:
    """Return how many crystals are safe: the parts of a run carry it in their names."""
    parts = (path.stem.split("-")[1] for path in (out / "parts").glob("*.parquet"))
    return sum(map(int, parts))


def result(out: Path) -> dict[str, object]:
    """Return the counts of the rows that were written, whether the run is over or not."""
    count = valid = unique = size = 0
    formulas: set[str] = set()
    tables = (
        [out / "structures.parquet"] if (out / "structures.parquet").exists() else (out / "parts").glob("*.parquet")
    )
    for path in tables:
        size += path.stat().st_size
        for batch in pq.ParquetFile(path).iter_batches(columns=["valid", "copy_of", "formula"]):
            rows = batch.to_pylist()
            count += len(rows)
            valid += sum(row["valid"] for row in rows)
            unique += sum(row["valid"] and row["copy_of"] is None for row in rows)
            formulas.update(row["formula"] for row in rows)
    shares = {"valid": valid, "unique": unique, "formulas": len(formulas)}
    return {"crystals": count, **shares, "table_mb": round(size / 1e6, 1)}


if __name__ == "__main__":
    main()
