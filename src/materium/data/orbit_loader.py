"""From shards of orbits to batches: seeded, bucketed by length, with orders, descriptions and conditions drawn.

Everything that is random follows from (seed, epoch, row), so that a run that is resumed in the middle of an epoch
sees the batches that an undisturbed one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from materium.core.wyckoff import space_group, wyckoff_position
from materium.data.loader import encode_labels
from materium.data.orbit_batch import Choices, Distances, Slots, pack_choices, pack_slots
from materium.data.weights import drawn_rows, row_weights
from materium.errors import DataError
from materium.properties import scalar_names
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_tokenizer import ORDERS, OrbitTokenizer, Order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from materium.data.orbit_shard import OrbitShard

KINDS = 3
"""Canonical, other setting, subgroup; see `materium.model.orbit_conditions.DESCRIPTIONS`."""
ELEMENTS = 100
ANION_FORMERS = (5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 51, 52, 53)
"""Elements that a request for oxides, chalcogenides or halides without others forbids."""
SETS = ("required", "anions", "forbidden", "system", "number")
"""How elements are given: some that occur; anion formers; some that do not occur; all others; their number alone."""


@dataclass(frozen=True)
class OrbitMix:
    """What a row may be turned into, with the probability of each.

    Parameters
    ----------
    orders
        Weight of each order.
    setting, subgroup
        Probability of another setting and of a subgroup, where the row has them.
    conditional
        Probability that a row has any condition besides those that are always given.
    alone
        For such a row: probability that it has one of its labels only, as users mostly give.
    keep
        For the others: probability of each single condition.
    always
        Properties that are conditions of every row but the share `dropped`.
    dropped
        Probability that a row has not even these.
    max_energy_above_hull, energy_scale
        eV/atom; what they do to the weights of rows, see `materium.data.weights.row_weights`.
    """

    orders: Mapping[Order, float] = field(
        default_factory=lambda: {"high": 0.7, "random": 0.2, "low": 0.04, "xyz": 0.03, "electronegativity": 0.03}
    )
    setting: float = 0.15
    subgroup: float = 0.1
    conditional: float = 0.5
    alone: float = 0.5
    keep: float = 0.35
    always: tuple[str, ...] = ("energy_above_hull",)
    dropped: float = 0.1
    max_energy_above_hull: float | None = None
    energy_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse unknown orders and properties, and numbers that are no probabilities, weights or energies."""
        unknown = set(self.orders) - set(ORDERS)
        if unknown or not 0 < sum(self.orders.values()) < inf or min(self.orders.values()) < 0:
            raise DataError(f"orders {dict(self.orders)}: give weights, not all zero, for some of {', '.join(ORDERS)}")
        for name in ("setting", "subgroup", "conditional", "alone", "keep", "dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name} = {getattr(self, name)} is no probability; give a number from 0 to 1")
        if self.setting + self.subgroup > 1:
            raise DataError(f"setting = {self.setting} and subgroup = {self.subgroup} exceed 1 together; lower one")
        if strangers := set(self.always) - set(scalar_names()):
            raise DataError(f"always: unknown {', '.join(sorted(strangers))}; choose from {', '.join(scalar_names())}")
        if self.max_energy_above_hull is not None and not self.max_energy_above_hull >= 0:
            raise DataError(f"max_energy_above_hull = {self.max_energy_above_hull}; give eV/atom, from 0 to inf")
        if self.energy_scale is not None and not 0 < self.energy_scale < inf:
            raise DataError(f"energy_scale = {self.energy_scale} is not possible; give eV/atom, above 0")


CANONICAL = OrbitMix({"high": 1.0}, setting=0.0, subgroup=0.0, conditional=0.0, dropped=1.0)
"""Every row in canonical setting and order, without conditions."""
CONDITIONED = replace(CANONICAL, conditional=1.0, dropped=0.0)
"""The same sequences, each with some of its conditions."""


@dataclass(frozen=True)
class OrbitBatch:
    """Sequences of one batch; conditions as in `materium.model.orbit_conditions.OrbitConditions`."""

    rows: NDArray[np.int64]
    slots: Slots
    choices: dict[str, Choices]
    contacts: Distances | None
    scalars: NDArray[np.float32]
    layout: NDArray[np.int64]
    required: NDArray[np.bool_]
    forbidden: NDArray[np.bool_]
    num_elements: NDArray[np.int64]


