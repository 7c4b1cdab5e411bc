from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import KNOWN, NACL, PEROVSKITE, QUARTZ, RUTILE
from materium.convert import to_cif
from materium.crystal import Crystal
from materium.errors import DataError, MateriumError
from materium.evaluate.fingerprint import distance, fingerprint
from materium.evaluate.novelty import Known

if TYPE_CHECKING:
    from pathlib import Path


def with_elements(crystal: Crystal, change: dict[int, int]) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, np.array([change.get(z, z) for z in crystal.numbers.tolist()]))


def displaced(crystal: Crystal, spread: float) -> Crystal:
    moves = np.random.default_rng(0).normal(size=(len(crystal), 3)) * spread
    return Crystal(crystal.lattice, crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice), crystal.numbers)


def by_fingerprints() -> Known:
    found = [fingerprint(crystal) for crystal in KNOWN.values()]
    return Known.from_fingerprints(
        list(KNOWN),
        [one.formula for one in found],
        [one.space_group for one in found],
        [one.wyckoff for one in found],
        np.array([one.amd for one in found]),
    )


@pytest.fixture
def by_matching(tmp_path: Path) -> Known:
    for name, crystal in KNOWN.items():
        (tmp_path / f"{name}.cif").write_text(to_cif(crystal), encoding="utf-8")
    return Known.from_table(tmp_path)


@pytest.fixture(params=["fingerprints", "matching"])
def known(request: pytest.FixtureRequest) -> Known:
    return by_fingerprints() if request.param == "fingerprints" else request.getfixturevalue("by_matching")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_what_the_reference_holds_is_not_new(known: Known, name: str, spread: float) -> None:
    found = known.verdict(displaced(KNOWN[name], spread))
    assert found["novel"] is False
    assert found["novel_formula"] is False
    assert str(found["nearest_id"]).removesuffix(".cif") == name
    assert found["nearest_distance"] < 0.06


def test_a_polymorph_is_new_and_its_formula_is_not(known: Known) -> None:
    stishovite = with_elements(Crystal(0.91 * RUTILE.lattice, RUTILE.frac_coords, RUTILE.numbers), {22: 14})
    found = known.verdict(stishovite)
    assert (found["novel"], found["novel_formula"], found["novel_prototype"]) == (True, False, False)
    assert str(found["nearest_id"]).removesuffix(".cif") == "SiO2"
    assert str(found["prototype_id"]).removesuffix(".cif") == "TiO2"
    assert found["nearest_distance"] == pytest.approx(distance(fingerprint(stishovite), fingerprint(QUARTZ)), abs=1e-4)


def test_new_elements_on_known_sites_are_a_new_formula_of_a_known_type(known: Known) -> None:
    found = known.verdict(with_elements(PEROVSKITE, {20: 38, 22: 40}))
    assert (found["novel"], found["novel_formula"], found["novel_prototype"]) == (True, True, False)
    assert (found["nearest_id"], found["nearest_distance"]) == (None, None)


def test_a_structure_type_can_be_new(known: Known) -> None:
    caesium_chloride = Crystal(4.1 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    found = known.verdict(caesium_chloride)
    assert (found["novel"], found["novel_formula"], found["novel_prototype"]) == (True, False, True)
    assert found["prototype_id"] is None


def test_a_crystal_without_symmetry_is_of_no_new_type() -> None:
    overlapping = Crystal(5 * np.eye(3), np.array([[0, 0, 0], [0, 0, 1e-3]]), np.array([1, 1]))
    assert by_fingerprints().verdict(overlapping)["novel_prototype"] is False


def test_a_verdict_can_be_written_as_json(known: Known) -> None:
    found = known.verdict(NACL, fingerprint(NACL))
    assert json.loads(json.dumps(found)) == found


def test_how_the_reference_decides_is_told(by_matching: Known) -> None:
    assert by_matching.matches_fully
    assert not by_fingerprints().matches_fully
    assert len(by_matching) == len(KNOWN)


def test_unreadable_rows_are_left_out_and_counted_as_progress(tmp_path: Path) -> None:
    (tmp_path / "good.cif").write_text(to_cif(NACL), encoding="utf-8")
    (tmp_path / "cut.cif").write_text(to_cif(NACL)[:100], encoding="utf-8")
    steps: list[int] = []
    assert len(Known.from_table(tmp_path, lambda: steps.append(1))) == 1
    assert len(steps) == 2


def test_a_reference_without_crystals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.cif").write_text(to_cif(NACL)[:100], encoding="utf-8")
    with pytest.raises(MateriumError, match="holds no readable crystal"):
        Known.from_table(tmp_path)
    with pytest.raises(DataError):
        Known.from_table(tmp_path / "nothing")


def test_one_fingerprint_for_each_id() -> None:
    with pytest.raises(MateriumError, match="1 ids came with 0 fingerprints"):
        Known(["a"], [])
