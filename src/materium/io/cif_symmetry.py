"""Which symmetry the sites of a CIF have: what agrees with everything that the file says, or a refusal.

A file says its symmetry several times: by operations, symbols, a number, a Hall symbol, a crystal system. Each set of
operations that one of them allows and that the cell has makes a crystal of the sites, which is held against formula,
number of formula units, multiplicities, density and the like. One crystal that nothing contradicts is read; where
several remain, or none, the file is rejected with the two statements that disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import MIN_DISTANCE, Crystal, determinant, lengths_angles
from materium.errors import ConversionError
from materium.io.cif_content import Content
from materium.io.settings import (
    Group,
    Setting,
    hall_group,
    operations_group,
    product_group,
    settings_of_number,
    settings_of_symbol,
    with_code,
)
from materium.io.sites import integer_states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.io.cif_items import Items, Sites

SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m",
)
REFERENCE_SYMBOL = "_space_group_name_h-m_ref"
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
HALL_SYMBOLS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
SYSTEMS = ("_space_group_crystal_system", "_symmetry_cell_setting")
OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
MAGNETIC = "_space_group_symop_magn_operation_xyz"
MAGNETIC_CENTRINGS = "_space_group_symop_magn_centering_xyz"
FIRST_NUMBERS = {"triclinic": 1, "monoclinic": 3, "orthorhombic": 16, "tetragonal": 75, "trigonal": 143, "cubic": 195}
"""First international number of each crystal system; trigonal stands for hexagonal too, whose axes it may have."""
VOLUME_TOLERANCE = 0.03
"""Relative, between `_cell_volume` and the lattice parameters."""
NEAREST = 0.01
"""Å; images of a site nearer than this, and what its digits leave open, are one atom on a special position."""
FARTHEST = 0.25
"""Å; however few digits a file gives, images farther apart are two atoms."""
MAX_IMAGES = 1_000_000
SAME = 0.02
"""Å; crystals whose atoms differ by less are one."""


@dataclass(frozen=True)
class Expanded:
    """The atoms of a cell that a group makes of the listed sites."""

    frac_coords: NDArray[np.float64]
    owners: NDArray[np.int64]
    """The site that each atom is an image of."""
    multiplicities: list[int]
    """Of each site."""
    fault: str = ""
    """Which sites stand on one place, where they may not."""


@dataclass
class Candidate:
    """A symmetry that the file allows by one of its statements, and what speaks against it."""

    group: Group
    source: str
    explicit: bool
    """Given by operations or a Hall symbol, not by a name."""
    misfits: list[str] = field(default_factory=list)
    """Statements on symmetry that say otherwise."""
    faults: list[str] = field(default_factory=list)
    """Statements on the content of the cell that say otherwise."""
    same_type: bool = False
    """Whether the statements that say otherwise name another setting of the same type only."""


@dataclass(frozen=True)
class Statement:
    """A symbol, number or crystal system of the file."""

    text: str
    settings: tuple[Setting, ...] = ()
    """Those that a symbol names; a number and a crystal system name none."""
    possible: tuple[Setting, ...] = ()
    """Those that it allows where no operations are given."""
    numbers: frozenset[int] = frozenset()
    """International numbers that it allows."""

    def fits(self, group: Group, lattice: NDArray[np.float64]) -> bool:
        """Return whether a group is what the statement says, from another origin where it says none.

        A symbol that names no setting of this cell names the type alone.
        """
        if group.number not in self.numbers:
            return False
        if not self.settings or any(s.group.codes == group.codes for s in self.settings):
            return True
        possible = [s for s in self.settings if s.group.fits_cell(lattice)]
        if not possible:
            return True
        fixed_origin = len({s.code for s in self.settings}) == 1 and self.settings[0].code in ("1", "2")
        return not fixed_origin and any(s.group.same_up_to_origin(group) for s in possible)


def crystal_of(items: Items, sites: Sites, lattice: NDArray[np.float64]) -> Crystal:
    """Return the crystal that the sites make in a cell, rows of shape (3, 3), with the symmetry that the file has.

    Raises
    ------
    ConversionError
        If two statements of the file disagree, or if it does not say which of several settings it is in.
    OverlapError
        If atoms are closer than 0.5 Å.
    """
    volume = abs(determinant(lattice.tolist()))
    stated = items.number("_cell_volume")
    if stated is not None and abs(stated - volume) > VOLUME_TOLERANCE * volume:
        raise ConversionError(
            f"CIF contradicts itself: lengths and angles give {volume:.5g} Å³, but _cell_volume {stated:g}; correct one"
        )
    content = Content(items, sites)
    candidates = _candidates(items, lattice)
    alone = len(candidates) == 1 and not candidates[0].misfits
    crystals = [_judged(candidate, content, lattice, distances=not alone) for candidate in candidates]
    chosen = candidates.index(_chosen(list(zip(candidates, crystals, strict=True)), content))
    crystal = crystals[chosen]
    if crystal is None:  # what has none has a fault, and is not chosen
        raise ConversionError(candidates[chosen].faults[0])
    return crystal.check_distances()


def expand(sites: Sites, group: Group, lattice: NDArray[np.float64]) -> Expanded:
    """Return the atoms of a cell that a group makes of sites, those near a special position moved onto it.

    A site that is an image of an earlier one adds nothing: files list whole cells beside all operations.
    """
    frac = sites.frac_coords
    if len(group) == 1:
        return Expanded(frac, np.arange(len(frac)), [1] * len(frac))
    if len(frac) * len(group) > MAX_IMAGES:
        raise ConversionError(f"CIF makes {len(frac) * len(group)} images of its sites; at most {MAX_IMAGES} are read")
    rotations, translations = np.swapaxes(group.rotations, 1, 2), group.translations[:, None]
    reach = np.minimum(NEAREST + 2 * sites.digits @ np.linalg.norm(lattice, axis=1), FARTHEST)
    fixed, offsets = _near(frac @ rotations + translations, frac, reach, lattice)
    frac = frac + (offsets * fixed[..., None]).sum(0) / fixed.sum(0)[:, None]
    images = frac @ rotations + translations
    placed, total = np.empty((images.shape[0] * len(frac), 3)), 0
    owners: list[int] = []
    multiplicities: list[int] = []
    for index, label in enumerate(sites.labels):
        own = images[:, index]
        if fixed[:, index].sum() > 1:
            own = own[np.unique(_near(own[:, None], own, FARTHEST / 100, lattice)[0].argmax(0))]
        multiplicities.append(len(own))
        there = _near(placed[:total], frac[index], reach[index], lattice)[0]
        if there.any():
            other = owners[int(there.argmax())]
            one, two = ((sites.numbers[i], sites.states[i]) for i in (other, index))
            if one != two or _near(frac[other], frac[index], reach[index], lattice)[0]:
                fault = f"CIF has two atoms on one place: {sites.labels[other]} and {label}; keep one of them"
                return Expanded(frac, np.arange(len(frac)), [1] * len(frac), fault)
            continue
        placed[total : total + len(own)] = own
        owners += [index] * len(own)
        total += len(own)
    return Expanded(placed[:total], np.array(owners), multiplicities)


def _near(
    images: NDArray[np.float64],
    points: NDArray[np.float64],
    reach: NDArray[np.float64] | float,
    lattice: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which images are within reach (Å) of points or their periodic images, and the offsets in fractions."""
    offsets = images - points
    offsets -= np.round(offsets)
    return np.linalg.norm(offsets @ lattice, axis=-1) <= reach, offsets


