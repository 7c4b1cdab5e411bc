"""Refinement: noise goes, the crystal stays; what does not stay the same crystal is refused with a reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import materium.refine
from crystals import KNOWN, MAGNETITE_LIKE, NACL, RUTILE, SPACE_GROUPS, assert_same, crystal
from descriptions import random_crystal, redescribed
from materium.crystal import Crystal
from materium.errors import RequestError
from materium.evaluate.prediction import rms
from materium.evaluate.uniqueness import first_of_equals
from materium.evaluate.verdicts import comparison
from materium.refine import REFINE_SYMPREC, TIGHT_SYMPREC, Refinement, refine
from materium.symmetry import canonical, space_group

if TYPE_CHECKING:
    from pathlib import Path

TIMES_NOISE = 3
"""The tolerance must be so many times the distance by which atoms are off; two atoms are off, and the origin too."""
seeds = st.integers(0, 2**32 - 1)


def shaken(found: Crystal, distance: float, rng: np.random.Generator) -> Crystal:
    """Return the crystal with every atom moved by `distance` Å in a direction of its own."""
    steps = rng.normal(size=(len(found), 3))
    steps *= distance / np.linalg.norm(steps, axis=1, keepdims=True)
    frac = found.frac_coords + steps @ np.linalg.inv(found.lattice)
    return Crystal(found.lattice, frac, found.numbers, found.oxidation_states)


def species(found: Crystal) -> dict[tuple[int, int], float]:
    """Return the share of the atoms that each species has."""
    states = np.zeros(len(found), int) if found.oxidation_states is None else found.oxidation_states
    kinds, counts = np.unique(np.column_stack([found.numbers, states]), axis=0, return_counts=True)
    return {(int(z), int(s)): int(count) / len(found) for (z, s), count in zip(kinds, counts, strict=True)}


def assert_accepted(result: Refinement) -> Crystal:
    assert result.crystal is not None, result.reason
    assert result.reason == ""
    assert result.space_group == space_group(result.crystal, TIGHT_SYMPREC)
    return result.crystal


# --- noise goes ---


@pytest.mark.parametrize("distance", [0.001, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("name", KNOWN)
def test_noise_goes_and_the_known_group_comes_back(name: str, distance: float) -> None:
    known = KNOWN[name]
    rng = np.random.default_rng(round(1000 * distance))
    raw = shaken(redescribed(known, rng), distance, rng)
    assert space_group(raw, TIGHT_SYMPREC) < SPACE_GROUPS[name] or len(canonical(known)) == 1
    result = refine(raw, max(REFINE_SYMPREC, TIMES_NOISE * distance))
    assert result.space_group == SPACE_GROUPS[name]
    # Where symmetry leaves a coordinate free, it keeps the mean of its orbit's noise.
    assert_same(canonical(assert_accepted(result)), canonical(known), tolerance=1.5 * distance)


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_symmetric_stays_as_it_is(name: str) -> None:
    result = refine(KNOWN[name])
    assert_same(assert_accepted(result), canonical(KNOWN[name]), tolerance=1e-6)
    assert refine(result.crystal).space_group == result.space_group == SPACE_GROUPS[name]


@pytest.mark.shared_data
@pytest.mark.parametrize("distance", [0.001, 0.03])
def test_noise_on_real_crystals(shared_data: Path, distance: float) -> None:
    columns = ["cell", "frac_coords", "atomic_numbers", "space_group"]
    table = pq.read_table(shared_data / "test.parquet", columns=columns)
    rng = np.random.default_rng(1)
    records = table.take(rng.choice(len(table), 10, replace=False)).to_pylist()
    for record in records:
        cell, frac = np.reshape(record["cell"], (3, 3)), np.reshape(record["frac_coords"], (-1, 3))
        real = Crystal(cell, frac, np.array(record["atomic_numbers"]))
        result = refine(shaken(real, distance, rng))
        assert species(assert_accepted(result)) == pytest.approx(species(real))
        assert result.space_group == record["space_group"]


def test_a_supercell_becomes_a_primitive_cell() -> None:
    rng = np.random.default_rng(5)
    refined = assert_accepted(refine(shaken(redescribed(RUTILE, rng, volume=2), 0.01, rng)))
    assert len(refined) == len(RUTILE)
    assert refined.density == pytest.approx(RUTILE.density)


def test_oxidation_states_are_kept_and_count() -> None:
    """With Fe2+ and Fe3+ told apart, the iron atoms are no orbit, and the group is a smaller one."""
    rng = np.random.default_rng(2)
    refined = assert_accepted(refine(shaken(MAGNETITE_LIKE, 0.005, rng)))
    assert species(refined) == species(MAGNETITE_LIKE)
    alike = Crystal(MAGNETITE_LIKE.lattice, MAGNETITE_LIKE.frac_coords, [26, 26, 8, 8, 8])
    assert assert_accepted(refine(alike)).oxidation_states is None
    assert refine(alike).space_group > refine(MAGNETITE_LIKE).space_group


def test_noble_gases() -> None:
    """Argon has no electronegativity; whoever sorts by it must not warn."""
    argon = crystal([5.26, 5.26, 5.26, 90, 90, 90], [(18, 0, p) for p in NACL.frac_coords[:4].tolist()])
    result = refine(Crystal(argon.lattice, argon.frac_coords, argon.numbers))
    assert len(assert_accepted(result)) == 1
    assert result.space_group == 225


# --- the crystal stays ---


@examples(max_examples=25)
@given(number=st.integers(1, 230), seed=seeds, distance=st.floats(0, 0.3), symprec=st.floats(1e-3, 0.6))
def test_composition_and_density_never_change(number: int, seed: int, distance: float, symprec: float) -> None:
    """Whatever the noise and the tolerance: either the same crystal comes back, or a reason."""
    rng = np.random.default_rng(seed)
    raw = shaken(random_crystal(number, rng, orbits=1 + seed % 2), distance, rng)
    if seed % 3 == 0:
        raw = raw.with_oxidation_states(rng.integers(0, 2, len(raw)))
    result = refine(raw, symprec)
    assert (result.crystal is None) == bool(result.reason) == (result.space_group is None)
    assert "\n" not in result.reason
    if result.crystal is not None:
        assert species(assert_accepted(result)) == pytest.approx(species(raw))
        assert result.crystal.density == pytest.approx(raw.density, rel=0.01)
        assert result.crystal.min_distance >= 0.5
        assert abs(result.crystal.min_distance - canonical(raw, 1e-4).min_distance) <= symprec + 1e-6


# --- what is refused, and why ---


def altered(monkeypatch: pytest.MonkeyPatch, other: Crystal) -> str:
    """Return why rock salt is refused if this were its refined form."""
    monkeypatch.setattr(materium.refine, "canonical", lambda *_: other)
    result = refine(NACL)
    assert result.crystal is result.space_group is None
    return result.reason


def test_another_composition_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    potassium = Crystal(NACL.lattice, NACL.frac_coords, np.where(NACL.numbers == 11, 19, 17), NACL.oxidation_states)
    assert altered(monkeypatch, potassium) == "the composition changed from NaCl to KCl"
    lacking = NACL.select(range(7))
    assert altered(monkeypatch, lacking) == "the composition changed from NaCl to Na4Cl3"


def test_other_oxidation_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "composition" in altered(monkeypatch, NACL.with_oxidation_states(-NACL.oxidation_states))
    assert "composition" in altered(monkeypatch, Crystal(NACL.lattice, NACL.frac_coords, NACL.numbers))


def test_another_density_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Crystal(1.01 * NACL.lattice, NACL.frac_coords, NACL.numbers, NACL.oxidation_states)
    assert altered(monkeypatch, wide) == "the density changed by -2.9 %; at most 1 % is allowed"


def test_other_distances_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frac = NACL.frac_coords.copy()
    frac[0] += [0.05, 0, 0]
    near = Crystal(NACL.lattice, frac, NACL.numbers, NACL.oxidation_states)
    expected = "the shortest distance changed from 2.820 to 2.538 Å; at most symprec=0.1 Å is allowed"
    assert altered(monkeypatch, near) == expected
    frac[0] += [0.4, 0, 0]
    assert "overlapping atoms" in altered(monkeypatch, Crystal(NACL.lattice, frac, NACL.numbers, NACL.oxidation_states))


def test_another_structure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caesium chloride's structure, with the density and nearly the distances of rock salt."""
    edge = (NACL.volume / 4) ** (1 / 3)
    other = crystal([edge, edge, edge, 90, 90, 90], [(11, 1, [0, 0, 0]), (17, -1, [0.5, 0.5, 0.5])])
    monkeypatch.setattr(materium.refine, "canonical", lambda *_: other)
    assert "StructureMatcher" in refine(NACL, symprec=0.3).reason


