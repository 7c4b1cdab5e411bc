"""What one crystal costs at each step of a large run, and what 10^6 and 10^9 of them would cost.

    python benchmarks/scaling.py [-n 512] [--relax 8]

Processor seconds, one thread: other work on the machine does not count. Written is what `materium generate --unique`
writes. Crystals are those of the model that ships, told nothing. The last line is JSON.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from materium.convert import to_cif, write_extxyz_frame
from materium.crystal import Crystal
from materium.evaluate.firsts import Firsts
from materium.generate.engine import load
from materium.generate.request import Request
from materium.generate.rows import crystal_of, make_row, schema
from materium.generate.writer import RAW

SIZES = (10**6, 10**9)
CORES = (2, 64)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("--relax", type=int, default=8, help="Crystals that are relaxed with CHGNet; 0: none.")
    asked = parser.parse_args()
    costs = Costs(asked.n)
    engine, request = load(), Request(n=asked.n, seed=1)
    list(engine.samples(Request(n=16, seed=2)))
    with costs.of("sampling"):
        written = list(engine.samples(request))
    with costs.of("table rows: decoding, space groups"):
        rows = [make_row(one, engine.read(one), request) for one in written]
    rows = [row for row in rows if row["valid"]]
    crystals = [crystal_of(row) for row in rows]
    with TemporaryDirectory() as folder:
        write(Path(folder), Costs(1), rows[:1], crystals[:1])  # first calls load
    with TemporaryDirectory() as folder:
        sizes = write(Path(folder), costs, rows, crystals)
    if asked.relax:
        costs.relaxation(crystals[: asked.relax])
    costs.show()
    facts = {"n": asked.n, "threads": os.environ.get("OMP_NUM_THREADS", "all"), **sizes}
    print(json.dumps({**facts, "seconds": costs.seconds}))


class Costs:
    """Processor seconds a crystal, by step."""

    def __init__(self, count: int) -> None:
        """Begin; a step is of so many crystals where nothing else is said."""
        self.count, self.seconds = count, dict[str, float]()

    @contextmanager
    def of(self, step: str, count: int | None = None) -> Iterator[None]:
        """Count what is done within."""
        begun = time.process_time()
        yield
        self.seconds[step] = round((time.process_time() - begun) / (count or self.count), 6)

    def relaxation(self, crystals: list[Crystal]) -> None:
        """Relax some crystals as `materium evaluate` does."""
        from materium.relax.adapters import potential
        from materium.relax.relaxer import relax

        warnings.simplefilter("ignore")  # those of the potential's packages
        chgnet = potential("chgnet")
        relax(crystals[:1], chgnet, max_steps=1)  # first calls load
        with self.of("relaxation, CHGNet", len(crystals)):
            relax(crystals, chgnet)

    def show(self) -> None:
        """Print a line for each step: milliseconds a crystal, and days for the sizes on the cores."""
        print("step".ljust(40), "ms", *(f"{size:.0e} on {cores}".rjust(14) for size in SIZES for cores in CORES))
        for step, seconds in self.seconds.items():
            times = (shown(seconds * size / cores) for size in SIZES for cores in CORES)
            print(step.ljust(40), f"{1000 * seconds:.2f}", *(text.rjust(14) for text in times))


def shown(seconds: float) -> str:
    """Return a time in the unit that fits."""
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def write(folder: Path, costs: Costs, rows: list[dict[str, Any]], crystals: list[Crystal]) -> dict[str, float]:
    """Measure all that goes to the disk for valid crystals, and return what one takes there, in bytes."""
    with costs.of("table: Parquet", len(rows)):
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), folder / "table")
    with costs.of("CIF", len(crystals)):
        texts = [to_cif(crystal, "id") for crystal in crystals]
    frames = StringIO()
    with costs.of("extxyz", len(crystals)):
        for crystal, row in zip(crystals, rows, strict=True):
            write_extxyz_frame(frames, crystal, {name: row[name] for name in RAW.facts})
    with Firsts(folder / "firsts") as known:
        with costs.of("uniqueness, formula is new", len(crystals)):
            add_all(known, crystals, 0)
        with costs.of("uniqueness, formula was seen", len(crystals)):
            add_all(known, crystals, len(crystals))
    on_disk = {"table": folder / "table", "uniqueness": folder / "firsts"}
    sizes = {f"{name}_bytes": round(path.stat().st_size / len(rows), 1) for name, path in on_disk.items()}
    return {**sizes, "cif_bytes": round(sum(map(len, texts)) / len(texts), 1)}


def add_all(known: Firsts, crystals: list[Crystal], start: int) -> None:
    """Tell copies among crystals that are numbered from `start` on."""
    for number, crystal in enumerate(crystals, start):
        known.add(crystal, number)
    known.save()


if __name__ == "__main__":
    main()
