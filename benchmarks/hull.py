"""Energies above our hull against those of DFT, on a table with the label `energy_above_hull`.

    python benchmarks/hull.py TABLE KNOWN [KNOWN...] [--reference chgnet] [--potential chgnet] [--relax 0] [--limit 0]

TABLE is judged, such as `test.parquet`; of its labels nothing enters the hull that is built from the KNOWN tables, such
as `train.parquet val.parquet`. The same without any labels, from computed energies alone, shows what they are worth; a
reference that ships may hold TABLE itself, and then its line shows the potential's error and no more. `--relax` takes
so many labelled rows at random and relaxes them first. The last line is JSON.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materium.evaluate.hull import Envelope
from materium.evaluate.reference import load
from materium.evaluate.reference_build import ABOVE, Item, Options, fit_elements, measured, points, terminals
from materium.relax.adapters import potential as potential_of
from materium.relax.relaxer import relax

METASTABLE = 0.1
"""eV/atom; what the field calls stable."""
ON_HULL = 1e-6
"""eV/atom; labels below it are those of stable phases."""
SEED = 0


def envelope(items: Sequence[Item]) -> Envelope:
    """Return the hull of these crystals."""
    elements = fit_elements(items)
    return Envelope([*terminals(elements), *(point for point in points(items, elements) if point is not None)])


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks, equal values sharing their mean rank, shape (n,)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[places]


def compare(items: Sequence[Item], height: Callable[[Item], float | None]) -> dict[str, float]:
    """Return errors and verdicts of heights above a hull, eV/atom, against the labels."""
    heights = [height(item) for item in items]
    known = [(h, item.labels[ABOVE]) for h, item in zip(heights, items, strict=True) if h is not None]
    found, truth = np.array(known).T
    error, off = np.abs(found - truth), truth > ON_HULL
    called, stable = found <= METASTABLE, truth <= METASTABLE
    result = {
        "rows": len(items),
        "no_reference": len(items) - len(known),
        "mae": error.mean(),
        "median_error": np.median(error),
        "mae_above_hull": error[off].mean(),
        "median_error_above_hull": np.median(error[off]),
        "spearman": np.corrcoef(ranks(found), ranks(truth))[0, 1],
        "agree": (called == stable).mean(),
        "recall": called[stable].mean(),
        "stable_called_stable": int((called & stable).sum()),
        "stable_called_unstable": int((~called & stable).sum()),
        "unstable_called_stable": int((called & ~stable).sum()),
        "unstable_called_unstable": int((~called & ~stable).sum()),
    }
    return {name: value if isinstance(value, int) else float(f"{value:.4g}") for name, value in result.items()}


def above(hull: Envelope) -> Callable[[Item], float | None]:
    """Return what gives an item's height above a hull in eV/atom, None where there is no reference or energy."""

    def height(item: Item) -> float | None:
        mixture = hull.mixture(item.formula)
        return None if mixture is None or item.energy is None else item.energy - mixture.energy

    return height


def relaxed(items: Sequence[Item], count: int, name: str) -> list[Item]:
    """Return random items with the energies of their relaxed cells, which are None where relaxation failed."""
    chosen = np.random.default_rng(SEED).choice(len(items), min(count, len(items)), replace=False)
    picked = [items[index] for index in sorted(chosen)]
    results = relax([item.crystal for item in picked], potential_of(name))
    energies = [result.energy if np.isfinite(result.energy) else None for result in results]
    return [replace(item, energy=energy) for item, energy in zip(picked, energies, strict=True)]


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("known", type=Path, nargs="+")
    parser.add_argument("--reference", default=None)
    parser.add_argument("--potential", default="chgnet")
    parser.add_argument("--relax", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    potential = potential_of(options.potential)
    judged = [item for item in measured([options.table], potential, Options()) if ABOVE in item.labels]
    judged = judged[: options.limit or None]
    known = measured(options.known, potential, Options())
    hulls = {
        "computed energies alone": envelope([replace(item, labels={}) for item in known]),
        "with DFT labels": envelope(known),
    }
    if options.reference:
        hulls[f"reference {options.reference}"] = Envelope(load(options.reference).entries)
    result: dict[str, object] = {"table": options.table.name, "known": [path.name for path in options.known]}
    for name, hull in hulls.items():
        result[name] = compare(judged, above(hull))
        print(name, result[name])
    if options.relax:
        after = relaxed(judged, options.relax, options.potential)
        for name, hull in hulls.items():
            result[f"{name}, relaxed"] = compare(after, above(hull))
            print(f"{name}, relaxed", result[f"{name}, relaxed"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
