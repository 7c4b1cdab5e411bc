"""Rows by weight: as often as their weights say, and no pattern among neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from materium.data.weights import drawn_rows, row_weights

WEIGHTS = np.resize([1.0, 0.5, 2.0, 0.0, 0.25, 1.5], 240)
EPOCHS = 400


def counts_of(weights: np.ndarray) -> np.ndarray:
    """How often each row is drawn in each epoch."""
    return np.stack([np.bincount(drawn_rows(weights, [7, e]), minlength=len(weights)) for e in range(EPOCHS)])


def test_counts_are_the_weights() -> None:
    """Floor or ceiling in each epoch, and on average the weight within 5 standard deviations."""
    counts = counts_of(WEIGHTS)
    assert (np.abs(counts - WEIGHTS) < 1).all()
    assert np.abs(counts.sum(axis=1) - WEIGHTS.sum()).max() < 1
    np.testing.assert_allclose(counts.mean(axis=0), WEIGHTS, atol=5 * 0.5 / EPOCHS**0.5)


def test_neighbours_are_drawn_independently() -> None:
    """Of rows of weight 1/2 in an unshuffled systematic sample every second one would come, and no two neighbours."""
    counts = counts_of(np.full(240, 0.5))
    both = (counts[:, :-1] * counts[:, 1:]).mean()
    assert abs(both - 0.25) < 5 * 0.5 / counts[:, 1:].size ** 0.5


def test_whole_weights_draw_nothing_at_random() -> None:
    np.testing.assert_array_equal(drawn_rows(np.array([1.0, 0.0, 3.0]), [0]), [0, 2, 2, 2])


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [1, 2, 1, 1, 1]),
        ({"max_energy_above_hull": np.inf}, [1, 2, 1, 0, 1]),
        ({"max_energy_above_hull": 0.1}, [1, 2, 0, 0, 1]),
        ({"energy_scale": 0.1}, [1, 2 * np.exp(-1), np.exp(-2), 0, 1]),
        ({"energy_scale": 0.1, "max_energy_above_hull": 0.1}, [1, 2 * np.exp(-1), 0, 0, 1]),
    ],
)
def test_weights_by_energy_above_hull(limits: dict[str, float], expected: list[float]) -> None:
    """A label of 0.1 is within a limit of 0.1, in float32 as well; a negative one is on the hull."""
    energies = np.float32([0, 0.1, 0.2, np.nan, -0.1])
    np.testing.assert_allclose(row_weights([1, 2, 1, 1, 1], energies, **limits), expected, rtol=1e-6)
