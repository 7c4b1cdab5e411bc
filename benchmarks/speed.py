"""Curves of the cost of sampling: against atoms, batch, size of the network, and threads against processes.

    python benchmarks/speed.py [-n 256] [--repeats 3] [--largest 1024] [--out FILE]

Single figures, and their ratio to what the machine can do, are what `materium bench` measures. Here are the curves,
in seconds per 1,000 crystals, medians of runs that take turns. Networks of other sizes, and of up to 52 atoms, have
random weights: that changes what is written, and not what a token costs. The last line is JSON.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from materium.bench.limits import interleaved, limits, machine
from materium.bench.sampling import by_atoms, by_batch, by_cores, written
from materium.cli.bench import flat
from materium.generate.engine import Materium, load
from materium.generate.request import Request
from materium.model.config import ModelConfig
from materium.model.transformer import Transformer

ATOMS = [1, 2, 4, 8, 12, 16, 20, 32, 52]
BATCHES = [1, 4, 16, 64, 128, 256, 512, 1024]
SHAPES = {
    "width 128, 4 layers": {"width": 128, "layers": 4, "hidden": 320},
    "width 256, 6 layers, what ships": {},
    "width 384, 8 layers": {"width": 384, "layers": 8, "heads": 6, "kv_heads": 6, "hidden": 960},
}
SITES = 8
"""Atoms of the crystals by which networks are compared."""


def random_engine(shipped: Materium, **changes: Any) -> Materium:
    """Return a network of another shape, with the sentences of the one that ships and random weights."""
    torch.manual_seed(0)
    config = ModelConfig.preset("base", tokenizer=shipped.tokenizer.config, seen=shipped.model.config.seen)
    network = Transformer(replace(config, site_separation=shipped.model.config.site_separation, **changes)).eval()
    return Materium(network, {"weights_sha256": "random"})


def by_shape(shipped: Materium, n: int, repeats: int) -> dict[str, float]:
    """Return the seconds per 1,000 crystals of `SITES` atoms, for each shape."""
    engines = {name: random_engine(shipped, **changes) for name, changes in SHAPES.items()}
    request = Request(n=n, seed=1, conditions={"num_sites": SITES})
    tasks = {name: lambda engine=engine: written(engine, request) for name, engine in engines.items()}
    return {name: 1000 * taken / n for name, taken in interleaved(tasks, repeats).items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=256, help="Crystals for each point; 1,024 for large batches.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--largest", type=int, default=BATCHES[-1], help="Largest batch of the curve.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    shipped, n, repeats = load(), options.n, options.repeats
    larger = random_engine(shipped, tokenizer=replace(shipped.tokenizer.config, max_sites=ATOMS[-1]))
    sizes = [size for size in BATCHES if size <= options.largest]
    figures = {
        "machine": machine(),
        "limits": limits(20),
        "n": n,
        "atoms": by_atoms(larger, ATOMS, n, repeats),
        "batch, few": by_batch(shipped, [size for size in sizes if size <= 16], min(n, 64), repeats),
        "batch": by_batch(shipped, [size for size in sizes if size > 16], max(n, sizes[-1]), repeats),
        "network": by_shape(shipped, n, repeats),
        "cores": by_cores(shipped, n, repeats),
    }
    for name, value in flat(figures):
        print(name, value)
    line = json.dumps(figures)
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")
    print(line)


if __name__ == "__main__":
    main()
