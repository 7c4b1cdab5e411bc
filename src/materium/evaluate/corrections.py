"""The Materials Project's corrections MP2020: what brings plain DFT energies onto the scale of its hull.

A. Wang et al., Sci. Rep. 11, 15496 (2021), on top of the mixing of GGA and GGA+U by A. Jain et al., Phys. Rev. B 84,
045115 (2011). Networks that were trained on uncorrected energies of the Materials Project predict what a calculation
with its settings would give: with a Hubbard U for some metals in oxides and fluorides, without one elsewhere.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from materium.convert import symbols, to_structure
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.io.matching import unskewed
from materium.oxidation import mean_states, reduced_formula

if TYPE_CHECKING:
    from materium.convert import Structure

MP2020 = "MP2020"
UNCORRECTED = "uncorrected"
NONE = "none"
PYMATGEN_ATOMS = 20
"""Of a reduced formula up to which pymatgen guesses oxidation states."""
SCHEMES = (MP2020, UNCORRECTED, NONE)
"""The scales of a potential's energies; see `materium.relax.potential.Potential`."""


def on_hull_scale(crystal: Crystal, energy_per_atom: float, scheme: str) -> float:
    """Return an energy on the scale on which hulls are built, in eV/atom.

    Uncorrected energies get the corrections MP2020, corrected ones and those of no scale are left as they are.

    Raises
    ------
    MateriumError
        If there is no scheme of that name.
    """
    if scheme not in SCHEMES:
        raise MateriumError(f"unknown energy scale {scheme!r}; one of {', '.join(SCHEMES)} is needed")
    return energy_per_atom + mp2020(crystal) if scheme == UNCORRECTED else energy_per_atom


def mp2020(crystal: Crystal) -> float:
    """Return the correction MP2020 in eV/atom: to be added to an energy as the Materials Project calculates it.

    It depends on the composition, and for oxygen and sulphur on whether atoms of them are bonded to each other. The
    crystal's oxidation states are not used: the Materials Project guesses them from the composition. pymatgen gives up
    guessing for formulas of more than 20 atoms and corrects the most electronegative anion alone, by up to 50 meV/atom
    too little; here the guess goes on.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    structure = to_structure(unskewed(Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that states cannot be guessed, and noble gases without electronegativity
        values = _hubbards(structure)
        parameters = {"run_type": "GGA+U" if values else "GGA", "hubbards": values, "software": "none"}
        entry = ComputedStructureEntry(structure, 0.0, parameters=parameters, data=_large_formula_states(crystal))
        adjustments = _scheme().get_adjustments(entry)
    return float(sum(one.value for one in adjustments)) / len(crystal)


def _large_formula_states(crystal: Crystal) -> dict[str, dict[str, float]]:
    """The mean oxidation states by element of a large formula that can be balanced, which pymatgen does not guess."""
    formula = reduced_formula(crystal)
    if sum(count for _, count in formula) <= PYMATGEN_ATOMS or len(formula) == 1:
        return {}
    states = mean_states(formula)
    names = symbols([z for z, _ in formula])
    return {} if states is None else {"oxidation_states": dict(zip(names, states, strict=True))}


def _hubbards(structure: Structure) -> dict[str, float]:
    """The U in eV by symbol: where oxygen or fluorine is the most electronegative element, some metals have one."""
    elements = structure.composition.elements
    by_attraction = sorted(elements, key=lambda element: element.X)
    anion = by_attraction[-1].symbol  # of equals the last, as pymatgen has it
    table = _scheme().u_settings.get(anion, {})
    return {element.symbol: float(table[element.symbol]) for element in elements if element.symbol in table}


@cache
def _scheme() -> Any:  # noqa: ANN401 - pymatgen's scheme
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(check_potcar=False)
