"""Batches follow from seed, epoch and number; rows come by weight; conditions are true of the crystal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from materium.data.loader import encode_labels
from materium.data.orbit_loader import CANONICAL, OrbitLoader, OrbitMix
from materium.errors import DataError
from materium.properties import scalar_names
from orbit_rows import CRYSTALS, shard, tokenizer

MIX = OrbitMix(conditional=1.0, alone=0.0, keep=0.8)


def loader(mix: OrbitMix = MIX, *, weights: list[float] | None = None, seed: int = 3) -> OrbitLoader:
    rows = shard() if weights is None else replace(shard(), weights=np.array(weights, dtype=np.float32))
    return OrbitLoader(rows, tokenizer(), mix, max_slots=60, seed=seed)


def test_a_run_that_is_resumed_sees_the_batches_of_an_undisturbed_one() -> None:
    whole, rest = list(loader().epoch(1)), list(loader().epoch(1, start=1))
    assert len(whole) == len(rest) + 1 > 1
    for one, other in zip(whole[1:], rest, strict=True):
        assert one.slots.tokens.tolist() == other.slots.tokens.tolist()
        np.testing.assert_array_equal(one.scalars, other.scalars)
        np.testing.assert_array_equal(one.forbidden, other.forbidden)


def test_rows_come_as_often_as_their_weights_say() -> None:
    rows = np.concatenate([b.rows for e in range(40) for b in loader(weights=[1, 2, 0, 0.5, 1]).epoch(e)])
    count = np.bincount(rows, minlength=5)
    assert count[[0, 1, 2, 4]].tolist() == [40, 80, 0, 40]
    assert 8 <= count[3] <= 32  # 40 draws with probability 1/2: outside of it once in 10,000


def test_sets_of_elements_are_true_of_the_crystal() -> None:
    seen = np.zeros(3, dtype=int)
    for epoch in range(20):
        for batch in loader().epoch(epoch):
            for row, required, forbidden, number in zip(
                batch.rows, batch.required, batch.forbidden, batch.num_elements, strict=True
            ):
                elements = set(CRYSTALS[row].numbers.tolist())
                assert set(np.flatnonzero(required)) <= elements
                assert not set(np.flatnonzero(forbidden)) & elements
                assert number in (0, len(elements))
                seen += [required.any(), forbidden.any(), number > 0]
    assert (seen > 10).all()


def test_scalars_are_the_labels_or_nothing() -> None:
    labels = encode_labels(np.asarray(shard().properties))
    for batch in loader().epoch(0):
        given = ~np.isnan(batch.scalars)
        np.testing.assert_array_equal(batch.scalars[given], labels[batch.rows][given])


def test_what_is_always_given_is_only_dropped_with_everything() -> None:
    hull = scalar_names().index("energy_above_hull")
    always = loader(replace(MIX, dropped=0.0, conditional=0.0))
    assert not any(np.isnan(b.scalars[:, hull]).any() for e in range(5) for b in always.epoch(e))
    assert all(np.isnan(b.scalars).all() for b in loader(CANONICAL).epoch(0))


def test_the_length_by_which_rows_are_sorted_is_that_of_their_slots() -> None:
    known = loader(CANONICAL)
    for batch in known.epoch(0):
        lengths = (batch.slots.roles > 0).sum(1)
        assert lengths.tolist() == known.lengths[shard().row_start[batch.rows]].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"orders": {"up": 1.0}}, "give weights"),
        ({"subgroup": -0.1}, "subgroup = -0.1 is no probability"),
        ({"setting": 0.6, "subgroup": 0.6}, "exceed 1 together"),
        ({"always": ("colour",)}, "unknown colour"),
        ({"energy_scale": 0.0}, "above 0"),
    ],
)
def test_mixes_that_are_not_possible_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        OrbitMix(**changes)


def test_rows_without_a_low_energy_above_hull_can_be_left_out() -> None:
    energies = np.asarray(shard().properties).copy()
    energies[:, scalar_names().index("energy_above_hull")] = [0.0, 0.2, np.nan, 0.1, 0.0]
    mix = replace(CANONICAL, max_energy_above_hull=0.1)
    rows = OrbitLoader(replace(shard(), properties=energies), tokenizer(), mix, max_slots=60, seed=0)
    assert sorted(np.concatenate([b.rows for b in rows.epoch(0)]).tolist()) == [0, 3, 4]
    with pytest.raises(DataError, match="less than one crystal an epoch"):
        loader(weights=[0.1] * 5)
