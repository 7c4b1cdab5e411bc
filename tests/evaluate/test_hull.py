"""The hull: equal to pymatgen's, exact in its laws, and refused to energies that do not belong on it."""

from __future__ import annotations

import pickle
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from crystals import NACL, PEROVSKITE, RUTILE
from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.evaluate.hull import Entry, Envelope, Hull, fractions, system_of
from materium.evaluate.verdicts import above_hull

if TYPE_CHECKING:
    from collections.abc import Sequence

ELEMENTS = {"Ca": -1.9, "Ti": -7.8, "O2": -4.9}
OXIDES = {"CaO": -6.4, "TiO2": -9.1, "Ti2O3": -9.15, "TiO": -8.6, "CaTiO3": -8.3}


def entries(phases: dict[str, float]) -> list[Entry]:
    return [Entry(f"id-{formula}", formula, energy, "computed") for formula, energy in phases.items()]


def reference(phases: dict[str, float], scheme: str = "MP2020") -> Any:  # noqa: ANN401 - stands for a Reference
    own = SimpleNamespace(name="tiny", potential="chgnet", version="0.3.0", scheme=scheme)
    own.entries, own.known_formulas = tuple(entries(phases)), frozenset(phases)
    return own


def diagram(phases: Sequence[Entry]) -> PhaseDiagram:
    """Return pymatgen's phase diagram of the same phases."""
    return PhaseDiagram([PDEntry(Composition(p.formula), p.energy * Composition(p.formula).num_atoms) for p in phases])


amounts = st.tuples(*[st.integers(0, 4)] * 3).filter(any)
energies = st.floats(-3, 1)


@given(st.lists(st.tuples(amounts, energies), max_size=12), amounts)
def test_hull_is_pymatgens(phases: list[tuple[tuple[int, ...], float]], at: tuple[int, ...]) -> None:
    """Elements at 0 and random compounds of three elements, and the hull at a random composition."""
    symbols = ("Li", "Fe", "P")
    pure = [Entry(symbol, symbol, 0.0, "terminal") for symbol in symbols]
    named = [(Composition(dict(zip(symbols, counts, strict=True))).reduced_formula, e) for counts, e in phases]
    compounds = [Entry(str(i), formula, energy, "computed") for i, (formula, energy) in enumerate(named)]
    envelope = Envelope([*pure, *compounds])
    formula = Composition(dict(zip(symbols, at, strict=True))).reduced_formula
    found = envelope.mixture(formula)
    assert found is not None
    expected = diagram([*pure, *compounds]).get_hull_energy_per_atom(Composition(formula))
    assert found.energy == pytest.approx(expected, abs=1e-6)
    total: dict[str, float] = defaultdict(float)
    for phase in found.phases:
        for symbol, share in fractions(phase.entry.formula).items():
            total[symbol] += share * phase.amount
    assert {s: x for s, x in total.items() if x > 1e-5} == pytest.approx(fractions(formula), abs=1e-5)
    assert sum(phase.amount * phase.entry.energy for phase in found.phases) == pytest.approx(found.energy, abs=1e-5)


def test_many_elements_are_no_burden() -> None:
    """Of 40 elements there are 2^40 subsystems, and a few phases; the mixture is the one of all subsystems."""
    symbols = [Element.from_Z(number).symbol for number in range(3, 43) if number not in {10, 18, 36}]
    pure = [Entry(symbol, Composition(symbol).reduced_formula, 0.0, "terminal") for symbol in symbols]
    envelope = Envelope([*pure, Entry("a", "NaCl", -2.0, "computed")])
    found = envelope.mixture("".join(symbols))
    assert found is not None
    assert found.energy == pytest.approx(-2.0 * 2 / len(symbols))
    assert list(envelope._parts(("Cl", "Na"))) == [("Cl",), ("Na",), ("Cl", "Na")]


def test_only_vertices_matter() -> None:
    """What pruning leaves gives the same hull everywhere; Ti2O3 and TiO are undercut by neighbours or kept."""
    whole = Envelope(entries(ELEMENTS | OXIDES | {"Ti3O5": -5.0, "CaTi2O4": -6.0}))
    kept = whole.vertices()
    assert {entry.formula for entry in kept} >= {"Ca", "Ti", "O2", "TiO2"}
    assert not {entry.formula for entry in kept} & {"Ti3O5", "CaTi2O4"}
    pruned = Envelope(kept)
    for formula in ("Ca3Ti2O7", "Ti3O5", "CaTi2O4", "Ti9O10", "CaO2", "Ca2Ti"):
        before, after = whole.mixture(formula), pruned.mixture(formula)
        assert before is not None
        assert after is not None
        assert after.energy == pytest.approx(before.energy, abs=1e-7)


def test_of_several_phases_at_one_composition_the_lowest_counts() -> None:
    envelope = Envelope([Entry("high", "TiO2", -8.0, "computed"), *entries(ELEMENTS | OXIDES)])
    found = envelope.mixture("TiO2")
    assert found is not None
    assert [(phase.entry.id, round(phase.amount, 6)) for phase in found.phases] == [("id-TiO2", 1.0)]