class OrbitLoader:
    """Batches of a shard; `max_slots` bounds the slots of a batch, padding included."""

    def __init__(
        self, shard: OrbitShard, tokenizer: OrbitTokenizer, mix: OrbitMix, *, max_slots: int, seed: int
    ) -> None:
        """Encode the labels once; everything else happens batch by batch."""
        if len(shard) == 0:
            raise DataError("shard has no crystals; check the filters of 'materium prepare'")
        self.shard, self.tokenizer, self.mix = shard, tokenizer, mix
        self.max_slots, self.seed = max_slots, seed
        self.labels = encode_labels(np.asarray(shard.properties))
        self.weights = row_weights(
            shard.weights,
            np.asarray(shard.properties)[:, scalar_names().index("energy_above_hull")],
            max_energy_above_hull=mix.max_energy_above_hull,
            energy_scale=mix.energy_scale,
        )
        if not self.weights.sum() >= 1:
            raise DataError(
                f"the weights of the {len(shard)} crystals sum to {self.weights.sum():.3g}, less than one crystal an "
                "epoch; raise weights or limits on energy_above_hull, and see that rows have that label"
            )
        self.lengths = self._lengths()

    def batches(self, epoch: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return rows and descriptions of each batch of an epoch, in the order in which they are to be taken."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        rows = drawn_rows(self.weights, [self.seed, epoch, 2])
        shares = [1 - self.mix.setting - self.mix.subgroup, self.mix.setting, self.mix.subgroup]
        wanted, picked = rng.choice(KINDS, size=len(rows), p=shares), rng.random(len(rows))
        entries = zip(rows.tolist(), wanted.tolist(), picked.tolist(), strict=True)
        descriptions = np.array([self._description(*entry) for entry in entries])
        lengths = self.lengths[descriptions]
        order = np.lexsort((rng.random(len(rows)), lengths))
        cuts, start = [], 0
        for i, length in enumerate(lengths[order].tolist()):
            if i > start and (i + 1 - start) * length > self.max_slots:
                cuts.append(i)
                start = i
        groups = np.split(order, cuts)
        return [(rows[groups[i]], descriptions[groups[i]]) for i in rng.permutation(len(groups))]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[OrbitBatch]:
        """Yield the batches of an epoch from number `start` on."""
        for number, (rows, descriptions) in enumerate(self.batches(epoch)):
            if number >= start:
                yield self.batch(rows, descriptions, np.random.default_rng([self.seed, epoch, 1, number]))

    def batch(self, rows: NDArray[np.int64], descriptions: NDArray[np.int64], rng: np.random.Generator) -> OrbitBatch:
        """Return the sequences of descriptions, with orders and conditions drawn."""
        weights = np.array([self.mix.orders.get(order, 0.0) for order in ORDERS])
        orders = rng.choice(len(ORDERS), size=len(rows), p=weights / weights.sum())
        grids = [self.shard.grid(int(d)) for d in descriptions]
        written = [replay(self.tokenizer, grid, ORDERS[order], rng) for grid, order in zip(grids, orders, strict=True)]
        slots = pack_slots([state.slots for state, _ in written], [state.components for state, _ in written])
        choices, contacts = pack_choices([entry for _, entry in written], self.tokenizer.vocab)
        layout = orders * KINDS + self.shard.kinds[descriptions]
        scalars, sets = self._drawn(rows, rng)
        elements = [set(self.tokenizer.vocab.species_table[grid.species, 0].tolist()) for grid in grids]
        required, forbidden, number = self._sets(elements, sets, rng)
        return OrbitBatch(rows, slots, choices, contacts, scalars, layout, required, forbidden, number)

    def _drawn(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The scalars that are given, NaN for others, and whether elements are."""
        labels, mix, names = self.labels[rows], self.mix, scalar_names()
        has = np.column_stack([np.isfinite(labels), np.ones(len(rows), dtype=bool)])
        always = np.array([name in mix.always for name in names] + [False])
        optional = has & ~always
        one = np.where(optional, rng.random(has.shape), -1.0).argmax(1)[:, None] == np.arange(has.shape[1])
        given = np.where(rng.random(len(rows))[:, None] < mix.alone, one, rng.random(has.shape) < mix.keep)
        given = optional & given & (rng.random(len(rows)) < mix.conditional)[:, None]
        given |= has & always & (rng.random(len(rows)) >= mix.dropped)[:, None]
        return np.where(given[:, :-1], labels, np.nan).astype(np.float32), given[:, -1]

    def _sets(
        self, elements: list[set[int]], given: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
        """Flags of required and forbidden elements, and the number of elements, drawn from what a crystal allows."""
        required, forbidden = np.zeros((2, len(elements), ELEMENTS), dtype=bool)
        number = np.zeros(len(elements), dtype=np.int64)
        anions = np.isin(np.arange(ELEMENTS), ANION_FORMERS)
        for i in np.flatnonzero(given):
            present = np.zeros(ELEMENTS, dtype=bool)
            present[list(elements[i])] = True
            kind = {name: bool(flag) for name, flag in zip(SETS, rng.random(len(SETS)) < 0.35, strict=True)}
            if kind["required"]:
                required[i] = present & (rng.random(ELEMENTS) < rng.choice([0.35, 0.7, 1.0]))
            if kind["anions"]:
                forbidden[i] |= anions & ~present
            if kind["forbidden"]:
                forbidden[i] |= ~present & (rng.random(ELEMENTS) < rng.choice([0.03, 0.3, 0.8]))
            if kind["system"]:
                forbidden[i] |= ~present & (rng.random(ELEMENTS) < rng.choice([0.95, 1.0]))
            if kind["number"]:
                number[i] = len(elements[i])
        forbidden[:, 0] = False
        return required, forbidden, number

    def _description(self, row: int, kind: int, uniform: float) -> int:
        """A description of a row of the wanted kind, the canonical one if it has none."""
        start, end = self.shard.row_start[row : row + 2]
        fitting = np.flatnonzero(self.shard.kinds[start:end] == kind)
        return int(start + (fitting[int(uniform * len(fitting))] if len(fitting) else 0))

    def _lengths(self) -> NDArray[np.int64]:
        """Slots of each description, but for species that orders leave open, which come on top."""
        shard = self.shard
        sizes = np.array([1 + p.freedom + len(p.coset) - 1 for p in map(wyckoff_position, range(1731))])
        starts = np.array([0, *(space_group(g).positions[0].number for g in range(1, 231))])
        owner = np.repeat(np.arange(len(shard.groups)), np.diff(shard.orbit_start))
        numbers = starts[shard.groups[owner]] + shard.orbits[:, 1]
        slots = np.bincount(owner, weights=sizes[numbers], minlength=len(shard.groups)).astype(np.int64)
        species = np.unique(np.column_stack([owner, shard.orbits[:, 0]]), axis=0)[:, 0]
        components = np.bincount(species, minlength=len(shard.groups))
        parameters = np.array([0, *(len(space_group(g).lattice_parameters) for g in range(1, 231))])
        lengths: NDArray[np.int64] = slots + 2 * components + parameters[shard.groups] + 3
        return lengths
