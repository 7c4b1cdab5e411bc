from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.core.structure_matcher import StructureMatcher

from crystals import KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, RUTILE, SILICON
from materium.convert import formula, to_structure
from materium.crystal import Crystal
from materium.data.readers import read
from materium.evaluate.uniqueness import Uniques, first_of_equals

if TYPE_CHECKING:
    from pathlib import Path


def bare(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


def displaced(crystal: Crystal, spread: float, seed: int) -> Crystal:
    """Return the crystal strained by a hundredth, with each atom displaced at random by about `spread` Å."""
    rng = np.random.default_rng(seed)
    lattice = crystal.lattice @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3)))
    moves = rng.normal(size=(len(crystal), 3)) * spread / np.sqrt(3)
    return Crystal(lattice, crystal.frac_coords + moves @ np.linalg.inv(lattice), crystal.numbers)


def doubled(crystal: Crystal) -> Crystal:
    frac = np.concatenate([crystal.frac_coords, crystal.frac_coords + np.array([1, 0, 0])]) / [2, 1, 1]
    return Crystal(np.diag([2, 1, 1]) @ crystal.lattice, frac, np.tile(crystal.numbers, 2))


def by_brute_force(crystals: list[Crystal]) -> list[int]:
    """Return the definition's answer: pymatgen's matcher on every crystal and every first before it."""
    matcher, firsts, answer = StructureMatcher(), [], []
    structures = [to_structure(bare(crystal)) for crystal in crystals]
    for index, structure in enumerate(structures):
        equal = next((first for first in firsts if matcher.fit(structures[first], structure)), index)
        firsts += [index] if equal == index else []
        answer.append(equal)
    return answer


def perturbed_copies() -> list[Crystal]:
    """Return known crystals and copies of them that are ever less like them, in an order of chance."""
    copies = [bare(crystal) for crystal in KNOWN.values()]
    copies += [displaced(c, spread, seed) for seed, spread in enumerate((0.05, 0.3, 0.8)) for c in KNOWN.values()]
    copies += [doubled(NACL), doubled(displaced(RUTILE, 0.3, 7)), *KNOWN.values()]
    order = np.random.default_rng(0).permutation(len(copies))
    return [copies[place] for place in order]


def test_what_spares_work_changes_no_answer_on_perturbed_copies() -> None:
    crystals = perturbed_copies()
    answer = by_brute_force(crystals)
    assert first_of_equals(crystals) == answer
    assert len(KNOWN) < len(set(answer)) < len(crystals)


@pytest.mark.shared_data
def test_what_spares_work_changes_no_answer_on_polymorphs(shared_data: Path) -> None:
    groups: defaultdict[str, list[Crystal]] = defaultdict(list)
    for row in islice(read(shared_data / "val.parquet"), 700):
        if row.crystal is not None and len(row.crystal) <= 16:
            groups[formula(row.crystal)].append(row.crystal)
    crystals = [crystal for group in groups.values() if len(group) > 1 for crystal in group][:30]
    crystals += [displaced(crystal, 0.2, seed) for seed, crystal in enumerate(crystals[:12])]
    answer = by_brute_force(crystals)
    assert first_of_equals(crystals) == answer
    assert len(set(answer)) < len(crystals)


def test_charges_tell_no_crystals_apart() -> None:
    other = MAGNETITE_LIKE.with_oxidation_states([3, 2, -2, -2, -1])
    assert first_of_equals([MAGNETITE_LIKE, other, bare(MAGNETITE_LIKE)]) == [0, 0, 0]


def test_polymorphs_and_other_formulas_are_no_copies() -> None:
    silica = Crystal(RUTILE.lattice * 0.91, RUTILE.frac_coords, np.where(RUTILE.numbers == 22, 14, 8))
    assert first_of_equals([QUARTZ, RUTILE, silica, QUARTZ]) == [0, 1, 2, 0]


def test_one_after_the_other_is_the_same() -> None:
    crystals = perturbed_copies()[:10]
    known = Uniques()
    found = [known.add(crystal) for crystal in crystals]
    answer = first_of_equals(crystals)
    assert [index if first is None else first for index, first in enumerate(found)] == answer
    assert len(known) == len(set(answer))


def test_a_bit_for_bit_copy_is_not_matched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Uniques()
    assert known.add(SILICON) is None
    monkeypatch.setattr(StructureMatcher, "fit", None)
    assert known.add(bare(SILICON)) == 0


def test_nothing_has_no_copies() -> None:
    assert first_of_equals([]) == []