def _judged(candidate: Candidate, content: Content, lattice: NDArray[np.float64], *, distances: bool) -> Crystal | None:
    """The crystal of a candidate, its faults noted; None where there is none."""
    if not candidate.group.fits_cell(lattice):
        a, b, c, *angles = lengths_angles(lattice).tolist()
        cell = f"{a:.5g}, {b:.5g}, {c:.5g} Å, {angles[0]:.5g}, {angles[1]:.5g}, {angles[2]:.5g}°"
        candidate.faults.append(
            f"CIF contradicts itself: {candidate.source}, but the cell has {cell}; correct one of them"
        )
        return None
    expanded = expand(content.sites, candidate.group, lattice)
    if expanded.fault:
        candidate.faults.append(expanded.fault)
        return None
    states = integer_states([content.sites.states[owner] for owner in expanded.owners.tolist()])
    crystal = Crystal(lattice, expanded.frac_coords, content.sites.numbers[expanded.owners], states)
    by = f" (symmetry: {candidate.source})" if len(candidate.group) > 1 else ""
    found = content.contradictions(
        expanded.owners, expanded.multiplicities, crystal.volume, order=len(candidate.group), listed=candidate.explicit
    )
    candidate.faults += [f"CIF's atom sites disagree with {fault}{by}" for fault in found]
    if distances and not candidate.faults and crystal.min_distance < MIN_DISTANCE:
        candidate.faults.append(f"overlapping atoms: {crystal.min_distance:.3f} Å apart{by}")
    return crystal


