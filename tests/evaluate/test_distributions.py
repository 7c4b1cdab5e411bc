from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materium.errors import MateriumError
from materium.evaluate.distributions import CATEGORIES, QUANTITIES, compare

NAMES = {*QUANTITIES, *CATEGORIES}


def row(
    sites: int = 4, density: float = 5.0, group: int | None = 225, elements: tuple[int, ...] = (8, 12)
) -> dict[str, Any]:
    return {
        "num_sites": sites,
        "num_elements": len(elements),
        "density": density,
        "volume_per_atom": 60 / density,
        "atomic_numbers": [*elements, elements[0]],
        "space_group": group,
    }


rows = st.lists(
    st.builds(
        row,
        st.integers(1, 40),
        st.floats(0.5, 20),
        st.none() | st.integers(1, 230),
        st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(rows, st.randoms())
def test_the_same_crystals_in_any_order_are_at_distance_0(crystals: list[dict[str, Any]], random: Any) -> None:  # noqa: ANN401
    shuffled = random.sample(crystals, len(crystals))
    for name, entry in compare(shuffled, crystals).items():
        known = any(one["space_group"] is not None for one in crystals) or name not in {"space_group", "crystal_system"}
        assert entry["distance"] == (pytest.approx(0, abs=1e-6) if known else None)


@settings(max_examples=40)
@given(rows, rows)
def test_distances_and_histograms_keep_their_bounds(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    found = compare(one, other)
    assert found.keys() == NAMES
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name, entry in found.items():
        assert entry["distance"] is None or 0 <= entry["distance"] <= (1 + 1e-9 if name in CATEGORIES else np.inf)
        shares = entry["histogram"]
        assert sum(shares["real"]) == pytest.approx(1 if entry["real"] else 0)
        assert sum(shares["generated"]) == pytest.approx(1 if entry["generated"] else 0)


def test_a_shift_is_the_distance_of_a_quantity() -> None:
    """All of 4 sites against all of 10: each crystal lacks 6."""
    found = compare([row(sites=4)] * 3, [row(sites=10)] * 5)["num_sites"]
    assert found["distance"] == pytest.approx(6)
    assert (found["generated_mean"], found["real_mean"], found["unit"]) == (4, 10, "sites")


def test_nothing_in_common_is_at_distance_1() -> None:
    found = compare([row(group=225, elements=(3, 9))], [row(group=1, elements=(26, 8))])
    assert [found[name]["distance"] for name in CATEGORIES] == pytest.approx([1, 1, 1])
    assert found["crystal_system"]["histogram"]["labels"] == ["triclinic", "cubic"]
    assert found["space_group"]["histogram"]["labels"] == [1, 225]


def test_elements_count_once_for_each_crystal() -> None:
    found = compare([row(elements=(8, 12))], [row(elements=(8, 12)), row(elements=(8,))])["elements"]
    assert (found["generated"], found["real"]) == (2, 3)
    assert found["histogram"] == {"labels": [8, 12], "generated": [0.5, 0.5], "real": pytest.approx([2 / 3, 1 / 3])}


def test_values_beyond_the_real_ones_stand_in_the_last_bins() -> None:
    real = [row(density=density) for density in np.linspace(2, 8, 50)]
    shares = compare([row(density=50.0), row(density=0.1)], real)["density"]["histogram"]["generated"]
    assert (shares[0], shares[-1]) == (0.5, 0.5)


def test_what_is_not_known_is_left_out_and_counted() -> None:
    found = compare([row(group=None), {"num_sites": None}, row()], [row()])
    assert found["space_group"]["generated"] == 1
    assert found["num_sites"]["generated"] == 2


def test_no_generated_crystal_has_no_distance() -> None:
    assert {entry["distance"] for entry in compare([], [row()]).values()} == {None}


def test_a_reference_is_needed() -> None:
    with pytest.raises(MateriumError, match="no crystal to compare with"):
        compare([row()], [])


def test_every_distance_says_what_it_is() -> None:
    for name, entry in compare([row()], [row()]).items():
        assert ("Wasserstein" if name in QUANTITIES else "Jensen-Shannon") in entry["definition"]
