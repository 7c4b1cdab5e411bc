"""What an evaluation judges with: the potential, its hull, what is known already, and how common things are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from materium.data.readers import digest
from materium.errors import MateriumError
from materium.evaluate import verdicts
from materium.evaluate.classes import classes_of
from materium.evaluate.distributions import compare
from materium.evaluate.hull import Hull
from materium.evaluate.novelty import Known
from materium.evaluate.reference import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.crystal import Crystal
    from materium.evaluate.classes import Rarity
    from materium.evaluate.pipeline import Settings
    from materium.evaluate.reference import Reference
    from materium.relax.potential import Potential

TEST = "test"
"""The table of a reference that distributions are compared with."""


@dataclass(frozen=True)
class Tools:
    """What the stages judge with; None where the stage is left out."""

    reference: Reference | None
    known: Known | None
    hull: Hull | None
    known_digest: str | None
    potential: Mapping[str, str] | None

    @classmethod
    def open(cls, settings: Settings) -> Tools:
        """Load what the settings name; a potential that does not fit the hull is refused before any work is done."""
        needed = settings.runs("hull") or (settings.runs("novel") and settings.known is None)
        reference = _reference(settings) if needed else None
        potential = _potential(settings) if settings.runs("relax") else None
        hull = Hull(reference) if reference is not None and settings.runs("hull") else None
        if hull is not None and potential is not None:
            hull.require(potential)
        named = settings.known if settings.runs("novel") else None
        known = None
        if settings.runs("novel"):
            known = Known.from_table(named) if named is not None else reference.known() if reference else None
        return cls(reference, known, hull, None if named is None else digest(named), _facts(potential))

    @cached_property
    def rarity(self) -> Rarity | None:
        """How often the training set holds elements and space groups; None without a reference."""
        return None if self.reference is None else self.reference.rarity()

    def groups(self, row: Mapping[str, Any], crystal: Crystal) -> dict[str, Any]:
        """Return the columns by which figures are grouped: classes, and the bins of rarity where it is known."""
        found: dict[str, Any] = {"classes": list(classes_of(crystal))}
        if self.rarity is not None:
            bins = self.rarity.bins(crystal, row.get("space_group"), int(row.get("num_sites") or len(crystal)))
            found |= {f"{name}_rarity": value for name, value in bins.items()}
        return found

    def distributions(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return how the valid rows are distributed against the reference's test set, or why that is not known."""
        if self.reference is None:
            return {"skipped": "no reference was loaded"}
        if TEST not in [table.name for table in self.reference.tables]:
            return {"skipped": f"the reference {self.reference.name} holds no table {TEST!r}"}
        return dict(compare([row for row in rows if row.get("valid")], self.reference.sample(TEST)))


def _reference(settings: Settings) -> Reference:
    """The reference that is named, else the potential's; without a hull its energies do not matter, so the default."""
    from materium.evaluate import reference

    try:
        return reference.load(settings.reference or (settings.potential_name if settings.runs("hull") else DEFAULT))
    except MateriumError as error:
        advice = f"leave out what needs it: --skip novel,hull, or only the hull: --reference {DEFAULT} --skip hull"
        raise MateriumError(f"{error}; or {advice}") from error


def _potential(settings: Settings) -> Potential:
    return verdicts.loaded(settings.potential) if isinstance(settings.potential, str) else settings.potential


def _facts(potential: Potential | None) -> dict[str, str] | None:
    if potential is None:
        return None
    return {"name": potential.name, "version": potential.version, "scheme": potential.scheme}
