"""From shards to batches: seeded, bucketed by length, with orders, settings and conditions drawn for each row.

Everything that is random follows from (seed, epoch, place in the epoch), so that a run that is resumed in the middle of
an epoch sees the batches that an undisturbed one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from materium.data.weights import drawn_rows, row_weights
from materium.errors import DataError
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import ORDERS, TOKENS_PER_SITE, Order, Tokenizer
from materium.tokens.vocab import PAD, Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from materium.data.shard import Shard


@dataclass(frozen=True)
class Mix:
    """What a row may be turned into, with the probability of each.

    Parameters
    ----------
    orders
        Weight of each site order.
    lattice_first
        Probability that the lattice stands before the atoms.
    other_setting
        Probability of a setting other than the canonical one, where the crystal has several.
    conditional
        Probability that a row is told anything at all.
    alone
        For a row that is told something: probability that it is told one of its labels only, as users mostly do.
    keep
        For the other rows that are told something: probability of each single condition.
    always
        Scalar properties whose labels are never dropped as conditions.
    max_energy_above_hull
        eV/atom; rows above it, and rows without that label, are not drawn. None draws all rows.
    energy_scale
        eV/atom; multiplies the weight of a row by exp(-energy above hull / scale), and by 0 without that label. None
        leaves the weights as they are in the shard.
    """

    orders: Mapping[Order, float] = field(
        default_factory=lambda: {"high": 0.6, "random": 0.2, "low": 0.08, "xyz": 0.06, "electronegativity": 0.06}
    )
    lattice_first: float = 0.1
    other_setting: float = 0.25
    conditional: float = 0.4
    alone: float = 0.3
    keep: float = 0.5
    always: tuple[str, ...] = ()
    max_energy_above_hull: float | None = None
    energy_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse unknown orders and properties, and numbers that are no probabilities, weights or energies."""
        unknown = set(self.orders) - set(ORDERS)
        if unknown or not 0 < sum(self.orders.values()) < inf or min(self.orders.values()) < 0:
            raise DataError(f"orders {dict(self.orders)}: give weights, not all zero, for some of {', '.join(ORDERS)}")
        for name in ("lattice_first", "other_setting", "conditional", "alone", "keep"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name} = {getattr(self, name)} is no probability; give a number from 0 to 1")
        if strangers := set(self.always) - set(scalar_names()):
            raise DataError(f"always: unknown {', '.join(sorted(strangers))}; choose from {', '.join(scalar_names())}")
        if self.max_energy_above_hull is not None and not self.max_energy_above_hull >= 0:
            raise DataError(f"max_energy_above_hull = {self.max_energy_above_hull}; give eV/atom, from 0 to inf")
        if self.energy_scale is not None and not 0 < self.energy_scale < inf:
            raise DataError(f"energy_scale = {self.energy_scale} is not possible; give eV/atom, above 0")

    def weights(self, shard: Shard) -> NDArray[np.float64]:
        """Return how often each row of a shard is drawn in an epoch on average, shape (R,)."""
        return row_weights(
            shard.weights,
            np.asarray(shard.properties)[:, scalar_names().index("energy_above_hull")],
            max_energy_above_hull=self.max_energy_above_hull,
            energy_scale=self.energy_scale,
        )


CANONICAL = Mix({"high": 1.0}, lattice_first=0.0, other_setting=0.0, conditional=0.0)
"""Every row in canonical setting and order, told nothing."""
TOLD = replace(CANONICAL, conditional=1.0)
"""The same sentences, each told a part of its labels."""


@dataclass(frozen=True)
class Batch:
    """Sentences of one batch with their conditions; field names as in `materium.model.conditions.Conditions`.

    Parameters
    ----------
    rows
        Rows of the shard, shape (B,).
    tokens, roles
        Shape (B, tokens), padded on the right.
    scalars, elements, counts
        Conditions, NaN or 0 where not given.
    orders, lattice_first, canonical
        Layout of each sentence, shape (B,).
    """

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    roles: NDArray[np.int64]
    scalars: NDArray[np.float32]
    elements: NDArray[np.int64]
    counts: NDArray[np.int64]
    orders: NDArray[np.int64]
    lattice_first: NDArray[np.bool_]
    canonical: NDArray[np.bool_]


