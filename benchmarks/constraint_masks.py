"""Times the masks of hard constraints: atoms on Wyckoff positions in all groups, and headers under typical constraints.

    python benchmarks/constraint_masks.py --walks 10

CPU time of one core. Headers are drawn at random under the masks, which no model would do: most of their oxidation
states are unlikely ones. A dead end is a header that the masks took for completable and that is not.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
from pymatgen.core import Composition, Element

from materium.core.completion import HeaderConstraints
from materium.core.header import HeaderMasks
from materium.core.occupancy import Occupancy, RequiredPosition, occupancy
from materium.core.space_groups import NUMBERS, find_space_groups

STATES = {z: sorted({0, *map(int, Element.from_Z(z).common_oxidation_states)}) for z in range(1, 100)}
VOCABULARY = tuple((z, state) for z, states in STATES.items() for state in states)
FE = 26


def formula(text: str) -> tuple[tuple[int, int], ...]:
    """Atomic numbers and counts."""
    return tuple((element.Z, int(count)) for element, count in Composition(text).items())


CASES = {
    "no constraint": {},
    "neutral": {"neutral": True},
    "neutral, species by falling atomic number": {"neutral": True, "direction": -1},
    "centrosymmetric": {"groups": frozenset(find_space_groups(centrosymmetric=True))},
    "227, neutral": {"groups": frozenset({227}), "neutral": True},
    "230, neutral": {"groups": frozenset({230}), "neutral": True},
    "227, neutral, 52 sites": {"groups": frozenset({227}), "neutral": True, "sites": (52, 52)},
    "ternary with Fe, cubic, neutral": {
        "groups": frozenset(find_space_groups(system="cubic")),
        "neutral": True,
        "required": frozenset({FE}),
        "num_elements": (3, 3),
    },
    "Li-Fe-P-O, 62, neutral": {
        "groups": frozenset({62}),
        "neutral": True,
        "allowed": frozenset({3, 8, 15, FE}),
        "required": frozenset({3, 8, 15, FE}),
    },
    "4a, 24f and F on 4c in 216, neutral": {
        "groups": frozenset({216}),
        "neutral": True,
        "positions": (RequiredPosition("4a"), RequiredPosition("4c", 9), RequiredPosition("24f")),
    },
    "221, 5 elements, 20 sites, neutral": {
        "groups": frozenset({221}),
        "neutral": True,
        "num_elements": (5, 5),
        "sites": (20, 20),
    },
    "Fe3O4, 227, neutral": {"formula": formula("Fe3O4"), "groups": frozenset({227}), "neutral": True},
    "Y3Al5O12, 230, neutral, 80 sites": {
        "formula": formula("Y3Al5O12"),
        "groups": frozenset({230}),
        "neutral": True,
        "sites": (1, 80),
    },
    "Ca5P3O13H, 176, neutral": {"formula": formula("Ca5P3O13H"), "groups": frozenset({176}), "neutral": True},
}


def time_occupancy(rng: np.random.Generator) -> None:
    """Print microseconds of a feasibility and of a mask that are not remembered, over states of all groups."""
    times: dict[str, list[float]] = {"feasible": [], "positions": []}
    for group in NUMBERS:
        sizes = occupancy(group).multiplicities
        for _ in range(30):
            species = int(rng.integers(1, 11))
            counts = rng.choice(sizes, species) * rng.integers(1, 4, species)
            while counts.sum() > 52:
                counts = rng.multinomial(52 - species, np.ones(species) / species) + 1
            cell, place = tuple(counts.tolist()), Occupancy(group)
            place.solver.forget()
            start = process_time()
            place.feasible(cell)
            middle = process_time()
            place.positions_allowed(cell, 0)
            times["feasible"].append(middle - start)
            times["positions"].append(process_time() - middle)
    for name, values in times.items():
        micro = 1e6 * np.array(values)
        print(f"{name}: mean {micro.mean():.0f}, 99 % {np.percentile(micro, 99):.0f}, worst {micro.max():.0f} µs")


def time_header(name: str, rng: np.random.Generator, walks: int) -> None:
    """Print milliseconds of the masks of random headers under one set of constraints."""
    start = process_time()
    masks, times = HeaderMasks(HeaderConstraints(VOCABULARY, **CASES[name])), {"species": [], "counts": []}
    masks.search.completable(())
    first, dead = 1e3 * (process_time() - start), 0
    for _ in range(walks):
        header: tuple[tuple[int, int], ...] = ()
        while True:
            start = process_time()
            allowed = np.flatnonzero(masks.species_allowed(header))
            times["species"].append(process_time() - start)
            may_end = masks.search.may_end(header)
            if not len(allowed) or (may_end and rng.random() < 0.3):
                dead += not may_end
                break
            species, start = int(rng.choice(allowed)), process_time()
            counts = np.flatnonzero(masks.counts_allowed(header, species))
            times["counts"].append(process_time() - start)
            if not len(counts):
                dead += 1
                break
            odds = 1 / counts
            header = (*header, (species, int(rng.choice(counts, p=odds / odds.sum()))))
    figures = ", ".join(
        f"{key} {1e3 * np.mean(values):.1f} (worst {1e3 * max(values):.0f}) ms" for key, values in times.items()
    )
    print(f"{name}: first {first:.1f} ms, {figures}, dead ends {dead} of {walks}", flush=True)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walks", type=int, default=10, help="Headers for each set of constraints")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    time_occupancy(rng)
    for name in CASES:
        time_header(name, rng, arguments.walks)


if __name__ == "__main__":
    main()
