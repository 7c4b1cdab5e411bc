"""Running totals of a sequence of orbits as features of each slot: a small network neither counts nor divides well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from materium.crystal import GRAMS_PER_CM3
from materium.elements import masses, production
from materium.model.conditions import waves
from materium.properties import scalar_names, table
from materium.tokens.orbit_vocab import Role

if TYPE_CHECKING:
    from materium.model.orbit_conditions import OrbitConditions
    from materium.model.orbit_config import OrbitModelConfig
    from materium.model.orbit_tensors import DistanceTensors, SlotTensors

HIDDEN = 128
MEAN_VOLUME = 17.0
"""Å³ of an atom, where training measured none."""
ATOMS, MASS, WEIGHTED, FILLED = range(4)


class PrefixFeatures(nn.Module):
    """Features of slots, (B, T, 2 width): added to what goes into the blocks, and to what comes out of them."""

    totals_of: Tensor

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make the layers, and the table of what an atom of each species adds to the totals."""
        super().__init__()
        numbers = np.array([0, *(z for z, _ in config.tokenizer.species)])
        volumes = np.array([0.0, *(config.volumes or [MEAN_VOLUME] * len(config.tokenizer.species))])
        mass = np.concatenate([[0.0], masses()[numbers[1:]]])
        index = np.concatenate([[0.0], np.nan_to_num(production())[numbers[1:]] / 1000])
        columns = np.stack([numbers > 0, mass, mass * index, volumes], axis=1)
        self.register_buffer("totals_of", torch.from_numpy(columns).float(), persistent=False)
        both = 2 * config.width
        plain, of_waves = 8, waves(torch.zeros(1)).shape[-1]
        self.hidden = nn.Linear(plain + 3 * (1 + of_waves), 2 * HIDDEN)
        self.role = nn.Embedding(len(Role), HIDDEN)
        self.out = nn.Linear(HIDDEN, both)
        self.lacking = nn.Embedding(len(numbers), both)
        self.amount = nn.Embedding(len(numbers), both)

    def initialise(self) -> None:
        """Draw the weights so that features say nothing at first."""
        nn.init.normal_(self.hidden.weight, std=self.hidden.in_features**-0.5)
        nn.init.normal_(self.role.weight)
        for layer in (self.out, self.lacking, self.amount):
            nn.init.zeros_(layer.weight)

    def forward(self, slots: SlotTensors, conditions: OrbitConditions) -> tuple[Tensor, Tensor]:
        """Return the features, and ln of the length in Å that each open length has if all are alike, (B, T, 2).

        The two are those by the volume that the species fill, and by the density that is given (NaN if none is).
        """
        with full_precision(slots.counts):
            totals = slots.counts @ self.totals_of[slots.components]  # (B, T, 4)
        atoms, mass, weighted, filled = totals.unbind(-1)
        given = {name: conditions.scalars[:, i, None] for i, name in enumerate(scalar_names())}
        density = given["density"].clamp(min=1e-3) * (table()["density"].scale / GRAMS_PER_CM3)
        index = weighted / mass.clamp(min=1)
        known, open_, shape = slots.cell.unbind(-1)
        volumes = torch.stack([filled.clamp(min=1).log(), mass.clamp(min=1).log() - density.log()], dim=-1)
        rest = volumes - (known + shape)[..., None]
        room = rest / open_.clamp(min=1)[..., None]
        lacking = slots.lacking.sum(-1)
        plain = torch.stack(
            [
                atoms.log1p(), mass.log1p() / 4, filled.log1p() / 4, index / 4, (known + shape) / 4, open_ / 3,
                lacking.log1p(), (slots.lacking > 0).sum(-1).to(mass.dtype) / 4,
            ],
            dim=-1,
        )  # fmt: skip
        compared = [index - given["hhi"] * (table()["hhi"].scale / 1000), rest[..., 0], rest[..., 1]]
        features = torch.cat([plain, *map(_given, compared)], dim=-1)
        value, gate = self.hidden(features).chunk(2, dim=-1)
        seen = self.out(value * nn.functional.silu(gate + self.role(slots.roles)))
        missing = (slots.lacking > 0).to(seen.dtype) @ self.lacking(slots.components)
        return seen + missing + slots.lacking.log1p() @ self.amount(slots.components), room


def _given(value: Tensor) -> Tensor:
    """Whether there is a value, and its waves; zeros where it is NaN."""
    there = ~value.isnan()[..., None]
    return torch.cat([there, torch.where(there, waves(value.nan_to_num(0.0).clamp(-8, 8)), 0.0)], dim=-1)


def full_precision(like: Tensor) -> torch.autocast:
    """Products in float32: in bfloat16 a mass, or a distance, has less than three digits."""
    return torch.autocast(like.device.type, enabled=False)


LENGTH_WAVES = 48