@dataclass(frozen=True)
class Draw:
    """What an epoch turns each of its N places into; `rows` are the rows of the shard that stand there, shape (N,)."""

    rows: NDArray[np.int64]

    orders: NDArray[np.int64]
    lattice_first: NDArray[np.bool_]
    views: NDArray[np.int64]
    scalars: NDArray[np.bool_]
    formula: NDArray[np.int64]


class Loader:
    """Batches of a shard; `max_tokens` bounds prefix-free tokens in a batch, padding included."""

    def __init__(self, shard: Shard, tokenizer: Tokenizer, mix: Mix, *, max_tokens: int, seed: int) -> None:
        """Encode the labels once; everything else happens batch by batch.

        Raises
        ------
        DataError
            If the shard is empty, or the weights leave less than one crystal to an epoch.
        """
        if len(shard) == 0:
            raise DataError("shard has no crystals; check the filters of 'materium prepare'")
        self.shard, self.tokenizer, self.mix = shard, tokenizer, mix
        self.max_tokens, self.seed = max_tokens, seed
        self.labels = encode_labels(np.asarray(shard.properties))
        self.always = np.array([name in mix.always for name in scalar_names()])
        self.num_elements = self._num_elements()
        self.weights = mix.weights(shard)
        if not self.weights.sum() >= 1:
            raise DataError(
                f"the weights of the {len(shard)} crystals sum to {self.weights.sum():.3g}, less than one crystal an "
                "epoch; raise weights or limits on energy_above_hull, and see that rows have that label"
            )

    def rows(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows that an epoch draws, ascending, shape (N,); see `drawn_rows`."""
        return drawn_rows(self.weights, [self.seed, epoch, 3])

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the places in `rows` of each batch of an epoch, in the order in which they are to be taken.

        All rows of a batch have equally many slots for the elements of a formula, as in sampling: the network never
        sees an empty slot.
        """
        rng = np.random.default_rng([self.seed, epoch, 1])
        draw = self.draw(epoch)
        sites = self.shard.num_sites()[draw.rows]
        slots = np.where(draw.formula > 0, self.num_elements[draw.rows], 0)
        order = np.lexsort((rng.random(len(sites)), sites, slots))
        lengths = sites[order] * TOKENS_PER_SITE + self._fixed_tokens
        cuts = _cuts(lengths, slots[order], self.max_tokens)
        groups = np.split(order, cuts)
        return [groups[i] for i in rng.permutation(len(groups))]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on."""
        draw = self.draw(epoch)
        rng_seed = [self.seed, epoch, 2]
        for places in self.batches(epoch)[start:]:
            yield self._batch(places, draw, rng_seed)

    def draw(self, epoch: int) -> Draw:
        """Return what each place is turned into in an epoch."""
        rows, rng = self.rows(epoch), np.random.default_rng([self.seed, epoch, 0])
        count, mix = len(rows), self.mix
        weights = np.array([mix.orders.get(order, 0.0) for order in ORDERS])
        views = np.diff(self.shard.view_start)[rows]
        other = (rng.random(count) < mix.other_setting) & (views > 1)
        picked = 1 + np.floor(rng.random(count) * (views - 1)).astype(np.int64)
        told = rng.random(count) < mix.conditional
        keep = rng.random((count, len(scalar_names()))) < mix.keep
        composition = rng.random(count)
        alone = rng.random(count) < mix.alone
        scalars, kinds = self._alone(rows, rng)
        return Draw(
            rows=rows,
            orders=rng.choice(len(ORDERS), size=count, p=weights / weights.sum()),
            lattice_first=rng.random(count) < mix.lattice_first,
            views=np.where(other, picked, 0),
            scalars=told[:, None] & np.where(alone[:, None], scalars, keep) | self.always,
            formula=np.where(told, np.where(alone, kinds, _composition_kind(composition, mix.keep)), 0),
        )

    def _atomic_numbers(self, species: NDArray[np.int64]) -> NDArray[np.int64]:
        vocab = self.tokenizer.vocab
        numbers: NDArray[np.int64] = vocab.species_table[species - vocab.first_species, 0]
        return numbers

    def _num_elements(self) -> NDArray[np.int64]:
        """Different elements of each crystal, shape (R,)."""
        numbers = self._atomic_numbers(np.asarray(self.shard.species, dtype=np.int64))
        rows = np.repeat(np.arange(len(self.shard)), self.shard.num_sites())
        pairs = np.unique(np.stack([rows, numbers], axis=1), axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.shard)).astype(np.int64)

    def _alone(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """One label of each row, every one it has as likely as the other: which scalar, and else which composition."""
        count, names = len(rows), self.labels.shape[1]
        has = np.column_stack([np.isfinite(self.labels[rows]), np.ones(count, bool)])
        picked = np.where(has, rng.random(has.shape), -1).argmax(axis=1)
        kinds = _composition_kind(np.asarray(rng.random(count)), keep=1.0)
        return picked[:, None] == np.arange(names), np.where(picked == names, kinds, 0)

    @property
    def _fixed_tokens(self) -> int:
        return self.tokenizer.max_tokens - TOKENS_PER_SITE * self.tokenizer.config.max_sites

    def _batch(self, places: NDArray[np.int64], draw: Draw, rng_seed: list[int]) -> Batch:
        rows = draw.rows[places]
        sentences = [self._sentence(int(place), draw, rng_seed) for place in places]
        layouts = zip(self.shard.num_sites()[rows].tolist(), draw.lattice_first[places].tolist(), strict=True)
        roles = [self.tokenizer.roles(sites, lattice_first=first) for sites, first in layouts]
        elements, counts = self._compositions(rows, draw.formula[places])
        scalars = np.where(draw.scalars[places], self.labels[rows], np.nan).astype(np.float32)
        return Batch(
            rows=rows,
            tokens=_padded(sentences, PAD),
            roles=_padded(roles, Role.PAD),
            scalars=scalars,
            elements=elements,
            counts=counts,
            orders=draw.orders[places],
            lattice_first=draw.lattice_first[places],
            canonical=draw.views[places] == 0,
        )

    def _sentence(self, place: int, draw: Draw, rng_seed: list[int]) -> NDArray[np.int64]:
        order = ORDERS[draw.orders[place]]
        rng = np.random.default_rng([*rng_seed, place]) if order == "random" else None
        parts = self.shard.parts(int(draw.rows[place]), int(draw.views[place]))
        return self.tokenizer.sentence(parts, order, lattice_first=bool(draw.lattice_first[place]), rng=rng)

    def _compositions(
        self, rows: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Elements and counts of the rows that are told a formula (1) or a chemical system (2)."""
        told = [self._composition(int(row), int(kind)) for row, kind in zip(rows, kinds, strict=True)]
        elements, counts = zip(*told, strict=True)
        return np.stack(elements), np.stack(counts)

    def _composition(self, row: int, kind: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if kind == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        species = self.shard.parts(row).species
        elements, counts = np.unique(self._atomic_numbers(species), return_counts=True)
        return elements, (counts // np.gcd.reduce(counts)) * (kind == 1)


@cache
def _is_number() -> NDArray[np.bool_]:
    return np.array([table()[name].kind == "number" for name in scalar_names()])


def encode_labels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return labels (R, properties) as the network sees them; NaN, and what a property cannot encode, become NaN."""
    encoded = np.full(values.shape, np.nan, dtype=np.float32)
    for column, name in enumerate(scalar_names()):
        entry, raw = table()[name], values[:, column].astype(np.float64)
        good = np.isfinite(raw)
        if entry.kind == "category":
            good &= (raw >= 1) & (raw <= entry.classes) & (raw == np.round(raw))
            encoded[good, column] = raw[good]
        elif entry.transform == "log":
            good &= raw >= 0
            encoded[good, column] = np.log(raw[good] + entry.offset) / entry.scale
        else:
            encoded[good, column] = raw[good] / entry.scale
    return encoded


def _composition_kind(uniform: NDArray[np.float64], keep: float) -> NDArray[np.int64]:
    """0 for nothing, 1 for the formula, 2 for the chemical system; the formula three times as often."""
    return np.where(uniform < keep * 0.75, 1, np.where(uniform < keep, 2, 0))


def _cuts(lengths: NDArray[np.int64], slots: NDArray[np.int64], max_tokens: int) -> list[int]:
    """Where to cut rows, sorted by slots and length, so that each batch has one number of slots and fits, padded."""
    cuts, start = [], 0
    for i, (length, slot) in enumerate(zip(lengths.tolist(), slots.tolist(), strict=True)):
        too_long = (i + 1 - start) * length > max_tokens
        if i > start and (too_long or slot != slots[start]):
            cuts.append(i)
            start = i
    return cuts


def _padded(rows: list[NDArray[np.int64]], fill: int) -> NDArray[np.int64]:
    table_ = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for i, row in enumerate(rows):
        table_[i, : len(row)] = row
    return table_
