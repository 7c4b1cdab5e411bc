"""Relaxation of cells and positions of many crystals, all that are under way predicted in one batch at each step.

Not torch-sim, which leaves cell forces out of its criterion unless asked: outside of the potential a step costs 0.3 ms
here, beside 12 ms or more for CHGNet (ten sites, one core), too little to be worth the dependency. It was not timed.
The cell moves as in ASE's `FrechetCellFilter`: its generalised force is V·σ / n in eV/Å's number, against the
logarithm of the deformation times n. FIRE: E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from materium.crystal import Crystal, fault
from materium.errors import CrystalError, MateriumError
from materium.relax.potential import FAILURES, Prediction, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from materium.relax.potential import Potential

Status = Literal["converged", "max_steps", "exploded", "error"]

FMAX = 0.05
"""eV/Å; bound on the force on every atom and on each row of the cell's generalised force."""
MAX_STEPS = 500
SITES_AT_ONCE = 128
"""Sites that are under way together; more make a batch no faster on one core."""

MAX_DISPLACEMENT = 0.2
"""Å that an atom moves at most in one step; the cell's rows, in strain times n, too."""
MAX_STRAIN = 0.05
"""Largest strain of one step: n times it can be far more than a cell of few atoms bears."""
MAX_VOLUME_RATIO = 8.0
"""A cell that grows or shrinks by more has fallen apart or collapsed."""
TIME_STEP, MAX_TIME_STEP = 0.1, 1.0
FASTER, SLOWER, PATIENCE = 1.1, 0.5, 5
MIXING, LESS_MIXING = 0.1, 0.99
"""FIRE's constants, those of the paper and of ASE."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How one crystal came out.

    Parameters
    ----------
    crystal
        The last sound geometry, its sites in the order they came in; for `error` the crystal as it came.
    status
        `converged`; `max_steps`; `exploded`: atoms met, the cell fell apart or a number was lost on the way;
        `error`: it could not begin.
    reason
        Why it did not converge, else empty.
    steps
        Steps taken.
    initial_energy, energy
        eV/atom of the crystal as it came and of `crystal`, NaN where unknown.
    max_force
        Largest force on an atom of `crystal` in eV/Å, NaN where unknown.
    max_stress
        Largest row of its stress in eV/Å³, NaN where unknown. It is converged when the largest row times the volume
        per atom is at most `fmax`, as with ASE's `FrechetCellFilter`.
    """

    crystal: Crystal
    status: Status
    reason: str
    steps: int
    initial_energy: float
    energy: float
    max_force: float
    max_stress: float


def relax(  # noqa: PLR0913 - bounds, and what watches it
    crystals: Sequence[Crystal],
    potential: Potential,
    *,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], None] | None = None,
) -> list[Relaxation]:
    """Relax cells and positions; results are in the order of the crystals, and none depends on another.

    Parameters
    ----------
    crystals
        Structures; those that `materium.crystal.fault` refuses get the status `error` without a step.
    potential
        Gives energies, forces and stresses.
    fmax
        eV/Å, bound on forces and on the cell's generalised force.
    max_steps
        Steps after which a crystal is given up.
    progress
        Is called with the index of each crystal that has finished.
    stop
        As for `relax_stream`.
    """
    found: dict[int, Relaxation] = {}
    for index, relaxation in relax_stream(crystals, potential, fmax=fmax, max_steps=max_steps, stop=stop):
        found[index] = relaxation
        if progress is not None:
            progress(index)
    return [found[index] for index in range(len(crystals))]


