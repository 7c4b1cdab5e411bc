"""Structures of every library become the same crystal, and what is none is refused by its type."""

from __future__ import annotations

import pytest

from crystals import RUTILE
from materium import convert
from materium.errors import ConversionError, RequestError
from materium.structures import as_crystal, kind_of


def test_every_library_gives_the_same_crystal() -> None:
    given = {"materium": RUTILE, "ase": convert.to_atoms(RUTILE), "pymatgen": convert.to_structure(RUTILE)}
    for kind, structure in given.items():
        assert kind_of(structure) == kind
        found = as_crystal(structure)
        assert found.numbers.tolist() == RUTILE.numbers.tolist()
        assert found.frac_coords % 1 == pytest.approx(RUTILE.frac_coords % 1)


@pytest.mark.parametrize("thing", [None, 3, "NaCl", [RUTILE], {"lattice": 1}])
def test_anything_else_is_named(thing: object) -> None:
    assert kind_of(thing) is None
    with pytest.raises(RequestError, match=f"{type(thing).__name__} is no structure"):
        as_crystal(thing)


def test_what_is_no_crystal_is_refused() -> None:
    atoms = convert.to_atoms(RUTILE)
    atoms.pbc = [True, True, False]
    with pytest.raises(ConversionError, match="periodic"):
        as_crystal(atoms)
