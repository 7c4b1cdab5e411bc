"""Batches made ahead come in order, failures too; figures are means over tokens and crystals."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest

from materium.train.objective import ahead, figures_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def numbers(end: int, made: list[int]) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number
    raise ValueError("spoilt")


def test_items_come_in_order_and_at_most_two_are_made_ahead() -> None:
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    begun: list[int] = []
    items = ahead(numbers(9, begun))
    assert next(items) == 0
    before = threading.active_count()
    items.close()
    assert threading.active_count() < before
    assert len(begun) <= 3


def test_a_failure_comes_where_it_happened() -> None:
    items = ahead(numbers(2, []))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="spoilt"):
        next(items)


def test_figures_are_means() -> None:
    found = figures_of({"species": (6.0, 3), "angle": (0.0, 0)}, 2)
    assert (found["nats_per_token"], found["nats_per_crystal"], found["species_nats"]) == (2.0, 3.0, 3.0)
    assert math.isnan(found["angle_nats_per_token"])