def relax_stream(  # noqa: PLR0913 - bounds, and what stops it
    crystals: Iterable[Crystal],
    potential: Potential,
    *,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    sites_at_once: int = SITES_AT_ONCE,
    stop: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Relaxation]]:
    """Yield index and result of each crystal as soon as it has finished; crystals are drawn as room comes free.

    Parameters
    ----------
    crystals, potential, fmax, max_steps
        As for `relax`.
    sites_at_once
        Sites that are predicted together; changes speed and memory alone.
    stop
        Called before every step; what it raises ends all relaxations that are under way.

    Raises
    ------
    MateriumError
        If a bound is not positive.
    """
    _check_bounds(fmax=fmax, max_steps=max_steps, sites_at_once=sites_at_once)
    waiting = enumerate(crystals)
    active: dict[int, _Run] = {}
    while True:
        for index, crystal in _admitted(waiting, active, sites_at_once):
            reason = fault(crystal)
            if reason is None:
                active[index] = _Run(crystal)
            else:
                yield index, _refused(crystal, reason)
        if not active:
            return
        if stop is not None:
            stop()
        predictions = _predict(potential, [run.crystal for run in active.values()])
        for index, prediction in zip(list(active), predictions, strict=True):
            result = active[index].advance(prediction, fmax, max_steps)
            if result is not None:
                del active[index]
                yield index, result


def single_points(
    crystals: Sequence[Crystal],
    potential: Potential,
    *,
    sites_at_once: int = SITES_AT_ONCE,
    stop: Callable[[], None] | None = None,
) -> list[float | None]:
    """Return energies in eV/atom of crystals as they are, None where the crystal is refused or out of reach."""
    stream = relax_stream(crystals, potential, max_steps=0, sites_at_once=sites_at_once, stop=stop)
    energies = {index: result.energy for index, result in stream}
    return [energies[i] if np.isfinite(energies[i]) else None for i in range(len(crystals))]


def _check_bounds(*, fmax: float, max_steps: int, sites_at_once: int) -> None:
    if not 0 < fmax < np.inf:
        raise MateriumError(f"{fmax=} eV/Å; a positive, finite bound on forces is needed")
    if max_steps < 0:
        raise MateriumError(f"{max_steps=}; no negative number of steps is possible")
    if sites_at_once < 1:
        raise MateriumError(f"{sites_at_once=}; at least one site must be under way")


def _admitted(
    waiting: Iterator[tuple[int, Crystal]], active: dict[int, _Run], sites_at_once: int
) -> Iterator[tuple[int, Crystal]]:
    """Crystals that come in while there is room, which the caller's additions to `active` fill."""
    while sum(len(run.crystal) for run in active.values()) < sites_at_once:
        drawn = list(islice(waiting, 1))
        if not drawn:
            return
        yield drawn[0]


def _refused(crystal: Crystal, reason: str) -> Relaxation:
    return Relaxation(crystal, "error", reason, 0, np.nan, np.nan, np.nan, np.nan)


def _predict(potential: Potential, crystals: list[Crystal]) -> list[Prediction | str]:
    """Predictions or reasons why there is none; where the batch fails, each crystal is tried alone."""
    try:
        found = potential.predict(crystals)
    except MateriumError:
        raise  # the potential itself is missing or misused
    except FAILURES as error:
        if len(crystals) == 1:
            return [f"{potential.name} failed: {one_line(error)}"]
        return [_predict(potential, [crystal])[0] for crystal in crystals]
    pairs = zip(crystals, found, strict=True)
    return [f"{potential.name} {potential.why_none(crystal)}" if one is None else one for crystal, one in pairs]


