"""How far the distributions of generated crystals are from those of real ones.

A model that writes only tiny cells or pure elements does well on stability; here it shows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.errors import MateriumError
from materium.evaluate.validity import CRYSTAL_SYSTEMS, crystal_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Facts = Mapping[str, Any]
    """What is known of one crystal by column; a column that is missing or None is left out of its distribution."""

BINS = 30
"""Of a histogram of a quantity that is no whole number."""
HIDDEN = 0.005
"""Share of the real crystals beyond either end of a histogram's range; what lies outside goes to the last bins."""
WASSERSTEIN = (
    "Wasserstein distance: mean shift, in {unit}, that turns the distribution of {what} in the generated crystals into "
    "that of the real ones; 0 is best"
)
JENSEN_SHANNON = (
    "Jensen-Shannon distance, base 2, between the shares of {what} in the generated and in the real crystals; 0 is the "
    "same, 1 nothing in common"
)


@dataclass(frozen=True)
class Quantity:
    """A column of numbers, and what it is in words and unit."""

    what: str
    unit: str
    whole: bool = False


QUANTITIES: Mapping[str, Quantity] = {
    "num_sites": Quantity("sites in the primitive cell", "sites", whole=True),
    "num_elements": Quantity("elements", "elements", whole=True),
    "density": Quantity("mass density", "g/cm³"),
    "volume_per_atom": Quantity("volume per atom", "Å³"),
}
CATEGORIES: Mapping[str, str] = {
    "elements": "elements, a crystal counting once for each that it holds,",
    "space_group": "space groups at 0.1 Å",
    "crystal_system": "crystal systems at 0.1 Å",
}


def compare(generated: Sequence[Facts], real: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """Return how far generated crystals are from real ones in each distribution.

    Parameters
    ----------
    generated, real
        Columns `num_sites`, `num_elements`, `density` (g/cm³), `volume_per_atom` (Å³), `atomic_numbers` and
        `space_group` of each crystal. What lacks a value is left out of that distribution alone, and counted.

    Returns
    -------
    dict
        By distribution: `distance` (None where one side has no values), `definition`, `unit`, `generated` and `real`
        (how many values), `generated_mean` and `real_mean` of quantities, and `histogram` for plots: `edges` or
        `labels`, and the shares `generated` and `real` in each bin. JSON types alone.

    Raises
    ------
    MateriumError
        If there is no real crystal.
    """
    if not real:
        raise MateriumError(
            "there is no crystal to compare with; a reference with distributions of real ones is needed"
        )
    quantities = {
        name: _compare_numbers(quantity, _numbers(generated, name), _numbers(real, name))
        for name, quantity in QUANTITIES.items()
    }
    categories = {
        name: _compare_shares(CATEGORIES[name], Counter(read(generated)), Counter(read(real)))
        for name, read in _READERS.items()
    }
    return {**quantities, **categories}


def _numbers(rows: Iterable[Facts], name: str) -> list[float]:
    values = (row.get(name) for row in rows)
    return [float(value) for value in values if value is not None]


def _elements(rows: Iterable[Facts]) -> list[int]:
    return [int(z) for row in rows for z in np.unique(row.get("atomic_numbers", ()))]


def _space_groups(rows: Iterable[Facts]) -> list[int]:
    return [int(row["space_group"]) for row in rows if row.get("space_group") is not None]


def _crystal_systems(rows: Iterable[Facts]) -> list[str]:
    return [crystal_system(group) for group in _space_groups(rows)]


_READERS: dict[str, Callable[[Iterable[Facts]], Sequence[int | str]]] = {
    "elements": _elements,
    "space_group": _space_groups,
    "crystal_system": _crystal_systems,
}


def _compare_numbers(quantity: Quantity, generated: list[float], real: list[float]) -> dict[str, Any]:
    from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]

    known = bool(generated and real)
    return {
        "distance": float(wasserstein_distance(generated, real)) if known else None,
        "definition": WASSERSTEIN.format(what=quantity.what, unit=quantity.unit),
        "unit": quantity.unit,
        "generated": len(generated),
        "real": len(real),
        "generated_mean": float(np.mean(generated)) if generated else None,
        "real_mean": float(np.mean(real)) if real else None,
        "histogram": _histogram(quantity, generated, real) if real else None,
    }


def _histogram(quantity: Quantity, generated: list[float], real: list[float]) -> dict[str, list[float]]:
    low, high = np.quantile(real, [HIDDEN, 1 - HIDDEN])
    if quantity.whole:
        edges = np.arange(np.floor(low), np.floor(high) + 2) - 0.5
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    return {"edges": edges.tolist(), "generated": _shares(generated, edges), "real": _shares(real, edges)}


def _shares(values: list[float], edges: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    inside = np.clip(values, edges[0], edges[-1])
    counts = np.histogram(inside, edges)[0]
    return [float(share) for share in counts / max(1, len(values))]


def _compare_shares(what: str, generated: Counter[int | str], real: Counter[int | str]) -> dict[str, Any]:
    from scipy.spatial.distance import jensenshannon  # type: ignore[import-untyped]

    labels = _ordered({*generated, *real})
    columns = [[count[label] / max(1, count.total()) for label in labels] for count in (generated, real)]
    known = bool(generated and real)
    # the square root of a divergence that rounding makes negative is no number
    distance = float(np.nan_to_num(jensenshannon(*columns, base=2))) if known else None
    return {
        "distance": distance,
        "definition": JENSEN_SHANNON.format(what=what),
        "unit": "",
        "generated": generated.total(),
        "real": real.total(),
        "histogram": {"labels": labels, "generated": columns[0], "real": columns[1]},
    }


def _ordered(labels: set[int | str]) -> list[int | str]:
    """Numbers ascending, crystal systems from triclinic to cubic."""
    systems = list(CRYSTAL_SYSTEMS.values())
    return sorted(labels, key=lambda label: systems.index(label) if isinstance(label, str) else label)