def _chosen(made: Sequence[tuple[Candidate, Crystal | None]], content: Content) -> Candidate:
    """The candidate whose crystal is the only one that the file allows, or an error that names two statements."""
    left = [(candidate, crystal) for candidate, crystal in made if crystal is not None and not candidate.faults]
    if not left:
        worst = min((candidate for candidate, _ in made), key=lambda c: (len(c.misfits), not c.explicit))
        raise ConversionError(worst.faults[0])
    agreeing = [(candidate, crystal) for candidate, crystal in left if not candidate.misfits]
    first, crystal = (agreeing or left)[0]
    different = [other for other, its in (agreeing or left)[1:] if not _same(crystal, its)]
    if agreeing and different:
        raise ConversionError(
            f"CIF does not say which setting it is in: {first.source}, and {first.group.name} as well as "
            f"{different[0].group.name} agrees with all, but gives another crystal; write the symmetry operations"
        )
    given = [candidate for candidate, _ in made if candidate.explicit]
    if not agreeing:
        sources = {candidate.source for candidate in given}
        named = [its for other, its in left if not other.explicit and sources.issuperset(other.misfits)]
        for candidate, its in left:  # the whole cell is listed, and the names fit it
            if candidate.explicit and any(_same(its, other) for other in named):
                return candidate
    contained = all(candidate.group.codes <= first.group.codes for candidate in given)
    if agreeing or (
        not different
        and (len(left) == len(made) > 1 or (contained and content.is_absolute) or (first.explicit and first.same_type))
    ):
        return first
    accused = given[0] if given else first
    raise ConversionError(
        f"CIF contradicts itself: {accused.source}, but {(accused.misfits or first.misfits)[0]}; correct one of them"
    )


def _same(one: Crystal, other: Crystal) -> bool:
    """Whether both have the same atoms in the same cell."""
    if len(one) != len(other):
        return False
    near, _ = _near(one.frac_coords[:, None], other.frac_coords, SAME, one.lattice)
    alike = near & (one.numbers[:, None] == other.numbers)
    return bool(alike.any(0).all() and alike.any(1).all())


# --- what the file says of its symmetry ---


def _candidates(items: Items, lattice: NDArray[np.float64]) -> list[Candidate]:
    """Every symmetry that the file allows by itself; the one that all of its statements agree on, if there is one."""
    statements, unknown = _statements(items)
    found = _explicit(items)
    for candidate in found:
        others = [other.source for other in found if other.group.codes != candidate.group.codes]
        unmet = [s for s in statements if not s.fits(candidate.group, lattice)]
        candidate.misfits = others + [s.text for s in unmet]
        candidate.same_type = not others and all(candidate.group.number in s.numbers for s in unmet)
    if len(found) == 1 and not found[0].misfits:
        return found
    sets = [dict.fromkeys(s.possible) for s in statements if s.possible]
    common = [setting for setting in sets[0] if all(setting in other for other in sets)] if sets else []
    settings = common or list(dict.fromkeys(setting for some in sets for setting in some))
    fitting = [setting for setting in settings if setting.group.fits_cell(lattice)]
    for setting in fitting or settings[:1]:
        if all(setting.group.codes != candidate.group.codes for candidate in found):
            said = " and ".join(s.text for s in statements if setting in s.possible)
            misfits = [c.source for c in found if c.explicit]
            misfits += [s.text for s in statements if not s.fits(setting.group, lattice)]
            found.append(Candidate(setting.group, said, explicit=False, misfits=misfits))
    if found:
        return found
    if unknown:
        raise ConversionError(f"unknown space group: {unknown[0]}, without symmetry operations; write the cell in P1")
    known = {*SYMBOLS, *NUMBERS, *HALL_SYMBOLS, *SYSTEMS, *OPERATIONS, MAGNETIC, MAGNETIC_CENTRINGS}
    for name, values in items.columns.items():
        if (
            name.startswith(("_space_group_", "_symmetry_", "_parent_space_group"))
            and name not in known
            and any(values)
        ):
            raise ConversionError(f"CIF has its symmetry in {name} alone; write the symmetry operations")
    group = operations_group([])
    return [
        Candidate(
            group,
            "no symmetry is given",
            explicit=False,
            misfits=[s.text for s in statements if not s.fits(group, lattice)],
        )
    ]


