"""Input files of VASP by the Materials Project's own sets, as pymatgen holds them: results compare with its data.

POTCAR files are licensed and stay out: `POTCAR.spec` names them. All sets are spin-polarised, with starting moments and
Hubbard U from the set's tables; known oxidation states choose among the moments (Mn3+ starts at 4 μB, Mn4+ at 3).
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from materium.convert import to_structure
from materium.dft.geometry import FOLDED, is_primitive, right_handed
from materium.dft.kpoints import band_path
from materium.dft.plan import Inputs
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from materium.convert import Structure
    from materium.crystal import Crystal
    from materium.dft.plan import Plan

POINTS_PER_SEGMENT = 30
"""Of a band path; VASP takes the same number for every segment."""
POSCAR_DIGITS = 12


def inputs(crystal: Crystal, plan: Plan) -> Inputs:
    """Return the input files for a crystal; sites are sorted by electronegativity, as the sets do.

    `relax` gives MPRelaxSet, or MPMetalRelaxSet where all elements are metals: the tetrahedron method of the former
    gives metals wrong forces. `magnetic` gives MPStaticSet with its starting moments. `bands` gives MPStaticSet in
    `scf/` and MPNonSCFSet in `bands/`.

    Raises
    ------
    DataError
        If the sets have no POTCAR for an element, or the cell has no standard path of bands.
    """
    crystal = right_handed(crystal)
    structure = to_structure(crystal)
    make = {"relax": _relax, "bands": _bands, "magnetic": _magnetic}[plan.task]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _refuse_unknown(structure)
        sets = make(crystal, structure)
        files = {path: text for folder, one in sets.items() for path, text in _files(folder, one).items()}
        pseudos = _pseudos(next(iter(sets.values())))
    folded = plan.task == "bands" and not is_primitive(crystal)
    return Inputs(files, pseudos, (*_advice(caught), *([FOLDED] if folded else [])))


def _advice(caught: Iterable[warnings.WarningMessage]) -> tuple[str, ...]:
    """What the sets say of this crystal, Yb's old POTCAR say; what else libraries warn of concerns nobody's run."""
    from pymatgen.io.vasp.sets import BadInputSetWarning

    said = (warning.message for warning in caught if issubclass(warning.category, BadInputSetWarning))
    return tuple(dict.fromkeys(" ".join(str(message).split()) for message in said))


def _refuse_unknown(structure: Structure) -> None:
    from pymatgen.io.vasp.sets import MPRelaxSet

    known = MPRelaxSet.CONFIG["POTCAR"]
    missing = [e.symbol for e in structure.composition.element_composition if e.symbol not in known]
    if missing:
        raise DataError(f"the Materials Project's sets have no POTCAR for {', '.join(missing)}; leave it out")


def _relax(_: Crystal, structure: Structure) -> dict[str, Any]:
    from pymatgen.io.vasp.sets import MPMetalRelaxSet, MPRelaxSet

    metallic = all(element.is_metal for element in structure.composition.element_composition)
    return {"": (MPMetalRelaxSet if metallic else MPRelaxSet)(structure)}


def _magnetic(_: Crystal, structure: Structure) -> dict[str, Any]:
    from pymatgen.io.vasp.sets import MPStaticSet

    return {"": MPStaticSet(structure)}


def _bands(crystal: Crystal, structure: Structure) -> dict[str, Any]:
    """The path of pymatgen holds for its own standard cell only; the one written here fits the cell as it stands."""
    from pymatgen.io.vasp.inputs import Kpoints
    from pymatgen.io.vasp.sets import MPNonSCFSet, MPStaticSet

    path = band_path(crystal)
    ends = [pair for pair in pairwise(path) if pair[0].goes_on]
    corners = [corner for pair in ends for corner in pair]
    line = Kpoints(
        comment="standard path of the cell as it stands",
        num_kpts=POINTS_PER_SEGMENT,
        style=Kpoints.supported_modes.Line_mode,
        coord_type="Reciprocal",
        kpts=[corner.frac for corner in corners],
        labels=[corner.name for corner in corners],
    )
    return {"scf/": MPStaticSet(structure), "bands/": MPNonSCFSet(structure, user_kpoints_settings=line)}  # type: ignore[arg-type] # a Kpoints will do, its text says


def _files(folder: str, one: Any) -> dict[str, str]:  # noqa: ANN401 - any of pymatgen's sets
    parts = {"INCAR": str(one.incar), "KPOINTS": str(one.kpoints), "POSCAR": _poscar(one)}
    parts["POTCAR.spec"] = "\n".join(_pseudos(one).values())
    return {f"{folder}{name}": text.rstrip("\n") + "\n" for name, text in parts.items()}


def _poscar(one: Any) -> str:  # noqa: ANN401 - the same
    """Sites in the order of the set's MAGMOM; without oxidation states, which VASP does not know."""
    from pymatgen.io.vasp.inputs import Poscar

    plain = one.poscar.structure.copy().remove_oxidation_states()
    return Poscar(plain, comment=plain.reduced_formula, sort_structure=False).get_str(significant_figures=POSCAR_DIGITS)


def _pseudos(one: Any) -> Mapping[str, str]:  # noqa: ANN401 - the same
    """Names of the POTCARs by element, in the order of the POSCAR."""
    return dict(zip(one.poscar.site_symbols, one.potcar_symbols, strict=True))
