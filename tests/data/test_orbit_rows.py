"""Rows as orbits: every description is of the crystal, and what is drawn follows from the row's name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import KNOWN, NACL, PEROVSKITE, RUTILE
from materium.core.orbits import all_settings, canonical_orbits
from materium.data.orbit_rows import CANONICAL, SETTING, SUBGROUP, descriptions, form, orbit_tokenizer
from materium.errors import CrystalError

if TYPE_CHECKING:
    from materium.crystal import Crystal
    from materium.tokens.orbit_tokenizer import GridOrbits

TOKENIZER = orbit_tokenizer(None, 52, oxidation_states=True)


def described(
    crystal: Crystal, name: str = "a", settings: int = 3, in_subgroups: int = 2
) -> list[tuple[int, GridOrbits]]:
    return descriptions(crystal, TOKENIZER, name=name, symprec=0.01, settings=settings, in_subgroups=in_subgroups)


@pytest.mark.parametrize("crystal", KNOWN.values(), ids=KNOWN)
def test_the_canonical_description_comes_first_and_all_are_of_the_crystal(crystal: Crystal) -> None:
    (kind, first), *others = described(crystal)
    assert kind == CANONICAL
    assert form(first) == form(TOKENIZER.grid(canonical_orbits(crystal)))
    forms = {form(TOKENIZER.grid(orbits)) for orbits in all_settings(crystal)}
    for kind, grid in others:
        found = TOKENIZER.orbits(grid)
        assert found.composition == TOKENIZER.orbits(first).composition
        assert (kind == SETTING) == (form(grid) in forms)
        again = canonical_orbits(found.to_crystal())
        assert again.group == first.group
        np.testing.assert_array_equal(again.positions, first.positions)
    counts = Counter(kind for kind, _ in others)
    assert counts[SUBGROUP] == 2
    assert counts[SETTING] == min(2, len(forms) - 1)
    assert len({form(grid) for _, grid in others}) == len(others)


def test_what_is_drawn_follows_from_the_name() -> None:
    def groups(name: str) -> list[int]:
        return [grid.group for _, grid in described(RUTILE, name)]

    assert groups("a") == groups("a")
    assert len({tuple(groups(name)) for name in "abcdef"}) > 1


def test_p1_is_drawn_more_often_than_any_other_subgroup() -> None:
    drawn = Counter(described(NACL, str(k), 1, 1)[1][1].group for k in range(60))
    assert drawn[1] >= 5  # 60 draws with probability 1/4: fewer once in 5,000


def test_more_sites_than_allowed_are_one_reason() -> None:
    with pytest.raises(CrystalError, match=r"^more than 19 sites$"):
        descriptions(
            PEROVSKITE,
            orbit_tokenizer(None, 19, oxidation_states=True),
            name="",
            symprec=0.01,
            settings=1,
            in_subgroups=0,
        )
