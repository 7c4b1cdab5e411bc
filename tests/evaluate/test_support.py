"""Where the reference lacks the compounds of a crystal's elements, nothing counts as stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from crystals import NACL
from materium import convert
from materium.crystal import Crystal
from materium.evaluate import verdicts
from materium.evaluate.fingerprint import fingerprint
from materium.evaluate.hull import Entry, Envelope, Hull
from materium.evaluate.novelty import KNOWN, NEW, POLYMORPH, SUBSTITUTION, Known
from materium.evaluate.reference import load
from materium.evaluate.summary import LEMAT, MATTERGEN, summarise
from materium.evaluate.summary import verdicts as final_verdicts

if TYPE_CHECKING:
    from materium.evaluate.reference import Reference

FACE = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
STAGES = ("unique", "novel")


def rock_salt(cation: str, anion: str, edge: float) -> Crystal:
    return Crystal(edge * FACE, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), convert.atomic_numbers([cation, anion]))


def fluorite(cation: str, anion: str, edge: float) -> Crystal:
    frac = np.array([[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    return Crystal(edge * FACE, frac, convert.atomic_numbers([cation, anion, anion]))


SALTS = {
    "NaF": (rock_salt("Na", "F", 4.63), -4.53058),
    "EuO": (rock_salt("Eu", "O", 5.14), -10.73369),
    "ThO2": (fluorite("Th", "O", 5.597), -10.09984),
    "NaCl": (rock_salt("Na", "Cl", 5.64), -3.66643),
}
"""Crystals that everybody knows, with what CHGNet 0.3.0 gives for them, eV/atom."""


@pytest.fixture(scope="module")
def shipped() -> Reference:
    return load("chgnet")


def judged(crystal: Crystal, energy: float, reference: Reference, known: Known) -> dict[str, Any]:
    """Return the row of a crystal that is valid and the first of its kind."""
    row = {"valid": True, "unique": True, **verdicts.above_hull([(crystal, energy)], Hull(reference))[0]}
    row |= verdicts.novelty([crystal], known)[0]
    return row | final_verdicts(row, STAGES)


@pytest.fixture(scope="module")
def rows(shipped: Reference) -> dict[str, dict[str, Any]]:
    known = shipped.known()
    return {name: judged(*salt, shipped, known) for name, salt in SALTS.items()}


@pytest.mark.parametrize("name", SALTS)
def test_common_salts_are_no_discoveries(rows: dict[str, dict[str, Any]], name: str) -> None:
    """Each is in the reference and near its hull, or the reference says that it cannot tell."""
    row = rows[name]
    assert not row["sun"]
    assert not row["msun"]
    assert row["unsupported"] or (row["hull_support"] > 0 and abs(row["energy_above_hull"]) < 0.1)
    if row["unsupported"]:
        assert not row["metastable"]
        assert row["hull_reason"].startswith("unsupported: ")


def test_rock_salt_is_known(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["NaCl"]["novelty"] == KNOWN
    assert rows["NaCl"]["metastable"]


def small(phases: dict[str, float], known: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - stands for a Reference
    from types import SimpleNamespace

    entries = tuple(Entry(formula, formula, energy, "computed") for formula, energy in phases.items())
    return SimpleNamespace(entries=entries, known_formulas=frozenset({*phases, *known}), scheme="none")


PURE = {"Na": 0.0, "F2": 0.0, "Mg": 0.0, "Cl2": 0.0}


@pytest.mark.parametrize(
    ("phases", "known", "energy", "support", "unsupported"),
    [
        ({}, (), -2.9, 0, True),  # only elements compete, at any depth
        ({}, (), -0.01, 0, True),
        ({}, (), 0.3, 0, True),
        ({"MgF2": -3.0, "NaCl": -2.0}, (), -2.9, 0, True),  # compounds of other elements too
        ({"NaF": -2.9}, (), -2.9, 1, False),
        ({"NaF": -2.9}, (), -3.19, 1, False),
        ({"NaF": -2.9}, (), -3.21, 1, True),  # more than 0.3 below what is known
        ({}, ("NaF",), 0.01, 0, False),  # known, and above its elements
    ],
)
def test_what_the_reference_can_tell(
    phases: dict[str, float], known: tuple[str, ...], energy: float, support: int, unsupported: bool
) -> None:
    crystal = SALTS["NaF"][0]
    (row,) = verdicts.above_hull([(crystal, energy)], Hull(small(PURE | phases, known)))
    assert (row["hull_support"], row["unsupported"]) == (support, unsupported)
    assert row["energy_above_hull"] == pytest.approx(energy - phases.get("NaF", 0.0), abs=1e-6)
    assert bool(row["hull_reason"]) == unsupported
    final = final_verdicts({"valid": True, "unique": True, "novel": True, **row}, STAGES)
    assert final["unsupported"] == unsupported
    if unsupported:
        assert not any(final[name] for name in ("stable", "metastable", "sun", "msun"))


def test_an_element_competes_with_its_own_kind() -> None:
    sodium = Crystal(3.0 * np.eye(3), np.zeros((1, 3)), np.array([11]))
    found = verdicts.above_hull([(sodium, 0.1), (sodium, -0.4)], Hull(small(PURE)))
    assert [row["unsupported"] for row in found] == [False, True]


amounts = st.tuples(*[st.integers(0, 3)] * 3).filter(any)


@settings(max_examples=30)
@given(st.lists(st.tuples(amounts, st.floats(-3, -0.01)), max_size=4), st.tuples(*[st.integers(1, 4)] * 3))
def test_elements_alone_compete_where_there_is_no_compound(
    phases: list[tuple[tuple[int, ...], float]], at: tuple[int, ...]
) -> None:
    symbols = ("Li", "Fe", "P")
    formulas = [Composition(dict(zip(symbols, counts, strict=True))).reduced_formula for counts, _ in phases]
    compounds = [Entry(f, f, e, "computed") for f, (_, e) in zip(formulas, phases, strict=True) if f not in symbols]
    envelope = Envelope([*(Entry(s, s, 0.0, "terminal") for s in symbols), *compounds])
    formula = Composition(dict(zip(symbols, at, strict=True))).reduced_formula
    mixture = envelope.mixture(formula)
    assert mixture is not None
    assert (envelope.compounds(formula) == 0) == all(phase.entry.kind == "terminal" for phase in mixture.phases)


def test_unsupported_is_a_share_of_every_summary_and_stable_under_no_name() -> None:
    doubtful: dict[str, Any] = {
        "valid": True,
        "smact_valid": True,
        "unique": True,
        "novel": True,
        "energy_above_hull": -2.9,
        "unsupported": True,
        "hull_reason": "unsupported: only elements compete",
    }
    sound = {**doubtful, "energy_above_hull": 0.05, "unsupported": False, "hull_reason": None}
    rows = [row | final_verdicts(row, STAGES) for row in (doubtful, sound)]
    found = summarise(rows, 2, ())
    assert found["metrics"]["unsupported"]["value"] == 0.5
    assert found["metrics"]["energy_above_hull"]["value"] == pytest.approx(0.05)
    assert found["counts"]["hull_reason"] == {"unsupported: only elements compete": 1}
    stable = [found["mattergen"][name] for name, own in MATTERGEN.items() if own in ("metastable", "msun")]
    stable += [found["lemat_genbench"][name] for name, own in LEMAT.items() if "stable" in own or "sun" in own]
    assert len(stable) == 6
    assert all(one["numerator"] <= 1 for one in stable)
    assert found["mattergen"]["avg_energy_above_hull_per_atom"]["value"] == pytest.approx(0.05)


def test_novelty_says_what_is_known_of_a_crystal() -> None:
    known = Known(["a"], [fingerprint(NACL)])
    length = NACL.volume ** (1 / 3) / len(NACL) ** (1 / 3)
    caesium = Crystal(length * 1.2 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    crystals = [NACL, caesium, rock_salt("K", "Br", 6.6), fluorite("Ca", "F", 5.46)]
    found = verdicts.novelty(crystals, known)
    assert [row["novelty"] for row in found] == [KNOWN, POLYMORPH, SUBSTITUTION, NEW]
    assert [row["novel"] for row in found] == [False, True, True, True]
    assert known.novel_means == "not among 1 known crystals"
