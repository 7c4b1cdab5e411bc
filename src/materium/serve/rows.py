"""Crystals as the page and other programs get them: facts, structure, novelty, verdict."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import convert
from materium.crystal import Crystal, fault
from materium.errors import MateriumError
from materium.evaluate.verdicts import hopeless, plain
from materium.generate.rows import TOLERANCES, crystal_of
from materium.oxidation import balanced
from materium.serve.answers import CrystalRow, Novelty, Parameters, Site, SpaceGroup, Structure, Verdict
from materium.symmetry import symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.evaluate.novelty import Known

SPACE_GROUPS = 230


@cache
def space_groups() -> dict[int, SpaceGroup]:
    """Return all space groups by number, with their short Hermann-Mauguin symbols."""
    return {number: SpaceGroup(number=number, symbol=symbol(number)) for number in range(1, SPACE_GROUPS + 1)}


def group_of(number: int | None) -> SpaceGroup | None:
    """Return a space group by its number."""
    return space_groups()[number] if number else None


def structure_of(crystal: Crystal) -> Structure:
    """Return lattice and sites, with oxidation states as `balanced`."""
    names = convert.symbols(crystal.numbers)
    known = balanced(crystal)[0].oxidation_states
    states = [None] * len(crystal) if known is None else known.tolist()
    columns = (names, crystal.numbers.tolist(), crystal.frac_coords.tolist(), _cartesian(crystal), states)
    sites = [
        Site(element=name, number=number, frac=frac, cart=cart, oxidation=state)
        for name, number, frac, cart, state in zip(*columns, strict=True)
    ]
    a, b, c, alpha, beta, gamma = crystal.lengths_angles.tolist()
    parameters = Parameters(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)
    return Structure(lattice=crystal.lattice.tolist(), parameters=parameters, volume=crystal.volume, sites=sites)


def _cartesian(crystal: Crystal) -> list[list[float]]:
    found: list[list[float]] = (crystal.frac_coords @ crystal.lattice).tolist()
    return found


def crystal_in(structure: Structure) -> Crystal:
    """Return the crystal of a structure; the inverse of `structure_of`."""
    states = [site.oxidation for site in structure.sites]
    known = None if None in states else np.array(states)
    frac = np.array([site.frac for site in structure.sites])
    return Crystal(np.array(structure.lattice), frac, np.array([site.number for site in structure.sites]), known)


def written_row(record: Mapping[str, Any], known: Known | None) -> CrystalRow:
    """Return the row of a crystal that the model wrote, from its row of `structures.parquet`."""
    crystal = crystal_of(record)
    refined = None if record["refined"] is None else structure_of(crystal_of(record["refined"]))
    return CrystalRow(
        id=record["id"],
        index=record["index"],
        name=record["id"],
        **_facts(crystal),
        space_group=group_of(record["space_group"]),
        space_group_fine=group_of(record["space_group_fine"]),
        log_likelihood=record["log_likelihood"],
        valid=record["valid"],
        reason=record["reason"],
        novelty=novelty_of(crystal, known) if record["valid"] else None,
        request=record["request"],
        targets=json.loads(record["targets"]),
        symmetrized=record["symmetrized"],
        symmetrize_reason=record["symmetrize_reason"],
        refined=refined,
    )


def read_row(name: str, index: int, crystal: Crystal, known: Known | None) -> CrystalRow:
    """Return the row of a crystal that came in; symmetry is not sought where the cell is absurd or atoms overlap."""
    reason = hopeless(crystal) or fault(crystal)
    groups = {key: None if reason else _space_group(crystal, symprec) for key, symprec in TOLERANCES.items()}
    novelty = None if reason else novelty_of(crystal, known)
    facts = {**_facts(crystal), **groups}
    return CrystalRow(
        id=name, index=index, name=name, **facts, valid=reason is None, reason=reason or None, novelty=novelty
    )


def novelty_of(crystal: Crystal, known: Known | None) -> Novelty | None:
    """Return what the reference says of a crystal without overlapping atoms, or why it cannot; None without one."""
    if known is None:
        return None
    try:
        verdict = plain(known.verdict(crystal))
    except MateriumError as error:
        return Novelty(reason=str(error))
    found = {name: verdict[name] for name in Novelty.model_fields if name in verdict}
    return Novelty(**found, known_crystals=len(known))


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    """Return what the evaluation says of a crystal, from its row of `rows.parquet`."""
    found = {name: row[name] for name in Verdict.model_fields if row.get(name) is not None}
    found["space_group_relaxed"] = group_of(row.get("space_group_relaxed"))
    if row.get("relaxed_cell") is not None and row.get("relax_steps"):
        cell, frac = np.reshape(row["relaxed_cell"], (3, 3)), np.reshape(row["relaxed_frac_coords"], (-1, 3))
        found["relaxed"] = structure_of(Crystal(cell, frac, np.array(row["atomic_numbers"])))
    return Verdict(**found)


def _facts(crystal: Crystal) -> dict[str, Any]:
    return {
        "formula": convert.formula(crystal),
        "num_sites": len(crystal),
        "elements": convert.symbols(np.unique(crystal.numbers)),
        "density": crystal.density,
        "volume": crystal.volume,
        "structure": structure_of(crystal),
    }


def _space_group(crystal: Crystal, symprec: float) -> SpaceGroup | None:
    from materium.symmetry import space_group

    try:
        return group_of(space_group(crystal, symprec))
    except MateriumError:
        return None
