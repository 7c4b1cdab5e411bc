"""What a model writes best with, as measured: temperatures, hints, weights of guidance, and how to aim."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium.errors import CheckpointError
from materium.generate.request import Request
from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

TUNED = "tuned.json"
"""Beside the weights: what `benchmarks/tuning.py` measured on the model."""
MAPS = ("hints", "guidance", "cold")
"""Fields of `Tuned` that hold a number for a condition."""


class Warmth(NamedTuple):
    """Temperatures of species and of geometry, the reach of the latter, and the odds of the end; see `Request`."""

    species: float = Request.temperature
    geometry: float | None = Request.geometry_temperature
    reach: float | None = Request.geometry_reach
    end_odds: float = Request.end_odds


RAW = Warmth()
"""Of a model on which nothing was measured: it samples what it believes."""


@dataclass(frozen=True)
class Aim:
    """What a model must be told so that the median of what comes of it is what was asked for.

    A network that can only lean towards a property answers with less than it is told, or with more; a marksman who
    knows how a gun pulls aims beside the target.

    Parameters
    ----------
    heard
        What the model was told, shape (k,), in the property's unit.
    came
        The median of the property over the structures that came of it, shape (k,), strictly rising.
    """

    heard: tuple[float, ...]
    came: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no curve."""
        rising = all(low < high for low, high in zip(self.came, self.came[1:], strict=False))
        if len(self.heard) != len(self.came) or not self.came or not rising:
            raise ValueError(f"an aim needs a rising value for each told one; {self.heard} and {self.came} came")

    def told(self, asked: float | str) -> float:
        """Return what to tell the model; beyond the curve's ends what stands at the end."""
        return float(np.interp(float(asked), self.came, self.heard))


@dataclass(frozen=True)
class Tuned:
    """The settings that requests take where they say nothing.

    Parameters
    ----------
    free, told
        Temperatures, reach and odds where the model is told nothing, and where it is.
    hints
        What the model is told where a request has no condition, such as to stay near the hull.
    guidance, cold
        Weight by condition, hints among them, and temperature of species by condition, where it wants less than `told`;
        of several conditions the least holds.
    aims
        By condition, measured at its weight; they hold where the request gives no weight of its own.
    """

    free: Warmth = RAW
    told: Warmth = RAW
    hints: Mapping[str, float] = field(default_factory=dict)
    guidance: Mapping[str, float] = field(default_factory=dict)
    cold: Mapping[str, float] = field(default_factory=dict)
    aims: Mapping[str, Aim] = field(default_factory=dict)

    def apply(self, request: Request, given: Collection[str]) -> Request:
        """Return the request with these settings in every field that is not `given`.

        One temperature goes for both, for whole axes, with the odds of the end as they are; a temperature of geometry
        for whole axes; and a weight of guidance for the targets as they are, without hints and aims.
        """
        found: dict[str, Any] = {}
        if request.cell_formula is not None:  # it brings its condition along by itself
            found["conditions"] = {k: v for k, v in request.conditions.items() if k != "reduced_formula"}
        warmth = self.told if request.conditions else self.free
        if "temperature" not in given:
            found["temperature"] = _least(self.cold, request.conditions, warmth.species)
            if "geometry_temperature" not in given:
                found["geometry_temperature"] = warmth.geometry
                found["geometry_reach"] = warmth.reach if "geometry_reach" not in given else request.geometry_reach
            if "end_odds" not in given:
                found["end_odds"] = warmth.end_odds
        if "guidance" not in given:
            found["guidance"] = _least(self.guidance, request.conditions or self.hints, request.guidance)
            found["aims"] = {name: self.aims[name] for name in request.conditions if name in self.aims}
            found["hints"] = {} if request.conditions else self.hints
        return replace(request, **found)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as `tuned.json` has them."""
        aims = {name: {"heard": list(aim.heard), "came": list(aim.came)} for name, aim in self.aims.items()}
        maps = {name: dict(getattr(self, name)) for name in MAPS}
        return {"free": list(self.free), "told": list(self.told), **maps, "aims": aims}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tuned:
        """Return the settings of `tuned.json`; raises KeyError, TypeError or ValueError where they are none."""
        maps = {name: {key: float(value) for key, value in data[name].items()} for name in MAPS}
        unknown = sorted({*data["aims"], *(key for one in maps.values() for key in one)} - {*table()})
        if unknown:
            raise ValueError(f"there is no condition {unknown[0]}")
        aims = {name: Aim(tuple(aim["heard"]), tuple(aim["came"])) for name, aim in data["aims"].items()}
        return cls(_warmth(data["free"]), _warmth(data["told"]), **maps, aims=aims)


def _warmth(values: Iterable[Any]) -> Warmth:
    species, *others = values
    found = Warmth(float(species), *(None if value is None else float(value) for value in others))  # type: ignore[arg-type]
    Request(
        temperature=found.species,
        geometry_temperature=found.geometry,
        geometry_reach=found.reach,
        end_odds=found.end_odds,
    )
    return found


def _least(values: Mapping[str, float], names: Collection[str], otherwise: float) -> float:
    return min((values[name] for name in names if name in values), default=otherwise)


def read_tuned(folder: Path) -> Tuned:
    """Return the settings of the model in a folder, or the plain ones where nothing was measured on it.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    path = folder / TUNED
    if not path.is_file():
        return Tuned()
    try:
        return Tuned.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # RequestError is a ValueError
        raise CheckpointError(f"{path} holds no settings of sampling ({error!r}); fetch it again") from error
