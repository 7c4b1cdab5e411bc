"""Whether a crystal can be one at all: distances, volume, charges, symmetry, each with its figure and its reason."""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import convert
from materium.crystal import Crystal, fault
from materium.errors import MateriumError
from materium.evaluate.fingerprint import num_sites, reduced_cell, squared_distances, wyckoff_positions
from materium.evaluate.measure import SYMPREC_FINE, space_group
from materium.extras import require
from materium.oxidation import guess, reduced_formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fact = bool | float | int | str | None

MIN_CONTACT = 0.6
"""Least distance of two atoms over the sum of their covalent radii."""
MAX_AXIS_RATIO = 15.0
"""Longest over shortest axis of the reduced cell."""
MAX_SMACT_ELEMENTS = 7
"""SMACT tries all combinations of the elements' states, which takes minutes for more elements."""
MAX_BOND_VALENCE_SITES = 24
"""Bond valences of larger cells take seconds to minutes."""
BOND_VALENCE_TRIALS = 10_000
"""Combinations of states that the analysis of bond valences may try."""
CRYSTAL_SYSTEMS = {
    2: "triclinic",
    15: "monoclinic",
    74: "orthorhombic",
    142: "tetragonal",
    167: "trigonal",
    194: "hexagonal",
    230: "cubic",
}
"""By their last space group."""
NEUTRAL: dict[str, bool | None] = {
    "guessed": True,
    "element": True,
    "mixed valence": True,
    "no neutral assignment": False,
    "over budget": None,
}
"""What a word of `oxidation.guess` means; of mixed valence, some states of single atoms are neutral in sum."""
_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
_HERE = len(_IMAGES) // 2
"""Where the translation 0 stands among the images."""


def check(crystal: Crystal, *, bond_valence: bool = False) -> dict[str, Fact]:
    """Return the facts of a crystal by which it is judged before any energy.

    Parameters
    ----------
    bond_valence
        Whether to ask pymatgen's bond valence analysis, which takes up to seconds, of compounds with at most
        `MAX_BOND_VALENCE_SITES` in their cell.

    Returns
    -------
    dict
        `valid` (as `materium.crystal.fault`: 0.5 Å and the volume per atom) and `reason`, empty if valid; `notes`, what
        else is amiss, one after the other; `formula`; `num_sites` of the primitive cell, or of the cell at hand where
        there is no symmetry; `num_elements`; `min_distance` in Å; `contact_ratio`; `volume_per_atom` in Å³; `density`
        in g/cm³; `axis_ratio`, longest over shortest axis of the reduced cell; `min_angle` in degrees, of the cell at
        hand; `neutral` and `oxidation`, how that was found; `smact_valid`; `bond_valence`; `space_group` at 0.1 Å,
        `space_group_fine` at 0.01 Å, `crystal_system` at 0.1 Å. None is what was not asked for or cannot be told;
        symmetry is not sought where the crystal is not valid.
    """
    reason = fault(crystal)
    facts: dict[str, Fact] = {
        "valid": reason is None,
        "reason": reason or "",
        "notes": "",
        **_geometry(crystal),
        **_charges(crystal),
        **_symmetry(crystal, known=reason is None),
        "bond_valence": _bond_valence(crystal) if bond_valence and reason is None else None,
    }
    return {**facts, "notes": "; ".join(_notes(facts))}


def contact_ratio(crystal: Crystal) -> float:
    """Return the least distance of two atoms, images too, over the sum of their covalent radii.

    Radii of B. Cordero et al., Dalton Trans. 2832 (2008), as ASE has them.
    """
    lattice, frac = reduced_cell(crystal)
    nearest = np.concatenate([block.min(axis=2) for block in squared_distances(lattice, frac, _IMAGES)])
    own = ((np.delete(_IMAGES, _HERE, axis=0) @ lattice) ** 2).sum(axis=1).min()
    np.fill_diagonal(nearest, own)
    radii = _radii()[crystal.numbers]
    return float((np.sqrt(np.maximum(nearest, 0)) / (radii[:, None] + radii)).min())


