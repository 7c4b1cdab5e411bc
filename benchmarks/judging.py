"""Checking, uniqueness and novelty of many crystals: seconds for each stage, and peak memory.

    python benchmarks/judging.py TABLE REFERENCE [--crystals 10000] [--processes 2] [--cache FILE]

Crystals are drawn from TABLE at random, with replacement, their atoms displaced by about 0.05 Å: some are equal, and if
TABLE is a part of REFERENCE, most are known. With `--as-is` the rows of TABLE are judged in their order instead, such
as a run folder of generated crystals. Fingerprints of REFERENCE are made first and not counted, since a reference ships
with them; `--cache` keeps them. The goal is 60 s and 4 GB for 10,000 crystals against 44,600 with two processes. The
last line is JSON.
"""

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from materium.crystal import Crystal
from materium.data.readers import checked, read
from materium.evaluate.fingerprint import Fingerprint, fingerprint
from materium.evaluate.novelty import Known
from materium.evaluate.uniqueness import first_of_equals
from materium.evaluate.validity import check

SPREAD = 0.05
"""Å."""
CHUNK = 50
COLUMNS = ("ids", "formulas", "space_groups", "wyckoffs", "amds")

In = TypeVar("In")
Out = TypeVar("Out")
Mapper = Callable[[Callable[[In], Out], Iterable[In]], list[Out]]


def drawn(table: Path, count: int, seed: int) -> list[Crystal]:
    """Return crystals drawn from a table, with replacement, their atoms displaced."""
    rng = np.random.default_rng(seed)
    crystals = [row.crystal for row in read(table) if row.crystal is not None]
    return [displaced(crystals[place], rng) for place in rng.integers(len(crystals), size=count)]


def displaced(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Return the crystal with its atoms displaced at random."""
    moves = rng.normal(size=(len(crystal), 3)) * SPREAD / np.sqrt(3)
    return Crystal(crystal.lattice, crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice), crystal.numbers)


def known_from(reference: Path, cache: Path | None) -> Known:
    """Return the fingerprints of a reference, from the cache if there is one."""
    if cache is not None and cache.exists():
        columns = np.load(cache)
        return Known.from_fingerprints(*(columns[name].tolist() for name in COLUMNS[:-1]), columns["amds"])
    rows = [(row.id, fingerprint(row.crystal)) for row in checked(read(reference)) if row.crystal is not None]
    names, found = [name for name, _ in rows], [one for _, one in rows]
    if cache is not None:
        texts = names, [f.formula for f in found], [f.space_group for f in found], [f.wyckoff for f in found]
        np.savez_compressed(cache, **dict(zip(COLUMNS, [*texts, [f.amd for f in found]], strict=True)))
    return Known(names, found)


def judged(crystal: Crystal) -> tuple[dict[str, Any], Fingerprint | None]:
    """Return the facts of a crystal, and its fingerprint if it is valid."""
    facts = check(crystal)
    return facts, fingerprint(crystal) if facts["valid"] else None


def copies(crystals: list[Crystal]) -> int:
    """Return how many of the crystals of one formula are copies of others."""
    return len(crystals) - len(set(first_of_equals(crystals)))


def judge(crystals: list[Crystal], known: Known, mapped: Mapper[Any, Any]) -> dict[str, Any]:
    """Return seconds for each stage and what was found."""
    seconds, start = {}, time.perf_counter()
    verdicts = mapped(judged, crystals)
    seconds["check and fingerprint"] = time.perf_counter() - start
    valid = [(crystal, own) for crystal, (_, own) in zip(crystals, verdicts, strict=True) if own is not None]
    start, groups = time.perf_counter(), defaultdict(list)
    for crystal, own in valid:
        groups[own.formula].append(crystal)
    repeated = sum(mapped(copies, [group for group in groups.values() if len(group) > 1]))
    seconds["uniqueness"] = time.perf_counter() - start
    start = time.perf_counter()
    new = sum(known.verdict(crystal, own)["novel"] for crystal, own in valid)
    seconds["novelty"] = time.perf_counter() - start
    return {"seconds": seconds, "valid": len(valid), "unique": len(valid) - repeated, "novel": new}


def memory() -> float:
    """Return the peak memory of this process and of its largest child, in GB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024 / 1e9


def main() -> None:
    """Judge crystals and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--crystals", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    known = known_from(options.reference, options.cache)
    if options.as_is:
        rows = (row.crystal for row in read(options.table) if row.crystal is not None)
        crystals = list(islice(rows, options.crystals))
    else:
        crystals = drawn(options.table, options.crystals, options.seed)
    before = time.process_time()
    if options.processes == 1:
        found = judge(crystals, known, lambda work, items: [work(item) for item in items])
    else:
        with ProcessPoolExecutor(options.processes) as pool:
            found = judge(crystals, known, lambda work, items: list(pool.map(work, items, chunksize=CHUNK)))
    for stage, seconds in found["seconds"].items():
        print(f"{stage:24} {seconds:8.2f} s   {1e3 * seconds / len(crystals):6.2f} ms a crystal")
    sizes = {
        "cpu_seconds_of_this_process": round(time.process_time() - before, 2),
        "crystals": len(crystals),
        "reference": len(known),
        "processes": options.processes,
    }
    total = round(sum(found["seconds"].values()), 2)
    print(json.dumps({**sizes, **found, "total_seconds": total, "memory_gb": round(memory(), 2)}))


if __name__ == "__main__":
    main()
