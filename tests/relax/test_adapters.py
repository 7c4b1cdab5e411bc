"""Every potential that can run here keeps the contract, and says plainly what it cannot do."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import NACL, PEROVSKITE, QUARTZ, RUTILE, SILICON
from materium.convert import to_structure
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.extras import install_command
from materium.relax.adapters import chgnet, potential, potentials
from materium.relax.neighbors import edges, has_lonely_site
from materium.relax.relaxer import relax
from materium.relax.validate import check_contract

if TYPE_CHECKING:
    from pathlib import Path

    from materium.relax.potential import Potential

LJ = "ase.calculators.lj:LennardJones"
PACKAGES = {"chgnet": "chgnet", "sevennet": "sevenn", "sevennet-l3i5": "sevenn"}
GPA = 160.21766208
"""In one eV/Å³."""
GAS = Crystal(np.eye(3) * 15, np.zeros((1, 3)), np.array([10]))


def rattled(crystal: Crystal, seed: int = 0) -> Crystal:
    """Return the crystal sheared by 2 % and its atoms moved by 0.05 Å or so: nothing is zero by symmetry any more."""
    random = np.random.default_rng(seed)
    lattice = crystal.lattice @ (np.eye(3) + 0.02 * random.normal(size=(3, 3)))
    moves = 0.05 * random.normal(size=(len(crystal), 3)) @ np.linalg.inv(lattice)
    return Crystal(lattice, crystal.frac_coords + moves, crystal.numbers)


@cache
def made(name: str) -> Potential:
    """Return the potential, the same one in every test, or skip where its package is not installed."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed", exc_type=ImportError)
    return potential(name)


@pytest.fixture(scope="module")
def network() -> chgnet.CHGNet:
    one = made("chgnet")
    assert isinstance(one, chgnet.CHGNet)
    return one


@pytest.mark.parametrize(
    ("name", "crystals"),
    [
        ("lennard-jones", [NACL, QUARTZ, SILICON]),
        ("chgnet", [NACL, RUTILE, SILICON]),
        ("sevennet", [SILICON]),
        ("sevennet-l3i5", [SILICON]),
        (LJ, [SILICON, RUTILE]),
    ],
)
def test_the_contract_is_kept(name: str, crystals: list[Crystal]) -> None:
    assert check_contract(made(name), [rattled(crystal) for crystal in crystals]) == []


