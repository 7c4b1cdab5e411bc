"""The grammar: which token may come next, for many sentences at once, so that whatever is sampled can be read.

A sentence walks through roles. Within a site and within the lattice the next role is fixed; after a site the
sentence chooses between another species and the end of its atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import floor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from materium.crystal import MIN_DISTANCE
from materium.tokens.vocab import ATOMS, EOS, LATTICE, PAD, SOS, Role

if TYPE_CHECKING:
    from materium.tokens.tokenizer import Tokenizer, TokenizerConfig

MIN_CELL_FACTOR = 0.6
"""Volume over a·b·c that the angles must leave; reduced cells have at least 0.707 (60°, 60°, 60°), flat cells 0."""

SEPARATION_KEPT = 0.9
"""Share of the smallest separation seen in training that new sites must keep."""


@dataclass
class State:
    """Where each of B sentences stands.

    Parameters
    ----------
    role
        The role that comes next, shape (B,); `Role.SPECIES` stands for "another site or the end of the atoms".
    sites
        Sites written so far, shape (B,).
    angles
        Grid points of α and β, shape (B, 2).
    lattice_first
        Whether the lattice stands before the atoms, shape (B,).
    points
        Grid points of the coordinates written so far, shape (B, sites, 3); rows beyond `sites` mean nothing.
    """

    role: Tensor
    sites: Tensor
    angles: Tensor
    lattice_first: Tensor
    points: Tensor

    def keep(self, rows: Tensor | slice) -> State:
        """Return the state of some of the sentences."""
        return State(*(getattr(self, f.name)[rows] for f in fields(self)))


class Grammar:
    """The state machine of the sentences that a `Tokenizer` writes."""

    def __init__(self, tokenizer: Tokenizer, device: torch.device | str = "cpu", *, site_separation: int = 0) -> None:
        """Build the table of legal tokens for each role on `device`; see `ModelConfig.site_separation`."""
        self.tokenizer = tokenizer
        self.device = torch.device(device)
        legal = self._legal()
        self.legal = legal.to(self.device)
        self.following = self._following().to(self.device)
        self.cosines = self._angle_cosines().to(self.device)
        self.reach = max(coincidence_reach(tokenizer.config), _kept_separation(tokenizer.config.bins, site_separation))
        site_roles = [Role.SPECIES, Role.X, Role.Y, Role.Z]
        self.first_of_site = Role.SPECIES if tokenizer.config.species_first else Role.X
        self.last_of_site = site_roles[-1] if tokenizer.config.species_first else Role.SPECIES
        self.spans = [self._span(Role(role), tokens.nonzero()[:, 0].tolist()) for role, tokens in enumerate(legal)]

    def start(self, lattice_first: Tensor) -> State:
        """Return the state before [SOS] of sentences, `lattice_first` of shape (B,)."""
        size, most = len(lattice_first), self.tokenizer.config.max_sites

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(size, *shape, dtype=torch.long, device=self.device)

        return State(zeros(), zeros(), zeros(2), lattice_first, zeros(most, 3))

    def mask(self, state: State) -> Tensor:
        """Return which tokens may come next, bool, shape (B, tokens)."""
        mask = self.legal[state.role].clone()
        at_site = state.role == self.first_of_site
        end = self.end(state.lattice_first)
        allowed_end = at_site & (state.sites > 0)
        mask.scatter_(1, end[:, None], allowed_end[:, None] | mask.gather(1, end[:, None]))
        full = at_site & (state.sites >= self.tokenizer.config.max_sites)
        body = self.legal[self.first_of_site]
        mask &= ~(full[:, None] & body)
        at_gamma = (state.role == Role.GAMMA)[:, None]
        first = self.tokenizer.vocab.first_number
        mask[:, first:] &= ~at_gamma | self._open_gamma(state.angles)
        if self.reach >= 0:
            mask[:, first : first + self.tokenizer.config.bins] &= ~self._taken(state)
        return mask

    def mask_at(self, role: Role, state: State) -> Tensor:
        """Return what `mask` does, within `spans[role]`, for sentences in all of which `role` comes next.

        One row stands for all sentences where they are alike.
        """
        span, first = self.spans[role], self.tokenizer.vocab.first_number
        mask = self.legal[role, span][None]
        if role == self.first_of_site:
            mask = mask & (state.sites < self.tokenizer.config.max_sites)[:, None]
            end = self.end(state.lattice_first) - span.start
            mask.scatter_(1, end[:, None], (state.sites > 0)[:, None])
        if role == Role.GAMMA:
            mask = mask & self._open_gamma(state.angles)[:, span.start - first :]
        if role == Role.Z and self.reach >= 0:
            mask = mask & ~self._taken(state)
        return mask

    def end(self, lattice_first: Tensor) -> Tensor:
        """Return the token that ends the atoms of each sentence, shape (B,)."""
        return torch.where(lattice_first, EOS, LATTICE)

    def axis(self, role: Role) -> slice:
        """Return the places within `spans[role]` of the grid points of a coordinate or a lattice parameter."""
        span, first = self.spans[role], self.tokenizer.vocab.first_number
        return slice(first - span.start, span.stop - span.start)

    def advance(self, state: State, tokens: Tensor) -> State:
        """Return the state after each sentence has taken its token, shape (B,)."""
        role = self.following[state.role]
        ends = self._ends(state, tokens)
        role = torch.where(ends, torch.where(state.lattice_first, Role.PAD, Role.A), role)
        role = torch.where((state.role == Role.SOS) & state.lattice_first, Role.LATTICE, role)
        role = torch.where((state.role == Role.GAMMA) & state.lattice_first, Role.ATOMS, role)
        sites = state.sites + (state.role == self.last_of_site) * ~ends
        return State(
            role, sites, self._noted_angles(state, tokens), state.lattice_first, self._noted_points(state, tokens)
        )

    def roles(self, tokens: Tensor, lattice_first: Tensor) -> Tensor:
        """Return the role of every token of legal sentences, shape (B, tokens); padding has `Role.PAD`."""
        state = self.start(lattice_first)
        roles = []
        for column in tokens.T:
            roles.append(self.role_of(state, column))
            state = self.advance(state, column)
        return torch.stack(roles, dim=1)

    def role_of(self, state: State, tokens: Tensor) -> Tensor:
        """Return the role of the tokens that are taken in a state, shape (B,)."""
        mark = torch.where(tokens == LATTICE, Role.LATTICE, Role.EOS)
        return torch.where(self._ends(state, tokens), mark, state.role)

    def _ends(self, state: State, tokens: Tensor) -> Tensor:
        """Whether a sentence takes the end of its atoms where another site could begin."""
        return (state.role == self.first_of_site) & ((tokens == LATTICE) | (tokens == EOS))

    def _noted_angles(self, state: State, tokens: Tensor) -> Tensor:
        points = (tokens - self.tokenizer.vocab.first_number).clamp(min=0)
        is_angle = torch.stack([state.role == Role.ALPHA, state.role == Role.BETA], dim=1)
        return torch.where(is_angle, points[:, None], state.angles)

    def _noted_points(self, state: State, tokens: Tensor) -> Tensor:
        """The coordinates with the one that is just written, at its site and axis."""
        point = (tokens - self.tokenizer.vocab.first_number).clamp(min=0)
        axis = torch.arange(3, device=self.device) == (state.role - Role.X)[:, None]
        site = torch.arange(state.points.shape[1], device=self.device) == state.sites[:, None]
        return torch.where(site[:, :, None] & axis[:, None, :], point[:, None, None], state.points)

    def _taken(self, state: State) -> Tensor:
        """Which z lie within `reach` of an earlier site whose x and y do too, shape (B, bins)."""
        bins = self.tokenizer.config.bins
        rows = torch.arange(len(state.role), device=self.device)
        own = state.points[rows, state.sites.clamp(max=state.points.shape[1] - 1), :2]
        apart = (state.points[:, :, :2] - own[:, None]).abs()
        near = (torch.minimum(apart, bins - apart) <= self.reach).all(dim=2)
        earlier = torch.arange(state.points.shape[1], device=self.device) < state.sites[:, None]
        blocking = near & earlier & (state.role == Role.Z)[:, None]
        lowest, more = (state.points[:, :, 2] - self.reach) % bins, blocking.to(torch.int8)
        changes = torch.zeros(len(rows), 2 * bins, dtype=torch.int8, device=self.device)
        changes.scatter_add_(1, lowest, more).scatter_add_(1, lowest + 2 * self.reach + 1, -more)
        within = changes.cumsum(1, dtype=torch.int8) > 0  # on an axis that goes around twice, for what passes its end
        taken = within[:, :bins] | within[:, bins:]
        return taken & ~taken.all(dim=1, keepdim=True)  # a full column would leave no token: better close than stuck

    def _legal(self) -> Tensor:
        vocab = self.tokenizer.vocab
        legal = torch.zeros(len(Role), len(vocab), dtype=torch.bool)
        marks = ((Role.SOS, SOS), (Role.ATOMS, ATOMS), (Role.LATTICE, LATTICE), (Role.EOS, EOS), (Role.PAD, PAD))
        for role, token in marks:
            legal[role, token] = True
        legal[Role.SPECIES, vocab.first_species : vocab.first_number] = True
        legal[Role.X : Role.Z + 1, vocab.first_number : vocab.first_number + vocab.bins] = True
        legal[Role.A : Role.GAMMA + 1, vocab.first_number :] = True
        return legal

    def _span(self, role: Role, tokens: list[int]) -> slice:
        """The part of the vocabulary that holds all that may come where `role` comes next, the ends of atoms too."""
        return slice(min(LATTICE, EOS, *tokens) if role == self.first_of_site else tokens[0], tokens[-1] + 1)

    def _following(self) -> Tensor:
        """The next role of each role; advance() mends the three that depend on the order of the parts."""
        table = torch.arange(len(Role)) + 1
        if self.tokenizer.config.species_first:
            table[Role.Z] = Role.SPECIES
        else:
            table[Role.ATOMS], table[Role.Z], table[Role.SPECIES] = Role.X, Role.SPECIES, Role.X
        table[Role.GAMMA] = Role.EOS
        table[Role.EOS] = table[Role.PAD] = Role.PAD
        return table

    def _open_gamma(self, angles: Tensor) -> Tensor:
        """Which γ leave a cell that is not flat beside the given α and β, shape (B, bins + 1)."""
        a, b = self.cosines[angles].unbind(dim=1)
        a, b, g = a[:, None], b[:, None], self.cosines[None, :]
        return 1 - a**2 - b**2 - g**2 + 2 * a * b * g > MIN_CELL_FACTOR**2

    def _angle_cosines(self) -> Tensor:
        points = torch.arange(self.tokenizer.config.bins + 1)
        low, high = self.tokenizer.config.angle_range
        return torch.cos(torch.deg2rad(low + (high - low) * points / self.tokenizer.config.bins))


def _kept_separation(bins: int, seen: int) -> int:
    """Steps within which new sites are refused; few crystals show large separations that others need not have."""
    return min(floor(SEPARATION_KEPT * seen), bins // 25) - 1


def coincidence_reach(config: TokenizerConfig) -> int:
    """Return within how many grid steps, in all three coordinates, two sites are closer than `MIN_DISTANCE`.

    It holds for every cell on the grid, so no real crystal is touched; one step is kept back for rounding. Negative
    where the grid is too coarse to tell.
    """
    longest = sum(high for _, high in config.length_ranges)
    return floor(MIN_DISTANCE * config.bins / longest) - 1
