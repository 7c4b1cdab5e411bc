"""What the number of a space group says of it, against the counts and borders of International Tables A."""

from __future__ import annotations

import numpy as np
import pytest

from materium.core.space_groups import (
    CELLS,
    NUMBERS,
    POINT_GROUPS,
    find_space_groups,
    parse_space_groups,
    space_group_type,
)
from materium.errors import CrystalError, RequestError

FIRST = {
    "triclinic": 1,
    "monoclinic": 3,
    "orthorhombic": 16,
    "tetragonal": 75,
    "trigonal": 143,
    "hexagonal": 168,
    "cubic": 195,
}


def test_crystal_systems_are_ranges() -> None:
    ends = [*list(FIRST.values())[1:], 231]
    for (system, start), end in zip(FIRST.items(), ends, strict=True):
        assert find_space_groups(system=system) == tuple(range(start, end))


def test_every_group_is_in_one_point_group_of_its_system() -> None:
    found = [number for symbols in POINT_GROUPS.values() for name in symbols for number in groups_of(name)]
    assert found == sorted(found)  # International Tables number the groups in this order
    assert len(found) == len(NUMBERS)
    assert sum(map(len, POINT_GROUPS.values())) == 32
    for number in NUMBERS:
        group = space_group_type(number)
        assert group.point_group in POINT_GROUPS[group.system]


def groups_of(point_group: str) -> tuple[int, ...]:
    return find_space_groups(point_group=point_group)


def test_properties_have_the_known_counts() -> None:
    assert len(find_space_groups(polar=True)) == 68
    assert len(find_space_groups(centrosymmetric=True)) == 92
    assert len(find_space_groups(chiral=True)) == 65
    assert find_space_groups(system="cubic", centrosymmetric=True) == (*range(200, 207), *range(221, 231))
    assert find_space_groups(polar=True, system="cubic") == ()
    assert find_space_groups() == tuple(NUMBERS)


def test_known_groups() -> None:
    assert [space_group_type(number).symbol for number in (1, 14, 62, 141, 166, 186, 227)] == [
        "P1",
        "P2_1/c",
        "Pnma",
        "I4_1/amd",
        "R-3m",
        "P6_3mc",
        "Fd-3m",
    ]
    wurtzite, quartz = space_group_type(186), space_group_type(152)
    assert (wurtzite.polar, wurtzite.centrosymmetric, wurtzite.chiral) == (True, False, False)
    assert (quartz.polar, quartz.centrosymmetric, quartz.chiral) == (False, False, True)


def test_cells_fill_in_what_the_system_fixes() -> None:
    assert space_group_type(225).cell([4.0]).tolist() == [4, 4, 4, 90, 90, 90]
    assert space_group_type(166).cell([4.0, 9.0]).tolist() == [4, 4, 9, 90, 90, 120]
    assert space_group_type(14).cell([[4.0, 5.0, 6.0, 100.0]]).tolist() == [[4, 5, 6, 90, 100, 90]]
    assert space_group_type(2).lattice_parameters == CELLS["triclinic"]
    for number in NUMBERS:
        group = space_group_type(number)
        assert group.cell(np.full((2, 3, len(group.lattice_parameters)), 95.0)).shape == (2, 3, 6)


def test_wrong_input_is_one_line() -> None:
    for number in (0, 231, -1, "225"):
        with pytest.raises(CrystalError, match="from 1 to 230"):
            space_group_type(number)  # type: ignore[arg-type]
    with pytest.raises(CrystalError, match=r"a tetragonal cell needs a, c; got an array of shape \(3,\)"):
        space_group_type(136).cell([1.0, 2.0, 3.0])
    with pytest.raises(RequestError, match="unknown crystal system: 'cubik'; did you mean cubic"):
        find_space_groups(system="cubik")
    with pytest.raises(RequestError, match="unknown point group"):
        find_space_groups(point_group="5m")


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("triclinic", 2),
        ("monoclinic", 13),
        ("orthorhombic", 59),
        ("tetragonal", 68),
        ("trigonal", 25),
        ("hexagonal", 27),
        ("cubic", 36),
        ("polar", 68),
        ("centrosymmetric", 92),
        ("chiral", 65),
        ("point-group:mmm", 28),
        ("point-group:-43m", 6),
        ("orthorhombic+polar", 22),
        ("orthorhombic + chiral", 9),
        ("1..230", 230),
        ("cubic, hexagonal, 195..200", 63),
    ],
)
def test_requests_have_the_known_numbers_of_groups(word: str, number: int) -> None:
    assert len(parse_space_groups(word)) == number


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("225", (225,)),
        ("62..64,14", (14, 62, 63, 64)),
        ("Fm-3m, P2_1/c, Pnma", (14, 62, 225)),
        ("Cubic+Polar,1", None),
        ("POLAR+triclinic", (1,)),
        ("cubic+225..230+centrosymmetric", (225, 226, 227, 228, 229, 230)),
    ],
)
def test_requests_name_these_groups(text: str, groups: tuple[int, ...] | None) -> None:
    if groups is None:
        with pytest.raises(RequestError, match="no space group is Cubic and Polar"):
            parse_space_groups(text)
    else:
        assert parse_space_groups(text) == groups


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("231", "231 does not exist; give an international number from 1 to 230"),
        ("0", "0 does not exist"),
        ("74..62", "'74..62'; give two numbers"),
        ("62..", "'62..'; give two numbers"),
        ("cubik", "did you mean cubic"),
        ("centrosymetric", "did you mean centrosymmetric"),
        ("Fm-3x", "did you mean F"),
        ("point-group:mmn", "unknown point group: 'mmn'; did you mean mmm"),
        ("225,", "unknown space group: ''"),
        ("", "unknown space group: ''"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_space_groups(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
