"""The contract that every potential keeps, as a check that ships: two lines test a new potential.

    for violation in check_contract(MyPotential(), crystals):
        ...

Tolerances suit networks in single precision: 0.1 meV per atom, 2 meV/Å, and a hundredth for derivatives by differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import MAX_ATOMIC_NUMBER, Crystal
from materium.relax.potential import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from materium.relax.potential import Potential

ENERGY = 1e-4
"""eV/atom; also, times the number of atoms over the volume, the tolerance of a stress."""
FORCE = 2e-3
"""eV/Å."""
STRESS = 3e-4
"""eV/Å³, 0.05 GPa."""
SLOPE = 1e-2
"""Largest difference between a derivative and the quotient of differences, relative to the derivative or to 1 eV."""
STEP = 0.01
"""Å that atoms move, all together, and a third of the strain, for a quotient of differences."""
SEED = 0


def check_contract(potential: Potential, crystals: Sequence[Crystal]) -> list[str]:
    """Return what a potential breaks of its contract, a line for each violation; none is a potential as it should be.

    Parameters
    ----------
    potential
        The one to test.
    crystals
        A few crystals of different size that it should be able to predict, best a little off their minimum.
    """
    before = [_bytes(crystal) for crystal in crystals]
    together = potential.predict(crystals)
    if len(together) != len(crystals):
        return [f"{len(together)} predictions for {len(crystals)} crystals"]
    violations = [*_singles(potential, crystals, together), *_stranger(potential, crystals, together)]
    random = np.random.default_rng(SEED)
    for index, (crystal, prediction) in enumerate(zip(crystals, together, strict=True)):
        if prediction is None:
            violations.append(f"crystal {index}: no prediction")
        else:
            violations += [f"crystal {index}: {line}" for line in _laws(potential, crystal, prediction, random)]
    violations += _one_atom(potential, crystals)
    changed = [index for index, crystal in enumerate(crystals) if _bytes(crystal) != before[index]]
    return violations + [f"crystal {index}: the input was altered" for index in changed]


def _laws(potential: Potential, crystal: Crystal, prediction: Prediction, random: np.random.Generator) -> Iterator[str]:
    """What holds for each crystal by itself."""
    yield from _form(crystal, prediction)
    variants = {
        "translation": (Crystal(crystal.lattice, crystal.frac_coords + random.random(3), crystal.numbers), prediction),
        "rotation": _turned(crystal, prediction, random),
        "permutation": _shuffled(crystal, prediction, random),
    }
    found = potential.predict([variant for variant, _ in variants.values()])
    for (name, (_, expected)), got in zip(variants.items(), found, strict=True):
        yield from (f"{name} changes {what}" for what in _differences(expected, got))
    yield from _slopes(potential, crystal, prediction, random)


def _form(crystal: Crystal, prediction: Prediction) -> Iterator[str]:
    if prediction.forces.shape != (len(crystal), 3) or prediction.stress.shape != (3, 3):
        yield f"forces have shape {prediction.forces.shape} and stress {prediction.stress.shape}"
        return
    if not prediction.is_finite():
        yield "a number is not finite"
    if np.abs(prediction.stress - prediction.stress.T).max() > STRESS:
        yield "stress is not symmetric"


def _singles(potential: Potential, crystals: Sequence[Crystal], together: list[Prediction | None]) -> Iterator[str]:
    for index, crystal in enumerate(crystals):
        (alone,) = potential.predict([crystal])
        yield from (f"crystal {index}: the batch changes {what}" for what in _differences(alone, together[index]))


def _stranger(potential: Potential, crystals: Sequence[Crystal], together: list[Prediction | None]) -> Iterator[str]:
    """Put a crystal that hardly any potential knows into the batch, far apart: it may have no prediction, no more."""
    stranger = Crystal(np.eye(3) * 20, np.zeros((1, 3)), np.array([MAX_ATOMIC_NUMBER]))
    found = potential.predict([stranger, *crystals])
    for index, (expected, got) in enumerate(zip(together, found[1:], strict=True)):
        yield from (f"crystal {index}: one out of reach changes {what}" for what in _differences(expected, got))


def _one_atom(potential: Potential, crystals: Sequence[Crystal]) -> Iterator[str]:
    """A cell of one atom, face-centred, neighbours at 2.8 Å: no force, and no failure."""
    element = crystals[0].numbers[:1]
    lattice = 2.8 / np.sqrt(2) * (1 - np.eye(3))
    (found,) = potential.predict([Crystal(lattice, np.zeros((1, 3)), element)])
    if found is None:
        yield "a cell of one atom has no prediction"
    elif np.abs(found.forces).max() > FORCE:
        yield f"the only atom of a cell feels {np.abs(found.forces).max():.2g} eV/Å"


def _slopes(
    potential: Potential, crystal: Crystal, prediction: Prediction, random: np.random.Generator
) -> Iterator[str]:
    """Compare forces and stress with differences of the energy along one random direction each."""
    moves = random.normal(size=(len(crystal), 3))
    moves /= np.linalg.norm(moves)
    strain = random.normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T) / 3
    places = [_moved(crystal, sign * STEP * moves) for sign in (1, -1)]
    places += [_strained(crystal, sign * STEP * strain) for sign in (1, -1)]
    found = [one.energy if one is not None else np.nan for one in potential.predict(places)]
    along = -float((prediction.forces * moves).sum())
    yield from _compare("forces are not minus the energy's gradient", along, (found[0] - found[1]) / (2 * STEP))
    along = float((prediction.stress * strain).sum()) * crystal.volume
    yield from _compare("stress is not the energy's derivative by strain", along, (found[2] - found[3]) / (2 * STEP))


def _compare(what: str, derivative: float, quotient: float) -> Iterator[str]:
    if not abs(derivative - quotient) <= SLOPE * max(1.0, abs(derivative)):
        yield f"{what}: {derivative:.4f}, by differences {quotient:.4f}"


def _differences(expected: Prediction | None, got: Prediction | None) -> Iterator[str]:
    if expected is None or got is None:
        if expected is not got:
            yield "whether there is a prediction"
        return
    count = len(expected.forces)
    if not abs(expected.energy - got.energy) <= ENERGY * count:
        yield f"the energy by {(got.energy - expected.energy) / count:.2g} eV/atom"
    if not np.allclose(expected.forces, got.forces, rtol=1e-3, atol=FORCE):
        yield f"forces by {np.abs(got.forces - expected.forces).max():.2g} eV/Å"
    if not np.allclose(expected.stress, got.stress, rtol=1e-3, atol=STRESS):
        yield f"the stress by {np.abs(got.stress - expected.stress).max():.2g} eV/Å³"


def _turned(crystal: Crystal, prediction: Prediction, random: np.random.Generator) -> tuple[Crystal, Prediction]:
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)  # a reflection is no rotation
    expected = Prediction(prediction.energy, prediction.forces @ turn, turn.T @ prediction.stress @ turn)
    return Crystal(crystal.lattice @ turn, crystal.frac_coords, crystal.numbers), expected


def _shuffled(crystal: Crystal, prediction: Prediction, random: np.random.Generator) -> tuple[Crystal, Prediction]:
    order = random.permutation(len(crystal))
    return crystal.select(order), Prediction(prediction.energy, prediction.forces[order], prediction.stress)


def _moved(crystal: Crystal, moves: NDArray[np.float64]) -> Crystal:
    frac = crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, frac, crystal.numbers)


def _strained(crystal: Crystal, strain: NDArray[np.float64]) -> Crystal:
    return Crystal(crystal.lattice @ (np.eye(3) + strain), crystal.frac_coords, crystal.numbers)


def _bytes(crystal: Crystal) -> tuple[bytes, ...]:
    return crystal.lattice.tobytes(), crystal.frac_coords.tobytes(), crystal.numbers.tobytes()
