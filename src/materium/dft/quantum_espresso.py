"""Input files of Quantum ESPRESSO's pw.x and bands.x; units are theirs: Ry, Å in the cards.

PBE, as the pseudopotentials say, without Hubbard U. Whether a new crystal is a metal is not known beforehand, so all
runs use cold smearing (Marzari and Vanderbilt 1999), whose total energy hardly depends on its width; an insulator's
bands stay full under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materium.convert import atomic_numbers, symbols
from materium.dft.geometry import FOLDED, is_primitive, right_handed
from materium.dft.kpoints import band_path, grid, steps
from materium.dft.plan import K_SPACING, Inputs
from materium.dft.pseudopotentials import Pseudo, choose, sssp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from materium.crystal import Crystal
    from materium.dft.plan import Plan

    Value = str | float | bool
    Namelists = dict[str, dict[str, Value]]

PREFIX = "crystal"
SCRATCH = "tmp"
PSEUDO_FOLDER = "pseudo"
"""Beside the folders of the crystals, so that one copy or link serves all of them."""
DEGAUSS = 0.01
"""Ry, 0.14 eV."""
SCF_PER_ATOM, ENERGY_PER_ATOM = 1e-9, 1e-5
"""Ry per atom: when a density counts as converged, and when a relaxation does."""
FORCE, PRESSURE = 1e-3, 0.5
"""Ry/bohr (0.026 eV/Å) and kbar below which a relaxation ends."""
BAND_SPACING = 0.03
"""Å⁻¹, 2π included, between the points of a band path."""

OPEN_D = frozenset([*range(22, 30), *range(40, 48), *range(72, 80)])
"""Atomic numbers of groups 4 to 11."""
OPEN_F = frozenset([*range(58, 71), *range(91, 104)])
"""Ce to Yb, Pa to Lr."""
START_D, START_F, START_OTHER = 0.3, 0.4, 0.1
"""Polarisation of the valence electrons at the start. With 12 to 18 of them, as in SSSP, that is near the 5 and 7 μB
at which the Materials Project starts; other elements must not start at 0, a state that the run would never leave."""


def inputs(crystal: Crystal, plan: Plan) -> Inputs:
    """Return the input files for a crystal.

    `relax` gives `pw.in` (vc-relax), `bands` gives `scf.in`, `bands.in` and `bandsx.in`, `magnetic` gives `pw.in` (a
    spin-polarised scf, ferromagnetic from the start).

    Raises
    ------
    DataError
        If an element has no pseudopotential, or the cell no standard path of bands.
    """
    crystal = right_handed(crystal)
    pseudos = choose(symbols(sorted(set(crystal.numbers.tolist()))), plan.pseudos or sssp())
    make = {"relax": _relax, "bands": _bands, "magnetic": _magnetic}[plan.task]
    files = make(crystal, pseudos, plan.k_spacing or K_SPACING)
    return Inputs(files, {symbol: pseudo.filename for symbol, pseudo in pseudos.items()}, _notes(crystal, plan))


def starting_magnetization(number: int) -> float:
    """Return the starting polarisation, from 0 to 1, of the valence electrons of an element."""
    return START_D if number in OPEN_D else START_F if number in OPEN_F else START_OTHER


def _notes(crystal: Crystal, plan: Plan) -> tuple[str, ...]:
    if plan.task == "bands" and not is_primitive(crystal):
        return (FOLDED,)
    if plan.task == "magnetic" and not set(crystal.numbers.tolist()) & (OPEN_D | OPEN_F):
        return ("no element with an open d or f shell: expect no moment",)
    return ()


def _relax(crystal: Crystal, pseudos: Mapping[str, Pseudo], spacing: float) -> dict[str, str]:
    lists = _namelists("vc-relax", crystal, pseudos)
    lists["control"] |= {"etot_conv_thr": ENERGY_PER_ATOM * len(crystal), "forc_conv_thr": FORCE, "nstep": 200}
    lists |= {"ions": {"ion_dynamics": "bfgs"}, "cell": {"cell_dynamics": "bfgs", "press_conv_thr": PRESSURE}}
    return {"pw.in": _pw(lists, crystal, pseudos, _grid_card(crystal, spacing))}


def _magnetic(crystal: Crystal, pseudos: Mapping[str, Pseudo], spacing: float) -> dict[str, str]:
    lists = _namelists("scf", crystal, pseudos)
    lists["system"]["nspin"] = 2
    for index, number in enumerate(sorted(set(crystal.numbers.tolist())), start=1):
        lists["system"][f"starting_magnetization({index})"] = starting_magnetization(number)
    return {"pw.in": _pw(lists, crystal, pseudos, _grid_card(crystal, spacing))}


def _bands(crystal: Crystal, pseudos: Mapping[str, Pseudo], spacing: float) -> dict[str, str]:
    scf, bands = _namelists("scf", crystal, pseudos), _namelists("bands", crystal, pseudos)
    bands["electrons"]["diago_full_acc"] = True  # empty bands as exact as full ones
    post: dict[str, Value] = {"prefix": PREFIX, "outdir": SCRATCH, "filband": "bands.dat", "lsym": False}
    return {
        "scf.in": _pw(scf, crystal, pseudos, _grid_card(crystal, spacing)),
        "bands.in": _pw(bands, crystal, pseudos, _path_card(crystal)),
        "bandsx.in": _namelist("bands", post),
    }


def _namelists(calculation: str, crystal: Crystal, pseudos: Mapping[str, Pseudo]) -> Namelists:
    """What all calculations have in common; cutoffs are the highest of the elements, as SSSP asks for."""
    control: dict[str, Value] = {"calculation": calculation, "prefix": PREFIX, "outdir": SCRATCH}
    control["pseudo_dir"] = f"../{PSEUDO_FOLDER}"
    system: dict[str, Value] = {"ibrav": 0, "nat": len(crystal), "ntyp": len(pseudos)}
    system["ecutwfc"] = max(pseudo.cutoff_wfc for pseudo in pseudos.values())
    system["ecutrho"] = max(pseudo.cutoff_rho for pseudo in pseudos.values())
    system |= {"occupations": "smearing", "smearing": "cold", "degauss": DEGAUSS}
    electrons: dict[str, Value] = {"conv_thr": SCF_PER_ATOM * len(crystal)}
    electrons |= {"mixing_beta": 0.4, "electron_maxstep": 200}
    return {"control": control, "system": system, "electrons": electrons}


def _pw(lists: Namelists, crystal: Crystal, pseudos: Mapping[str, Pseudo], k_points: str) -> str:
    from ase.data import atomic_masses

    masses = atomic_masses[atomic_numbers(list(pseudos))].tolist()
    species = [f"{s} {mass:.4f} {p.filename}" for (s, p), mass in zip(pseudos.items(), masses, strict=True)]
    sites = zip(symbols(crystal.numbers.tolist()), crystal.frac_coords.tolist(), strict=True)
    cards = [
        _card("ATOMIC_SPECIES", species),
        _card("CELL_PARAMETERS angstrom", map(_numbers, crystal.lattice.tolist())),
        _card("ATOMIC_POSITIONS crystal", (f"{name:<2} {_numbers(place)}" for name, place in sites)),
        k_points,
    ]
    return "".join([*(_namelist(name, values) for name, values in lists.items()), *cards])


def _grid_card(crystal: Crystal, spacing: float) -> str:
    a, b, c = grid(crystal, spacing)
    return _card("K_POINTS automatic", [f"{a} {b} {c} 0 0 0"])


def _path_card(crystal: Crystal) -> str:
    """Corners with the number of steps to the next; Quantum ESPRESSO reads what follows the `!` as a comment."""
    path = band_path(crystal)
    lines = zip(path, steps(crystal, path, BAND_SPACING), strict=True)
    return _card(
        "K_POINTS crystal_b", [f"{len(path)}", *(f"{_numbers(p.frac)} {count} ! {p.name}" for p, count in lines)]
    )


def _card(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) + "\n"


def _namelist(name: str, values: Mapping[str, Value]) -> str:
    lines = [f"&{name.upper()}", *(f"  {key} = {_value(value)}" for key, value in values.items()), "/"]
    return "\n".join(lines) + "\n"


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    return f"'{value}'" if isinstance(value, str) else f"{value:.10g}"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:17.12f}" for value in values)