def crystal_system(space_group: int) -> str:
    """Return the crystal system of a space group, 1 to 230."""
    return next(name for last, name in CRYSTAL_SYSTEMS.items() if space_group <= last)


@lru_cache(maxsize=100_000)
def smact_valid(formula: str) -> bool | None:
    """Return whether SMACT holds a formula for possible; None where SMACT is not installed or does not know an element.

    `smact.screening.smact_validity` of SMACT 4 as it comes: charges in balance and electronegativities in order for
    some states found in the ICSD, or all metals, or one element. D. W. Davies et al., JOSS 4, 1361 (2019).
    """
    from pymatgen.core import Composition

    try:
        screening: Any = require("smact.screening", "smact")
    except MateriumError:
        return None
    composition = Composition(formula)
    if len(composition) > MAX_SMACT_ELEMENTS:
        return None
    try:
        return bool(screening.smact_validity(composition))
    except (KeyError, NameError):  # an element that its tables lack
        return None


def _geometry(crystal: Crystal) -> dict[str, Fact]:
    lengths = np.linalg.norm(reduced_cell(crystal)[0], axis=1)
    return {
        "formula": convert.formula(crystal),
        "num_elements": len(np.unique(crystal.numbers)),
        "min_distance": crystal.min_distance,
        "contact_ratio": contact_ratio(crystal),
        "volume_per_atom": crystal.volume / len(crystal),
        "density": crystal.density,
        "axis_ratio": float(lengths.max() / lengths.min()),
        "min_angle": float(crystal.lengths_angles[3:].min()),
    }


def _charges(crystal: Crystal) -> dict[str, Fact]:
    """States that the crystal brings are believed, unless all are zero, which is how tables write "not known"."""
    smact = smact_valid(convert.formula(crystal))
    if crystal.oxidation_states is not None and crystal.oxidation_states.any():
        return {"neutral": int(crystal.oxidation_states.sum()) == 0, "oxidation": "given", "smact_valid": smact}
    how = guess(reduced_formula(crystal))[1]
    return {"neutral": NEUTRAL[how], "oxidation": how, "smact_valid": smact}


def _symmetry(crystal: Crystal, *, known: bool) -> dict[str, Fact]:
    bare = Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)
    number, wyckoff = wyckoff_positions(crystal) if known else (0, "")
    return {
        "space_group": number or None,
        "space_group_fine": space_group(bare, SYMPREC_FINE) if known else None,
        "crystal_system": crystal_system(number) if number else None,
        "num_sites": num_sites(wyckoff) or len(crystal),
    }


def _notes(facts: dict[str, Fact]) -> list[str]:
    contact, ratio = float(facts["contact_ratio"] or 0), float(facts["axis_ratio"] or 0)
    found = {
        f"atoms at {contact:.2f} of the sum of their radii, at least {MIN_CONTACT} is usual": contact < MIN_CONTACT,
        f"longest axis {ratio:.0f} times the shortest": ratio > MAX_AXIS_RATIO,
        f"charges do not balance ({facts['oxidation']})": facts["neutral"] is False,
        "SMACT calls the composition impossible": facts["smact_valid"] is False,
        "bond valences do not balance": facts["bond_valence"] is False,
        "no symmetry found": bool(facts["valid"]) and facts["space_group"] is None,
    }
    return [note for note, holds in found.items() if holds]


def _bond_valence(crystal: Crystal) -> bool | None:
    """Whether pymatgen's analysis finds bond valences in balance (M. O'Keefe, N. Brese, JACS 113, 3226, 1991)."""
    from pymatgen.core.bond_valence import BVAnalyzer

    if len(crystal) > MAX_BOND_VALENCE_SITES or len(np.unique(crystal.numbers)) == 1:
        return None
    structure = convert.to_structure(Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers))
    analyzer: Any = BVAnalyzer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spglib says how it would like to be called
            return bool(analyzer(max_permutations=BOND_VALENCE_TRIALS).get_valences(structure))
    except ValueError:  # what it raises where there is no assignment
        return False


@lru_cache(maxsize=1)
def _radii() -> NDArray[np.float64]:
    from ase.data import covalent_radii

    return np.asarray(covalent_radii, dtype=np.float64)
