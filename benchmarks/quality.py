"""Quality of a model, measured: likelihood of unseen crystals, and what 1,000 of its own are worth.

    python benchmarks/quality.py DATA [--model FOLDER] [--samples 1000] [--draws 1]

DATA is a folder of shards that `materium prepare` wrote with the splits `train` and `test`. The last line is JSON.
"""

import argparse
import json
import platform
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np

from materium.crystal import fault
from materium.data.manifest import read_manifest
from materium.data.shard import Shard, read_shard
from materium.generate.engine import Materium, load
from materium.generate.request import Request
from materium.oxidation import reduced_formula
from materium.train.atoms import validate


def likelihood(engine: Materium, data: Path, split: str) -> dict[str, float]:
    """Return nats a crystal and a token on a split, canonical sentences, told nothing."""
    figures = validate(engine.model, engine.grammar, read_shard(data / split))
    return {name: round(value, 3) for name, value in figures.items()}


def formulas_of(engine: Materium, shard: Shard) -> set[tuple[tuple[int, int], ...]]:
    """Return the reduced formulas of a shard."""
    return {reduced_formula(engine.tokenizer.crystal(shard.parts(row))) for row in range(len(shard))}


def samples(engine: Materium, request: Request, known: set[tuple[tuple[int, int], ...]]) -> dict[str, object]:
    """Return shares of valid, distinct and new among the samples of a request, all of them in the denominator."""
    begun = time.perf_counter()
    written = list(engine.samples(request))
    seconds = time.perf_counter() - begun
    crystals = [engine.tokenizer.decode(w.tokens) for w in written]
    faults = Counter((fault(c) or "valid").split()[0] for c in crystals)
    formulas = [reduced_formula(c) for c in crystals]
    count = len(crystals)
    return {
        "n": count,
        "seed": request.seed,
        "temperature": request.temperature,
        "geometry_temperature": request.geometry_temperature,
        "valid": faults["valid"] / count,
        "faults": dict(faults),
        "distinct_formulas": len(set(formulas)) / count,
        "formulas_not_in_training": sum(f not in known for f in formulas) / count,
        "mean_sites": float(np.mean([len(c) for c in crystals])),
        "crystals_per_second": round(count / seconds, 1),
    }


def commit() -> str:
    """Return the short name of the commit that is measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - a constant


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine = load(options.model)
    engine.tokenizer.config.require(read_manifest(options.data)["fingerprint"], str(options.data))
    result: dict[str, object] = {
        "commit": commit(),
        "machine": f"{platform.processor() or platform.machine()}, {platform.system()}",
        "model": engine.fingerprint,
        "likelihood": likelihood(engine, options.data, options.split),
    }
    known = formulas_of(engine, read_shard(options.data / "train"))
    shard = read_shard(options.data / options.split)
    result["data"] = {"rows": len(shard), "mean_sites": float(shard.num_sites().mean())}
    for geometry in (None, 0.6):
        request = Request(n=options.samples, seed=options.seed, geometry_temperature=geometry)
        result[f"geometry_temperature_{geometry}"] = samples(engine, request, known)
        print(json.dumps(result[f"geometry_temperature_{geometry}"], indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
