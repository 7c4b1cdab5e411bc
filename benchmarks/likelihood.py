"""Does the likelihood mean something? Crystals against the same crystals perturbed, and against their stability.

    python benchmarks/likelihood.py TABLE [--model FOLDER] [--limit 400] [--seed 1]

TABLE holds unseen crystals, in any form that `materium prepare` reads, `energy_above_hull` among its columns if the
second part is wanted. Every crystal is brought to canonical form, perturbed, and scored again by its own canonical
sentence, order `high`, told nothing. For each perturbation the rows say

auc           share of all pairs (original, perturbed), of the same crystal or not, in which the original is likelier
auc_per_atom  the same for ln p over the number of sites
own           share of crystals that are likelier than their own perturbed copy
drop          median of ln p of the original less that of its copy, nats

and where the rest went: `asked` crystals = `not_applicable` (no such perturbation: one element, no free coordinate)
+ `symmetry_changed` (of the kinds that must keep the space group) + `unchanged` (the copy is the same sentence: Na and
Cl swapped in rock salt) + `no_sentence` (overlapping atoms, a cell off the grid) + `compared`. Of these, `forbidden`
ones hold sites nearer than the model ever writes: their ln p is minus infinity, and they count as less likely.

The free perturbations are easy: a random one breaks the symmetry, and special positions and equal axes are more likely
than others whatever the atoms are. The kinds `symmetric …` keep the space group and are what to look at: sites move
along the free directions of their Wyckoff positions only (each by the same distance, none as a whole), elements are
exchanged between whole orbits of equal size, the cell is stretched or squeezed evenly. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import moyopy
import numpy as np
import torch

from materium.crystal import Crystal
from materium.data.readers import read
from materium.errors import MateriumError
from materium.generate.engine import Materium, load
from materium.generate.request import Request
from materium.symmetry import SYMPREC, canonical, space_group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Perturbation = Callable[[Crystal, np.random.Generator], Crystal | None]
    """A perturbed copy, or None where there is none."""
    Floats = NDArray[np.float64]

REQUEST = Request()
SYMMETRIC = "symmetric "
SITE_CLASSES = ((1, 5), (6, 10), (11, 15), (16, 20))


@dataclass(frozen=True)
class Scored:
    """A crystal of the table that has a sentence, in canonical form, with its ln p in nats and its label in eV/atom."""

    name: str
    crystal: Crystal
    tokens: list[int]
    nats: float
    above_hull: float | None


def rebuilt(crystal: Crystal, *, lattice: Floats | None = None, frac: Floats | None = None) -> Crystal:
    """Return the crystal with another lattice or other positions."""
    return Crystal(
        crystal.lattice if lattice is None else lattice,
        crystal.frac_coords if frac is None else frac,
        crystal.numbers,
        crystal.oxidation_states,
    )


def moved(crystal: Crystal, rng: np.random.Generator, distance: float) -> Crystal:
    """Move every site by `distance` Å in a direction of its own."""
    steps = rng.normal(size=(len(crystal), 3))
    steps *= distance / np.linalg.norm(steps, axis=1, keepdims=True)
    return rebuilt(crystal, frac=crystal.frac_coords + steps @ np.linalg.inv(crystal.lattice))


def strained(crystal: Crystal, rng: np.random.Generator, size: float) -> Crystal:
    """Deform the cell by a random symmetric strain whose largest principal value is `size`."""
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    strain *= size / np.abs(np.linalg.eigvalsh(strain)).max()
    return rebuilt(crystal, lattice=crystal.lattice @ (np.eye(3) + strain))


def exchanged(crystal: Crystal, one: Sequence[int], other: Sequence[int]) -> Crystal:
    """Exchange the species of two lists of sites."""
    order = np.arange(len(crystal))
    order[[*one, *other]] = [*other, *one]
    states = None if crystal.oxidation_states is None else crystal.oxidation_states[order]
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers[order], states)


def swapped(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """Exchange two sites of different elements."""
    pairs = [(i, j) for i, j in combinations(range(len(crystal)), 2) if crystal.numbers[i] != crystal.numbers[j]]
    if not pairs:
        return None
    one, other = pairs[rng.integers(len(pairs))]
    return exchanged(crystal, [one], [other])


def dataset(crystal: Crystal) -> moyopy.MoyoDataset:
    """Return the symmetry of the crystal in its own cell."""
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    return moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.standard())


def symmetrically_moved(crystal: Crystal, rng: np.random.Generator, distance: float) -> Crystal | None:
    """Move every site that has a free coordinate by `distance` Å within its Wyckoff position."""
    symmetry = dataset(crystal)
    steps = rng.normal(size=(len(crystal), 3)) @ np.linalg.inv(crystal.lattice)
    total = np.zeros_like(steps)
    rotations, translations = np.array(symmetry.operations.rotations), np.array(symmetry.operations.translations)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = crystal.frac_coords @ rotation.T + translation
        offsets = images[:, None] - crystal.frac_coords[None]
        gaps = np.linalg.norm((offsets - np.round(offsets)) @ crystal.lattice, axis=-1)
        gaps[crystal.numbers[:, None] != crystal.numbers[None]] = np.inf
        total[gaps.argmin(axis=1)] += steps @ rotation.T
    free = (total - total.mean(axis=0)) @ crystal.lattice / len(rotations)
    lengths = np.linalg.norm(free, axis=1, keepdims=True)
    can_move = lengths > 1e-6
    if not can_move.any():
        return None
    free = np.where(can_move, free * distance / np.where(can_move, lengths, 1), 0)
    return rebuilt(crystal, frac=crystal.frac_coords + free @ np.linalg.inv(crystal.lattice))


def symmetrically_swapped(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """Exchange the elements of two orbits of equal size."""
    labels = np.array(dataset(crystal).orbits)
    orbits = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    pairs = [
        (one, other)
        for one, other in combinations(orbits, 2)
        if len(one) == len(other) and crystal.numbers[one[0]] != crystal.numbers[other[0]]
    ]
    return exchanged(crystal, *pairs[rng.integers(len(pairs))]) if pairs else None


def scaled(crystal: Crystal, rng: np.random.Generator, size: float) -> Crystal:
    """Stretch or squeeze all axes by `size`, by the toss of a coin."""
    return rebuilt(crystal, lattice=crystal.lattice * (1 + size * rng.choice([-1, 1])))


def perturbations() -> dict[str, Perturbation]:
    """Return every kind by name."""
    kinds: dict[str, Perturbation] = {f"moved {d} Å": partial(moved, distance=d) for d in (0.1, 0.2, 0.3, 0.5)}
    kinds["swapped"] = swapped
    kinds |= {f"strained {s:.0%}": partial(strained, size=s) for s in (0.02, 0.05, 0.1)}
    kinds |= {f"{SYMMETRIC}moved {d} Å": partial(symmetrically_moved, distance=d) for d in (0.1, 0.2, 0.3, 0.5)}
    kinds[f"{SYMMETRIC}swapped"] = symmetrically_swapped
    return kinds | {f"{SYMMETRIC}scaled {s:.0%}": partial(scaled, size=s) for s in (0.02, 0.05, 0.1)}


def originals(engine: Materium, table: Path) -> tuple[list[Scored], Counter[str]]:
    """Return the crystals of the table that have a sentence, and how many have none for which reason."""
    found, faults = [], Counter[str]()
    for row in read(table):
        try:
            if row.crystal is None:
                raise MateriumError(row.reason)  # noqa: TRY301 - one place counts what is left out
            tokens = engine.sentence(row.crystal, REQUEST)
            found.append((row, canonical(row.crystal), tokens))
        except MateriumError as error:
            faults[kind_of(error)] += 1
    nats = [figures["log_likelihood"] for figures in engine.score([tokens for *_, tokens in found], REQUEST)]
    return [
        Scored(row.id, crystal, tokens.tolist(), value, label(row.properties.get("energy_above_hull")))
        for (row, crystal, tokens), value in zip(found, nats, strict=True)
    ], faults


def label(value: float | str | None) -> float | None:
    """Return a label as a number, None where there is none."""
    return None if value is None else float(value)


def kind_of(error: MateriumError) -> str:
    """Return the first words of a reason, so that reasons can be counted."""
    text = str(error).split(":")[0]
    return "too many sites" if "sites; at most" in text else text[:40]


def compare(engine: Materium, crystals: list[Scored], name: str, perturb: Perturbation, seed: int) -> dict[str, object]:
    """Return the row of a perturbation."""
    pairs, counts, faults = [], Counter[str](), Counter[str]()
    for original in crystals:
        rng = np.random.default_rng([seed, crc32(original.name.encode()), crc32(name.encode())])
        copy = perturb(original.crystal, rng)
        try:
            fate, tokens = _fate(engine, original, copy, keep_group=name.startswith(SYMMETRIC))
        except MateriumError as error:
            fate, tokens = "no_sentence", None
            faults[kind_of(error)] += 1
        counts[fate] += 1
        if tokens is not None:
            pairs.append((original, tokens))
    nats = np.array([f["log_likelihood"] for f in engine.score([tokens for _, tokens in pairs], REQUEST)])
    fates = ("not_applicable", "symmetry_changed", "unchanged", "no_sentence", "compared")
    return {
        "asked": len(crystals),
        **{fate: counts[fate] for fate in fates},
        "forbidden": int(np.isneginf(nats).sum()),
        "why_no_sentence": dict(faults),
        **_shares(np.array([o.nats for o, _ in pairs]), nats, np.array([len(o.crystal) for o, _ in pairs])),
    }


def _fate(
    engine: Materium, original: Scored, copy: Crystal | None, *, keep_group: bool
) -> tuple[str, NDArray[np.int64] | None]:
    """What becomes of a copy, and its sentence if it is to be compared."""
    if copy is None:
        return "not_applicable", None
    tokens = engine.sentence(copy, REQUEST)
    if tokens.tolist() == original.tokens:
        return "unchanged", None
    if keep_group and space_group(copy) != space_group(original.crystal):
        return "symmetry_changed", None
    return "compared", tokens


def _shares(original: Floats, perturbed: Floats, sites: Floats) -> dict[str, float | None]:
    if len(original) == 0:
        return {"auc": None, "auc_per_atom": None, "own": None, "drop": None}
    return {
        "auc": auc(original, perturbed),
        "auc_per_atom": auc(original / sites, perturbed / sites),
        "own": float(np.mean((original > perturbed) + 0.5 * (original == perturbed))),
        "drop": float(np.median(original - perturbed)),
    }


def auc(high: Floats, low: Floats) -> float:
    """Return the share of all pairs in which the first is higher; ties count half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(below.mean() / 2 / len(low))