def _explicit(items: Items) -> list[Candidate]:
    """The groups that are given as such, each once."""
    groups = []
    for name in OPERATIONS:
        texts = items.columns.get(name, [])
        if any(texts):
            groups.append(operations_group([text or "?" for text in texts]))
    magnetic = [_without_time(text) for text in items.columns.get(MAGNETIC, []) if text]
    if magnetic:
        centrings = [_without_time(text) for text in items.columns.get(MAGNETIC_CENTRINGS, []) if text]
        groups.append(product_group(magnetic, centrings))
    sources = [f"its operations are those of {group.name or f'number {group.number}'}" for group in groups]
    for text in dict.fromkeys(items.given(*HALL_SYMBOLS).values()):
        groups.append(hall_group(text))
        sources.append(f"its Hall symbol is {text!r}")
    unique = {group.codes: (group, source) for group, source in zip(reversed(groups), reversed(sources), strict=True)}
    return [Candidate(group, source, explicit=True) for group, source in reversed(unique.values())]


def _without_time(text: str) -> str:
    """A magnetic operation without its sign of time: moments do not matter for where the atoms are."""
    return re.sub(r",\s*[+-]?1\s*$", "", text)


def _statements(items: Items) -> tuple[list[Statement], list[str]]:
    """Symbols, numbers and the crystal system, and the symbols that are unknown."""
    statements, unknown = [], []
    code = items.given("_space_group_it_coordinate_system_code").get("_space_group_it_coordinate_system_code", "")
    for text in dict.fromkeys(items.given(*SYMBOLS).values()):
        settings = settings_of_symbol(text)
        if settings:
            statements.append(_statement(f"its symbol is {text[:40]!r}", settings, code, names_setting=True))
        else:
            unknown.append(f"{text[:40]!r}")
    for text in dict.fromkeys(items.given(*NUMBERS).values()):
        settings = settings_of_number(int(text)) if re.fullmatch(r"\d{1,3}", text) else ()
        if settings:
            statements.append(_statement(f"its number is {text}", settings, code, names_setting=False))
        else:
            unknown.append(f"number {text[:40]}")
    for text in items.given(REFERENCE_SYMBOL).values():  # of the type's reference setting, not of the file's
        numbers = frozenset(setting.number for setting in settings_of_symbol(text))
        if numbers:
            statements.append(Statement(f"its reference symbol is {text[:40]!r}", numbers=numbers))
    for text in dict.fromkeys(items.given(*SYSTEMS).values()):
        name = "trigonal" if text.lower() in ("hexagonal", "rhombohedral") else text.lower()
        if name in FIRST_NUMBERS:
            later = [first for first in FIRST_NUMBERS.values() if first > FIRST_NUMBERS[name]]
            numbers = frozenset(range(FIRST_NUMBERS[name], min(later, default=231)))
            statements.append(Statement(f"its crystal system is {text}", numbers=numbers))
    return statements, unknown


def _statement(text: str, settings: tuple[Setting, ...], code: str, *, names_setting: bool) -> Statement:
    settings = (with_code(settings, code) if code else ()) or settings
    numbers = frozenset(setting.number for setting in settings)
    return Statement(text, settings if names_setting else (), settings, numbers)
