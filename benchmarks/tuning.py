"""What a model must be told so that what was asked for comes of it: a curve for each condition that it leans towards.

    python benchmarks/tuning.py OUT [--only band_gap] [-n 256] [--guidance band_gap=3 bulk_modulus=2] [--workers 2]
                                    [--ship FOLDER]

For each told value the median of the property, predicted, over `n` structures with the model's own temperatures.
Medians that do not rise are averaged, and the curve is turned round: `tuned.json` beside the model says what to tell
it. The seed is not that of `benchmarks/adherence.py`, which measures what comes of it. The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from adherence import rows_of

from materium.generate.engine import load
from materium.generate.request import Request
from materium.generate.tuned import TUNED, Aim
from materium.io.atomic import write_json

GRIDS: dict[str, list[float]] = {
    "band_gap": [0, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7],
    "bulk_modulus": [30, 50, 70, 75, 80, 90, 120, 160, 200, 250, 300, 350],
    "mag_density": [0, 0.01, 0.02, 0.03, 0.035, 0.04, 0.045, 0.05, 0.055, 0.06, 0.065, 0.07, 0.1, 0.2],
}
"""What the model is told, in the unit of the property."""
SEED = 2
LEAST_RISE = 1e-6
"""Relative to the largest median: a curve that is to be turned round must rise."""


def came(model: Path | None, name: str, told: float, weight: float, n: int) -> dict[str, float]:
    """Return the median and quartiles of a property over structures that were told a value of it."""
    import torch

    torch.set_num_threads(1)
    engine = load(model)
    asked = Request(n=n, seed=SEED, conditions={name: told}, soft=True, guidance=weight)
    rows = rows_of(engine, engine.tuned.apply(asked, {"guidance"}), 0)
    values = [row["measured"][name] for row in rows if row["measured"][name] is not None]
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    valid = sum(row["valid"] for row in rows) / n
    kinds = len({row["formula"] for row in rows}) / n
    return {"told": told, "median": middle, "low": low, "high": high, "valid": valid, "distinct_formulas": kinds}


def rising(medians: Sequence[float], told: Sequence[float]) -> Aim:
    """Return the curve of medians that rise, where they do not the mean of those that are out of order.

    The mean of what falls is the rising curve of the smallest squares (M. Ayer et al., Ann. Math. Stat. 26, 641, 1955).
    """
    pools: list[list[tuple[float, float]]] = []
    for pair in zip(medians, told, strict=True):
        pools.append([pair])
        while len(pools) > 1 and np.mean(pools[-2], axis=0)[0] >= np.mean(pools[-1], axis=0)[0]:
            last = pools.pop()
            pools[-1] += last
    least = LEAST_RISE * max(abs(value) for value in medians)
    curve = [tuple(map(float, np.mean(pool, axis=0))) for pool in pools]
    kept = [curve[0], *(b for a, b in pairwise(curve) if b[0] - a[0] > least)]
    return Aim(tuple(round(heard, 4) for _, heard in kept), tuple(round(middle, 6) for middle, _ in kept))


def main() -> None:
    """Measure the curves, print them, and write them beside the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file for what was measured, JSON")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--only", default=",".join(GRIDS))
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--guidance", nargs="*", default=[], help="weights by condition, such as band_gap=3")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ship", type=Path, help="folder of the model, which gets tuned.json")
    options = parser.parse_args()
    tuned = load(options.model).tuned
    weights = {**tuned.guidance, **{k: float(v) for k, _, v in (word.partition("=") for word in options.guidance)}}
    found: dict[str, list[dict[str, Any]]] = {}
    begun = time.perf_counter()
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for name in options.only.split(","):
            grid, weight = GRIDS[name], weights.get(name, 1.0)
            rows = pool.map(came, *map(repeat, (options.model, name)), grid, repeat(weight), repeat(options.n))
            found[name] = [{"guidance": weight, **row} for row in rows]
            for row in found[name]:
                print(name, json.dumps(row), flush=True)
    curves = {name: [[row[key] for row in rows] for key in ("median", "told")] for name, rows in found.items()}
    aims = {name: rising(*curve) for name, curve in curves.items()}
    tuned = replace(tuned, guidance=weights, aims={**tuned.aims, **aims})
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.ship:
        write_json(options.ship / TUNED, tuned.to_dict())
    print(json.dumps({"n": options.n, "seconds": round(time.perf_counter() - begun), **tuned.to_dict()}))


if __name__ == "__main__":
    main()
