"""Laws of known crystals as sequences: every choice is legal, and nothing is chosen that follows from the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import KNOWN
from materium.core.orbits import canonical_orbits
from materium.core.space_groups import NUMBERS
from materium.errors import TokenError
from materium.tokens.orbit_sequence import MASKED, replay
from materium.tokens.orbit_tokenizer import ORDERS, OrbitTokenizer, OrbitTokenizerConfig, Order
from materium.tokens.orbit_vocab import Role
from random_orbits import SPECIES, TOKENIZER, random_grid, rows

VOCAB = TOKENIZER.vocab


@settings(max_examples=50)
@given(st.sampled_from(NUMBERS), st.sampled_from(ORDERS), st.integers(0, 1 << 32))
def test_every_choice_is_legal_where_training_looks(group: int, order: Order, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, choices = replay(TOKENIZER, random_grid(group, rng), order, rng)
    tokens = [slot.token for slot in state.slots if slot.role not in {Role.SOS, Role.IMAGE}]
    assert [VOCAB.spans[choice.role].start + choice.place for choice in choices] == tokens
    for choice in choices:
        assert (choice.legal is None) == (choice.role not in MASKED)
        assert choice.legal is None or choice.legal[choice.place - choice.first]
        expected = state.slots[choice.slot + 1].role
        assert choice.role == (Role.COMPONENT if expected == Role.GROUP else expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", KNOWN)
def test_real_crystals_pass_the_masks_of_sampling(name: str, order: Order) -> None:
    tokenizer = OrbitTokenizer(OrbitTokenizerConfig())
    grid = tokenizer.grid(replace(canonical_orbits(KNOWN[name]), oxidation_states=None))
    plain = replay(tokenizer, grid, order, np.random.default_rng(1))
    spaced = replay(tokenizer, grid, order, np.random.default_rng(1), spaced=True)
    assert plain[0].slots == spaced[0].slots
    assert [choice[:3] for choice in plain[1]] == [choice[:3] for choice in spaced[1]]
    for choice in spaced[1]:
        assert choice.legal is not None
        assert choice.legal[choice.place - choice.first]
    assert rows(spaced[0].grid()) == rows(grid)


def test_rutile_is_written_in_eleven_choices() -> None:
    """Ti, 1, O, 2, group, Z, a, c, then 2a, and 4f with its x; species and the end are not chosen."""
    tokenizer = OrbitTokenizer(OrbitTokenizerConfig())
    grid = tokenizer.grid(replace(canonical_orbits(KNOWN["TiO2"]), oxidation_states=None))
    state, choices = replay(tokenizer, grid, "high")
    header = [Role.COMPONENT, Role.COUNT] * 2 + [Role.COMPONENT, Role.UNITS, Role.A, Role.C]
    assert [choice.role for choice in choices] == [*header, Role.POSITION, Role.POSITION, Role.X]
    assert [slot.role for slot in state.slots][-6:] == [Role.IMAGE, Role.POSITION, Role.X, *[Role.IMAGE] * 3]
    assert choices[5].place == 1
    assert np.flatnonzero(choices[8].legal).tolist() == [0, 1]
    assert choices[10].contacts is not None


def test_a_random_order_is_that_of_its_generator() -> None:
    grid = random_grid(62, np.random.default_rng(5))
    first, again, other = (replay(TOKENIZER, grid, "random", np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert first.slots == again.slots
    assert first.slots != other.slots
    with pytest.raises(TokenError, match="needs a random generator"):
        replay(TOKENIZER, grid, "random")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.array([0, 0])}, "not legal as POSITION in space group 225"),
        ({"lattice": np.array([2000])}, "comes as A; one from"),
        ({"positions": np.array([11, 11])}, "not legal as UNITS in space group 225"),
    ],
)
def test_grids_that_are_no_crystal_are_refused(changes: dict[str, np.ndarray], message: str) -> None:
    salt = replace(random_grid(225, np.random.default_rng(0)), species=np.array([0, 1]), positions=np.array([0, 1]))
    salt = replace(salt, points=np.array([[0] * 3, [504] * 3]))
    assert len(replay(TOKENIZER, salt, "high")[1]) == 9
    assert SPECIES[0] == (3, 0)
    with pytest.raises(TokenError, match=message):
        replay(TOKENIZER, replace(salt, **changes), "high")
