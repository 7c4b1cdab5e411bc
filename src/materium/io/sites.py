"""What is written of sites besides elements and positions: occupancies, oxidation states, and where Å are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from materium.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

OCCUPANCY_TOLERANCE = 1.001e-8
"""By which an occupancy may differ from 1: pymatgen's tolerance of amounts, and the last digits of 1 - 1e-8 itself."""
MAX_STATE = 1000
"""Beyond it a number is no oxidation state of anything; `Crystal` refuses it before."""


def check_occupancy(kinds: Mapping[Any, float]) -> None:
    """Raise `ConversionError` unless a site holds one species wholly, to within `OCCUPANCY_TOLERANCE`."""
    if len(kinds) != 1 or not all(is_whole(amount) for amount in kinds.values()):
        held = " ".join(f"{kind}{amount!r}" for kind, amount in kinds.items()) or "nothing"
        raise ConversionError(
            f"disordered site: it holds {held[:80]}; every site must be one whole atom, so order it first"
        )


def is_whole(amount: object) -> bool:
    """Tell whether an occupancy is 1, to within `OCCUPANCY_TOLERANCE`."""
    return isinstance(amount, int | float) and abs(amount - 1) <= OCCUPANCY_TOLERANCE


def check_occupancies(kinds: object, column: Sequence[Any] | NDArray[Any] | None) -> None:
    """Refuse ASE's dictionary of mixed sites, and a column that says that atoms are there in part.

    Anything else by the name of occupancy is a label.
    """
    for held in kinds.values() if isinstance(kinds, dict) else ():
        if isinstance(held, dict):
            check_occupancy(held)
    values = None if column is None else _floats(column)
    for index, amount in enumerate([] if values is None else values.tolist()):
        check_occupancy({f"atom {index}": amount})


def _floats(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64] | None:
    """The numbers of a column, NaN where one is missing; None for a column of something else."""
    try:
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if numbers.ndim == 1 else None


def whole_states(states: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64] | None:
    """Return oxidation states if all are whole numbers, else None: averages and gaps say nothing of a site."""
    known = _floats(states)
    if known is None or not np.array_equal(known, np.round(known)):  # NaN equals nothing
        return None
    return np.clip(known, -MAX_STATE, MAX_STATE).astype(np.int64)  # what is too large, Crystal refuses


def integer_states(states: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64] | None:
    """Return `whole_states` if one is not 0, else None: programs write zeros for what they do not know."""
    known = whole_states(states)
    return known if known is not None and known.any() else None


def fractional(positions: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fractional coordinates of positions in Å, shape (n, 3); a flat cell is left for `Crystal` to refuse."""
    try:
        return np.asarray(np.linalg.solve(lattice.T, positions.T).T)
    except np.linalg.LinAlgError:
        return np.zeros_like(positions)
