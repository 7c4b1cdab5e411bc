"""Laws of sequences under way: what their slots say is true of the crystal, and every legal walk ends in one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from materium.core.space_groups import NUMBERS
from materium.core.wyckoff import space_group
from materium.crystal import MIN_DISTANCE, lattice_from_parameters
from materium.errors import TokenError
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_state import OrbitState, Slot
from materium.tokens.orbit_tokenizer import ORDERS, GridOrbits, Order
from materium.tokens.orbit_vocab import IMAGE, Role
from random_orbits import SPECIES, TOKENIZER, finish, on_special_point, random_grid, rows, walk

VOCAB = TOKENIZER.vocab
OXYGEN, IRON = SPECIES.index((8, 0)), SPECIES.index((26, 0))
written = st.tuples(st.sampled_from(NUMBERS), st.sampled_from(ORDERS), st.integers(0, 1 << 32))


def state_of(case: tuple[int, Order, int]) -> tuple[GridOrbits, OrbitState]:
    group, order, seed = case
    rng = np.random.default_rng(seed)
    grid = random_grid(group, rng)
    return grid, replay(TOKENIZER, grid, order, rng)[0]


def begun(order: Order, composition: dict[int, int], group: int, units: int, lattice: list[float]) -> OrbitState:
    """Return a sequence up to its lattice, whose free lengths are given in Å and angles in grid points."""
    state, steps = OrbitState(TOKENIZER, order), TOKENIZER.log_lengths[1] - TOKENIZER.log_lengths[0]
    for species, count in composition.items():
        state.advance(VOCAB.species_ids.start + species)
        state.advance(VOCAB.counts.start + count - 1)
    state.advance(VOCAB.groups.start + group - 1)
    state.advance(VOCAB.counts.start + units - 1)
    for value in lattice:
        point = round((math.log(value) - TOKENIZER.log_lengths[0]) / steps) if value < 90 else round(value)
        state.advance(state.span().start + point)
    return state


def position(state: OrbitState, letter: str) -> int:
    """Return the token of a position."""
    assert state.group is not None
    return VOCAB.positions_of(state.group.number).start + state.group.position(letter).index


def legal_letters(state: OrbitState) -> str:
    """Return the letters of the positions that are legal."""
    assert state.group is not None
    return "".join(state.group.positions[index].letter for index in np.flatnonzero(state.legal()))


@settings(max_examples=30)
@given(written)
def test_a_known_crystal_comes_back_in_every_order(case: tuple[int, Order, int]) -> None:
    grid, state = state_of(case)
    again = state.grid()
    assert again.group == grid.group
    assert again.lattice.tolist() == grid.lattice.tolist()
    assert rows(again) == rows(grid)


@settings(max_examples=30)
@given(written)
def test_slots_hold_every_atom_of_the_primitive_cell_once(case: tuple[int, Order, int]) -> None:
    grid, state = state_of(case)
    crystal = TOKENIZER.orbits(state.grid()).to_crystal()
    atoms = [slot for slot in state.slots if slot.site]
    inverse = np.rint(np.linalg.inv(space_group(grid.group).primitive)).astype(int)
    points = np.array([slot.point for slot in atoms]) @ inverse % 1008
    pairs = sorted(zip([SPECIES[slot.site - 1][0] for slot in atoms], points.tolist(), strict=True))
    exact = np.rint(crystal.frac_coords * 1008).astype(int) % 1008
    assert pairs == sorted(zip(crystal.numbers.tolist(), exact.tolist(), strict=True))
    assert all((slot.token == IMAGE) == (slot.role == Role.IMAGE) for slot in state.slots)
    assert all((slot.point[0] < 0) == (slot.site == 0) for slot in state.slots)


@settings(max_examples=30)
@given(written)
def test_slots_know_the_volume_and_what_the_composition_lacks(case: tuple[int, Order, int]) -> None:
    _, state = state_of(case)
    crystal = TOKENIZER.orbits(state.grid()).to_crystal()
    last = state.slots[-1]
    assert math.exp(last.log_lengths + last.log_shape) == pytest.approx(abs(np.linalg.det(crystal.lattice)))
    assert last.open_lengths == 0
    assert [slot.open_lengths for slot in state.slots] == sorted([s.open_lengths for s in state.slots], reverse=True)
    placed = np.cumsum([[s.site == 1 + one for one in state.components] for s in state.slots], axis=0)
    for slot, so_far, after in zip(state.slots, placed, [*state.slots[1:], None], strict=True):
        if slot.lacking and (after is None or after.role != Role.IMAGE):
            assert [count - k for count, k in zip(slot.counts, so_far, strict=True)] == list(slot.lacking)
    assert last.counts == tuple(placed[-1].tolist())
    assert not any(last.lacking)


@settings(max_examples=30)
@given(written)
def test_the_current_species_is_that_of_the_orbit_or_of_the_next(case: tuple[int, Order, int]) -> None:
    _, state = state_of(case)
    following: list[Slot | None] = [*state.slots[1:], None]
    for slot, after in zip(state.slots, following, strict=True):
        if after is None:
            assert slot.current == 0
        elif after.role in {Role.POSITION, Role.X, Role.Y, Role.Z} and not after.site:
            assert slot.current == after.current > 0
        elif after.role in {Role.POSITION, Role.X, Role.Y, Role.Z}:
            assert slot.current == after.site


@settings(max_examples=40)
@given(written)
def test_contacts_are_the_distances_between_atoms(case: tuple[int, Order, int]) -> None:
    grid, _ = state_of(case)
    _, choices = replay(TOKENIZER, grid, "xyz")
    group, state = space_group(grid.group), replay(TOKENIZER, grid, "xyz")[0]
    lattice = Lattice(group.primitive @ lattice_from_parameters(TOKENIZER.orbits(grid).parameters))
    reduced = 0.5 / np.linalg.norm(np.linalg.inv(lattice.get_niggli_reduced_lattice().matrix), axis=0).max()
    inverse = np.linalg.inv(group.primitive)
    for choice in choices:
        if choice.contacts is None:
            continue
        earlier = [slot for slot in state.slots[: choice.slot + 1] if slot.site]
        after = [slot for slot in state.slots[choice.slot + 1 :] if slot.site][: choice.contacts.images + 1]
        others = np.array([slot.point for slot in (*earlier, *after[1:])]) / 1008 @ inverse
        exact = lattice.get_all_distances(np.array(after[0].point) / 1008 @ inverse, others)[0]
        found = choice.contacts.distances(np.array([choice.place]), 1008)[0]
        near = exact < reduced
        assert (found > exact - 1e-6).all()
        assert found[near] == pytest.approx(exact[near], abs=1e-6)
        assert choice.contacts.sites.tolist() == [slot.site for slot in (*earlier, *after[1:])]
        assert choice.contacts.own == after[0].site


@settings(max_examples=25)
@given(st.sampled_from(ORDERS), st.integers(0, 1 << 32))
def test_legal_walks_end_in_a_crystal_whose_atoms_are_apart(order: Order, seed: int) -> None:
    state = walk(order, np.random.default_rng(seed))
    grid = state.grid()
    crystal = TOKENIZER.orbits(grid).to_crystal()
    assert len(crystal.numbers) == sum(state.counts) <= 52
    assert (crystal.min_distance >= MIN_DISTANCE - 1e-9) == (state.crowded == 0)
    if not state.crowded:
        assert not any(on_special_point(grid.group, i, p) for i, p in zip(grid.positions, grid.points, strict=True))
        again, _ = replay(TOKENIZER, grid, order, np.random.default_rng(0), spaced=True)
        assert rows(again.grid()) == rows(grid)
    if state.grouped:
        ranks = TOKENIZER.ranks[order][grid.species].tolist()
        keys = list(zip(ranks, grid.positions.tolist(), strict=True))
        assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("group", "letter", "known", "excluded"),
    [
        (47, "i", [], {0, 504}),
        (6, "c", [17], {0, 504}),
        (194, "k", [], {0, 336, 672}),
        (227, "e", [], {0, 126, 378, 504}),
    ],
)
def test_a_coordinate_of_a_more_special_position_is_not_legal(
    group: int, letter: str, known: list[int], excluded: set[int]
) -> None:
    """Also where later coordinates are still to come: x, 2x, z of 12k and x, y, z over a mirror plane at y = 0."""
    entry = space_group(group)
    size = len(entry.position(letter).coset)
    state = begun("high", {OXYGEN: 1}, group, size, [9.0] * len(entry.lattice_parameters))
    state.advance(position(state, letter))
    for value in known:
        state.advance(VOCAB.coordinates.start + value)
    contacts = state.contacts()
    legal = state.legal() if contacts is None else state.legal_coordinates(contacts)
    assert excluded <= set(np.flatnonzero(~legal).tolist())
    assert legal.mean() > 0.3
    assert state.legal(spaced=False)[min(excluded)]


def test_fixed_positions_beside_an_atom_are_not_legal() -> None:
    state = begun("low", {OXYGEN: 2, IRON: 1}, 123, 1, [4.0, 4.0])
    assert legal_letters(state) == "abcefgh"
    state.advance(position(state, "g"))
    state.advance(VOCAB.coordinates.start + 101)
    assert state.legal(spaced=False)[:4].all()
    assert legal_letters(state) == "bcd"
    assert state.crowded == 0


def test_where_no_position_is_far_enough_the_choice_counts_as_crowded() -> None:
    state = begun("low", {OXYGEN: 12, IRON: 1}, 221, 1, [4.0])
    for letter in "ef":
        state.advance(position(state, letter))
        state.advance(VOCAB.coordinates.start + (101 if letter == "e" else 605))
    assert legal_letters(state) == legal_letters(state) == "ab"
    assert state.crowded == 0
    state.advance(position(state, "a"))
    assert (state.role, state.crowded) == (None, 1)


def test_where_no_coordinate_is_far_enough_the_farthest_is_legal() -> None:
    state = begun("high", {OXYGEN: 1}, 99, 1, [3.9, 1.9])
    assert state.legal().tolist()[0]
    state = begun("low", {OXYGEN: 1, IRON: 4}, 99, 1, [3.9, 1.9])
    state.advance(position(state, "a"))
    state.advance(VOCAB.coordinates.start)
    for value in (252, 504, 756):
        state.advance(position(state, "a"))
        state.advance(VOCAB.coordinates.start + value)
    state.advance(position(state, "a"))
    legal = state.legal_coordinates(state.contacts())
    assert np.flatnonzero(legal).tolist() == [126, 378, 630, 882]
    state.advance(VOCAB.coordinates.start + 126)
    assert state.crowded == 1


def test_flat_triclinic_cells_are_not_legal() -> None:
    state = begun("high", {OXYGEN: 1}, 1, 1, [5, 5, 5, 1008, 1008])
    assert state.role == Role.GAMMA
    assert not state.legal()[1000:].any()
    assert state.legal()[504]
    with pytest.raises(TokenError, match="a cell with gamma at grid point 1008 is flat"):
        state.advance(VOCAB.angles.start + 1008)


@pytest.mark.parametrize(("group", "host"), [(1, [("a", 3), ("a", 7)]), (62, [("d", 0), ("b", 0), ("a", 0)])])
def test_orbits_of_a_host_can_come_first_in_any_order(group: int, host: list[tuple[str, int]]) -> None:
    """The rest is sampled: it needs the order random, in which no floor holds positions back."""
    rng, entry = np.random.default_rng(group), space_group(group)
    sizes = [len(entry.position(letter).coset) for letter, _ in host]
    rest = sizes[-1]
    counts = {OXYGEN: sizes[0] + rest, IRON: sum(sizes[1:])}
    divisor = math.gcd(*counts.values())
    cell = [9.0, 9.0, 9.0, 504, 504, 504][: len(entry.lattice_parameters)]
    state = begun("random", {one: count // divisor for one, count in counts.items()}, group, divisor, cell)
    for number, (letter, seed) in enumerate(host):
        state.advance(VOCAB.species_ids.start + (IRON if number else OXYGEN))
        state.advance(position(state, letter))
        for _ in range(entry.position(letter).freedom):
            state.advance(VOCAB.coordinates.start + 100 + 37 * seed + len(state.slots))
    given_orbits = list(zip(state.species, state.positions, state.points, strict=True))
    finish(state, rng)
    assert list(zip(state.species, state.positions, state.points, strict=True))[: len(host)] == given_orbits
    assert len(TOKENIZER.orbits(state.grid()).to_crystal().numbers) == sum(counts.values())


def test_tokens_that_do_not_fit_are_refused() -> None:
    state = OrbitState(TOKENIZER, "random")
    with pytest.raises(TokenError, match="token 1 comes as COMPONENT; one from"):
        state.advance(1)
    with pytest.raises(TokenError, match="the sequence is not complete: COMPONENT comes next"):
        state.grid()
    state = begun("random", {OXYGEN: 1, IRON: 3}, 221, 1, [4.0])
    with pytest.raises(TokenError, match="element 17 in state -1, of which the composition lacks no atom"):
        state.advance(VOCAB.species_ids.start + SPECIES.index((17, -1)))
    state.advance(VOCAB.species_ids.start + OXYGEN)
    with pytest.raises(TokenError, match="3c has 3 atoms in the primitive cell; the formula lacks 1"):
        state.advance(position(state, "c"))
    state.advance(position(state, "a"))
    state.advance(position(state, "c"))
    with pytest.raises(TokenError, match="the sequence is complete; no token comes next"):
        state.legal()
    state = begun("random", {OXYGEN: 1, IRON: 1}, 221, 1, [4.0])
    state.advance(VOCAB.species_ids.start + OXYGEN)
    state.advance(position(state, "a"))
    with pytest.raises(TokenError, match="1a has no free coordinates and is occupied"):
        state.advance(position(state, "a"))
