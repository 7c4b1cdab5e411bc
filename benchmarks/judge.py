"""The judge judged: real crystals, the same with their atoms displaced, and the same with their elements shuffled.

    python benchmarks/judge.py TABLE [--count 300] [--potential chgnet] [--reference NAME] [--processes 2] [--seed 0]
                               [--sets real,displaced,shuffled]

TABLE is a table of real crystals with DFT's `energy_above_hull` in eV/atom, such as the test split. Of 300 random ones:
how many are parsed, valid, converged, and within 0.1 eV/atom of the hull, and of those that DFT holds for metastable,
how many the judge does too. What was displaced by 0.3 Å or shuffled must come out clearly worse. With --out results are
kept in a folder from which a stopped run goes on. The last line is JSON.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from materium.crystal import Crystal
from materium.data.readers import read
from materium.data.records import Row
from materium.evaluate.adherence import Share
from materium.evaluate.pipeline import Evaluation, Settings, evaluate
from materium.evaluate.reference import DEFAULT
from materium.evaluate.summary import METASTABLE

DISPLACEMENT = 0.3
"""Å that every atom is moved, in a random direction."""
LABEL = "energy_above_hull"
FIGURES = ("parsed", "valid", "smact_valid", "converged", "relaxed", "matched", "placed", "stable", "metastable")


def chosen(table: Path, count: int, rng: np.random.Generator) -> list[Row]:
    """Return random rows of a table, in its order; rows that cannot be read stay in."""
    rows = list(read(table))
    return [rows[place] for place in np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))]


def displaced(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Return the crystal with every atom moved by `DISPLACEMENT` in a direction of its own."""
    moves = rng.normal(size=(len(crystal), 3))
    moves *= DISPLACEMENT / np.linalg.norm(moves, axis=1, keepdims=True)
    return Crystal(crystal.lattice, crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice), crystal.numbers)


def shuffled(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Return the crystal with its atoms permuted over its sites; one element alone cannot be shuffled."""
    for _ in range(20):
        numbers = rng.permutation(crystal.numbers)
        if (numbers != crystal.numbers).any():
            break
    return Crystal(crystal.lattice, crystal.frac_coords, numbers)


def figures(found: Evaluation, rows: list[Row]) -> dict[str, object]:
    """Return the fractions, the height above the hull, and how the labels of DFT agree."""
    metrics = found.metrics["metrics"]
    shares = {name: [metrics[name]["numerator"], metrics[name]["denominator"]] for name in FIGURES if name in metrics}
    heights = {name: round(metrics[LABEL][name], 4) for name in ("value", "median")} if LABEL in metrics else None
    return {**shares, LABEL: heights, "rmsd": metrics.get("rmsd", {}).get("value"), **agreement(found, rows)}


def agreement(found: Evaluation, rows: list[Row]) -> dict[str, object]:
    """Return, of the rows that DFT calls metastable, the share that the judge does, and the mean error of heights."""
    labels = [row.properties.get(LABEL) for row in rows]
    pairs = [(label, row) for label, row in zip(labels, found.rows, strict=True) if isinstance(label, float | int)]
    good = [row for label, row in pairs if label <= METASTABLE]
    errors = [abs(row[LABEL] - label) for label, row in pairs if row.get(LABEL) is not None]
    share = Share(sum(bool(row.get("metastable")) for row in good), len(good)) if good else None
    return {
        "metastable_of_labelled": share and [share.met, share.of],
        "interval": share and [round(bound, 4) for bound in share.interval],
        "mae_above_hull": round(float(np.mean(errors)), 4) if errors else None,
    }


def main() -> None:
    """Judge the three sets and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--potential", default=DEFAULT)
    parser.add_argument("--reference")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=Settings.max_steps)
    parser.add_argument("--sets", default="real,displaced,shuffled")
    parser.add_argument("--out", type=Path, help="folder from which a stopped run goes on")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = chosen(options.table, options.count, rng)
    # The test crystals are in the reference, so novelty has nothing to tell here.
    settings = Settings(
        potential=options.potential,
        reference=options.reference,
        max_steps=options.max_steps,
        skip=frozenset({"novel"}),
    )
    sets = {
        "real": rows,
        "displaced": [Row(r.id, r.crystal and displaced(r.crystal, rng), {}, r.reason) for r in rows],
        "shuffled": [Row(r.id, r.crystal and shuffled(r.crystal, rng), {}, r.reason) for r in rows],
    }
    results = {}
    for name in options.sets.split(","):
        made = sets[name]
        begun = time.perf_counter()
        out = None if options.out is None else options.out / name
        found = evaluate(made, out, settings, processes=options.processes)
        results[name] = {**figures(found, rows), "seconds": round(time.perf_counter() - begun, 1)}
        print(f"{name}: {results[name]}", flush=True)
    machine = {"machine": platform.processor() or platform.machine(), "processes": options.processes}
    facts = {"potential": found.metrics["potential"], "reference": found.metrics["reference"], "seed": options.seed}
    print(json.dumps({"table": options.table.name, "count": len(rows), **facts, **machine, **results}))


if __name__ == "__main__":
    main()