def test_another_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strained = Crystal(NACL.lattice * [1, 1, 1.002], NACL.frac_coords, NACL.numbers, NACL.oxidation_states)
    expected = "space group 225 was found at symprec=0.1 Å, but the refined crystal has 139 at 0.0001 Å"
    assert altered(monkeypatch, strained) == expected


def test_overlapping_atoms_are_refused() -> None:
    result = refine(Crystal(4 * np.eye(3), [[0, 0, 0], [0.05, 0, 0]], [11, 17]))
    assert result == Refinement(None, None, "atoms 0.200 Å apart")


@pytest.mark.timeout(60)
def test_a_skewed_cell_ends() -> None:
    """Pymatgen's reduction of these cells does not end; they hold magnesium, with an angle of 0.1° and less."""
    metal = np.array([[3.2, 0, 0], [-1.6, 3.2 * 0.75**0.5, 0], [0, 0, 5.2]])
    for axes in ([[281, -548, 4], [20, -39, 12], [280, -546, 169]], [[1, 0, 0], [1999, 1, 0], [0, 777, 1]]):
        sites = np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]) @ np.linalg.inv(np.array(axes, dtype=float))
        skewed = Crystal(np.array(axes) @ metal, sites, [12, 12])
        assert refine(skewed).space_group == 194
        assert rms(skewed, Crystal(metal, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], [12, 12])) < 1e-6
        assert comparison(skewed, skewed) == {"matched": True, "rmsd": pytest.approx(0, abs=1e-6)}
        assert first_of_equals([skewed, skewed]) == [0, 0]


def test_what_moyo_cannot_search_is_refused() -> None:
    result = refine(Crystal(np.diag([1.5, 1.5, 22.8]), [[0, 0, 0]], [11]))
    assert result.crystal is None
    assert "too unlike for symprec=0.1 Å" in result.reason


@pytest.mark.parametrize("symprec", [0.0, -0.1, math.inf, math.nan])
def test_no_tolerance_is_an_error(symprec: float) -> None:
    with pytest.raises(RequestError, match="give a tolerance in Å, above 0"):
        refine(NACL, symprec)


def test_the_raw_crystal_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    raw = shaken(NACL, 0.02, rng)
    before = raw.frac_coords.copy()
    refine(raw)
    np.testing.assert_array_equal(raw.frac_coords, before)