@pytest.mark.parametrize(
    ("name", "version", "scheme"),
    [
        ("chgnet", "0.3.0", "MP2020"),
        ("sevennet", "0-11Jul2024", "uncorrected"),
        ("lennard-jones", "0.2-2.5-7", "none"),
        (LJ, version("ase"), "none"),
    ],
)
def test_energies_carry_their_scale(name: str, version: str, scheme: str) -> None:
    one = made(name)
    assert (one.name, one.version, one.scheme) == (name, version, scheme)


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(MateriumError, match=r"'chgnat'; there are chgnet, sevennet, .* or an ASE calculator"):
        potential("chgnat")
    assert {"chgnet", "sevennet", "sevennet-l3i5", "mattersim", "mace", "orb"} <= set(potentials())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_package.sub:Calculator", "no calculator 'no_such_package.sub:Calculator'"),
        ("ase.calculators.lj:Nothing", "package.module:Factory must be importable"),
        (":", "package.module:Factory must be importable"),
        ("ase.calculators.mixing:LinearCombinationCalculator", "without arguments"),
        ("ase.calculators.ipi:IPICalculator", "no calculator"),
        ("builtins:dict", "offers no energy or forces or stress"),
    ],
)
def test_what_is_no_calculator_is_refused_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(MateriumError, match=message) as caught:
        potential(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", ["RuntimeError('no\\nGPU')", "OSError('no weights')", "ImportError('no torch')"])
def test_a_factory_that_fails_is_one_line(error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_factory.py").write_text(f"def make():\n    raise {error}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_factory", raising=False)
    with pytest.raises(MateriumError, match=r"'broken_factory:make' made no calculator.*mend it") as caught:
        potential("broken_factory:make")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_found_says_how_it_is() -> None:
    with pytest.raises(MateriumError, match=r"PYTHONPATH=\."):
        potential("mine:Calculator")


def test_a_calculator_s_failure_is_told_as_it_is() -> None:
    copper = Crystal(1.805 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([29]))
    uranium = Crystal(1.805 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([92]))
    first, again, second = relax([uranium, uranium, copper], potential("ase.calculators.emt:EMT"), max_steps=1)
    assert first.status == again.status == "error"
    assert first.reason == again.reason == "ase.calculators.emt:EMT failed: No EMT-potential for U"
    assert second.status != "error"


@pytest.mark.parametrize(("name", "package"), [("mattersim", "mattersim"), ("mace", "mace"), ("orb", "orb_models")])
def test_a_missing_package_says_what_to_install(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MateriumError, match=r"pip install (mattersim|mace-torch|orb-models) \(.* never ran"):
        potential(name)


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("chgnet", "sevenn", "sevenn._keys"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("chgnet", "sevennet"):
        with pytest.raises(MateriumError, match=re.escape(install_command(name)) + "$"):
            potential(name)


def test_an_ase_calculator_that_fails_gives_none_for_that_crystal() -> None:
    copper = Crystal(1.805 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([29]))
    uranium = Crystal(1.805 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([92]))
    first, second = potential("ase.calculators.emt:EMT").predict([uranium, copper])
    assert first is None  # effective medium theory knows seven metals
    assert second is not None
    assert abs(second.energy) < 0.1


@pytest.mark.parametrize("name", ["chgnet", "sevennet"])
def test_isolated_atoms_and_strange_elements_have_no_prediction(name: str) -> None:
    strange = Crystal(NACL.lattice, NACL.frac_coords, np.where(NACL.numbers == 11, 103, 17))
    first, second, third = made(name).predict([GAS, SILICON, strange])
    assert first is None
    assert second is not None
    assert third is None
    assert made(name).predict([]) == []


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the package's own way to collect volumes
@pytest.mark.parametrize("crystal", [NACL, RUTILE, QUARTZ, PEROVSKITE, SILICON])
def test_chgnet_is_the_package_s_own(network: chgnet.CHGNet, crystal: Crystal) -> None:
    """Energy, forces and stress of its own graph and its own derivatives, GPa over 160.2."""
    crystal = rattled(crystal)
    expected = network._network.predict_structure(to_structure(crystal), task="efs")
    (found,) = network.predict([crystal])
    assert found is not None
    assert found.energy / len(crystal) == pytest.approx(float(expected["e"]), abs=1e-5)
    np.testing.assert_allclose(found.forces, expected["f"], atol=1e-3)
    np.testing.assert_allclose(found.stress * GPA, (expected["s"] + expected["s"].T) / 2, atol=1e-2)


def test_the_batch_is_cut_where_it_is_too_large(network: chgnet.CHGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    crystals = [rattled(SILICON, seed) for seed in range(3)]
    whole = network.predict(crystals)
    monkeypatch.setattr(network, "sites_at_once", 3)
    for one, other in zip(whole, network.predict(crystals), strict=True):
        assert one is not None
        assert other is not None
        assert one.energy == pytest.approx(other.energy, abs=1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of the package's own calculator
def test_sevennet_is_the_package_s_own() -> None:
    network = made("sevennet")
    from sevenn.calculator import SevenNetCalculator

    from materium.relax.adapters.ase_calculator import ASECalculator

    crystal = rattled(RUTILE)
    (expected,) = ASECalculator(SevenNetCalculator("7net-0", device="cpu"), "own", "0", "uncorrected").predict(
        [crystal]
    )
    (found,) = network.predict([crystal])
    assert expected is not None
    assert found is not None
    assert found.energy == pytest.approx(expected.energy, abs=1e-4)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 6))
def test_edges_are_all_pairs_within_the_cutoff(seed: int, count: int) -> None:
    """The numbers of neighbours are those of a search over all images, and each edge has its reverse."""
    random = np.random.default_rng(seed)
    lattice = np.eye(3) * 4 + random.uniform(-1, 1, (3, 3))
    crystal = Crystal(lattice, random.random((count, 3)), np.ones(count))
    found = edges([crystal], 5.0)
    images = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    offsets = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    distances = np.linalg.norm((offsets[:, :, None] + images) @ lattice, axis=-1)
    assert len(found.center) == ((distances > 1e-8) & (distances <= 5.0)).sum()
    forward = set(zip(found.center, found.neighbor, map(tuple, found.image), strict=True))
    assert forward == {(j, i, tuple(-x for x in image)) for i, j, image in forward}


def test_edges_of_a_batch_are_those_of_its_crystals() -> None:
    together = edges([NACL, GAS, SILICON], 6.0)
    alone = edges([SILICON], 6.0)
    last = together.owner[together.center] == 2
    np.testing.assert_array_equal(together.center[last] - len(NACL) - 1, alone.center)
    np.testing.assert_allclose(together.distance[last], alone.distance)
    assert has_lonely_site(GAS, 6.0)
    assert not has_lonely_site(NACL, 6.0)