class _Run:
    """One crystal under way: its geometry, the velocities of its atoms and its cell, and what FIRE remembers."""

    def __init__(self, crystal: Crystal) -> None:
        """Begin at rest."""
        self.crystal = crystal
        self._start = crystal
        self._sound = crystal
        self._prediction: Prediction | None = None
        self._initial_energy = np.nan
        self._steps = 0
        self._velocity = np.zeros((len(crystal) + 3, 3))
        self._time_step = TIME_STEP
        self._mixing = MIXING
        self._downhill = 0

    def advance(self, prediction: Prediction | str, fmax: float, max_steps: int) -> Relaxation | None:
        """Take one step by a prediction of the present geometry, or return the result if there is none to take."""
        if isinstance(prediction, str):
            return self._lost(prediction)
        if not prediction.is_finite():
            return self._lost("energy, forces or stress are not finite")
        self._sound, self._prediction = self.crystal, prediction
        if self._steps == 0:
            self._initial_energy = prediction.energy / len(self.crystal)
        force = generalised_force(self.crystal, prediction)
        if np.linalg.norm(force, axis=1).max() <= fmax:
            return self._result("converged", "")
        if self._steps >= max_steps:
            return self._result("max_steps", f"not below {fmax:g} eV/Å after {max_steps} steps")
        return self._move(force)

    def _move(self, force: NDArray[np.float64]) -> Relaxation | None:
        try:
            self.crystal = displaced(self.crystal, self._fire(force))
        except CrystalError as error:
            return self._result("exploded", str(error))
        self._steps += 1
        reason = fault(self.crystal) or _volume_fault(self.crystal.volume / self._start.volume)
        return None if reason is None else self._result("exploded", reason)

    def _fire(self, force: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacements of atoms (Å) and cell (strain times n), shape (n + 3, 3), with all masses one."""
        power = float((force * self._velocity).sum())
        if power > 0:
            along = force * (np.linalg.norm(self._velocity) / np.linalg.norm(force))
            self._velocity = (1 - self._mixing) * self._velocity + self._mixing * along
            if self._downhill > PATIENCE:
                self._time_step = min(self._time_step * FASTER, MAX_TIME_STEP)
                self._mixing *= LESS_MIXING
            self._downhill += 1
        elif self._velocity.any():
            self._velocity = np.zeros_like(self._velocity)
            self._time_step *= SLOWER
            self._mixing, self._downhill = MIXING, 0
        self._velocity = self._velocity + self._time_step * force
        return self._time_step * self._velocity

    def _lost(self, reason: str) -> Relaxation:
        """What to say of a geometry without a prediction: at the start it is an error, later an explosion."""
        return _refused(self._start, reason) if self._prediction is None else self._result("exploded", reason)

    def _result(self, status: Status, reason: str) -> Relaxation:
        """The last geometry that has a prediction."""
        if self._prediction is None:
            return _refused(self._start, reason)
        return Relaxation(
            crystal=self._sound,
            status=status,
            reason=reason,
            steps=self._steps,
            initial_energy=self._initial_energy,
            energy=self._prediction.energy / len(self._sound),
            max_force=float(np.linalg.norm(self._prediction.forces, axis=1).max()),
            max_stress=float(np.linalg.norm(self._prediction.stress, axis=1).max()),
        )


def generalised_force(crystal: Crystal, prediction: Prediction) -> NDArray[np.float64]:
    """Return forces on atoms in eV/Å and minus the virial per atom, V·σ / n in eV, below them: shape (n + 3, 3)."""
    return np.concatenate([prediction.forces, -prediction.stress * (crystal.volume / len(crystal))])


def displaced(crystal: Crystal, step: NDArray[np.float64]) -> Crystal:
    """Return the crystal with atoms moved, then cell and atoms strained, each no further than the bounds allow.

    Parameters
    ----------
    crystal
        Where it is.
    step
        Shape (n + 3, 3): displacements in Å, and the symmetric logarithm of the deformation times n below them.
    """
    count = len(crystal)
    longest = float(np.linalg.norm(step, axis=1).max())
    strain = float(np.abs(step[count:]).max()) / count
    step = step / max(1.0, longest / MAX_DISPLACEMENT, strain / MAX_STRAIN)
    frac = crystal.frac_coords + step[:count] @ np.linalg.inv(crystal.lattice)
    values, axes = np.linalg.eigh(step[count:] / count)
    lattice = crystal.lattice @ (axes * np.exp(values)) @ axes.T
    return Crystal(lattice, frac, crystal.numbers, crystal.oxidation_states)


def _volume_fault(ratio: float) -> str | None:
    if 1 / MAX_VOLUME_RATIO <= ratio <= MAX_VOLUME_RATIO:
        return None
    return f"volume became {ratio:.2g} times what it was"
