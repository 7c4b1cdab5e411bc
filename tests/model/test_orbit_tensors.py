"""Arrays become tensors field by field."""

from __future__ import annotations

import numpy as np

from materium.model.orbit_tensors import DistanceTensors, SlotTensors
from orbit_rows import FIRST


def test_tensors_hold_the_arrays() -> None:
    slots = SlotTensors.of(FIRST.slots)
    np.testing.assert_array_equal(slots.points.numpy(), FIRST.slots.points)
    assert FIRST.contacts is not None
    np.testing.assert_array_equal(DistanceTensors.of(FIRST.contacts).start.numpy(), FIRST.contacts.start)
