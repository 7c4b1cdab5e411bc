"""What stands so far, set against what the sentence is to be.

A transformer of this size counts atoms badly and does not divide masses by densities. So each token is given the
sums that a crystallographer would keep on the margin: atoms, mass, cell, and what the formula, the number of sites,
the density and the index of production still leave open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from materium.elements import masses, production
from materium.model.candidates import Candidates, Sums, Told, open_formula, targets
from materium.model.conditions import waves
from materium.model.config import WAVES
from materium.properties import scalar_names
from materium.tokens.tokenizer import Tokenizer
from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.model.candidates import Targets
    from materium.model.conditions import Conditions
    from materium.model.config import ModelConfig

SUMS = 8
"""Atoms, mass (u), mass times index of production / 1000, volume that the species fill (Å³), ln(abc / Å³), cosines."""
ATOMS, MASS, WEIGHTED, FILLED, LENGTHS, COSINES = range(SUMS - 2)
MAX_UNITS = 20
"""Formula units above this share one embedding."""
MAX_LEFT = 64
"""Sites that are left above this share one embedding."""
HIDDEN = 128
RIDGE = 3.0
"""As many crystals as pull a species towards the mean volume."""
LEAST_VOLUME = 1.0
"""Å³; hydrogen in a metal fills less than nothing by regression."""
FLATTEST = 0.05
"""Least squared volume of a cell of unit lengths that is reckoned with; flatter ones do not occur."""


@dataclass
class Tally:
    """Sums over the tokens that B sentences have so far, and what the sentences are told.

    Parameters
    ----------
    conditions
        What they are told.
    head
        The sum of the vectors of the scalar conditions and the layout, shape (B, width).
    sums
        The `SUMS`, and the atoms of each element of the formula, shape (B, SUMS + slots), float64: whoever adds token
        by token gets the very sums of who adds at once. None before the first token.
    told
        What the head comes to at every token, (B, 1, width); None before the first token.

    Attributes
    ----------
    targets, volume_of
        What numbers are compared with, and what an atom of each element fills (None before the first token): the same
        for all tokens.
    """

    conditions: Conditions
    head: Tensor
    sums: Tensor | None = None
    told: Tensor | None = None

    def __post_init__(self) -> None:
        """Look once whether any sentence has a target, for on other devices the host has to wait for it."""
        self.targets = targets(self.conditions)
        self.volume_of: Tensor | None = None

    def keep(self, rows: Tensor) -> None:
        """Drop all sentences but `rows`."""
        self.conditions, self.head = self.conditions[rows], self.head[rows]
        self.sums = None if self.sums is None else self.sums[rows]
        self.told = None if self.told is None else self.told[rows]
        self.targets = self.targets and self.targets.keep(rows)


@dataclass(frozen=True)
class Margin:
    """What is noted at each token, (B, tokens, width): before the blocks and after them; and what is behind it."""

    before: Tensor
    after: Tensor
    seen: Tensor
    told: Told


class TallyEncoder(nn.Module):
    """What each token is told of what stands up to it; nothing in a fresh network."""

    worth: Tensor
    element_of: Tensor
    volume: Tensor

    def __init__(self, config: ModelConfig, waves_of_numbers: Tensor) -> None:
        """Make the layers, and the table of what each token adds to the sums."""
        super().__init__()
        worth, element_of = _worth(Tokenizer(config.tokenizer))
        self.register_buffer("worth", worth, persistent=False)
        self.register_buffer("element_of", element_of, persistent=False)
        self.register_buffer("volume", torch.zeros(len(element_of)))
        low, high = config.tokenizer.length_ranges[0]
        self.period = math.log(high / low)
        features = 5 + 2 * (1 + waves(torch.zeros(1)).shape[-1]) + (2 + 2 * WAVES)
        self.hidden = nn.Linear(features, 2 * HIDDEN)
        self.role = nn.Embedding(len(Role), HIDDEN)
        both = 2 * config.width  # what goes in beside the token, and what is added where the next one is chosen
        self.out = nn.Linear(HIDDEN, both)
        self.told = nn.Linear(config.width, config.width, bias=False)
        self.left = nn.Embedding(MAX_LEFT + 2, both)
        self.units = nn.Embedding(2 * MAX_UNITS + 1, both)
        self.lacking = nn.Embedding(int(element_of.max()) + 1, both)
        self.amount = nn.Embedding(int(element_of.max()) + 1, both)
        self.gate = nn.Linear(config.width, HIDDEN)
        self.choice = nn.Linear(HIDDEN, config.width, bias=False)
        self.candidates = Candidates(config, element_of, waves_of_numbers)

    def measure(self, counts: Tensor, volumes: Tensor) -> None:
        """Set what each species fills to what fits real crystals best: their atoms (R, tokens), and cells in Å³ (R,).

        Ridge regression towards the mean volume of an atom, relative to the cell: rare species stay at the mean.
        """
        mean = volumes.sum() / counts.sum()
        relative = counts.double() / volumes.double()[:, None]
        normal = relative.T @ relative + RIDGE / mean**2 * torch.eye(counts.shape[1], dtype=torch.float64)
        off = torch.linalg.solve(normal, relative.T @ (1 - mean * relative.sum(1)))
        fitted = (mean + off).clamp(min=LEAST_VOLUME)
        self.volume.copy_(torch.where(self.element_of.cpu() > 0, fitted, 0.0))

    def initialise(self) -> None:
        """Set the weights so that the tally says nothing yet: a trained network that gets one goes on as it was."""
        nn.init.normal_(self.hidden.weight, std=self.hidden.in_features**-0.5)
        nn.init.normal_(self.role.weight)
        nn.init.normal_(self.gate.weight, std=self.gate.in_features**-0.5)
        for layer in (self.out, self.told, self.left, self.units, self.lacking, self.amount, self.choice):
            nn.init.zeros_(layer.weight)
        self.candidates.initialise()

    def forward(self, tokens: Tensor, roles: Tensor, tally: Tally) -> Margin:
        """Return what is noted at tokens (B, tokens) that follow those in the tally, and add them to it."""
        sums = self._sums(tokens, roles, tally)
        tally.sums = sums[:, -1]
        if tally.volume_of is None:
            tally.volume_of = self._volume_of()
        named = self._named(sums, tally.volume_of)
        features = self._features(named, tally.targets)
        weight = self.hidden.weight[:, : features.shape[-1]]  # without targets the other features would all be 0
        value, gate = nn.functional.linear(features, weight, self.hidden.bias).chunk(2, dim=-1)
        seen = value * nn.functional.silu(gate + self.role(roles))
        left = self.left(_left(named.atoms, tally.conditions.scalars[:, scalar_names().index("num_sites"), None]))
        both = self.out(seen) + left + self._formula(named.written, tally.conditions)
        before, after = both.chunk(2, dim=-1)
        tally.told = self.told(tally.head)[:, None] if tally.told is None else tally.told
        return Margin(before + tally.told, after, seen, Told(named, tally.conditions, tally.targets))

    def note(self, hidden: Tensor, margin: Margin) -> Tensor:
        """Return what stands after each token, (B, tokens, width), with what is noted at it.

        The sums reach the choice of the next token without a detour through the blocks.
        """
        return hidden + margin.after + self.choice(margin.seen * nn.functional.silu(self.gate(hidden)))

    def _sums(self, tokens: Tensor, roles: Tensor, tally: Tally) -> Tensor:
        """The sums up to and with each token, (B, tokens, SUMS + slots)."""
        elements = tally.conditions.elements
        here = (self.element_of[tokens][..., None] == elements[:, None]) & (elements > 0)[:, None]
        worth = self.worth[roles, tokens]
        worth[..., FILLED] = self.volume[tokens]
        added = torch.cat([worth, here.double()], dim=-1)
        if tally.sums is not None:
            added[:, 0] += tally.sums
        return added.cumsum(1)

    def _named(self, sums: Tensor, volume_of: Tensor) -> Sums:
        """The sums by name, and what an atom of each element fills."""
        atoms, mass, weighted, filled, lengths = sums[..., :COSINES].unbind(-1)
        cosines = sums[..., COSINES:SUMS]
        square = 1 - cosines.square().sum(-1) + 2 * cosines.prod(-1)
        volume = lengths + 0.5 * square.clamp(min=FLATTEST).log()
        return Sums(atoms, mass, weighted, filled, volume, sums[..., SUMS:], volume_of)

    def _volume_of(self) -> Tensor:
        """What an atom of each element fills, the mean of its species, (elements,)."""
        total = self.volume.new_zeros(self.candidates.elements).index_add(0, self.element_of, self.volume)
        count = torch.bincount(self.element_of, minlength=len(total))
        return (total / count.clamp(min=1)).double()

    def _features(self, sums: Sums, aims: Targets | None) -> Tensor:
        """Sums, (B, tokens, 5), and where any is told their distance from density and index, (B, tokens, features)."""
        ln_mass, ln_filled, index = sums.mass.log1p(), sums.filled.log1p(), sums.weighted / sums.mass.clamp(min=1)
        plain = torch.stack([sums.atoms.log1p(), ln_mass / 4, ln_filled / 4, sums.volume / 4, index / 4], dim=-1)
        if aims is None:
            return plain.float()
        wanted = ln_mass - aims.density[:, None]
        parts = [
            _given(index - aims.production[:, None], waves),
            _given(wanted - ln_filled, waves),
            _given(wanted - sums.volume, self._grid_waves),
        ]
        return torch.cat([plain.float(), *parts], dim=-1)

    def _grid_waves(self, room: Tensor) -> Tensor:
        """The logarithm of a length, and the waves that its token has: what is left for c points at the token of c."""
        angles = room[..., None] * (2 * math.pi / self.period) * torch.arange(1, WAVES + 1, device=room.device)
        return torch.cat([room[..., None], angles.sin(), angles.cos()], dim=-1)

    def _formula(self, written: Tensor, conditions: Conditions) -> Tensor:
        """What the formula or the chemical system still lacks, (B, tokens, 2 width)."""
        if not conditions.elements.shape[1]:
            return self.units.weight[0].expand(*written.shape[:2], -1)
        found = open_formula(written, conditions)
        lacking = found.lacking.to(self.lacking.weight.dtype)
        state = 2 * found.units.long().clamp(max=MAX_UNITS) - 1 + found.done
        told = (lacking > 0).to(lacking.dtype) @ self.lacking(conditions.elements)
        used = (conditions.elements > 0).any(-1)[:, None]
        return told + lacking.log1p() @ self.amount(conditions.elements) + self.units(state * used)


def _given(value: Tensor, features: Callable[[Tensor], Tensor]) -> Tensor:
    """Whether there is a value at all, and its features, (B, tokens, 1 + features); zeros where it is NaN."""
    given = ~value.isnan()[..., None]
    return torch.cat([given, torch.where(given, features(value.float()), 0.0)], dim=-1)


def _left(atoms: Tensor, num_sites: Tensor) -> Tensor:
    """The number of sites that are left, from 1 on, and 0 where none is told, (B, tokens)."""
    left = (num_sites - atoms).clamp(0, MAX_LEFT)
    return torch.where(left.isnan(), 0, 1 + left.nan_to_num()).long()


def _worth(tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """What a token adds to the sums in each role, (roles, tokens, SUMS), and its element, (tokens,), 0 for none."""
    vocab = tokenizer.vocab
    species = slice(vocab.first_species, vocab.first_number)
    numbers = vocab.species_table[:, 0]
    worth = np.zeros((len(Role), len(vocab), SUMS))
    worth[Role.SPECIES, species, ATOMS] = 1
    worth[Role.SPECIES, species, MASS] = masses()[numbers]
    worth[Role.SPECIES, species, WEIGHTED] = masses()[numbers] * np.nan_to_num(production())[numbers] / 1000
    values = tokenizer.lattice_values(np.repeat(np.arange(vocab.bins + 1)[:, None], 6, axis=1))
    for i in range(3):
        worth[Role.A + i, vocab.first_number :, LENGTHS] = np.log(values[:, i])
        worth[Role.ALPHA + i, vocab.first_number :, COSINES + i] = np.cos(np.radians(values[:, 3 + i]))
    element_of = np.zeros(len(vocab), dtype=np.int64)
    element_of[species] = numbers
    return torch.from_numpy(worth), torch.from_numpy(element_of)
