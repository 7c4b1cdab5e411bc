"""Energies above hull for every row: DFT first, the potential's where it can tell, and nothing where it cannot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crystals import NACL, PEROVSKITE, RUTILE
from materium.data.filters import SOURCE
from materium.data.records import Row
from materium.errors import DataError, MateriumError
from materium.evaluate.hull import Entry, Hull
from materium.evaluate.hull_labels import HullLabels, label
from materium.relax.potential import Potential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materium.crystal import Crystal

PHASES = {"Ca": -1.9, "Ti": -7.8, "O2": -4.9, "CaO": -6.4, "TiO2": -9.1, "CaTiO3": -8.3}


def hull(version: str = "1") -> Hull:
    own: Any = SimpleNamespace(name="tiny", potential="flat", version=version, scheme="MP2020")
    own.entries = tuple(Entry(formula, formula, energy, "computed") for formula, energy in PHASES.items())
    own.known_formulas = frozenset(PHASES)
    return Hull(own)


class Flat(Potential):
    """The same energy per atom for every crystal."""

    name, version, scheme = "flat", "1", "MP2020"

    def __init__(self, energy: float = -9.0) -> None:
        self.energy, self.predicted = energy, 0

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        self.predicted += len(crystals)
        return [Prediction(self.energy * len(c), np.zeros((len(c), 3)), np.zeros((3, 3))) for c in crystals]


def labelled(*rows: Row, potential: Potential | None = None) -> HullLabels:
    def loaded() -> Potential:
        if potential is None:
            pytest.fail("no potential is needed")
        return potential

    return label(rows, hull(), loaded)


@pytest.mark.parametrize(
    ("properties", "value", "source"),
    [
        ({"energy_above_hull": 0.5, "flat_energy_per_atom": -9.0, "e_hull_est": 0.2}, 0.5, "dft"),
        ({"energy_above_hull": 0.5, SOURCE: "chgnet"}, 0.5, "chgnet"),
        ({"flat_energy_per_atom": -9.0, "e_hull_est": 0.2, "est_method": "dft-2018"}, 0.2, "dft-2018"),
        ({"flat_energy_per_atom": -9.0, "e_hull_est": 0.2, "est_method": "guess"}, 0.1, "flat"),
        ({"flat_energy_per_atom": -9.2}, -0.1, "flat"),
    ],
)
def test_precedence(properties: dict[str, Any], value: float, source: str) -> None:
    labels = labelled(Row("a", RUTILE, properties))
    (row,) = labels.rows
    assert row.properties["energy_above_hull"] == pytest.approx(value)
    assert row.properties[SOURCE] == source
    assert row.crystal is RUTILE
    assert labels.sources == {source: 1}
    assert (labels.computed, labels.unlabelled.total()) == (0, 0)


def test_rows_without_a_verdict_have_no_label() -> None:
    """Sodium and chlorine are not in the reference, -9.5 lies too deep, and a row without a crystal stays as it is."""
    rows = [
        Row("a", NACL, {"flat_energy_per_atom": -3.0}),
        Row("b", RUTILE, {"flat_energy_per_atom": -9.5, "e_hull_est": 0.2}),
    ]
    broken = Row("c", None, {}, "broken")
    labels = labelled(*rows, broken)
    assert labels.unlabelled == {"the reference lacks an element": 1, "unsupported": 1}
    assert not any("energy_above_hull" in row.properties for row in labels.rows)
    assert labels.rows[1].properties["flat_energy_above_hull"] == pytest.approx(-0.4)
    assert labels.rows[2] is broken


def test_disagreement_of_dft_and_potential_is_counted() -> None:
    """TiO2 lies 0.09 eV/atom above the hull by the potential: within 0.1, as 0.05 is and 0.3 is not."""
    rows = [Row("a", RUTILE, {"energy_above_hull": e, "flat_energy_per_atom": -9.01}) for e in (0.05, 0.3)]
    labels = labelled(*rows, Row("b", RUTILE, {"energy_above_hull": 0.3}))
    assert (labels.judged, labels.apart) == (2, 1)


def test_energies_are_computed_where_no_column_has_them() -> None:
    potential = Flat()
    given = [Row("b", PEROVSKITE, {"energy_above_hull": 0.0}), Row("c", RUTILE, {"flat_energy_per_atom": -9.0})]
    labels = labelled(Row("a", RUTILE), *given, potential=potential)
    assert [row.properties[SOURCE] for row in labels.rows] == ["flat", "dft", "flat"]
    assert labels.rows[0].properties["energy_above_hull"] == pytest.approx(0.1)
    assert (labels.computed, potential.predicted) == (1, 2)  # and one to check the column


def test_a_column_of_other_energies_is_refused() -> None:
    rows = [Row("a", RUTILE), Row("c", RUTILE, {"flat_energy_per_atom": -9.1})]
    with pytest.raises(DataError, match=r"row c has -9\.1000 eV/atom in flat_energy_per_atom .* remove the column"):
        labelled(*rows, potential=Flat())


def test_a_potential_of_another_version_is_refused() -> None:
    with pytest.raises(MateriumError, match="tiny is a hull of flat 2"):
        label([Row("a", RUTILE)], hull("2"), Flat)
