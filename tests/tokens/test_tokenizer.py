"""Sentences: exact where the grid is, bounded elsewhere, and refused where a crystal or a sentence does not fit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crystals import KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, RUTILE
from crystals import crystal as written
from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import CrystalError, TokenError
from materium.symmetry import canonical
from materium.tokens.tokenizer import (
    ORDERS,
    TOKENS_PER_SITE,
    Order,
    Parts,
    Tokenizer,
    TokenizerConfig,
    electronegativities,
)
from materium.tokens.vocab import ATOMS, EOS, LATTICE, SOS, Role, known_species

if TYPE_CHECKING:
    from collections.abc import Callable

PRESETS = ("base", "paper")
SPECIAL = [
    (0, 1),
    (1, 8),
    (1, 6),
    (1, 4),
    (1, 3),
    (3, 8),
    (1, 2),
    (5, 8),
    (2, 3),
    (3, 4),
    (5, 6),
    (7, 8),
    (1, 12),
    (1, 24),
]
BASE = Tokenizer(TokenizerConfig.preset("base"))
PAPER = Tokenizer(TokenizerConfig.preset("paper"))


def preset(name: str, **changes: Any) -> Tokenizer:
    return Tokenizer(TokenizerConfig.preset(name, **changes))


def variants() -> list[Tokenizer]:
    bare = known_species("none")
    changes = [{}, {"species_first": False}, {"species": bare}, {"species": bare, "species_first": False}]
    return [preset(name, **change) for name in PRESETS for change in changes]


def cube(length: float, *sites: list[float]) -> Crystal:
    return Crystal(length * np.eye(3), np.array(sites or [[0.0, 0, 0]]), np.full(max(len(sites), 1), 26))


@st.composite
def crystals(draw: st.DrawFn) -> Crystal:
    """Return a crystal whose cell both presets can write."""
    lengths = [draw(st.floats(2.0, top)) for top in (10.0, 12.5, 20.0)]
    angles = [draw(st.floats(85, 110)) for _ in range(3)]
    count = draw(st.integers(1, 6))
    site = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3)
    frac = np.array(draw(st.lists(site, min_size=count, max_size=count)))
    numbers = draw(st.lists(st.integers(1, 99), min_size=count, max_size=count))
    return Crystal(lattice_from_parameters([*lengths, *angles]), frac, np.array(numbers))


def length_bound(tokenizer: Tokenizer) -> np.ndarray:
    """Half a step: relative error of a, b, c for logarithmic spacing, Å for linear spacing."""
    low, high = np.array(tokenizer.config.length_ranges).T
    if tokenizer.config.length_spacing == "log":
        return np.exp(np.log(high / low) / tokenizer.config.bins / 2) - 1
    return (high - low) / tokenizer.config.bins / 2


def assert_within_half_a_step(tokenizer: Tokenizer, before: Crystal, after: Crystal) -> None:
    config = tokenizer.config
    np.testing.assert_array_equal(after.numbers, before.numbers)
    apart = after.frac_coords - before.frac_coords
    assert np.abs(apart - np.round(apart)).max() <= 0.5 / config.bins + 1e-12
    off = np.abs(after.lengths_angles - before.lengths_angles)
    lengths = off[:3] / before.lengths_angles[:3] if config.length_spacing == "log" else off[:3]
    assert (lengths <= length_bound(tokenizer) + 1e-9).all()
    low, high = config.angle_range
    assert off[3:].max() <= (high - low) / config.bins / 2 + 1e-6  # arccos of a rounded cosine


# --- the grid ---


@pytest.mark.parametrize(("numerator", "denominator"), SPECIAL)
def test_special_positions_are_exact(numerator: int, denominator: int) -> None:
    value = numerator / denominator
    back = BASE.decode(BASE.encode(cube(4, [value, value, value])))
    assert back.frac_coords.tolist() == [[value, value, value]]


@pytest.mark.parametrize("angle", [60.0, 90.0, 120.0])
def test_special_angles_are_exact(angle: float) -> None:
    lattice = lattice_from_parameters([4, 4, 5, 90, 90, angle])
    for tokenizer in (BASE, PAPER):
        points = tokenizer.parts(Crystal(lattice, [[0, 0, 0]], [26])).lattice
        assert tokenizer.lattice_values(points)[5] == angle


@pytest.mark.parametrize("name", PRESETS)
def test_every_coordinate_token_comes_back(name: str) -> None:
    """The published code lost 512 of its 1,024 coordinate tokens here: it multiplied by 1023 and divided by 1024."""
    tokenizer = preset(name, max_sites=2000)
    bins = tokenizer.config.bins
    points = np.stack([np.arange(bins), np.arange(bins)[::-1], np.roll(np.arange(bins), 7)], axis=1)
    parts = Parts(
        np.full(bins, tokenizer.vocab.species_id(26, 3)), points, tokenizer.lattice_points(NACL.lengths_angles)
    )
    sentence = tokenizer.sentence(parts)
    np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(sentence)), sentence)


@pytest.mark.parametrize("name", PRESETS)
def test_every_lattice_token_comes_back(name: str) -> None:
    tokenizer = preset(name)
    points = np.repeat(np.arange(tokenizer.config.bins + 1)[:, None], 6, axis=1)
    for row in points:
        np.testing.assert_array_equal(tokenizer.lattice_points(tokenizer.lattice_values(row)), row)


@pytest.mark.parametrize("name", PRESETS)
def test_points_of_many_cells_say_which_fit(name: str) -> None:
    tokenizer = preset(name)
    rows = np.array([[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0], [9, 8, 7, 6, 5, tokenizer.config.bins]])
    cells = tokenizer.lattice_values(rows)
    cells[1, 4] += 100.0
    points, fits = tokenizer.nearest_points(cells)
    np.testing.assert_array_equal(points[[0, 2]], rows[[0, 2]])
    assert fits.tolist() == [[True] * 6, [True] * 4 + [False, True], [True] * 6]


@examples(max_examples=200)
@given(crystals())
def test_the_round_trip_is_within_half_a_step(crystal: Crystal) -> None:
    """0.05 % of a coordinate, 0.17 % of a length (base), 0.03 degrees."""
    for tokenizer in (BASE, PAPER):
        order = tokenizer.site_order(tokenizer.parts(crystal), "high")
        assert_within_half_a_step(tokenizer, crystal.select(order), tokenizer.decode(tokenizer.encode(crystal)))


def test_the_bounds_are_those_that_are_stated() -> None:
    assert length_bound(BASE).max() < 0.0017
    assert length_bound(PAPER).tolist() == pytest.approx([0.0039, 0.0051, 0.0088], abs=1e-4)


@examples(max_examples=100)
@given(crystals())
def test_a_decoded_sentence_is_its_own_sentence(crystal: Crystal) -> None:
    for tokenizer in (BASE, PAPER):
        sentence = tokenizer.encode(crystal)
        np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(sentence)), sentence)


@pytest.mark.parametrize("name", KNOWN)
def test_real_crystals_come_back(name: str) -> None:
    one = canonical(KNOWN[name])
    for tokenizer in variants():
        back = tokenizer.decode(tokenizer.encode(one))
        assert_within_half_a_step(tokenizer, one, back)
        if any(state for _, state in tokenizer.config.species):
            np.testing.assert_array_equal(back.oxidation_states, one.oxidation_states)
        else:
            assert not back.oxidation_states.any()


def test_a_hair_below_sixty_degrees_is_sixty() -> None:
    one = written([3.9, 3.9, 3.9, 59.9999, 59.9999, 59.9999], [(14, 0, [0, 0, 0])])
    assert BASE.decode(BASE.encode(one)).lengths_angles[3:].tolist() == pytest.approx([60, 60, 60], abs=1e-9)


@pytest.mark.parametrize("angle", [59.9, 120.1])
def test_an_angle_off_the_grid_is_refused(angle: float) -> None:
    one = written([4, 4, 4, 90, 90, angle], [(14, 0, [0, 0, 0])])
    with pytest.raises(TokenError, match=rf"cell too unusual: gamma = {angle}00 degrees, the grid holds 60 to 120"):
        BASE.encode(one)


def test_a_cell_of_75_angstrom_is_refused() -> None:
    one = written([4, 4, 75, 90, 90, 90], [(14, 0, [0, 0, 0])])
    with pytest.raises(TokenError, match=r"cell too unusual: c = 75\.000 Å, the grid holds 1\.5 to 40"):
        BASE.encode(one)
    with pytest.raises(TokenError, match=r"cell too unusual: c = 75\.000 Å, the grid holds 2 to 20"):
        PAPER.encode(one)


@given(st.floats(1.6, 39))
def test_equal_lengths_stay_equal(length: float) -> None:
    a, b, c = BASE.decode(BASE.encode(cube(length))).lengths_angles[:3]
    assert a == b == c


def test_a_coordinate_just_below_one_is_zero() -> None:
    assert BASE.decode(BASE.encode(cube(4, [0.9999, 0.9999, 0.5]))).frac_coords.tolist() == [[0, 0, 0.5]]


def test_too_many_sites_are_refused() -> None:
    with pytest.raises(TokenError, match="crystal has 8 sites; at most 4 are written"):
        preset("base", max_sites=4).encode(NACL)


def test_an_element_without_token_is_refused() -> None:
    with pytest.raises(TokenError, match="element 110 has no token"):
        BASE.encode(Crystal(4 * np.eye(3), [[0, 0, 0]], [110]))


# --- sentences ---


def test_the_sentence_of_rock_salt() -> None:
    one = canonical(NACL)
    names = [BASE.vocab.names()[token] for token in BASE.encode(one)]
    length = names[-7]
    atoms = ["Cl|-1", "<0>", "<0>", "<0>", "Na|+1", "<504>", "<504>", "<504>"]
    assert names == ["[SOS]", "[ATOMS]", *atoms, "[LATTICE]", *[length] * 3, "<0>", "<0>", "<0>", "[EOS]"]


def test_species_after_their_coordinates() -> None:
    tokenizer = preset("base", species_first=False)
    names = [tokenizer.vocab.names()[token] for token in tokenizer.encode(canonical(NACL))]
    assert names[2:10] == ["<0>", "<0>", "<0>", "Cl|-1", "<504>", "<504>", "<504>", "Na|+1"]


def test_a_state_without_token_is_written_as_zero() -> None:
    odd = cube(4).with_oxidation_states([7])
    assert (26, 7) not in BASE.config.species
    assert BASE.decode(BASE.encode(odd)).oxidation_states.tolist() == [0]


@pytest.mark.parametrize("lattice_first", [False, True])
def test_roles_fit_the_sentence(*, lattice_first: bool) -> None:
    for tokenizer in variants():
        sentence = tokenizer.encode(canonical(RUTILE), lattice_first=lattice_first)
        roles = tokenizer.roles(6, lattice_first=lattice_first)
        assert len(sentence) == len(roles) == 10 + TOKENS_PER_SITE * 6
        marks = {SOS: Role.SOS, ATOMS: Role.ATOMS, LATTICE: Role.LATTICE, EOS: Role.EOS}
        for token, role in zip(sentence.tolist(), roles.tolist(), strict=True):
            assert marks.get(token, role) == role
            is_species = tokenizer.vocab.first_species <= token < tokenizer.vocab.first_number
            assert is_species == (role == Role.SPECIES)


def test_the_longest_sentence() -> None:
    tokenizer = preset("base", max_sites=6)
    assert len(tokenizer.encode(canonical(RUTILE))) == tokenizer.max_tokens


@pytest.mark.parametrize("lattice_first", [False, True])
@pytest.mark.parametrize("order", [order for order in ORDERS if order != "random"])
def test_parse_gives_back_the_parts_in_their_order(order: Order, *, lattice_first: bool) -> None:
    for tokenizer in variants():
        parts = tokenizer.parts(canonical(QUARTZ))
        index = tokenizer.site_order(parts, order)
        read = tokenizer.parse(tokenizer.sentence(parts, order, lattice_first=lattice_first))
        np.testing.assert_array_equal(read.species, parts.species[index])
        np.testing.assert_array_equal(read.points, parts.points[index])
        np.testing.assert_array_equal(read.lattice, parts.lattice)


SENTENCE = BASE.encode(canonical(NACL))
NUMBER = BASE.vocab.first_number


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:0], "sentence must be"),
        (lambda s: s[:-1], "sentence must be"),
        (lambda s: s[1:], "sentence must be"),
        (lambda s: np.delete(s, 1), "sentence must be"),
        (lambda s: np.insert(s, 5, LATTICE), "sentence must be"),
        (lambda s: np.delete(s, 3), "2 lattice|6 lattice and 7 atom tokens; 6 and 4 n are needed"),
        (lambda s: np.delete(s, -2), "5 lattice and 8 atom tokens"),
        (lambda s: np.delete(s, slice(2, 10)), "6 lattice and 0 atom tokens"),
        (lambda s: np.concatenate([s[:2], [NUMBER], s[3:]]), "another token where a species is needed"),
        (lambda s: np.concatenate([s[:2], [len(BASE.vocab)], s[3:]]), "another token where a species is needed"),
        (lambda s: np.concatenate([s[:3], s[2:3], s[4:]]), "another token where a coordinate is needed"),
        (lambda s: np.concatenate([s[:3], [NUMBER + 1008], s[4:]]), "another token where a coordinate is needed"),
        (lambda s: np.concatenate([s[:-2], [EOS], s[-1:]]), "another token where a lattice parameter is needed"),
    ],
)
def test_what_is_no_sentence_is_refused(change: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(TokenError, match=message):
        BASE.decode(change(SENTENCE))


def test_a_flat_cell_is_refused() -> None:
    flat = SENTENCE.copy()
    flat[-4:-1] = NUMBER + np.array([0, 0, 1008])  # 60, 60 and 120 degrees lie in one plane
    with pytest.raises(CrystalError, match=r"no cell has the angles 60, 60, 120 degrees|cell volume"):
        BASE.decode(flat)


# --- orders ---


@pytest.mark.parametrize("order", ORDERS)
@examples(max_examples=40)
@given(crystal=crystals(), seed=st.integers(0, 2**32 - 1))
def test_every_order_is_a_permutation(order: Order, crystal: Crystal, seed: int) -> None:
    index = BASE.site_order(BASE.parts(crystal), order, np.random.default_rng(seed))
    assert sorted(index.tolist()) == list(range(len(crystal)))


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "random"])
@examples(max_examples=40)
@given(crystal=crystals(), seed=st.integers(0, 2**32 - 1))
def test_an_order_forgets_the_order_it_came_in(order: Order, crystal: Crystal, seed: int) -> None:
    shuffled = crystal.select(np.random.default_rng(seed).permutation(len(crystal)))
    np.testing.assert_array_equal(BASE.encode(crystal, order), BASE.encode(shuffled, order))


def sites_in(order: Order) -> list[tuple[int, int, list[int]]]:
    """Return element, state and grid points of a crystal in which all ties occur, in the given order."""
    sites = [(8, -2, [0.5, 0, 0]), (26, 2, [0, 0, 0.25]), (26, 3, [0.25, 0, 0]), (8, -2, [0, 0.75, 0.5])]
    sites += [(8, -2, [0, 0.75, 0.25]), (26, 2, [0, 0, 0]), (1, 1, [0, 0.75, 0])]
    parts = BASE.parse(BASE.encode(written([6, 6, 6, 90, 90, 90], sites), order))
    pairs = BASE.vocab.species_table[parts.species - BASE.vocab.first_species].tolist()
    return [(z, state, point) for (z, state), point in zip(pairs, parts.points.tolist(), strict=True)]


IRON = [(26, 3, [252, 0, 0]), (26, 2, [0, 0, 0]), (26, 2, [0, 0, 252])]
OXYGEN = [(8, -2, [0, 756, 252]), (8, -2, [0, 756, 504]), (8, -2, [504, 0, 0])]
HYDROGEN = [(1, 1, [0, 756, 0])]


def test_the_heaviest_first() -> None:
    """Ties: the higher state first, then x, y, z."""
    assert sites_in("high") == IRON + OXYGEN + HYDROGEN


def test_the_lightest_first() -> None:
    assert sites_in("low") == HYDROGEN + OXYGEN + IRON


def test_the_least_electronegative_first() -> None:
    """Iron 1.83, hydrogen 2.20, oxygen 3.44."""
    assert sites_in("electronegativity") == IRON + HYDROGEN + OXYGEN


def test_by_position() -> None:
    everything = sorted(IRON + OXYGEN + HYDROGEN, key=lambda site: (site[2], site[0], site[1]))
    assert sites_in("xyz") == everything


def test_the_random_order_needs_a_generator() -> None:
    with pytest.raises(TokenError, match="the order random needs a random generator"):
        BASE.sentence(BASE.parts(NACL), "random")


def test_the_random_order_follows_its_generator() -> None:
    """Two orders of 8 sites are alike by chance once in 40,320; five in a row never."""
    parts = BASE.parts(NACL)
    draws = [BASE.sentence(parts, "random", rng=np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len({draw.tobytes() for draw in draws}) > 1


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(TokenError, match="unknown order 'up'; choose one of high, low, xyz, random, electronegativity"):
        BASE.encode(NACL, "up")  # type: ignore[arg-type]


def test_electronegativities() -> None:
    table = electronegativities()
    assert table.shape == (119,)
    assert table[9] == table.max() == pytest.approx(3.98)
    assert table[2] == 0


# --- settings ---

OTHER = {
    "bins": 504,
    "length_ranges": ((1.5, 41.0), (1.5, 40.0), (1.5, 40.0)),
    "length_spacing": "linear",
    "angle_range": (50.0, 120.0),
    "species": known_species("common"),
    "species_first": False,
    "max_sites": 21,
}


@pytest.mark.parametrize("name", [field.name for field in fields(TokenizerConfig)])
def test_the_fingerprint_changes_with_every_setting(name: str) -> None:
    changed = replace(BASE.config, **{name: OTHER[name]})
    assert changed.fingerprint != BASE.config.fingerprint


@pytest.mark.parametrize("name", PRESETS)
def test_settings_travel_as_json(name: str) -> None:
    config = TokenizerConfig.preset(name, max_sites=12)
    read = TokenizerConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config
    assert read.fingerprint == config.fingerprint


def test_another_fingerprint_is_refused() -> None:
    BASE.config.require(TokenizerConfig.preset("base").fingerprint, "shards/train")
    with pytest.raises(TokenError, match=r"shards/train has tokenizer .*, the model has .*; prepare the data anew"):
        BASE.config.require(PAPER.config.fingerprint, "shards/train")


def test_the_published_numbers() -> None:
    assert PAPER.config.bins == 1024
    assert PAPER.config.length_ranges == ((2.0, 10.0), (2.0, 12.5), (2.0, 20.0))


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(TokenError, match="unknown tokenizer preset 'large'; choose base or paper"):
        TokenizerConfig.preset("large")


def test_states_of_one_element_are_told_apart() -> None:
    back = BASE.decode(BASE.encode(canonical(MAGNETITE_LIKE)))
    assert back.oxidation_states[back.numbers == 26].tolist() == [3, 2]
