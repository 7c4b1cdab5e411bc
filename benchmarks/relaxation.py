"""Relaxations per minute of `materium.relax` against a plain ASE loop with the potential's own calculator.

    python benchmarks/relaxation.py TABLE -n 10 --potential chgnet --displace 0.1

Both relax cell and positions with FIRE to the same bound, the ASE loop with FrechetCellFilter and one crystal after
another. They take turns on parts of the crystals, on one thread; time is that of the processor, so that other work on
the machine does not count. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.convert import to_atoms
from materium.crystal import Crystal
from materium.data.readers import read
from materium.relax.adapters import potential
from materium.relax.relaxer import FMAX, MAX_STEPS, relax

if TYPE_CHECKING:
    from materium.relax.potential import Potential

PART = 10
"""Crystals after which the other one has its turn."""


def main() -> None:
    """Print a table and a line of JSON."""
    import torch

    arguments = parse()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # those of the packages
    crystals = chosen(arguments)
    ours, calculator = potential(arguments.potential), own_calculator(arguments.potential)
    relax(crystals[:1], ours, max_steps=1)  # first calls compile and load
    ase_loop(crystals[:1], calculator, 1)
    rows: dict[str, list[tuple[float, float, int]]] = {"materium": [], "ase": []}
    seconds = dict.fromkeys(rows, 0.0)
    for start in range(0, len(crystals), PART):
        part = crystals[start : start + PART]
        for name in rows:
            began = time.process_time()
            rows[name] += batched(part, ours) if name == "materium" else ase_loop(part, calculator, MAX_STEPS)
            seconds[name] += time.process_time() - began
    report(arguments, rows, seconds)


def parse() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("-n", type=int, default=10, help="crystals")
    parser.add_argument("--potential", choices=["chgnet", "sevennet", "sevennet-l3i5"], default="chgnet")
    parser.add_argument("--max-sites", type=int, default=20)
    parser.add_argument("--displace", type=float, default=0.1, help="Å, standard deviation of each coordinate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def chosen(arguments: argparse.Namespace) -> list[Crystal]:
    """Return crystals of the table at random, displaced."""
    random = np.random.default_rng(arguments.seed)
    rows = [row.crystal for row in read(arguments.table) if row.crystal and len(row.crystal) <= arguments.max_sites]
    picks = random.choice(len(rows), size=min(arguments.n, len(rows)), replace=False)
    return [displaced(rows[pick], arguments.displace, random) for pick in picks]


def displaced(crystal: Crystal, size: float, random: np.random.Generator) -> Crystal:
    """Return the crystal with normal noise of `size` Å on its positions."""
    moves = size * random.normal(size=(len(crystal), 3)) @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, crystal.frac_coords + moves, crystal.numbers)


def own_calculator(name: str) -> Any:  # noqa: ANN401 - a calculator of another package
    """Return the ASE calculator that the potential's package offers."""
    if name == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu")
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator({"sevennet": "7net-0", "sevennet-l3i5": "7net-l3i5"}[name], device="cpu")


def batched(crystals: list[Crystal], ours: Potential) -> list[tuple[float, float, int]]:
    """Return energy (eV/atom), whether it converged, and steps."""
    return [(one.energy, one.status == "converged", one.steps) for one in relax(crystals, ours)]


def ase_loop(crystals: list[Crystal], calculator: Any, steps: int) -> list[tuple[float, float, int]]:  # noqa: ANN401
    """Return the same by FIRE with FrechetCellFilter, one crystal after another."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    found = []
    for crystal in crystals:
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        converged = optimizer.run(fmax=FMAX, steps=steps)
        found.append((float(atoms.get_potential_energy()) / len(atoms), bool(converged), optimizer.nsteps))
    return found


def report(
    arguments: argparse.Namespace, rows: dict[str, list[tuple[float, float, int]]], seconds: dict[str, float]
) -> None:
    """Print how many, how fast, and how far apart the energies are."""
    result: dict[str, Any] = {"potential": arguments.potential, "crystals": len(rows["ase"]), "fmax": FMAX}
    print(f"{'':10} {'converged':>9} {'steps':>7} {'ms/step':>8} {'per minute':>10}")
    for name, found in rows.items():
        steps = sum(one[2] for one in found)
        each = 1000 * seconds[name] / (steps + len(found))
        result[name] = {
            "converged": sum(bool(one[1]) for one in found),
            "steps": steps / len(found),
            "ms_per_crystal_and_step": each,
            "per_minute": 60 * len(found) / seconds[name],
        }
        numbers = result[name]
        print(f"{name:10} {numbers['converged']:9} {numbers['steps']:7.1f} {each:8.1f} {numbers['per_minute']:10.1f}")
    gaps = [one[0] - other[0] for one, other in zip(rows["materium"], rows["ase"], strict=True)]
    result["ratio"] = seconds["ase"] / seconds["materium"]
    result["largest_energy_difference"] = float(np.nanmax(np.abs(gaps)))
    print(f"{result['ratio']:.2f} times as fast; energies within {result['largest_energy_difference']:.4f} eV/atom")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
