"""One line for every contradiction, with what is possible instead."""

from __future__ import annotations

import re

import pytest

from materium.core.completion import CompletionSearch, HeaderConstraints
from materium.core.contradictions import explain, refuse_contradictions
from materium.core.occupancy import RequiredPosition, occupancy
from materium.errors import RequestError

SALT = ((11, 1), (17, 1))
SPINEL = ((8, 4), (12, 1), (13, 2))
GARNET = ((8, 12), (13, 5), (39, 3))
SPECIES = tuple((z, 0) for z in range(1, 100))


def test_possible_units_are_named() -> None:
    assert explain(SALT, 225, 1) is None
    assert explain(SALT, 227) is None
    assert explain(SALT, 227, 1) == (
        "NaCl in space group 227: Z must be 2, 4, 6, 8, 10, 12, …, 26 (formula units in the primitive cell); "
        "Z = 1 cannot be placed on positions of multiplicity 2, 2, 4, 4 (once each) and 8, 12, 24, 48 (repeatedly)"
    )


def test_garnet_needs_a_larger_limit() -> None:
    assert explain(GARNET, 230, 4, max_sites=80) is None
    assert explain(GARNET, 230) == (
        "Y3Al5O12 in space group 230 needs at least Z = 4, 80 atoms in the primitive cell, and 52 is the limit; "
        "raise it or choose another space group"
    )


@pytest.mark.parametrize(
    ("z", "positions", "fault"),
    [
        (2, [("8a", 12), ("16d", 13)], None),
        (2, [("8q", None)], "has no Wyckoff position '8q'; it has 8a, 8b"),
        (2, [("a", 12), ("8a", 13)], "8a of space group 227 has no free coordinate: it can be required once only"),
        (2, [("16d", 12)], "Z must be 4 or 6 (formula units in the primitive cell); Z = 2 cannot be placed"),
        (6, [("192i", 8), ("32e", None)], "192i, 32e of space group 227 takes 56 atoms in the primitive cell, and 52"),
        (7, [], "Z must be 2, 4 or 6"),
        (8, [], "Z = 8 has 56 atoms in the primitive cell, and 52 is the limit"),
    ],
)
def test_required_positions(z: int, positions: list[tuple[str, int | None]], fault: str | None) -> None:
    found = explain(SPINEL, 227, z, positions=tuple(RequiredPosition(*entry) for entry in positions))
    assert found is None if fault is None else fault in (found or "")
    assert "\n" not in (found or "")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"formula": SALT, "groups": {227}, "units": (1, 1)}, "Z must be 2, 4"),
        ({"formula": SALT, "groups": {227, 230}, "units": (1, 1)}, "NaCl with Z = 1 can be placed in none of 2 space"),
        ({"formula": SALT, "required": frozenset({8})}, "NaCl has no O"),
        ({"formula": SALT, "allowed": frozenset({8, 11})}, "NaCl has Cl, which may not occur"),
        ({"formula": SALT, "units": (3, 3), "sites": (1, 4)}, "NaCl has 6 atoms in the primitive cell with Z = 3"),
        ({"groups": {230}, "sites": (1, 6)}, "space group 230 needs at least 8 atoms in the primitive cell, and 6 is"),
        ({"groups": {230}, "positions": (RequiredPosition("z"),)}, "space group 230 has no Wyckoff position 'z'"),
        ({"groups": {227, 230}, "positions": (RequiredPosition("z"),)}, "none of 2 space groups has the Wyckoff"),
        ({"groups": {227}, "sites": (1, 20), "positions": (RequiredPosition("192i"),)}, "takes 48 atoms"),
        ({"groups": {230}, "sites": (1, 32), "num_elements": (5, 5)}, "no composition of 5 elements can be placed in"),
        ({"species": ((11, 1), (17, 1)), "formula": SALT, "neutral": True, "groups": {225}}, "no oxidation states"),
    ],
)
def test_constraints_that_contradict_each_other_are_refused(given: dict[str, object], fault: str) -> None:
    with pytest.raises(RequestError, match=f"^[^\n]*{re.escape(fault)}[^\n]*$"):
        refuse_contradictions(HeaderConstraints(**{"species": SPECIES, **given}))


def test_possible_constraints_pass() -> None:
    refuse_contradictions(HeaderConstraints(SPECIES))
    refuse_contradictions(HeaderConstraints(SPECIES, formula=SALT, groups=frozenset({227}), units=(1, 2)))


def test_every_space_group_of_an_explanation_agrees_with_the_masks() -> None:
    header = tuple((z - 1, count) for z, count in SPINEL)
    search = CompletionSearch(HeaderConstraints(SPECIES))
    for group in range(1, 231):
        units = search.units(header, group)
        assert (explain(SPINEL, group) is None) == bool(units)
        assert all(explain(SPINEL, group, z) is None for z in units)
        assert all(explain(SPINEL, group, z) for z in range(1, 8) if z not in units)
        assert max(occupancy(group).multiplicities) <= 48
