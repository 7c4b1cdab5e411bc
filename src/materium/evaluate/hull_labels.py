"""An energy above hull for every row: DFT's where the table has one, else a potential's above its reference.

Networks learn what they are shown. A row without the label may be far above the hull and nothing says so; the judge of
the generated crystals can say it of the training crystals too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from materium.data.filters import SOURCE
from materium.evaluate.hull import too_deep
from materium.evaluate.reference_build import ABOVE, CHUNK, ESTIMATE, check_column
from materium.evaluate.summary import METASTABLE
from materium.relax.relaxer import single_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from materium.crystal import Crystal
    from materium.data.records import Row, Scalar
    from materium.evaluate.hull import Hull
    from materium.relax.potential import Potential

    Track = Callable[[Sequence[Any], str], Iterable[Any]]
    """Passes a sequence through and shows how far it is."""

METHOD = "est_method"
"""Column with the method of the estimate `e_hull_est`."""
DFT = "dft"
"""Source of labels that the table had; methods of estimates that are DFT's begin with it."""


@dataclass
class HullLabels:
    """Rows with their labels, and what came of them.

    Attributes
    ----------
    rows
        The rows as they were given, with `energy_above_hull`, its source and the potential's own energy above hull.
    sources
        Labelled rows by source.
    unlabelled
        Rows without a label by reason; those without a crystal are not counted.
    computed
        Rows whose energy the potential computed.
    judged
        Rows that have a label of DFT and the potential's own.
    apart
        Those of them that the two put on different sides of 0.1 eV/atom.
    """

    rows: list[Row] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    computed: int = 0
    judged: int = 0
    apart: int = 0

    def add(self, row: Row, energy: float | None, hull: Hull) -> None:
        """Label a row whose energy per atom by the reference's potential is `energy`, in eV/atom, and count it."""
        if row.crystal is None:
            self.rows.append(row)
            return
        name = hull.reference.potential
        height = None if energy is None else hull.energy_above_hull(row.crystal, energy)
        reason = _no_verdict(row.crystal, energy, height, hull)
        dft, verdict = _of_dft(row.properties), None if height is None or reason else (height, name)
        if dft and verdict:
            self.judged += 1
            self.apart += (dft[0] <= METASTABLE) != (verdict[0] <= METASTABLE)
        properties = dict(row.properties)
        if found := dft or verdict:
            properties |= {ABOVE: found[0], SOURCE: found[1]}
            self.sources[found[1]] += 1
        else:
            self.unlabelled[reason or ""] += 1
        if height is not None:
            properties[f"{name}_energy_above_hull"] = height
        self.rows.append(replace(row, properties=properties))


def label(
    rows: Sequence[Row], hull: Hull, potential: Callable[[], Potential], track: Track = lambda items, _: items
) -> HullLabels:
    """Return the rows, each with an energy above hull in eV/atom and its source where one can be known.

    DFT comes first: the label that a row has, then an estimate `e_hull_est` whose `est_method` begins with `dft`. Next
    is the potential's: its energy of the crystal as it is, above the hull of the reference, unless the reference does
    not support the crystal (`Hull.unsupported`).

    Parameters
    ----------
    potential
        Makes the potential of the reference. It is called if a row without a label of DFT has no column
        `NAME_energy_per_atom`, and then a sample of that column is checked.

    Raises
    ------
    MateriumError
        If the potential is none of the reference's, or gives other energies than the column.
    """
    name = hull.reference.potential
    energies = [_number(row.properties, f"{name}_energy_per_atom") for row in rows]
    needed = [
        index
        for index, (row, energy) in enumerate(zip(rows, energies, strict=True))
        if row.crystal is not None and energy is None and _of_dft(row.properties) is None
    ]
    if needed:
        able = potential()
        hull.require(able)
        check_column([(row, e) for row, e in zip(rows, energies, strict=True) if row.crystal and e is not None], able)
        for start in track(range(0, len(needed), CHUNK), "energies"):
            part = needed[start : start + CHUNK]
            found = single_points([crystal for i in part if (crystal := rows[i].crystal) is not None], able)
            for index, energy in zip(part, found, strict=True):
                energies[index] = energy
    labels = HullLabels(computed=len(needed))
    for row, energy in track(list(zip(rows, energies, strict=True)), "hull"):
        labels.add(row, energy, hull)
    return labels


def _of_dft(properties: Mapping[str, Scalar]) -> tuple[float, str] | None:
    """The label that a row has, or an estimate by DFT, and which."""
    value = _number(properties, ABOVE)
    if value is not None:
        return value, str(properties.get(SOURCE, DFT))
    estimate, method = _number(properties, ESTIMATE), str(properties.get(METHOD, ""))
    return (estimate, method) if estimate is not None and method.startswith(DFT) else None


def _no_verdict(crystal: Crystal, energy: float | None, height: float | None, hull: Hull) -> str | None:
    """Why the potential's energy gives no label; None if it does."""
    if energy is None:
        return "the potential gives no energy"
    if height is None:
        return "the reference lacks an element"
    if reason := too_deep(height) or hull.unsupported(crystal, height):
        return reason.partition(":")[0] if ":" in reason else "the potential fails"
    return None


def _number(properties: Mapping[str, Scalar], name: str) -> float | None:
    value = properties.get(name)
    return float(value) if isinstance(value, int | float) else None
