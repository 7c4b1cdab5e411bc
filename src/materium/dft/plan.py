"""What is asked of a hand-over: for which program, which calculation, and with which numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Literal, NamedTuple

from materium.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.dft.pseudopotentials import Pseudo

Program = Literal["quantum-espresso", "vasp"]
Task = Literal["relax", "bands", "magnetic"]

PROGRAMS = ("quantum-espresso", "vasp")
TASKS = ("relax", "bands", "magnetic")
K_SPACING = 0.2
"""Å⁻¹, 2π included, between neighbouring k-points of a uniform grid; the Materials Project's grids are near 0.25."""


class Inputs(NamedTuple):
    """The input files of one crystal.

    Attributes
    ----------
    files
        Text by path, relative to the crystal's folder.
    pseudos
        Name of the pseudopotential by element.
    notes
        What whoever runs them should know about this crystal, one line each.
    """

    files: Mapping[str, str]
    pseudos: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A program, a task, and what may be chosen for them.

    Parameters
    ----------
    program
        One of `PROGRAMS`.
    task
        One of `TASKS`.
    k_spacing
        Å⁻¹, 2π included, between k-points; None takes `K_SPACING`. Quantum ESPRESSO only: VASP's sets bring theirs.
    pseudos
        Pseudopotential by element; empty takes the table of SSSP that comes with the package. Quantum ESPRESSO only.

    Raises
    ------
    RequestError
        If the program or the task is unknown, the spacing is not positive, or a choice has no effect.
    """

    program: Program
    task: Task
    k_spacing: float | None = None
    pseudos: Mapping[str, Pseudo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every choice."""
        _check_choice("--to", self.program, PROGRAMS)
        _check_choice("--task", self.task, TASKS)
        if self.program == "vasp" and (self.k_spacing is not None or self.pseudos):
            given = "--k-spacing" if self.k_spacing is not None else "--pseudos"
            raise RequestError(f"{given} has no effect on vasp: the Materials Project's sets bring their own; drop it")
        if self.k_spacing is not None and not (isfinite(self.k_spacing) and self.k_spacing > 0):
            raise RequestError(f"k-spacing {self.k_spacing:g} Å⁻¹ is not positive; about {K_SPACING:g} is usual")


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = get_close_matches(value, choices)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(choices)}"
        raise RequestError(f"{option} {value!r} is unknown; {hint}")
