"""Occupancies, oxidation states and positions as they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crystals import QUARTZ
from materium.errors import ConversionError
from materium.io.sites import check_occupancy, fractional, integer_states, whole_states


@pytest.mark.parametrize("amount", [1, 1.0, 1 - 1e-8, 1 + 1e-8])
def test_a_whole_site(amount: float) -> None:
    check_occupancy({"Na": amount})


@pytest.mark.parametrize("kinds", [{"Na": 1 - 1e-7}, {"Na": 0.5, "K": 0.5}, {}, {"Na": "half"}, {"Na": float("nan")}])
def test_a_site_that_is_not_whole_shows_its_amounts(kinds: dict[str, Any]) -> None:
    with pytest.raises(ConversionError) as caught:
        check_occupancy(kinds)
    assert all(f"{kind}{amount!r}" in str(caught.value) for kind, amount in kinds.items())


@pytest.mark.parametrize("states", [[2.5, -2.5], [1, None], ["1+", "1-"], [float("nan")] * 2, [10**400, 1], [[1], [2]]])
def test_states_that_say_nothing(states: list[Any]) -> None:
    assert whole_states(states) is None


def test_zeros_are_whole_and_say_nothing() -> None:
    np.testing.assert_array_equal(whole_states(["0", 0.0]), [0, 0])
    assert integer_states([0, 0]) is None


def test_positions_come_back() -> None:
    found = fractional(QUARTZ.frac_coords @ QUARTZ.lattice, QUARTZ.lattice)
    np.testing.assert_allclose(found, QUARTZ.frac_coords, atol=1e-14)
