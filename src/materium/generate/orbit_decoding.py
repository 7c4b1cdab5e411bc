"""Many sequences of orbits at once: keys and values are kept, and each finished sequence makes room for the next one.

What sequence i of a seed becomes follows from (seed, i) alone, not from the batch it is in. `orbit_reference`, one
sequence without a cache, defines it.
"""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from materium.data.orbit_batch import HEADS, pack_contacts
from materium.generate import sample
from materium.generate.orbit_reader import ROW_STEP, SlotReader
from materium.generate.orbit_rollout import HEAD_OF, Rollout, advance
from materium.generate.orbit_spacing import apart_points
from materium.model.orbit_tensors import DistanceTensors, SlotTensors
from materium.model.orbit_transformer import Outlook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.data.orbit_batch import Distances
    from materium.generate.orbit_plan import OrbitPlan
    from materium.generate.orbit_rollout import TokenScore
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.tokens.orbit_contacts import Contacts
    from materium.tokens.orbit_state import Slot
    from materium.tokens.orbit_tokenizer import OrbitTokenizer

BATCH = 256
"""Sequences under way at once."""


class Prefix(NamedTuple):
    """What is known of the tokens with which all sequences begin: their scores, and how many slots have been read."""

    scores: list[TokenScore]
    open_nats: float
    read: int


