"""Other ways to compute the same network: what each saves in sampling, and what it costs in likelihood.

    python benchmarks/variants.py TABLE [-n 256] [--limit 300] [--repeats 3] [--compile]

TABLE holds crystals to score (`val`). For float32, bfloat16, and int8 weights with activations that are brought to
int8 as they come (PyTorch's dynamic quantisation, VNNI where the processor has it), and with --compile for
feedforwards that `torch.compile` has fused: processor seconds per 1,000 crystals on one thread, told nothing,
temperature 1, medians of runs that take turns; and nats of the canonical sentence of each crystal, told nothing. The
last line is JSON.
"""

import argparse
import copy
import json
import statistics
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch

from materium.bench.limits import machine
from materium.data.readers import read
from materium.errors import MateriumError
from materium.generate.decoding import write_batch
from materium.generate.engine import Materium, load
from materium.generate.request import Request
from materium.tokens.vocab import PAD

REQUEST = Request()


def int8(engine: Materium) -> Materium:
    """Return the engine with int8 weights in its blocks."""
    other = copy.deepcopy(engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that this moves to a package of its own
        other.model.blocks = torch.ao.quantization.quantize_dynamic(other.model.blocks, {torch.nn.Linear})
    return other


def compiled(engine: Materium) -> Materium:
    """Return the engine with fused feedforwards; the rest changes its shapes with each token."""
    other = copy.deepcopy(engine)
    for block in other.model.blocks:
        block.feedforward = torch.compile(block.feedforward, dynamic=True)
    return other


def bfloat16(engine: Materium) -> Materium:
    """Return the engine with products in bfloat16."""
    other = copy.deepcopy(engine)
    other.bfloat16 = True
    return other


def seconds(engine: Materium, n: int) -> float:
    """Return the processor seconds per 1,000 crystals."""
    plan = engine.plan(Request(n=n, seed=1))
    begun = time.process_time()
    for _ in engine.batches(plan, 0, n):
        pass
    return (time.process_time() - begun) * 1000 / n


def sentences(engine: Materium, table: Path, limit: int) -> list:
    """Return the canonical sentences of the first crystals of a table that have one."""
    found = []
    for row in read(table):
        with suppress(MateriumError):
            if row.crystal is not None:
                found.append(engine.sentence(row.crystal, REQUEST))
        if len(found) == limit:
            break
    return found


def nats(engine: Materium, words: list) -> float:
    """Return the mean nats of sentences, by the decoder that samples: it rounds where sampling rounds."""
    given = torch.full((len(words), engine.tokenizer.max_tokens), PAD)
    for row, tokens in zip(given, words, strict=True):
        row[: len(tokens)] = torch.from_numpy(tokens)
    dtype = torch.bfloat16 if engine.bfloat16 else torch.float32
    plan = engine.plan(Request(n=len(words)))
    samples = write_batch(engine.model, engine.grammar, plan, range(len(words)), given, dtype=dtype)
    return -statistics.fmean(sample.log_likelihood for sample in samples)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3, help="At least 1.")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine = load()
    engines = {"float32": engine, "bfloat16": bfloat16(engine), "int8": int8(engine)}
    if options.compile:
        engines["float32, compiled feedforward"] = compiled(engine)
    words = sentences(engine, options.table, options.limit)
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(1 + options.repeats):
        for name, one in engines.items():
            taken[name].append(seconds(one, options.n))
    result = {
        name: {"seconds_per_1000": statistics.median(taken[name][1:]), "nats": nats(one, words)}
        for name, one in engines.items()
    }
    for name, row in result.items():
        print(name, row)
    print(json.dumps({"machine": machine(), "n": options.n, "scored": len(words), **result}))


if __name__ == "__main__":
    main()
