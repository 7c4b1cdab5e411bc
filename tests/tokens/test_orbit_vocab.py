"""Laws of the vocabulary of orbit sequences: every id has one meaning."""

from __future__ import annotations

import numpy as np
import pytest

from materium.core.space_groups import NUMBERS
from materium.core.wyckoff import POSITIONS, space_group
from materium.errors import TokenError
from materium.tokens.orbit_vocab import COORDINATES, LENGTHS, SPECIAL, OrbitVocabulary, Role

VOCAB = OrbitVocabulary(((1, 0), (1, 1), (8, 0), (8, -2)), bins=48, max_count=20)


def test_parts_follow_each_other_and_fill_the_vocabulary() -> None:
    parts = [VOCAB.counts, VOCAB.species_ids, VOCAB.groups, VOCAB.positions, VOCAB.coordinates, VOCAB.lengths]
    ends = [len(SPECIAL), *(part.stop for part in parts)]
    assert [part.start for part in (*parts, VOCAB.angles)] == ends
    assert [part.stop - part.start for part in parts] == [20, 4, 230, POSITIONS, 48, 49]
    assert len(VOCAB) == ends[-1] + 49


def test_positions_of_groups_follow_each_other() -> None:
    slices = [VOCAB.positions_of(number) for number in NUMBERS]
    assert [part.stop - part.start for part in slices] == [len(space_group(n).positions) for n in NUMBERS]
    assert np.concatenate([np.arange(p.start, p.stop) for p in slices]).tolist() == [
        *range(VOCAB.positions.start, VOCAB.positions.stop)
    ]


def test_a_composition_goes_on_with_a_species_or_ends_with_a_space_group() -> None:
    assert VOCAB.spans[Role.COMPONENT] == slice(VOCAB.species_ids.start, VOCAB.groups.stop)
    assert all(VOCAB.spans[role] == VOCAB.coordinates for role in COORDINATES)
    assert all(VOCAB.spans[role] == VOCAB.lengths for role in LENGTHS)


def test_a_state_without_token_is_that_of_state_0() -> None:
    assert VOCAB.species[VOCAB.species_index(8, -2)] == (8, -2)
    assert VOCAB.species[VOCAB.species_index(8, -1)] == (8, 0)
    with pytest.raises(TokenError, match="element 92 has no token"):
        VOCAB.species_index(92, 0)
