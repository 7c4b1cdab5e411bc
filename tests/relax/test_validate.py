"""The check of the contract finds each way in which a potential can break it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from crystals import QUARTZ, SILICON
from materium.crystal import Crystal
from materium.relax.adapters.lennard_jones import LennardJones
from materium.relax.potential import Potential, Prediction
from materium.relax.validate import check_contract

CRYSTALS = [
    Crystal(c.lattice * 0.97, c.frac_coords + 0.02 * np.random.default_rng(1).normal(size=(len(c), 3)), c.numbers)
    for c in (SILICON, QUARTZ)
]
Fault = Callable[[Sequence[Crystal], int, Prediction], Prediction | None]


class Broken(Potential):
    """Lennard-Jones with a fault."""

    name, version, scheme = "broken", "0", "none"

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        found = LennardJones().predict(crystals)
        return [self._fault(crystals, index, one) for index, one in enumerate(found) if one is not None]


def half_forces(_: Sequence[Crystal], __: int, one: Prediction) -> Prediction:
    return Prediction(one.energy, one.forces / 2, one.stress)


def pressure(_: Sequence[Crystal], __: int, one: Prediction) -> Prediction:
    return Prediction(one.energy, one.forces, -one.stress)


def depends_on_the_batch(crystals: Sequence[Crystal], _: int, one: Prediction) -> Prediction:
    return Prediction(one.energy + len(crystals), one.forces, one.stress)


def depends_on_the_origin(crystals: Sequence[Crystal], index: int, one: Prediction) -> Prediction:
    return Prediction(one.energy + float(crystals[index].frac_coords.sum()), one.forces, one.stress)


def depends_on_the_axes(crystals: Sequence[Crystal], index: int, one: Prediction) -> Prediction:
    return Prediction(one.energy + float(crystals[index].lattice[0, 0]), one.forces, one.stress)


def depends_on_the_order(_: Sequence[Crystal], __: int, one: Prediction) -> Prediction:
    return Prediction(one.energy, np.sort(one.forces, axis=0), one.stress)


def needs_two_atoms(crystals: Sequence[Crystal], index: int, one: Prediction) -> Prediction | None:
    return one if len(crystals[index]) > 1 else None


def not_finite(_: Sequence[Crystal], __: int, one: Prediction) -> Prediction:
    return Prediction(np.nan, one.forces, one.stress)


def alters(crystals: Sequence[Crystal], index: int, one: Prediction) -> Prediction:
    frac = crystals[index].frac_coords
    frac.setflags(write=True)
    frac[0, 0] += 1e-12
    return one


@pytest.mark.parametrize(
    ("fault", "violation"),
    [
        (half_forces, "forces are not minus the energy's gradient"),
        (pressure, "stress is not the energy's derivative by strain"),
        (depends_on_the_batch, "the batch changes the energy"),
        (depends_on_the_origin, "translation changes the energy"),
        (depends_on_the_axes, "rotation changes the energy"),
        (depends_on_the_order, "permutation changes forces"),
        (needs_two_atoms, "a cell of one atom has no prediction"),
        (not_finite, "a number is not finite"),
        (alters, "the input was altered"),
    ],
)
def test_each_violation_is_named(fault: Fault, violation: str) -> None:
    crystals = [Crystal(c.lattice, c.frac_coords, c.numbers) for c in CRYSTALS]
    assert any(violation in line for line in check_contract(Broken(fault), crystals))


def test_a_prediction_too_few_is_named() -> None:
    class Short(LennardJones):
        def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
            return super().predict(crystals)[1:]

    assert check_contract(Short(), CRYSTALS) == ["1 predictions for 2 crystals"]


def test_a_sound_potential_breaks_nothing() -> None:
    assert check_contract(LennardJones(), CRYSTALS) == []
