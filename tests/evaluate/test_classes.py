from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from crystals import NACL, RUTILE
from materium.crystal import Crystal
from materium.evaluate.classes import (
    BLOCKS,
    CLASSES,
    ELEMENT_BINS,
    SITE_BINS,
    Rarity,
    bin_names,
    bin_of,
    classes_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def of(numbers: Sequence[int]) -> Crystal:
    """Return atoms in a row."""
    count = len(numbers)
    return Crystal(np.diag([3.0 * count, 3, 3]), np.outer(np.arange(count) / count, [1, 0, 0]), np.array(numbers))


@pytest.mark.parametrize(
    ("formula", "classes"),
    [
        ("TiO2", ("oxide",)),
        ("BiOCl", ("oxide",)),
        ("LiFePO4", ("oxide",)),
        ("NaOH", ("oxide",)),
        ("OF2", ("halide",)),
        ("NaCl", ("halide",)),
        ("K2PtCl6", ("halide",)),
        ("ZnS", ("chalcogenide",)),
        ("AuTe2", ("chalcogenide",)),
        ("GaN", ("pnictide",)),
        ("PtAs2", ("pnictide",)),
        ("Mg3Bi2", ("pnictide",)),
        ("WC", ("carbide/boride",)),
        ("MgB2", ("carbide/boride",)),
        ("MgH2", ("hydride",)),
        ("LiBH4", ("hydride",)),
        ("Mg2Si", ("intermetallic",)),
        ("Cu3Au", ("intermetallic",)),
        ("Si", ("element",)),
        ("Xe", ("element",)),
        ("NaHe", ("other",)),
        ("LaNi5", ("intermetallic", "lanthanide")),
        ("UO2", ("oxide", "actinide")),
        ("U", ("element", "actinide")),
        ("CeU2O6", ("oxide", "lanthanide", "actinide")),
    ],
)
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_compounds_have_the_class_that_chemists_give_them(formula: str, classes: tuple[str, ...]) -> None:
    assert classes_of(of([element.Z for element in Composition(formula).elements])) == classes


@given(st.lists(st.integers(1, 118), min_size=1, max_size=6))
def test_every_crystal_has_one_class_whatever_the_order_of_its_sites(numbers: list[int]) -> None:
    first, *also = classes_of(of(numbers))
    assert first in CLASSES
    assert set(also) <= set(BLOCKS)
    assert classes_of(of(sorted(numbers))) == (first, *also)


def test_rarity_counts_crystals_not_atoms() -> None:
    rarity = Rarity.count([NACL.numbers, RUTILE.numbers, [8, 8, 11]], [225, 136, 225])
    assert rarity.elements == {11: 2, 17: 1, 22: 1, 8: 2}
    assert rarity.space_groups == {225: 2, 136: 1}


def test_the_rarest_element_decides() -> None:
    rarity = Rarity({11: 5000, 17: 100, 92: 99}, {225: 1000, 1: 10})
    assert rarity.bins(NACL, 225, 2) == {"element": "100-999", "space_group": ">= 1000", "num_sites": "< 5"}
    assert rarity.bins(of([11, 92]), 1, 33) == {"element": "< 100", "space_group": "10-99", "num_sites": ">= 33"}
    assert rarity.bins(of([11, 3]), None, 8) == {"element": "< 100", "space_group": "none", "num_sites": "5-8"}


@given(st.integers(0, 5000))
def test_bins_hold_what_they_say(value: int) -> None:
    for edges in (ELEMENT_BINS, SITE_BINS):
        name = bin_of(value, edges)
        assert name in bin_names(edges)
        low, _, high = name.partition("-")
        if high:
            assert int(low) <= value <= int(high)
        else:
            assert eval(f"{value} {name}")  # noqa: S307 - two numbers and a sign
