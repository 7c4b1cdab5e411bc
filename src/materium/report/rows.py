"""The measured rows that a report is made from, checked when they come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

from materium.errors import DataError
from materium.evaluate.adherence import meets
from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Target = float | str


@dataclass(frozen=True)
class Row:
    """One crystal: what was asked for and what was measured, in the units of `properties.toml`.

    Attributes
    ----------
    request:
        Number of the request in its run; rows of one request have the same targets.
    measured:
        Properties by name; None is what could not be measured. An invalid crystal has none.
    reason:
        Why it is not valid, if it is not.
    guidance:
        Weight of the guidance it was written with, where the run knows it.
    """

    id: str
    request: int
    targets: Mapping[str, Target]
    measured: Mapping[str, Target | None]
    valid: bool
    reason: str = ""
    guidance: float | None = None
    met: Mapping[str, bool] = field(init=False, repr=False)
    """Whether each target is met; an invalid crystal meets none."""

    def __post_init__(self) -> None:
        """Judge the row once; every count on the page reads the verdict."""
        verdicts = {name: meets(name, target, self.value(name)) for name, target in self.targets.items()}
        object.__setattr__(self, "met", verdicts)

    def value(self, name: str) -> Target | None:
        """Return what was measured, or None if nothing was or the crystal is invalid."""
        return self.measured.get(name) if self.valid else None

    def failure(self) -> str:
        """Say in words why the row fails, or return an empty text if all its targets are met."""
        if not self.valid:
            return f"not valid: {self.reason}" if self.reason else "not valid"
        return "; ".join(self._miss(name) for name, met in self.met.items() if not met)

    def kinds_of_failure(self) -> list[str]:
        """Name what failed without its numbers, for counting."""
        if not self.valid:
            return ["not valid"]
        missed = [name for name, met in self.met.items() if not met]
        return [f"{plain(name)} {'missed' if self.value(name) is not None else 'not measured'}" for name in missed]

    def _miss(self, name: str) -> str:
        found = "not measured" if self.measured.get(name) is None else with_unit(name, self.measured[name])
        return f"{plain(name)} {found}, asked {with_unit(name, self.targets[name])}"


def read_rows(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Check plain rows: `id`, `request`, `targets`, `measured`, `valid`, and if known `reason` and `guidance`.

    Raises
    ------
    DataError
        If there are none, a key is missing, a target is unknown or a number is not finite; it names the row.
    """
    if not rows:
        raise DataError("no rows came; a report needs at least one measured crystal")
    return [_read(number, row) for number, row in enumerate(rows)]


def shown(value: Target | None) -> str:
    """Return a value as text: numbers with at most five digits, None as a dash."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else f"{value:.5g}"


def with_unit(name: str, value: Target | None) -> str:
    """Return a property's value with its unit."""
    return f"{shown(value)} {table()[name].unit}".strip()


def percent(share: float, digits: int = 0) -> str:
    """Return a share as text, with a space that does not break before the sign."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def plain(name: str) -> str:
    """Return a property's name without underscores."""
    return name.replace("_", " ")


def label(name: str) -> str:
    """Return a property's name and unit, as axes and tables print it."""
    unit = table()[name].unit
    return f"{plain(name)} ({unit})" if unit else plain(name)


def _read(number: int, row: Mapping[str, Any]) -> Row:
    missing = [key for key in ("id", "request", "targets", "measured", "valid") if key not in row]
    if missing:
        raise DataError(f"row {number} lacks {', '.join(missing)}; a row of a report needs all of them")
    where = f"row {number} (id {row['id']})"
    guidance = row.get("guidance")
    return Row(
        id=str(row["id"]),
        request=int(row["request"]),
        targets={name: _target(where, name, value) for name, value in row["targets"].items()},
        measured={name: _value(where, name, value) for name, value in row["measured"].items() if name in table()},
        valid=bool(row["valid"]),
        reason=str(row.get("reason") or ""),
        guidance=None if guidance is None else _finite(where, "guidance", guidance),
    )


def _target(where: str, name: str, value: Target | None) -> Target:
    if name not in table():
        raise DataError(f"{where}: unknown target {name!r}; there are {', '.join(table())}")
    found = _value(where, name, value)
    if found is None:
        raise DataError(f"{where}: the target of {name} is empty; leave it out where nothing was asked")
    return found


def _value(where: str, name: str, value: Target | None) -> Target | None:
    if value is None:
        return None
    if table()[name].kind in ("formula", "elements"):
        return str(value)
    return _finite(where, name, value)


def _finite(where: str, name: str, value: Target) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name} = {value!r} is no number") from error
    if not isfinite(number):
        raise DataError(f"{where}: {name} = {number} is not finite; write None for what could not be measured")
    return number
