"""Predictors by name, each with its measured error, and rows of everything that is known of a crystal."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from materium.errors import MateriumError
from materium.evaluate import cgcnn, chgnet
from materium.evaluate.measure import MEASURES, Value, measure
from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal

_FUNCTIONS: dict[str, Callable[[Sequence[Crystal]], NDArray[np.float64]]] = {
    "chgnet-moments": chgnet.mag_density,
    "chgnet-eos": chgnet.bulk_modulus,
    "chgnet-hull": chgnet.energy_above_hull,
    "cgcnn-bulk": cgcnn.bulk_modulus,
    "cgcnn-gap": cgcnn.band_gap,
}


@dataclass(frozen=True)
class Predictor:
    """A way to predict one property; the fields are explained in `predictors.toml`."""

    name: str
    predicts: str
    extra: str
    description: str
    mae: float
    source: str
    seconds: float
    median_error: float | None = None
    spearman: float | None = None
    n: int | None = None
    accuracy: float | None = None
    mae_of_insulators: float | None = None

    def __call__(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return the property in its unit, shape (n,), NaN where there is none.

        Raises
        ------
        MateriumError
            If the extra is not installed.
        """
        return _FUNCTIONS[self.name](crystals)

    @property
    def error(self) -> str:
        """The error in words, to stand beside every figure: `MAE 12.8 GPa on 108 crystals (DFT labels of ...)`."""
        count = "" if self.n is None else f" on {self.n} crystals"
        return f"MAE {self.mae:.3g} {table()[self.predicts].unit}{count} ({self.source})"


@cache
def predictors() -> dict[str, Predictor]:
    """Return all predictors by name."""
    text = files("materium.evaluate").joinpath("predictors.toml").read_text(encoding="utf-8")
    return {name: Predictor(name=name, **entry) for name, entry in tomllib.loads(text).items()}


def predictor(name: str) -> Predictor:
    """Return the predictor called `name`, or the default one of the property called `name`.

    Raises
    ------
    MateriumError
        If there is none.
    """
    defaults = {entry.predicts: entry for entry in reversed(predictors().values())}
    found = predictors().get(name) or defaults.get(name)
    if found is None:
        known = ", ".join([*predictors(), *defaults])
        raise MateriumError(f"nothing predicts {name}; there are {known}")
    return found


def error_of(name: str) -> float:
    """Return the mean absolute error with which a property is known, in its unit: 0 where it is measured."""
    return 0.0 if name in MEASURES else predictor(name).mae


def values_of(crystals: Sequence[Crystal], name: str) -> list[Value | None]:
    """Return a property of each crystal, measured or predicted; `name` is a property or a predictor.

    None is what cannot be told.

    Raises
    ------
    MateriumError
        If nothing tells the property, or the predictor's extra is not installed.
    """
    if name in MEASURES:
        return [measure(crystal, name) for crystal in crystals]
    return [float(value) if np.isfinite(value) else None for value in predictor(name)(crystals)]


def measured(crystals: Sequence[Crystal], names: Iterable[str]) -> list[dict[str, Value | None]]:
    """Return a row for each crystal with the named properties; see `values_of`."""
    columns = {name: values_of(crystals, name) for name in names}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(crystals))]
