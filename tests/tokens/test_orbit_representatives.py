"""Laws of the smallest representative: every orbit has one, and masks lead to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materium.core.wyckoff import POSITIONS, space_group, wyckoff_position
from materium.tokens.orbit_representatives import equivalent_forms, smallest, smallest_point

BINS = 1008


def sites_of_the_form(number: int, point: np.ndarray) -> list[list[int]]:
    """Return all sites of an orbit, over the centring too, that have the form of the representative."""
    position = wyckoff_position(number)
    centring = space_group(position.group).centring * (BINS // 24)
    sites = (position.images(point)[:, None] + centring).reshape(-1, 3) % BINS
    return [site.tolist() for site in sites if (position.point(position.free_values(site)) == site).all()]


@settings(max_examples=100)
@given(st.integers(0, POSITIONS - 1), st.integers(0, 1 << 32))
def test_the_smallest_representative_is_the_smallest_site_of_the_form(number: int, seed: int) -> None:
    position = wyckoff_position(number)
    point = position.point(np.random.default_rng(seed).integers(BINS, size=position.freedom))
    sites = sites_of_the_form(number, point)
    least = smallest_point(number, point, BINS)
    assert least.tolist() == min(sites)
    assert len(equivalent_forms(number)[0]) + 1 == len(sites)
    free = position.free_values(least).tolist()
    for depth in range(len(free)):
        assert smallest(number, free[:depth], BINS)[free[depth]]


@settings(max_examples=50)
@given(st.integers(0, POSITIONS - 1), st.integers(0, 1 << 32))
def test_after_the_last_coordinate_only_the_smallest_is_left(number: int, seed: int) -> None:
    """Unless an earlier coordinate left no smallest one: then all are legal."""
    position, rng = wyckoff_position(number), np.random.default_rng(seed)
    free: list[int] = []
    for _ in range(position.freedom):
        legal = smallest(number, free, BINS)
        assert legal.any()
        free.append(int(rng.choice(np.flatnonzero(legal))))
    if position.freedom and not legal.all():
        point = position.point(np.array(free))
        assert smallest_point(number, point, BINS).tolist() == point.tolist()


@pytest.mark.parametrize(
    ("group", "letter", "free", "legal"),
    [
        (225, "e", [], range(505)),  # x,0,0 and -x,0,0
        (227, "e", [], range(505)),  # x,x,x and -x,-x,-x
        (2, "i", [], range(505)),
        (2, "i", [0], range(505)),
        (2, "i", [100], range(1008)),
        (1, "a", [5, 6], range(1008)),
    ],
)
def test_known_ranges(group: int, letter: str, free: list[int], legal: range) -> None:
    number = space_group(group).position(letter).number
    assert np.flatnonzero(smallest(number, free, BINS)).tolist() == list(legal)