def test_energy_above_hull_is_the_distance_and_may_be_negative() -> None:
    hull = Hull(reference(ELEMENTS | OXIDES))
    for step in (0.05, 0.0, -0.05):
        assert hull.energy_above_hull(RUTILE, OXIDES["TiO2"] + step) == pytest.approx(step, abs=1e-6)


@pytest.mark.parametrize(("height", "counts"), [(0.1, True), (-2.6, True), (-5.0, True), (-5.1, False), (-465, False)])
def test_no_crystal_lies_as_far_below_the_hull_as_a_hole_of_a_potential(height: float, counts: bool) -> None:
    """A crystal that the reference lacks may lie below its hull, by an energy of formation at most."""
    (found,) = above_hull([(RUTILE, OXIDES["TiO2"] + height)], Hull(reference(ELEMENTS | OXIDES)))
    if counts:
        assert found["energy_above_hull"] == pytest.approx(height, abs=1e-6)
    else:
        assert found["energy_above_hull"] is None
        assert f"{-height:.3g} eV/atom below the hull" in found["hull_reason"]


def test_mixture_of_a_perovskite_that_the_reference_lacks() -> None:
    hull = Hull(reference(ELEMENTS | {k: v for k, v in OXIDES.items() if k != "CaTiO3"}))
    expected = (2 * OXIDES["CaO"] + 3 * OXIDES["TiO2"]) / 5
    assert hull.energy_above_hull(PEROVSKITE, -8.3) == pytest.approx(-8.3 - expected, abs=1e-6)
    assert [formula for formula, _ in hull.decomposition(PEROVSKITE)] == ["TiO2", "CaO"]
    assert [amount for _, amount in hull.decomposition(PEROVSKITE)] == pytest.approx([0.6, 0.4])


def test_a_missing_element_gives_no_answer_and_no_crash() -> None:
    hull = Hull(reference({"Ti": -7.8, "TiO2": -9.1, "Ca": -1.9}))
    assert hull.missing(PEROVSKITE) == ("O",)
    assert hull.missing(NACL) == ("Cl", "Na")
    assert hull.energy_above_hull(RUTILE, -9.1) is None
    assert hull.decomposition(RUTILE) == []


@pytest.mark.parametrize("energy", [np.nan, np.inf, -np.inf])
def test_no_energy_gives_no_answer(energy: float) -> None:
    assert Hull(reference(ELEMENTS | OXIDES)).energy_above_hull(RUTILE, energy) is None


def test_supercells_order_and_oxidation_states_change_nothing() -> None:
    hull = Hull(reference(ELEMENTS | OXIDES))
    turned = RUTILE.select(np.arange(len(RUTILE))[::-1])
    frac = np.concatenate([RUTILE.frac_coords, RUTILE.frac_coords + np.array([0, 0, 1])]) / [1, 1, 2]
    doubled = Crystal(np.diag([1, 1, 2]) @ RUTILE.lattice, frac, np.tile(RUTILE.numbers, 2))
    for crystal in (turned, doubled, Crystal(RUTILE.lattice, RUTILE.frac_coords, RUTILE.numbers)):
        assert hull.energy_above_hull(crystal, -9.0) == hull.energy_above_hull(RUTILE, -9.0)


def test_uncorrected_energies_are_corrected_like_the_hull() -> None:
    plain, corrected = Hull(reference(ELEMENTS | OXIDES)), Hull(reference(ELEMENTS | OXIDES, "uncorrected"))
    lower = corrected.energy_above_hull(RUTILE, -8.5)
    upper = plain.energy_above_hull(RUTILE, -8.5)
    assert lower is not None
    assert upper is not None
    assert lower - upper == pytest.approx(-0.687 * 2 / 3)


@pytest.mark.parametrize(
    ("name", "version", "scheme"),
    [("sevennet", "0.3.0", "MP2020"), ("chgnet", "0.2.0", "MP2020"), ("chgnet", "0.3.0", "uncorrected")],
)
def test_energies_of_another_potential_are_refused_in_one_line(name: str, version: str, scheme: str) -> None:
    hull = Hull(reference(ELEMENTS))
    hull.require(SimpleNamespace(name="chgnet", version="0.3.0", scheme="MP2020"))  # type: ignore[arg-type]
    with pytest.raises(MateriumError, match="materium reference build") as caught:
        hull.require(SimpleNamespace(name=name, version=version, scheme=scheme))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert f"{name} {version}" in str(caught.value)


def test_a_hull_can_go_to_another_process() -> None:
    envelope = Envelope(entries(ELEMENTS | OXIDES))
    copied = pickle.loads(pickle.dumps(envelope))  # noqa: S301 - our own bytes
    assert copied.mixture("CaTiO3") == envelope.mixture("CaTiO3")


@given(st.lists(st.sampled_from(range(1, 95)), min_size=1, max_size=5))
def test_system_of_a_formula_is_that_of_the_crystal(numbers: list[int]) -> None:
    crystal = Crystal(9 * np.eye(3), np.linspace(0, 0.9, len(numbers))[:, None] * [1, 1, 1], np.array(numbers))
    assert system_of(convert.formula(crystal)) == tuple(sorted(set(convert.symbols(numbers))))
