"""Laws of the grids and orders of orbit sequences: to the grid and back changes nothing but the last digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import KNOWN
from materium.core.orbits import Orbits, canonical_orbits
from materium.core.space_groups import NUMBERS
from materium.core.wyckoff import space_group
from materium.crystal import lattice_from_parameters
from materium.errors import TokenError
from materium.tokens.orbit_tokenizer import ORDERS, OrbitTokenizer, OrbitTokenizerConfig, Order
from materium.tokens.orbit_vocab import ANGLES, LENGTHS, Role
from random_orbits import SPECIES, TOKENIZER, random_grid, rows

WHOLE = OrbitTokenizer(OrbitTokenizerConfig())
CUBIC = [5.0, 5, 5, 90, 90, 90]


def orbits(group: int, parameters: list[float], positions: list[int], points: list[list[int]]) -> Orbits:
    numbers = np.full(len(positions), 8)
    return Orbits(group, np.array(parameters, dtype=float), numbers, None, np.array(positions), np.array(points))


@settings(max_examples=50)
@given(st.sampled_from(NUMBERS), st.integers(0, 1 << 32))
def test_from_the_grid_and_back_is_the_same(group: int, seed: int) -> None:
    grid = random_grid(group, np.random.default_rng(seed))
    again = TOKENIZER.grid(TOKENIZER.orbits(grid))
    assert again.group == group
    assert again.lattice.tolist() == grid.lattice.tolist()
    assert rows(again) == rows(grid)


@pytest.mark.parametrize("name", KNOWN)
def test_real_crystals_keep_their_points_and_lose_half_a_step_of_their_cell(name: str) -> None:
    exact = canonical_orbits(KNOWN[name])
    again = WHOLE.orbits(WHOLE.grid(exact))
    assert again.points.tolist() == exact.points.tolist()
    assert again.positions.tolist() == exact.positions.tolist()
    step = np.log(90 / 1.8) / 1008
    assert np.abs(np.log(again.parameters[:3] / exact.parameters[:3])).max() < step / 2 + 1e-12
    assert again.parameters[3:].tolist() == exact.parameters[3:].tolist()


def test_a_coarser_grid_keeps_every_position_and_moves_by_half_a_step() -> None:
    coarse = OrbitTokenizer(replace(TOKENIZER.config, bins=504))
    quartz = replace(canonical_orbits(KNOWN["SiO2"]), oxidation_states=None, numbers=np.array([26, 8]))
    again = coarse.orbits(coarse.grid(quartz))
    apart = (again.points - quartz.points + 504) % 1008 - 504
    assert again.positions.tolist() == quartz.positions.tolist()
    assert 0 < np.abs(apart).max() <= 2


@pytest.mark.parametrize("group", [1, 3, 16, 75, 143, 195])
def test_lattice_roles_are_the_free_parameters(group: int) -> None:
    names = [role.name.lower().removeprefix("monoclinic_") for role in TOKENIZER.lattice_roles(group)]
    assert names == list(space_group(group).lattice_parameters)
    assert set(TOKENIZER.lattice_roles(group)) <= {*LENGTHS, *ANGLES}


def test_right_angles_and_all_of_the_range_are_on_the_grid() -> None:
    assert TOKENIZER.angles[Role.ALPHA][504] == 90
    assert TOKENIZER.angles[Role.MONOCLINIC_BETA][:: 1008 // 2] == [90, 120, 150]
    assert np.exp(TOKENIZER.log_lengths[0]) == pytest.approx(1.8)
    assert np.exp(TOKENIZER.log_lengths[-1]) == pytest.approx(90)


@settings(max_examples=50)
@given(st.integers(0, 1008), st.integers(0, 1008))
def test_gammas_are_those_of_cells_that_are_not_flat(alpha: int, beta: int) -> None:
    legal = TOKENIZER.gammas(alpha, beta)
    angles = [TOKENIZER.angles[Role.ALPHA][alpha], TOKENIZER.angles[Role.BETA][beta]]
    for gamma in (0, 504, 1008, *np.flatnonzero(np.diff(legal))):
        a, b, c = np.cos(np.radians([*angles, TOKENIZER.angles[Role.GAMMA][gamma]]))
        square = 1 - a * a - b * b - c * c + 2 * a * b * c
        assert legal[gamma] == (square >= 0.25)
        if legal[gamma]:
            lattice = lattice_from_parameters([1, 1, 1, *angles, TOKENIZER.angles[Role.GAMMA][gamma]])
            assert np.linalg.det(lattice) == pytest.approx(np.sqrt(square))
    assert legal.any()


def test_species_come_by_element_and_then_by_falling_state() -> None:
    assert TOKENIZER.header_species["high"][:4] == ((26, 3), (26, 2), (26, 0), (17, 0))
    assert TOKENIZER.header_species["low"][:4] == ((3, 0), (8, 0), (8, -2), (12, 2))
    assert TOKENIZER.header_species["electronegativity"][-1] == (8, -2)
    assert TOKENIZER.header_species["random"] == SPECIES
    assert all(sorted(ranks.tolist()) == list(range(len(SPECIES))) for ranks in TOKENIZER.ranks.values())


@pytest.mark.parametrize("order", ORDERS)
def test_orbits_of_a_species_come_by_ascending_position_and_point(order: Order) -> None:
    rng = np.random.default_rng(3)
    grid = random_grid(10, rng)
    chosen = TOKENIZER.orbit_order(grid, order, rng)
    assert sorted(chosen.tolist()) == list(range(len(grid.species)))
    points = grid.points[chosen].tolist()
    if order == "xyz":
        assert points == sorted(points)
    elif order != "random":
        ranks = TOKENIZER.ranks[order][grid.species[chosen]].tolist()
        keys = list(zip(ranks, grid.positions[chosen].tolist(), points, strict=True))
        assert keys == sorted(keys)
        header = TOKENIZER.header_order(list(set(grid.species.tolist())), order)
        assert list(dict.fromkeys(grid.species[chosen].tolist())) == header


def test_the_composition_is_reduced() -> None:
    spinel = orbits(227, [8, 8, 8, 90, 90, 90], [0, 3, 4], [[126] * 3, [504] * 3, [265] * 3])
    spinel = replace(spinel, numbers=np.array([12, 26, 8]))
    names = [SPECIES.index(pair) for pair in ((12, 0), (26, 0), (8, 0))]
    assert TOKENIZER.composition(TOKENIZER.grid(spinel)) == (dict(zip(names, (1, 2, 4), strict=True)), 2)


ROCK_SALT = replace(orbits(225, CUBIC, [0, 1], [[0] * 3, [504] * 3]), numbers=np.array([17, 12]))
WRONG = {
    "at most 52 are written": orbits(221, CUBIC, [13, 12], [[100, 200, 300], [100, 100, 200]]),
    "a = 95.000 Å, the grid holds 1.8 to 90": orbits(221, [95, 95, 95, 90, 90, 90], [0], [[0, 0, 0]]),
    "beta = 155.000 °, the grid holds 90 to 150": orbits(3, [5, 5, 5, 90, 155, 90], [4], [[1, 2, 3]]),
    "cell too flat: α, β, γ = 120.0, 119.0, 120.0°": orbits(1, [5, 5, 5, 120, 119, 120], [0], [[0, 0, 0]]),
    r"an orbit at \(0/1008, 1/1008, 0/1008\) is not on 1a of": orbits(221, CUBIC, [0], [[0, 1, 0]]),
    "is not on 2i of space group 47": orbits(47, [5, 6, 7, 90, 90, 90], [8], [[504, 0, 0]]),
    "is not on 48h of space group 217": orbits(217, CUBIC, [7], [[100, 100, 7]]),
    "has 14 Wyckoff positions, no number 14": orbits(221, CUBIC, [14], [[0, 0, 0]]),
    "element 9 has no token": replace(ROCK_SALT, numbers=np.array([9, 12])),
    "no orbits": orbits(221, CUBIC, [], []),
}


@pytest.mark.parametrize("message", WRONG)
def test_crystals_that_no_sequence_holds_are_refused(message: str) -> None:
    with pytest.raises(TokenError, match=message):
        TOKENIZER.grid(WRONG[message])


def test_too_many_species_are_refused() -> None:
    with pytest.raises(TokenError, match="crystal has 2 species; at most 1 are written"):
        OrbitTokenizer(replace(TOKENIZER.config, max_components=1)).grid(ROCK_SALT)


def test_a_random_order_needs_a_generator() -> None:
    with pytest.raises(TokenError, match="needs a random generator"):
        TOKENIZER.header_order([0, 1], "random")
    with pytest.raises(TokenError, match="needs a random generator"):
        TOKENIZER.orbit_order(TOKENIZER.grid(ROCK_SALT), "random")


def test_settings_survive_json_and_every_one_counts() -> None:
    config = TOKENIZER.config
    assert OrbitTokenizerConfig.from_dict(config.to_dict()) == config
    changes: list[dict[str, Any]] = [
        {"bins": 504}, {"length_range": (2.0, 80.0)}, {"triclinic_angles": (50.0, 130.0)}, {"max_sites": 20},
        {"monoclinic_angles": (90.0, 160.0)}, {"max_components": 8}, {"species": SPECIES[1:]},
    ]  # fmt: skip
    assert len({replace(config, **change).fingerprint for change in [{}, *changes]}) == len(changes) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 1000}, "1000 steps"),
        ({"max_sites": 0}, "at least 1"),
        ({"length_range": (5.0, 2.0)}, "lengths from 5 to 2 Å"),
        ({"triclinic_angles": (60.0, 190.0)}, "angles from 60 to 190°"),
    ],
)
def test_settings_that_no_crystal_fits_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenError, match=message):
        replace(TOKENIZER.config, **change)


def test_settings_of_another_version_are_refused() -> None:
    settings = {**TOKENIZER.config.to_dict(), "digits": 2}
    with pytest.raises(TokenError, match="another version: digits; prepare the data anew"):
        OrbitTokenizerConfig.from_dict(settings)
