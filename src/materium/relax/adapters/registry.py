"""From the name of a potential to the potential."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materium.errors import MateriumError

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.relax.potential import Potential


def _chgnet() -> Potential:
    from materium.relax.adapters.chgnet import CHGNet

    return CHGNet()


def _sevennet(model: str) -> Potential:
    from materium.relax.adapters.sevennet import SevenNet

    return SevenNet(model)


def _lennard_jones() -> Potential:
    from materium.relax.adapters.lennard_jones import LennardJones

    return LennardJones()


def _ready(name: str) -> Potential:
    from materium.relax.adapters.ase_calculator import ready

    return ready(name)


_POTENTIALS: dict[str, Callable[[], Potential]] = {
    "chgnet": _chgnet,
    "sevennet": partial(_sevennet, "sevennet"),
    "sevennet-l3i5": partial(_sevennet, "sevennet-l3i5"),
    "lennard-jones": _lennard_jones,
    "mattersim": partial(_ready, "mattersim"),
    "mace": partial(_ready, "mace"),
    "orb": partial(_ready, "orb"),
}


def potentials() -> tuple[str, ...]:
    """Return the names that `potential` knows besides import paths."""
    return tuple(_POTENTIALS)


def potential(spec: str) -> Potential:
    """Return a potential by its name, or an ASE calculator by its import path `package.module:Factory`.

    Raises
    ------
    MateriumError
        If the name is unknown, or its package is not installed; the line says what there is, or what to install.
    """
    if spec in _POTENTIALS:
        return _POTENTIALS[spec]()
    if ":" in spec:
        from materium.relax.adapters.ase_calculator import imported

        return imported(spec)
    known = ", ".join(_POTENTIALS)
    raise MateriumError(
        f"unknown potential: {spec!r}; there are {known}, or an ASE calculator as package.module:Factory"
    )
