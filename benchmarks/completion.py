"""Completing real crystals: how often the atoms that were taken out come back to where they were.

    python benchmarks/completion.py DATA [--crystals 60] [--tries 20] [--keep-lattice]

DATA is a folder of shards with the split `test`. Of each crystal 10, 25 and 50 % of the atoms are taken out, at least
one, or all atoms of one element; the host is shifted to an origin at random, so that the frame tells nothing. A try
counts when pymatgen's StructureMatcher, as it comes, calls it the original. The last line is JSON.
"""

import argparse
import json
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from pymatgen.core.structure_matcher import StructureMatcher

from materium.convert import to_structure
from materium.crystal import Crystal
from materium.data.shard import read_shard
from materium.errors import MateriumError
from materium.evaluate.adherence import Share
from materium.generate.complete import Completion
from materium.generate.engine import Materium, load

SHARES = {"10 %": 0.1, "25 %": 0.25, "50 %": 0.5}
ELEMENT = "one element"


def taken(crystal: Crystal, how: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which sites are taken out, shape (n,)."""
    if how == ELEMENT:
        result: NDArray[np.bool_] = crystal.numbers == rng.choice(np.unique(crystal.numbers))
        return result
    count = max(1, round(SHARES[how] * len(crystal)))
    out = np.zeros(len(crystal), dtype=bool)
    out[rng.permutation(len(crystal))[:count]] = True
    return out


def tries(engine: Materium, crystal: Crystal, out: NDArray[np.bool_], options: argparse.Namespace) -> list[bool]:
    """Return for each try whether it is the original."""
    added = "".join(f"{Element.from_Z(z).symbol}{(crystal.numbers[out] == z).sum()}" for z in set(crystal.numbers[out]))
    shift = np.random.default_rng(options.seed).random(3)
    host = Crystal(crystal.lattice, (crystal.frac_coords[~out] + shift) % 1.0, crystal.numbers[~out])
    completion = Completion(
        engine,
        host,
        added,
        n=options.tries,
        seed=options.seed,
        keep_lattice=options.keep_lattice,
        geometry_temperature=options.geometry_temperature,
    )
    original = to_structure(crystal)
    original.remove_oxidation_states()
    return [matches(completion, sample, original) for sample in chain.from_iterable(completion.samples())]


def matches(completion: Completion, sample: Any, original: Any) -> bool:  # noqa: ANN401 - a sample and a pymatgen structure
    """Return whether a completed crystal is the original."""
    try:
        structure = to_structure(completion.crystal(sample))
    except MateriumError:
        return False
    structure.remove_oxidation_states()
    return bool(StructureMatcher().fit(structure, original))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--crystals", type=int, default=60)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-lattice", action="store_true")
    parser.add_argument("--geometry-temperature", type=float)
    options = parser.parse_args()
    engine = load(options.model)
    shard = read_shard(options.data / "test")
    rng = np.random.default_rng(options.seed)
    several = np.flatnonzero(shard.num_sites() > 1)
    rows = rng.choice(several, size=min(options.crystals, len(several)), replace=False)
    begun = time.perf_counter()
    result: dict[str, Any] = {"model": engine.fingerprint, "keep_lattice": options.keep_lattice}
    for how in (*SHARES, ELEMENT):
        found = []
        for row in rows.tolist():
            crystal = engine.tokenizer.crystal(shard.parts(row))
            out = taken(crystal, how, rng)
            if out.all():  # an element by itself leaves no host
                continue
            found.append(tries(engine, crystal, out, options))
        first, some = Share(sum(f[0] for f in found), len(found)), Share(sum(map(any, found)), len(found))
        result[how] = {"of": len(found), "1 try": first.value, f"{options.tries} tries": some.value}
        result[how]["intervals"] = [first.interval, some.interval]
        print(json.dumps({how: result[how]}), flush=True)
    print(json.dumps({**result, "seconds": round(time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
