"""Sequences of one batch as arrays: slots, choices grouped by the part of the vocabulary, distances, conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from materium.tokens.orbit_vocab import ANGLES, COORDINATES, LENGTHS, PAD, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.tokens.orbit_contacts import Contacts
    from materium.tokens.orbit_sequence import Choice
    from materium.tokens.orbit_state import Slot
    from materium.tokens.orbit_vocab import OrbitVocabulary

HEADS: dict[str, tuple[Role, ...]] = {
    "component": (Role.COMPONENT,),
    "count": (Role.COUNT, Role.UNITS),
    "species": (Role.SPECIES,),
    "position": (Role.POSITION,),
    "coordinate": COORDINATES,
    "length": LENGTHS,
    "angle": ANGLES,
}
"""Roles whose tokens are chosen from one part of the vocabulary."""


@dataclass(frozen=True)
class Slots:
    """Slots of B sequences, padded on the right; fields as in `materium.tokens.orbit_state.Slot`.

    Parameters
    ----------
    tokens, roles, sites, current
        Shape (B, T).
    points
        Shape (B, T, 3).
    cell
        Sum of ln lengths, open lengths and ln of the shape, shape (B, T, 3), float32.
    components
        One plus the species of each component of the composition, 0 for none, shape (B, K).
    counts, lacking
        Shape (B, T, K).
    """

    tokens: NDArray[np.int64]
    roles: NDArray[np.int64]
    sites: NDArray[np.int64]
    current: NDArray[np.int64]
    points: NDArray[np.int64]
    cell: NDArray[np.float32]
    components: NDArray[np.int64]
    counts: NDArray[np.float32]
    lacking: NDArray[np.float32]


@dataclass(frozen=True)
class Choices:
    """Choices of one head in a batch.

    Parameters
    ----------
    rows, slots
        Sequence, and slot after which the choice is made, shape (n,).
    places
        What was chosen, as a place in the span of the head, shape (n,).
    legal
        Shape (n, span); None where all are.
    """

    rows: NDArray[np.int64]
    slots: NDArray[np.int64]
    places: NDArray[np.int64]
    legal: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Distances:
    """Contacts of the last coordinates of a batch, padded; fields as in `materium.tokens.orbit_state.Contacts`.

    Parameters
    ----------
    choices
        Which of the coordinate choices, shape (n,).
    start, step
        Shape (n, J, 3), float32.
    sites
        Shape (n, J), 0 for padding.
    own
        One plus the species of the orbit, shape (n,).
    image
        Whether an atom is an image of the representative, shape (n, J).
    metric
        Shape (n, 3, 3), float32.
    """

    choices: NDArray[np.int64]
    start: NDArray[np.float32]
    step: NDArray[np.float32]
    sites: NDArray[np.int64]
    own: NDArray[np.int64]
    image: NDArray[np.bool_]
    metric: NDArray[np.float32]


def pack_slots(rows: Sequence[Sequence[Slot]], components: Sequence[Sequence[int]]) -> Slots:
    """Return the slots of sequences, whose components are places of species."""
    size, longest, widest = len(rows), max(map(len, rows)), max(map(len, components))
    scalars = np.zeros((size, longest, 7), dtype=np.int64)
    scalars[:, :, 0], scalars[:, :, 1] = PAD, Role.PAD
    scalars[:, :, 4:] = -1
    cell = np.zeros((size, longest, 3), dtype=np.float32)
    counts, lacking = np.zeros((2, size, longest, widest), dtype=np.float32)
    named = np.zeros((size, widest), dtype=np.int64)
    for i, (slots, species) in enumerate(zip(rows, components, strict=True)):
        end = len(slots)
        scalars[i, :end] = [(s.token, s.role, s.site, s.current, *s.point) for s in slots]
        cell[i, :end] = [s[5:8] for s in slots]
        named[i, : len(species)] = species
        named[i, : len(species)] += 1
        begun = next((j for j, s in enumerate(slots) if s.lacking), end)
        for j, slot in enumerate(slots[:begun]):
            counts[i, j, : len(slot.counts)] = slot.counts
        if begun < end:
            counts[i, begun:end, : len(species)] = slots[begun].counts
            lacking[i, begun:end, : len(species)] = [s.lacking for s in slots[begun:]]
    tokens, roles, sites, current = (scalars[:, :, k] for k in range(4))
    return Slots(tokens, roles, sites, current, scalars[:, :, 4:], cell, named, counts, lacking)


def pack_choices(
    rows: Sequence[Sequence[Choice]], vocab: OrbitVocabulary
) -> tuple[dict[str, Choices], Distances | None]:
    """Return the choices of sequences by head, and the contacts of their last coordinates."""
    found: dict[str, list[tuple[int, Choice]]] = {head: [] for head in HEADS}
    head_of = {role: head for head, roles in HEADS.items() for role in roles}
    for i, choices in enumerate(rows):
        for choice in choices:
            found[head_of[choice.role]].append((i, choice))
    packed = {head: _packed(head, entries, vocab) for head, entries in found.items() if entries}
    touching = [(k, c.contacts) for k, (_, c) in enumerate(found["coordinate"]) if c.contacts is not None]
    return packed, pack_contacts([k for k, _ in touching], [c for _, c in touching]) if touching else None


def pack_contacts(choices: Sequence[int], contacts: Sequence[Contacts]) -> Distances:
    """Return contacts, padded, of the choices with these places."""
    size, most = len(contacts), max(len(c.sites) for c in contacts)
    start, step = np.zeros((2, size, most, 3), dtype=np.float32)
    sites, image = np.zeros((size, most), dtype=np.int64), np.zeros((size, most), dtype=bool)
    for i, entry in enumerate(contacts):
        end = len(entry.sites)
        start[i, :end], step[i, :end], sites[i, :end] = entry.start, entry.step, entry.sites
        image[i, end - entry.images : end] = True
    metric = np.array([c.metric for c in contacts], dtype=np.float32)
    return Distances(np.array(choices), start, step, sites, np.array([c.own for c in contacts]), image, metric)


def _packed(head: str, entries: Sequence[tuple[int, Choice]], vocab: OrbitVocabulary) -> Choices:
    rows, slots, places = np.array([(i, c.slot, c.place) for i, c in entries], dtype=np.int64).T
    if head == "position":
        legal = np.zeros((len(entries), vocab.positions.stop - vocab.positions.start), dtype=bool)
        for k, (_, choice) in enumerate(entries):
            if choice.legal is not None:
                legal[k, choice.first : choice.first + len(choice.legal)] = choice.legal
        return Choices(rows, slots, places, legal)
    masks = [c.legal for _, c in entries if c.legal is not None]
    return Choices(rows, slots, places, np.stack(masks) if len(masks) == len(entries) else None)
