"""Completing partial structures: the host stays, the formula is met, and every frame leads back to the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import KNOWN, NACL, SILICON
from materium.convert import to_structure
from materium.crystal import Crystal
from materium.errors import CrystalError, MateriumError
from materium.generate.complete import Completion, _frames
from materium.symmetry import canonical
from materium.tokens.tokenizer import TokenizerConfig
from materium.tokens.vocab import known_species
from tiny import tiny_engine

if TYPE_CHECKING:
    from materium.generate.engine import Materium

PRIMITIVE = canonical(NACL)
TOKENIZER = TokenizerConfig(bins=1008, species=known_species("common"), max_sites=12)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"), tokenizer=TOKENIZER)


def without(crystal: Crystal, number: int) -> Crystal:
    kept = crystal.numbers != number
    return Crystal(crystal.lattice, crystal.frac_coords[kept], crystal.numbers[kept])


def completed(completion: Completion) -> list[Crystal]:
    return [completion.crystal(sample) for batch in completion.samples() for sample in batch]


@pytest.mark.parametrize("keep_lattice", [True, False])
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_host_stays_and_formula_is_met(engine: Materium, name: str, keep_lattice: bool) -> None:
    host = KNOWN[name]
    if len(host) > 9:
        pytest.skip("leaves no room for three more atoms")
    for crystal in completed(Completion(engine, host, "Li2O", n=5, keep_lattice=keep_lattice)):
        assert len(crystal) == len(host) + 3
        np.testing.assert_array_equal(crystal.frac_coords[: len(host)], host.frac_coords)
        np.testing.assert_array_equal(crystal.numbers[: len(host)], host.numbers)
        assert sorted(crystal.numbers[len(host) :]) == [3, 3, 8]
        if keep_lattice:
            np.testing.assert_array_equal(crystal.lattice, host.lattice)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_frame_shows_the_same_host(name: str) -> None:
    """A site and the cell, taken to a frame and back, are where they were."""
    primitive = canonical(KNOWN[name])
    host = Crystal(primitive.lattice, primitive.frac_coords + np.array([0.2, 0.3, 0.4]), primitive.numbers)
    frames = list(_frames(host))
    assert len(frames) > 1
    for frame in frames:
        lattice, frac = frame.back(frame.crystal.lattice, frame.crystal.frac_coords)
        apart = frac - host.frac_coords
        np.testing.assert_allclose(apart, np.round(apart), atol=1e-6)
        np.testing.assert_allclose(lattice @ lattice.T, host.lattice @ host.lattice.T, rtol=1e-3, atol=1e-3)


def test_canonical_setting_is_among_the_frames() -> None:
    expected = PRIMITIVE
    turn = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    turned = Crystal(turn @ expected.lattice, expected.frac_coords @ turn.T + 0.37, expected.numbers)
    points = {tuple(np.round(frame.crystal.frac_coords.ravel(), 3) % 1) for frame in _frames(turned)}
    order = [list(expected.numbers).index(number) for number in turned.numbers]
    assert tuple(np.round(expected.frac_coords[order].ravel(), 3) % 1) in points


def test_host_that_is_a_supercell_keeps_its_cell(engine: Materium) -> None:
    doubled = Crystal(
        SILICON.lattice * np.array([[1], [1], [2]]),
        np.concatenate([SILICON.frac_coords * [1, 1, 0.5], SILICON.frac_coords * [1, 1, 0.5] + [0, 0, 0.5]]),
        np.concatenate([SILICON.numbers] * 2),
    )  # fmt: skip
    for crystal in completed(Completion(engine, doubled, "O", n=3, keep_lattice=True)):
        assert len(crystal) == 5
        np.testing.assert_array_equal(crystal.lattice, doubled.lattice)


def test_same_seed_same_structures_in_any_batch(engine: Materium) -> None:
    completion = Completion(engine, without(PRIMITIVE, 17), "Cl2", n=6, seed=4)
    whole = [sample for batch in completion.samples() for sample in batch]
    parts = [sample for batch in completion.samples(2, batch_size=3) for sample in batch]
    assert [sample.tokens.tolist() for sample in parts] == [sample.tokens.tolist() for sample in whole[2:]]


def test_python_face_takes_structures(engine: Materium) -> None:
    host = to_structure(without(PRIMITIVE, 17))
    structures = engine.complete(host, add="Cl", n=3, seed=1)
    assert [structure.composition.reduced_formula for structure in structures] == ["NaCl"] * 3
    assert [structure.properties["index"] for structure in structures] == [0, 1, 2]


def test_oxidation_states_that_came_with_the_host_stay(engine: Materium) -> None:
    """Guessed anew, iron beside one oxygen more would be something else."""
    host = Crystal(PRIMITIVE.lattice, PRIMITIVE.frac_coords, np.array([26, 8]), np.array([2, -2]))
    for crystal in completed(Completion(engine, host, "O", n=3)):
        assert crystal.oxidation_states is not None
        np.testing.assert_array_equal(crystal.oxidation_states[:2], [2, -2])


def test_too_many_atoms_are_refused(engine: Materium) -> None:
    with pytest.raises(MateriumError, match="host of 8 atoms and Li20 make 28 atoms; this model writes at most 12"):
        Completion(engine, NACL, "Li20")


def test_overlapping_host_is_refused(engine: Materium) -> None:
    close = Crystal(NACL.lattice, np.array([[0, 0, 0], [0.01, 0, 0]]), NACL.numbers[:2])
    with pytest.raises(CrystalError, match="apart"):
        Completion(engine, close, "O")


@pytest.mark.parametrize("add", ["Xx", "Li0.5", ""])
def test_impossible_addition_is_refused(engine: Materium, add: str) -> None:
    with pytest.raises(MateriumError, match=r"formula|whole numbers"):
        Completion(engine, NACL, add)
