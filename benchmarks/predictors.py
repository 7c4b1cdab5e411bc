"""Errors of the predictors against DFT labels, and of what is measured against the labels of the table.

    python benchmarks/predictors.py TABLE [--only chgnet-eos,cgcnn-gap] [--max-sites 20] [--limit 0]

TABLE is a Parquet file of crystals with DFT labels, such as `test.parquet`. Predictors whose extra is not installed are
named and left out. `--limit` takes so many labelled rows of each property, at random, for a quick look. The magnetic
label of our tables is CHGNet's own and no DFT value: its line shows that the label is reproduced, nothing more. The
last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materium.data.readers import checked, read
from materium.data.records import Row
from materium.errors import MateriumError
from materium.evaluate.measure import measure
from materium.evaluate.predictors import Predictor, predictors

METAL = 0.01
"""eV; a smaller gap is that of a metal."""
MEASURED = ("reduced_formula", "space_group", "num_sites", "density", "hhi")
SEED = 0


def rows_of(table: Path, max_sites: int) -> list[Row]:
    """Return the rows that hold a crystal of at most so many sites."""
    return [row for row in checked(read(table)) if row.crystal is not None and len(row.crystal) <= max_sites]


def labelled(rows: Sequence[Row], name: str, limit: int) -> list[Row]:
    """Return the rows with a label, or `limit` of them, drawn at random."""
    found = [row for row in rows if row.properties.get(name) is not None]
    if not limit or len(found) <= limit:
        return found
    keep = np.random.default_rng(SEED).choice(len(found), limit, replace=False)
    return [found[index] for index in sorted(keep)]


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks, equal values sharing their mean rank, shape (n,)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[places]


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the rank correlation of two series."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def errors(found: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    """Return the errors where something was predicted, and how often nothing was."""
    known = np.isfinite(found)
    distance = np.abs(found - truth)[known]
    return {
        "n": int(known.sum()),
        "missing": int((~known).sum()),
        "mae": float(distance.mean()),
        "median_error": float(np.median(distance)),
        "bias": float((found - truth)[known].mean()),
        "spearman": spearman(found[known], truth[known]),
    }


def gaps(found: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    """Return what only a band gap has: metals told from insulators, and the error for the insulators."""
    metal, open_gap = truth < METAL, np.abs(found - truth)[truth >= METAL]
    return {
        "accuracy": float(((found < METAL) == metal).mean()),
        "share_of_metals": float(metal.mean()),
        "mae_of_insulators": float(open_gap.mean()),
        "median_error_of_insulators": float(np.median(open_gap)),
    }


def examine(predictor: Predictor, rows: Sequence[Row]) -> dict[str, float]:
    """Return errors and time of a predictor on labelled rows."""
    crystals = [row.crystal for row in rows if row.crystal is not None]
    truth = np.array([float(row.properties[predictor.predicts]) for row in rows])
    predictor(crystals[:1])  # loads the weights
    begun = time.perf_counter()
    found = predictor(crystals)
    seconds = (time.perf_counter() - begun) / len(rows)
    result = {**errors(found, truth), "seconds": seconds}
    return {**result, **gaps(found, truth)} if predictor.predicts == "band_gap" else result


def reproduced(rows: Sequence[Row], name: str) -> dict[str, float]:
    """Return how well a measurement agrees with the labels: rows that are equal, or the largest relative difference."""
    pairs = [(measure(row.crystal, name), row.properties[name]) for row in rows if row.crystal is not None]
    if name in ("density", "hhi"):
        off = [np.inf if a is None else abs(float(a) / float(b) - 1) for a, b in pairs]
        return {"n": len(pairs), "largest_relative_difference": float(max(off))}
    return {"n": len(pairs), "equal": sum(a == b for a, b in pairs)}


def attempt(examination: Callable[[], dict[str, float]]) -> dict[str, float] | str:
    """Return a result, or the line that says which extra is missing."""
    try:
        return {
            name: value if isinstance(value, int) else float(f"{value:.4g}") for name, value in examination().items()
        }
    except MateriumError as error:
        return str(error)


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--only", default=",".join(predictors()))
    parser.add_argument("--max-sites", type=int, default=20)
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_of(options.table, options.max_sites)
    result: dict[str, object] = {"table": options.table.name, "max_sites": options.max_sites, "rows": len(rows)}
    for name in MEASURED:
        result[name] = attempt(partial(reproduced, labelled(rows, name, 0), name))
        print(name, result[name])
    for name in options.only.split(","):
        predictor = predictors()[name]
        chosen = labelled(rows, predictor.predicts, options.limit)
        result[name] = attempt(partial(examine, predictor, chosen))
        print(name, f"({predictor.predicts})", result[name])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