class BatchedDecoder:
    """Up to `batch` sequences under way.

    Parameters
    ----------
    model, tokenizer
        The network, in evaluation mode, and its tokenizer.
    plan
        What is asked of the sequences.
    batch
        How many are under way at once; more of them take more memory and less time each.
    dtype
        Of the blocks' products, float32 or bfloat16.
    """

    def __init__(
        self,
        model: OrbitTransformer,
        tokenizer: OrbitTokenizer,
        plan: OrbitPlan,
        batch: int = BATCH,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Get ready; `run` samples."""
        self.model, self.tokenizer, self.plan = model, tokenizer, plan
        self.streams = 1 if plan.settings.guidance in {0, 1} else 2
        self.batch, config = batch, tokenizer.config
        positions = 2 * config.max_components + 9 + 5 * config.max_sites
        with torch.inference_mode():
            self.reader = SlotReader(model, self.streams * (batch + 1) + 1, positions, dtype)
        self.spare = self.streams * (batch + 1)
        """The place of slots that fill a batch up; the ones before it hold what all sequences have in common."""
        self.prefix: Prefix | None = None
        self.rollouts: dict[int, Rollout] = {}
        """By their place in the reader; with guidance the unconditional twin is `batch` places on."""
        self.read = [0] * batch
        """How many slots of the sequence at each place have been read."""

    def run(self, indices: Iterable[int]) -> Iterator[Rollout]:
        """Yield the sequences with these numbers, finished, in the order of the numbers."""
        waiting, pending = iter(indices), list[int]()
        done: dict[int, Rollout] = {}
        while True:
            room = self.batch - len(self.rollouts)
            begun = list(islice(waiting, room)) if room >= min(ROW_STEP, self.batch) else []
            pending += begun
            self._begin(begun)
            if not self.rollouts:
                return
            for rollout in self._step():
                done[rollout.index] = rollout
            while pending and pending[0] in done:
                yield done.pop(pending.pop(0))

    def _begin(self, indices: Sequence[int]) -> None:
        if not indices:
            return
        free = [place for place in range(self.batch) if place not in self.rollouts][: len(indices)]
        conditions = self.plan.conditions_of(indices, self.model.config.seen)
        unconditional = conditions.none(len(indices))
        unconditional.layout[:] = conditions.layout
        with torch.inference_mode():
            if self.plan.settings.guidance == 0:
                conditions = unconditional
            self.reader.begin(free, conditions)
            if self.streams == 2:
                self.reader.begin([self.batch + place for place in free], unconditional)
        for place, index in zip(free, indices, strict=True):
            self.rollouts[place] = Rollout(self.tokenizer, self.plan, index)
            self.read[place] = 0
        if self.plan.shared:
            self._begin_with(self.plan.shared, free)

    @torch.inference_mode()
    def _begin_with(self, tokens: tuple[int, ...], places: list[int]) -> None:
        """Let sequences begin with tokens that all have in common: read by the first one, and copied by the others."""
        commons = [self.streams * self.batch + stream for stream in range(self.streams)]
        if self.prefix is None:
            first = self.rollouts[places[0]]
            others = {place: self.rollouts.pop(place) for place in places[1:]}
            while len(first.scores) < len(tokens):
                self._step()
            for stream, common in enumerate(commons):
                self.reader.copy(stream * self.batch + places[0], [common])
            self.prefix = Prefix(list(first.scores), first.open_nats, self.read[places[0]])
            self.rollouts |= others
            places = places[1:]
        for place in places:
            self.rollouts[place].resume(tokens, self.prefix.scores, self.prefix.open_nats)
            self.read[place] = self.prefix.read
        for stream, common in enumerate(commons):
            self.reader.copy(common, [stream * self.batch + place for place in places])

    @torch.inference_mode()
    def _step(self) -> list[Rollout]:
        """Choose one token of each sequence, and return those that are complete."""
        places = list(self.rollouts)
        outlooks = self._read(places)
        kinds = [HEAD_OF[self.rollouts[place].state.next_role] for place in places]
        for head in HEADS:
            rows = [row for row, kind in enumerate(kinds) if kind == head]
            if rows:
                self._choose(head, rows, [self.rollouts[places[row]] for row in rows], outlooks)
        ended = [place for place in places if self.rollouts[place].is_done]
        for place in places:
            if not self.rollouts[place].scores:  # it started anew
                self.read[place] = 0
        return [self.rollouts.pop(place) for place in ended]

    def _read(self, places: list[int]) -> list[Outlook]:
        """Read all slots that have not been read, and return what stands after the last one of each sequence."""
        found = []
        for row, place in enumerate(places):
            slots, first = self.rollouts[place].state.slots, self.read[place]
            found += [(number, row, place, slots[number]) for number in range(first, len(slots))]
            self.read[place] = len(slots)
        found.sort(key=_number)
        spare = -len(found) % ROW_STEP
        found = [(0, -1, self.spare, found[0][3])] * spare + found
        packed = self._pack(found)
        numbers = torch.tensor([entry[0] for entry in found])
        at = torch.tensor([entry[2] for entry in found])
        last = [0] * len(places)
        for place, (_, row, _, _) in enumerate(found):
            if row >= 0:
                last[row] = place
        ends = torch.tensor(last)
        if self.streams == 1:
            outlook = self.reader.read(at, numbers, packed)
            return [outlook_at(outlook, ends)]
        twins = torch.where(at == self.spare, at, at + self.batch)
        order = torch.argsort(torch.cat([numbers, numbers]), stable=True)
        both = slots_at(packed, order % len(found))
        outlook = self.reader.read(torch.cat([at, twins])[order], torch.cat([numbers, numbers])[order], both)
        where = torch.argsort(order)
        return [outlook_at(outlook, where[ends]), outlook_at(outlook, where[ends + len(found)])]

    def _pack(self, found: list[tuple[int, int, int, Slot]]) -> SlotTensors:
        """The slots as tensors of shape (N, 1, …)."""
        components = [self.rollouts[place].state.components if row >= 0 else [] for _, row, place, _ in found]
        slots = [entry[3] for entry in found]
        widest = max(1, *map(len, components))
        scalars = torch.tensor([(s.token, s.role, s.site, s.current, *s.point) for s in slots])[:, None]
        cell = torch.tensor([s[5:8] for s in slots], dtype=torch.float32)[:, None]
        named, counts, lacking = np.zeros((3, len(slots), widest), dtype=np.float32)
        for place, (species, slot) in enumerate(zip(components, slots, strict=True)):
            named[place, : len(species)] = species
            named[place, : len(species)] += 1
            counts[place, : len(slot.counts)] = slot.counts
            lacking[place, : len(slot.lacking)] = slot.lacking
        tokens, roles, sites, current = scalars[..., :4].unbind(-1)
        amounts = (torch.from_numpy(part)[:, None] for part in (counts, lacking))
        return SlotTensors(
            tokens, roles, sites, current, scalars[..., 4:], cell, torch.from_numpy(named).long(), *amounts
        )

    def _choose(self, head: str, rows: list[int], rollouts: list[Rollout], outlooks: list[Outlook]) -> None:
        """Choose a token of each of some sequences in which tokens of the same head come next."""
        count = len(rows)
        filled = -(-(count + 1) // ROW_STEP) * ROW_STEP  # at least one row to which no sequence belongs
        at = torch.tensor(rows + [rows[0]] * (filled - count)), torch.zeros(filled, dtype=torch.long)
        last, others = _contacts(rollouts) if head == "coordinate" else ({}, {})
        packed = _packed(last, filled - 1) if last else None
        tensors = None if packed is None else DistanceTensors.of(packed)
        logits = [self.model.logits(head, outlook, at, tensors) for outlook in outlooks]
        scale = self.plan.settings.guidance
        scores = logits[0] if len(logits) == 1 else sample.guide(logits[0], logits[1], scale)
        apart: dict[int, NDArray[np.bool_]] = {}
        for contacts, arrays in ((last, packed), (others, _packed(others, filled - 1) if others else None)):
            if arrays is not None:
                legal = apart_points(list(contacts.values()), arrays, scores.shape[1])
                for (k, entry), row in zip(contacts.items(), legal, strict=True):
                    state = rollouts[k].state
                    spaced = row & state.legal_coordinates(None)
                    apart[k] = spaced if spaced.any() else state.legal_coordinates(entry)
        advance(rollouts, head, scores, apart)


def _contacts(rollouts: Sequence[Rollout]) -> tuple[dict[int, Contacts], dict[int, Contacts]]:
    """What the next coordinates decide of distances, by place: the last ones of their orbits, and others."""
    last: dict[int, Contacts] = {}
    others: dict[int, Contacts] = {}
    for k, rollout in enumerate(rollouts):
        state = rollout.state
        contacts = state.contacts()
        if contacts is not None:
            last[k] = contacts
        elif (decided := state._decided_contacts()) is not None:  # noqa: SLF001 - `legal` hides where it is looked at
            others[k] = decided
    return last, others


def _number(entry: tuple[int, int, int, Slot]) -> int:
    return entry[0]


def _packed(contacts: dict[int, Contacts], spare: int) -> Distances:
    """Contacts of some rows, filled up to a multiple of `ROW_STEP` by some of a row that no sequence has."""
    more = -len(contacts) % ROW_STEP
    rows = [*contacts, *[spare] * more]
    return pack_contacts(rows, [*contacts.values(), *islice(repeat(next(iter(contacts.values()))), more)])


def slots_at(slots: SlotTensors, rows: Tensor) -> SlotTensors:
    """Return some rows of slots."""
    return SlotTensors(*(part[rows] for part in vars(slots).values()))


def outlook_at(outlook: Outlook, rows: Tensor) -> Outlook:
    """Return what stands after some rows."""
    return Outlook(outlook.hidden[rows], outlook.room[rows], outlook.table, slots_at(outlook.slots, rows))
