"""What each stage says of a crystal, as columns of plain JSON types; every function gives one entry for each item.

A verdict that cannot be given is null, with its reason in a column of its own, and no error leaves a function.
"""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.convert import to_structure
from materium.crystal import VOLUME_PER_ATOM, Crystal, fault
from materium.errors import MateriumError
from materium.evaluate import measure, validity
from materium.evaluate.hull import too_deep
from materium.evaluate.uniqueness import first_of_equals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core.structure_matcher import StructureMatcher

    from materium.evaluate.hull import Hull
    from materium.evaluate.novelty import Known
    from materium.evaluate.stages import Columns
    from materium.relax.potential import Potential
    from materium.relax.relaxer import Relaxation

RELAXED = ("converged", "max_steps")
"""Statuses of a relaxation whose structure and energy are used."""
NOT_MATCHED = 0.5
"""RMSD, relative to the cube root of the volume per atom, of a pair that does not match at all, as in MatterGen."""
MAX_SKEW = 1e5
"""Product of the edges over the volume; a unit cell has less than 100, however oddly it is chosen."""
MAX_LENGTH = 1000.0
"""Longest edge over the cube root of the volume; it is below 20 even in stacks of hundreds of layers."""
ALIGNED_SITES = 64
"""Sites of a cell up to which StructureMatcher aligns it with what it relaxed to."""
MATCHED = 0.3
"""StructureMatcher's tolerance of sites, relative to the cube root of the volume per atom."""
NO_REFERENCE = "no reference: the hull lacks one of the elements"


def checks(crystals: Sequence[Crystal], *, bond_valence: bool = False) -> list[Columns]:
    """Return the facts and verdicts of `validity.check`, empty reasons as null."""
    return [_check(crystal, bond_valence=bond_valence) for crystal in crystals]


def _check(crystal: Crystal, *, bond_valence: bool) -> Columns:
    reason = hopeless(crystal)
    if reason is not None:
        each = crystal.volume / len(crystal)
        return plain({"valid": False, "reason": reason, "volume_per_atom": each, "density": crystal.density})
    try:
        facts = plain(validity.check(crystal, bond_valence=bond_valence))
    except ValueError as error:  # ours is one, and so is what moyo raises where its reduction of the cell fails
        return {"valid": False, "reason": f"cannot be checked: {' '.join(str(error).split())}"}
    return {**facts, "reason": facts["reason"] or None}


def hopeless(crystal: Crystal) -> str | None:
    """Return why a cell is not worth a check, or None: reducing an absurd one takes many seconds, or fails."""
    low, high = VOLUME_PER_ATOM
    if not low <= crystal.volume / len(crystal) <= high:
        return fault(crystal)  # it looks at the volume before the distances
    edges = np.linalg.norm(crystal.lattice, axis=1)
    skew, length = float(np.prod(edges) / crystal.volume), float(edges.max() / np.cbrt(crystal.volume))
    if skew > MAX_SKEW:
        return f"cell is skewed: its edges span {skew:.2g} times its volume"
    return f"cell is a needle: an edge {length:.2g} times the volume's cube root" if length > MAX_LENGTH else None


def uniqueness(crystals: Sequence[Crystal], suffix: str = "") -> list[Columns]:
    """Return `unique`, and in `first_equal` the place of the first equal among these crystals; takes all at once."""
    firsts = first_of_equals(crystals)
    return [{f"unique{suffix}": first == at, f"first_equal{suffix}": first} for at, first in enumerate(firsts)]


def novelty(crystals: Sequence[Crystal], known: Known, suffix: str = "") -> list[Columns]:
    """Return what `Known.verdict` says, with the suffix on every name."""
    return [{f"{name}{suffix}": value for name, value in _novelty(crystal, known).items()} for crystal in crystals]


def _novelty(crystal: Crystal, known: Known) -> Columns:
    try:
        return plain(known.verdict(crystal))
    except MateriumError as error:
        return {"novel": None, "novelty_reason": str(error)}


def relaxation(
    crystals: Sequence[Crystal],
    potential: str | Potential,
    fmax: float,
    max_steps: int,
    stop: Callable[[], None] | None = None,
) -> list[Columns]:
    """Return what relaxing makes of the crystals; with `max_steps` 0 they stay, and only their energies are taken.

    What `stop` raises, which is called before every step, ends the relaxations.
    """
    from materium.relax.relaxer import relax

    model = loaded(potential) if isinstance(potential, str) else potential
    found = relax(crystals, model, fmax=fmax, max_steps=max_steps, stop=stop)
    columns = _relaxed if max_steps else _as_made
    return [columns(crystal, result) for crystal, result in zip(crystals, found, strict=True)]


