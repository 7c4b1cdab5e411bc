"""The vocabulary: where each kind of token begins, and what an element without a token gets."""

from __future__ import annotations

import pytest

from materium.errors import TokenError
from materium.oxidation import candidate_states
from materium.tokens.vocab import (
    ATOMS,
    EOS,
    LATTICE,
    MARKS,
    MAX_TOKEN_ELEMENT,
    PAD,
    SOS,
    Role,
    Vocabulary,
    known_species,
)

SMALL = Vocabulary(species=((1, -1), (1, 0), (1, 1), (8, -2), (8, 0)), bins=24)


def test_marks_come_first() -> None:
    assert [SMALL.names()[i] for i in (PAD, SOS, ATOMS, LATTICE, EOS)] == list(MARKS)


def test_every_token_has_its_own_name() -> None:
    names = SMALL.names()
    assert len(names) == len(set(names)) == len(SMALL) == 5 + 5 + 25
    assert names[SMALL.first_species] == "H|-1"
    assert names[SMALL.first_number] == "<0>"
    assert names[-1] == "<24>"


def test_species_and_ids_are_inverse() -> None:
    for token, (number, state) in enumerate(SMALL.species, start=SMALL.first_species):
        assert SMALL.species_id(number, state) == token
        assert SMALL.species_table[token - SMALL.first_species].tolist() == [number, state]


def test_a_state_without_token_becomes_zero() -> None:
    assert SMALL.species_id(8, 6) == SMALL.species_id(8, 0)


def test_an_element_without_token_is_refused() -> None:
    with pytest.raises(TokenError, match="element 26 has no token"):
        SMALL.species_id(26, 2)


@pytest.mark.parametrize("source", ["common", "icsd", "none"])
def test_every_element_has_a_neutral_token(source: str) -> None:
    species = known_species(source)
    assert {z for z, state in species if state == 0} == set(range(1, MAX_TOKEN_ELEMENT + 1))
    assert len(species) == len(set(species))
    assert list(species) == sorted(species)


def test_sources_contain_one_another() -> None:
    assert set(known_species("none")) < set(known_species("common")) < set(known_species("icsd"))
    assert {state for _, state in known_species("none")} == {0}


def test_every_state_that_can_be_guessed_has_a_token() -> None:
    species = set(known_species("icsd"))
    for z in range(1, MAX_TOKEN_ELEMENT + 1):
        assert {(z, state) for state in candidate_states(z)} <= species


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(TokenError, match="unknown species source 'all'; choose common, icsd or none"):
        known_species("all")


def test_roles_are_numbered_without_gaps() -> None:
    assert [role.value for role in Role] == list(range(len(Role)))
