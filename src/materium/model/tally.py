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

from materium.crystal import GRAMS_PER_CM3
from materium.elements import masses, production
from materium.model.conditions import ANY_COUNT, waves
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import Tokenizer
from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.model.conditions import Conditions
    from materium.model.config import ModelConfig

SUMS = 7
"""Atoms, mass (u), mass times index of production / 1000, ln(abc / Å³), and the cosines of α, β, γ."""
MAX_UNITS = 20
"""Formula units above this share one embedding."""
MAX_LEFT = 64
"""Sites that are left above this share one embedding."""
HIDDEN = 128
WAVES = 24
"""As many as a number's embedding has."""
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
    """

    conditions: Conditions
    head: Tensor
    sums: Tensor | None = None

    def keep(self, rows: Tensor) -> None:
        """Drop all sentences but `rows`."""
        self.conditions, self.head = self.conditions[rows], self.head[rows]
        self.sums = None if self.sums is None else self.sums[rows]


class TallyEncoder(nn.Module):
    """The vector that each token gets for what stands up to it, (B, tokens, width); zero in a fresh network."""

    worth: Tensor
    element_of: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Make the layers, and the table of what each token adds to the sums."""
        super().__init__()
        worth, element_of = _worth(Tokenizer(config.tokenizer))
        self.register_buffer("worth", worth, persistent=False)
        self.register_buffer("element_of", element_of, persistent=False)
        low, high = config.tokenizer.length_ranges[0]
        self.period = math.log(high / low)
        features = 4 + (1 + waves(torch.zeros(1)).shape[-1]) + (2 + 2 * WAVES)
        self.hidden = nn.Linear(features, 2 * HIDDEN)
        self.role = nn.Embedding(len(Role), HIDDEN)
        self.out = nn.Linear(HIDDEN, config.width)
        self.told = nn.Linear(config.width, config.width, bias=False)
        self.left = nn.Embedding(MAX_LEFT + 2, config.width)
        self.units = nn.Embedding(2 * MAX_UNITS + 1, config.width)
        self.lacking = nn.Embedding(int(element_of.max()) + 1, config.width)
        self.amount = nn.Embedding(int(element_of.max()) + 1, config.width)

    def initialise(self) -> None:
        """Set the weights so that the tally says nothing yet: a trained network that gets one goes on as it was."""
        nn.init.normal_(self.hidden.weight, std=self.hidden.in_features**-0.5)
        nn.init.normal_(self.role.weight)
        for layer in (self.out, self.told, self.left, self.units, self.lacking, self.amount):
            nn.init.zeros_(layer.weight)

    def forward(self, tokens: Tensor, roles: Tensor, tally: Tally) -> Tensor:
        """Return the vectors of tokens (B, tokens) that follow those in the tally, and add them to it."""
        sums = self._sums(tokens, roles, tally)
        tally.sums = sums[:, -1]
        scalars = {name: tally.conditions.scalars[:, i, None] for i, name in enumerate(scalar_names())}
        features = self._features(sums[..., :SUMS], scalars)
        value, gate = self.hidden(features).chunk(2, dim=-1)
        seen = self.out(value * nn.functional.silu(gate + self.role(roles)))
        left = self.left(_left(sums[..., 0], scalars["num_sites"]))
        return seen + left + self.told(tally.head)[:, None] + self._formula(sums[..., SUMS:], tally.conditions)

    def _sums(self, tokens: Tensor, roles: Tensor, tally: Tally) -> Tensor:
        """The sums up to and with each token, (B, tokens, SUMS + slots)."""
        elements = tally.conditions.elements
        here = (self.element_of[tokens][..., None] == elements[:, None]) & (elements > 0)[:, None]
        added = torch.cat([self.worth[roles, tokens], here.double()], dim=-1)
        if tally.sums is not None:
            added[:, 0] += tally.sums
        return added.cumsum(1)

    def _features(self, sums: Tensor, scalars: dict[str, Tensor]) -> Tensor:
        """Sums, and their distance from the density and the index that are told, (B, tokens, features)."""
        atoms, mass, weighted, lengths = sums[..., :4].unbind(-1)
        cosines = sums[..., 4:]
        square = 1 - cosines.square().sum(-1) + 2 * cosines.prod(-1)
        volume = lengths + 0.5 * square.clamp(min=FLATTEST).log()
        ln_mass, index = mass.log1p(), weighted / mass.clamp(min=1)
        density = scalars["density"].double().clamp(min=1e-3) * (table()["density"].scale / GRAMS_PER_CM3)
        hhi = scalars["hhi"].double() * (table()["hhi"].scale / 1000)
        plain = torch.stack([atoms.log1p(), ln_mass / 4, volume / 4, index / 4], dim=-1)
        room = ln_mass - density.log() - volume
        parts = [plain.float(), _given(index - hhi, waves), _given(room, self._grid_waves)]
        return torch.cat(parts, dim=-1)

    def _grid_waves(self, room: Tensor) -> Tensor:
        """The logarithm of a length, and the waves of the length tokens at it: what is left for c points at its token."""
        angles = room[..., None] * (2 * math.pi / self.period) * torch.arange(1, WAVES + 1, device=room.device)
        return torch.cat([room[..., None], angles.sin(), angles.cos()], dim=-1)

    def _formula(self, written: Tensor, conditions: Conditions) -> Tensor:
        """What the formula, in the fewest whole units that hold what is written, or the chemical system still lacks."""
        used = (conditions.elements > 0)[:, None]
        by_unit = (conditions.counts != ANY_COUNT)[:, None]
        need = conditions.counts.clamp(min=1)[:, None].double()
        units = torch.where(by_unit, (written / need).ceil(), 1.0).amax(-1, keepdim=True) if written.shape[-1] else None
        if units is None:
            return self.units.weight[0]
        units = units.clamp(min=1)
        lacking = ((units * need - written).clamp(min=0) * used).to(self.lacking.weight.dtype)
        done = (lacking == 0).all(-1)
        state = 2 * units[..., 0].long().clamp(max=MAX_UNITS) - 1 + done
        told = (lacking > 0).to(lacking.dtype) @ self.lacking(conditions.elements)
        return told + lacking.log1p() @ self.amount(conditions.elements) + self.units(state * used.any(-1))


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
    worth[Role.SPECIES, species, 0] = 1
    worth[Role.SPECIES, species, 1] = masses()[numbers]
    worth[Role.SPECIES, species, 2] = masses()[numbers] * np.nan_to_num(production())[numbers] / 1000
    values = tokenizer.lattice_values(np.repeat(np.arange(vocab.bins + 1)[:, None], 6, axis=1))
    for i in range(3):
        worth[Role.A + i, vocab.first_number :, 3] = np.log(values[:, i])
        worth[Role.ALPHA + i, vocab.first_number :, 4 + i] = np.cos(np.radians(values[:, 3 + i]))
    element_of = np.zeros(len(vocab), dtype=np.int64)
    element_of[species] = numbers
    return torch.from_numpy(worth), torch.from_numpy(element_of)