@cache
def loaded(spec: str) -> Potential:
    """Return a potential by its name, loaded once in each process."""
    from materium.relax.adapters import potential

    return potential(spec)


def _as_made(crystal: Crystal, result: Relaxation) -> Columns:
    if not isfinite(result.energy):
        return {"relax_status": "error", "relax_reason": result.reason}
    energy = result.energy
    columns = {"relax_status": "single_point", "relax_steps": 0, "energy_as_made": energy, "energy": energy}
    return plain({**columns, **_structure(crystal)})


def _relaxed(crystal: Crystal, result: Relaxation) -> Columns:
    columns: Columns = {
        "relax_status": result.status,
        "relax_reason": result.reason or None,
        "relax_steps": result.steps,
        "energy_as_made": result.initial_energy,
        "max_force": result.max_force,
        "max_stress": result.max_stress,
    }
    if result.status in RELAXED and isfinite(result.energy):
        columns |= {
            "energy": result.energy,
            "energy_change": result.energy - result.initial_energy,
            "volume_change": result.crystal.volume / crystal.volume - 1,
            "space_group_relaxed": measure.space_group(result.crystal),
            **_structure(result.crystal),
            **comparison(crystal, result.crystal),
        }
    return plain(columns)


def _structure(crystal: Crystal) -> Columns:
    return {
        "relaxed_cell": crystal.lattice.ravel().tolist(),
        "relaxed_frac_coords": crystal.frac_coords.ravel().tolist(),
    }


def comparison(made: Crystal, relaxed: Crystal) -> Columns:
    """Return `matched` and `rmsd` of a crystal and what became of it.

    `matched`: pymatgen's StructureMatcher with its usual tolerances calls both equal. `rmsd` in Å, as MatterGen's
    `avg_rmsd_from_relaxation` (C. Zeni et al., Nature 639, 624, 2025) has it: the best alignment that StructureMatcher
    finds with the loose tolerances 0.5, 0.5 and 10°, cells not scaled, its relative root mean square times the cube
    root of the volume per atom, the mean of both; half of that root where even this finds none.

    Cells of more than `ALIGNED_SITES` are compared site by site, since relaxing keeps their order and StructureMatcher
    can take minutes; `matched` is then that the same relative root mean square is within its tolerance of 0.3.
    """
    from materium.evaluate.uniqueness import Reduced

    one, two = (to_structure(Crystal(c.lattice, c.frac_coords, c.numbers)) for c in (made, relaxed))
    length = float(np.cbrt((made.volume + relaxed.volume) / 2 / len(made)))
    if len(made) > ALIGNED_SITES:
        rms = _site_by_site(made, relaxed)
        return {"matched": rms <= MATCHED * length, "rmsd": rms}
    aligned = _aligner().get_rms_dist(one, two)  # type: ignore[no-untyped-call] # pymatgen is typed in parts
    relative = NOT_MATCHED if aligned is None else float(aligned[0])
    return {"matched": Reduced(made).equals(Reduced(relaxed)), "rmsd": relative * length}


def _site_by_site(made: Crystal, relaxed: Crystal) -> float:
    """Root mean square displacement in Å in the averaged cell, the mean displacement taken out."""
    moves = relaxed.frac_coords - made.frac_coords
    moves -= np.round(moves)
    cartesian = (moves - moves.mean(axis=0)) @ ((made.lattice + relaxed.lattice) / 2)
    return float(np.sqrt((cartesian**2).sum(axis=1).mean()))


@cache
def _aligner() -> StructureMatcher:
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=0.5, stol=NOT_MATCHED, angle_tol=10, scale=False, attempt_supercell=True)


def above_hull(items: Sequence[tuple[Crystal, float]], hull: Hull) -> list[Columns]:
    """Return the energy above the hull of crystals with their energies, eV/atom, and whether the hull supports it.

    `hull_support`: see `Hull.support`. `unsupported`: the energy above the hull is a number without a meaning, for the
    reason in `hull_reason`; see `Hull.unsupported`.
    """
    return [_above_hull(crystal, energy, hull) for crystal, energy in items]


def _above_hull(crystal: Crystal, energy: float, hull: Hull) -> Columns:
    height, support = hull.energy_above_hull(crystal, energy), hull.support(crystal)
    failure = NO_REFERENCE if height is None else too_deep(height)
    if failure:
        return {"energy_above_hull": None, "hull_support": support, "unsupported": False, "hull_reason": failure}
    doubt = hull.unsupported(crystal, height)
    return {
        "energy_above_hull": height,
        "hull_support": support,
        "unsupported": doubt is not None,
        "hull_reason": doubt,
    }


def plain(columns: Columns) -> Columns:
    """Return columns as JSON types: Python's numbers, None for what is not finite."""
    return {name: _plain(value) for name, value in columns.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not isfinite(value) else value