def spearman(one: Floats, other: Floats) -> float | None:
    """Return the rank correlation, equal values sharing their mean rank; None for fewer than three."""
    if len(one) < 3:
        return None
    ranks = [np.searchsorted(np.sort(v), v, "left") + np.searchsorted(np.sort(v), v, "right") for v in (one, other)]
    return float(np.corrcoef(ranks)[0, 1])


def stability(crystals: list[Scored]) -> dict[str, dict[str, float | None]]:
    """Return rank correlations with the energy above the hull: of all, by number of elements, and of sites."""
    known = [c for c in crystals if c.above_hull is not None and np.isfinite(c.nats)]
    groups = {"all": known}
    for elements in sorted({len(set(c.crystal.numbers.tolist())) for c in known}):
        groups[f"{elements} elements"] = [c for c in known if len(set(c.crystal.numbers.tolist())) == elements]
    for low, high in SITE_CLASSES:
        groups[f"{low} to {high} sites"] = [c for c in known if low <= len(c.crystal) <= high]
    rows = {}
    for name, members in groups.items():
        nats = np.array([c.nats for c in members])
        sites, above = np.array([len(c.crystal) for c in members]), np.array([c.above_hull for c in members])
        rows[name] = {"n": len(members), "nats": spearman(nats, above), "nats_per_atom": spearman(nats / sites, above)}
    return rows


def show(name: str, row: dict[str, object]) -> None:
    """Print a row in one line."""
    cells = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
    print(f"{name}: {', '.join(cells)}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--limit", type=int, help="crystals that are perturbed, drawn from those that can be scored")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    begun = time.perf_counter()
    engine = load(options.model)
    everything, faults = originals(engine, options.table)
    print(f"{len(everything)} crystals scored; not scored: {dict(faults)}", flush=True)
    correlations = stability(everything)
    for name, row in correlations.items():
        show(f"energy above hull, {name}", row)
    rng = np.random.default_rng(options.seed)
    chosen = [everything[i] for i in np.sort(rng.permutation(len(everything))[: options.limit])]
    rows = {}
    for name, perturb in perturbations().items():
        rows[name] = compare(engine, chosen, name, perturb, options.seed)
        show(name, rows[name])
    result = {
        "model": engine.fingerprint,
        "seed": options.seed,
        "scored": len(everything),
        "not_scored": dict(faults),
        "energy_above_hull": correlations,
        "perturbed": rows,
        "seconds": round(time.perf_counter() - begun),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
