"""What a potential is: one abstract method that gives energy, forces and stress of many crystals at once.

A new potential is a class with that method and four names; `materium.relax.validate.check_contract` tests it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential says of one crystal.

    Parameters
    ----------
    energy
        eV of the whole cell.
    forces
        eV/Å, shape (n, 3), in the order of the crystal's sites: minus the energy's gradient.
    stress
        eV/Å³, shape (3, 3), symmetric: the energy's derivative by strain over the volume, so that a cell under
        pressure has a negative trace. One eV/Å³ is 160.2 GPa.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]

    def is_finite(self) -> bool:
        """Return whether no number is NaN or infinite."""
        return bool(np.isfinite(self.energy) and np.isfinite(self.forces).all() and np.isfinite(self.stress).all())


FAILURES = (ArithmeticError, AssertionError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What libraries of potentials raise on a crystal that they cannot bear; they have no type of their own."""


class Potential(ABC):
    """An interatomic potential.

    Attributes
    ----------
    name, version
        Energies of two potentials, or of two versions of one, must never meet in a hull: these two tell them apart.
    scheme
        Scale of the energies: `MP2020` for networks trained on energies with the Materials Project's corrections,
        `uncorrected` for plain DFT energies, `none` where they are no estimate of DFT at all.
    """

    name: str
    version: str
    scheme: str

    @abstractmethod
    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        """Return a prediction for each crystal, None where there is none: an unknown element, an isolated atom.

        One crystal out of reach never raises and never changes what is said of the others; no crystal is altered.
        """

    def why_none(self, crystal: Crystal) -> str:  # noqa: ARG002 - for those that know more
        """Return one line on why there is no prediction for a crystal that has got none."""
        return "gives no energy: an element it does not know, or an atom without neighbours"


def one_line(error: Exception) -> str:
    """Return what an error of a package that is not ours says, in one line, or its type where it says nothing."""
    return " ".join(str(error).split())[:160] or type(error).__name__


class BatchedPotential(Potential):
    """A potential that predicts many crystals in one pass; what is out of reach is kept from it.

    Attributes
    ----------
    sites_at_once
        Sites in one pass, which bounds its memory.
    """

    sites_at_once: int

    @abstractmethod
    def reaches(self, crystals: Sequence[Crystal]) -> list[bool]:
        """Return for each crystal whether there is a prediction."""

    @abstractmethod
    def predict_batch(self, crystals: list[Crystal]) -> list[Prediction]:
        """Return predictions for at least one crystal, all within reach."""

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        """Return a prediction for each crystal, None out of reach."""
        found: list[Prediction | None] = [None] * len(crystals)
        able = [index for index, good in enumerate(self.reaches(crystals)) if good]
        for part in _batches([len(crystals[index]) for index in able], self.sites_at_once):
            chosen = [able[position] for position in part]
            predictions = self.predict_batch([crystals[index] for index in chosen])
            for index, prediction in zip(chosen, predictions, strict=True):
                found[index] = prediction
        return found


def _batches(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the indices of consecutive crystals that together have at most `most` sites, at least one at a time."""
    part: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if part and total + size > most:
            yield part
            part, total = [], 0
        part.append(index)
        total += size
    if part:
        yield part
