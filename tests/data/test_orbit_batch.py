"""Slots and choices of several sequences side by side say what each says alone."""

from __future__ import annotations

import numpy as np

from materium.data.orbit_batch import HEADS, pack_choices, pack_slots
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_vocab import PAD, Role
from orbit_rows import shard, tokenizer

GRIDS = [shard().grid(int(d)) for d in shard().row_start[:-1]]
REPLAYED = [replay(tokenizer(), grid, "high") for grid in GRIDS]


def test_slots_stand_in_their_places_and_the_rest_is_padding() -> None:
    packed = pack_slots([s.slots for s, _ in REPLAYED], [s.components for s, _ in REPLAYED])
    for row, (state, _) in enumerate(REPLAYED):
        size, width = len(state.slots), len(state.components)
        assert packed.tokens[row].tolist() == [s.token for s in state.slots] + [PAD] * (packed.tokens.shape[1] - size)
        assert packed.points[row, :size].tolist() == [list(s.point) for s in state.slots]
        assert (packed.roles[row, size:] == Role.PAD).all()
        assert packed.components[row, :width].tolist() == [c + 1 for c in state.components]
        for place, slot in enumerate(state.slots):
            assert packed.counts[row, place, : len(slot.counts)].tolist() == list(slot.counts)
            assert packed.lacking[row, place, : len(slot.lacking)].tolist() == list(slot.lacking)
            assert packed.lacking[row, place].sum() == sum(slot.lacking)


def test_every_choice_is_there_once_and_legal() -> None:
    choices, contacts = pack_choices([c for _, c in REPLAYED], tokenizer().vocab)
    total = sum(len(entry.rows) for entry in choices.values())
    assert total == sum(len(c) for _, c in REPLAYED)
    for head, entry in choices.items():
        for i, (row, slot, place) in enumerate(zip(entry.rows, entry.slots, entry.places, strict=True)):
            same = [c for c in REPLAYED[row][1] if c.slot == slot]
            assert len(same) == 1
            assert same[0].role in HEADS[head]
            assert same[0].place == place
            assert entry.legal is None or entry.legal[i, place]
    assert contacts is not None
    lone = [c.contacts for _, cs in REPLAYED for c in cs if c.contacts is not None]
    assert len(contacts.choices) == len(lone)
    for i, entry in enumerate(lone):
        np.testing.assert_allclose(contacts.start[i, : len(entry.sites)], entry.start, rtol=1e-5, atol=1e-6)
        assert contacts.image[i].sum() == entry.images
        assert not contacts.sites[i, len(entry.sites) :].any()