class LengthScores(nn.Module):
    """Scores of lengths by how they fill the room: waves of the candidate against shifted waves of the room."""

    columns: Tensor

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make the waves of the grid of lengths."""
        super().__init__()
        self.low, high = map(math.log, config.tokenizer.length_range)
        self.turns = 2 * math.pi / (high - self.low)
        angles = torch.arange(config.tokenizer.bins + 1)[:, None] * (2 * math.pi / config.tokenizer.bins)
        angles = angles * torch.arange(1, LENGTH_WAVES + 1)
        self.register_buffer("columns", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)
        self.bump = nn.Embedding(4 * 2, 2 * LENGTH_WAVES)
        self.bump_here = nn.Linear(config.width, 2 * LENGTH_WAVES, bias=False)

    def initialise(self) -> None:
        """Set the scores to 0."""
        for layer in (self.bump, self.bump_here):
            nn.init.zeros_(layer.weight)

    def forward(self, hidden: Tensor, room: Tensor, open_lengths: Tensor) -> Tensor:
        """Return scores (n, bins + 1) for hidden vectors (n, width), room (n, 2) and open lengths (n,)."""
        given = ~room[:, 1].isnan()
        length = torch.where(given, room[:, 1], room[:, 0])
        steps = torch.arange(1, LENGTH_WAVES + 1, device=hidden.device)
        angles = (length - self.low)[:, None] * self.turns * steps
        kind = open_lengths.long().clamp(0, 3) * 2 + given
        along, across = (self.bump(kind) + self.bump_here(hidden)).chunk(2, dim=-1)
        sine, cosine = angles.sin(), angles.cos()
        turned = torch.cat([along * sine - across * cosine, along * cosine + across * sine], dim=-1)
        with full_precision(hidden):
            return turned.float() @ self.columns.T


RATIOS = 10


class PositionScores(nn.Module):
    """Scores of Wyckoff positions by how often they fit into what the species still lacks."""

    sizes: Tensor

    def __init__(self, config: OrbitModelConfig, sizes: Tensor) -> None:
        """Take how many atoms of the primitive cell each position has, (positions,)."""
        super().__init__()
        self.register_buffer("sizes", sizes, persistent=False)
        self.ratio_here = nn.Linear(config.width, RATIOS)

    def initialise(self) -> None:
        """Set the scores to 0."""
        nn.init.zeros_(self.ratio_here.weight)

    def forward(self, hidden: Tensor, lacking: Tensor) -> Tensor:
        """Return scores (n, positions) for hidden vectors (n, width) and atoms that the species lacks (n,)."""
        ratio = lacking[:, None] / self.sizes
        whole = ratio == ratio.floor()
        kind = torch.where(whole, ratio.clamp(0, RATIOS - 1), 0.0).long()
        return self.ratio_here(hidden).gather(1, kind)


BINS = 96
CUTOFF = 2.8
"""Sums of the two covalent radii; farther atoms say nothing."""
STRIDE = 6
"""Distances are worked out at every sixth point of the grid, and interpolated between: a step of 1 % of an axis."""
PAIR = 32


class DistanceScores(nn.Module):
    """Scores of the last coordinate of an orbit: a function of species pair and distance, summed over the atoms.

    Distances are in sums of covalent radii (B. Cordero et al., Dalton Trans. 2832, 2008, as ASE has them), so that rare
    pairs begin with what is known of common ones.
    """

    radii: Tensor

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make the function: for each pair, a curve over `BINS` distances."""
        super().__init__()
        from ase.data import covalent_radii  # heavy for a module that everything imports

        numbers = [z for z, _ in config.tokenizer.species]
        radii = torch.tensor([1.0, *covalent_radii[numbers].tolist()], dtype=torch.float32)
        self.register_buffer("radii", radii, persistent=False)
        species = len(radii)
        self.bins = config.tokenizer.bins
        self.first, self.second = nn.Embedding(species, PAIR), nn.Embedding(species, PAIR)
        self.pair = nn.Linear(PAIR, 2 * PAIR)
        self.curve = nn.Linear(2 * PAIR, BINS)
        self.curve_here = nn.Linear(config.width, 2 * BINS)

    def initialise(self) -> None:
        """Set the scores to 0."""
        nn.init.normal_(self.first.weight, std=1.0)
        nn.init.normal_(self.second.weight, std=1.0)
        nn.init.zeros_(self.curve.weight)
        nn.init.zeros_(self.curve_here.weight)

    def forward(self, hidden: Tensor, contacts: DistanceTensors) -> Tensor:
        """Return scores (n, bins) for hidden vectors (n, width)."""
        with full_precision(hidden):
            return self._scores(hidden.float(), contacts)

    def _scores(self, hidden: Tensor, contacts: DistanceTensors) -> Tensor:
        places, weights = self._places(contacts)
        pair = self.first(contacts.own)[:, None] * self.second(contacts.sites) + self.second(contacts.own)[:, None] * (
            self.first(contacts.sites)
        )
        curves = self.curve(nn.functional.silu(self.pair(pair)))  # (n, J, BINS)
        of_others, of_images = self.curve_here(hidden).chunk(2, dim=-1)
        curves = curves + torch.where(contacts.image[..., None], of_images[:, None], of_others[:, None])
        curves = nn.functional.pad(curves * (contacts.sites > 0)[..., None], (0, 2))
        low, high = curves.gather(2, places), curves.gather(2, places + 1)
        coarse = torch.lerp(low, high, weights).sum(1)  # (n, bins / STRIDE)
        following = coarse.roll(-1, dims=1)
        steps = torch.arange(STRIDE, device=hidden.device, dtype=coarse.dtype) / STRIDE
        return torch.lerp(coarse[..., None], following[..., None], steps).flatten(1)

    @torch.no_grad()
    def _places(self, contacts: DistanceTensors) -> tuple[Tensor, Tensor]:
        """Where the distances at every `STRIDE`-th point lie on the curves, (n, J, bins / STRIDE), and between."""
        along = torch.arange(0, self.bins, STRIDE, device=contacts.start.device) / self.bins
        offsets = contacts.start[:, :, None] + contacts.step[:, :, None] * along[:, None]
        offsets = offsets - offsets.round()
        squares = ((offsets @ contacts.metric[:, None]) * offsets).sum(-1)
        sums = self.radii[contacts.own][:, None] + self.radii[contacts.sites]
        scaled = (squares.clamp(min=0).sqrt() / sums[..., None] * (BINS / CUTOFF)).clamp(max=BINS)
        places = scaled.floor()
        return places.long(), scaled - places
