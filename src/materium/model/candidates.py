"""What may come next, weighed by what it would make of the sums: with weights that all elements and lengths share.

An embedding for each element has to learn for each of them that what a formula lacks should come. Here every
candidate is asked the same questions: does the formula lack it, how far is the index of production, or the density,
from its target once it stands there; does this length fill the room that the density leaves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from materium.crystal import GRAMS_PER_CM3
from materium.elements import masses, production
from materium.model.conditions import ANY_COUNT, LAYOUTS_OF_AN_ORDER
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import ORDERS, electronegativities
from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from materium.model.conditions import Conditions
    from materium.model.config import ModelConfig

NUMBERS = 8
QUESTIONS = 5 + NUMBERS
RULES = 3
FULL = RULES - 1
"""What never happens in a sentence that keeps what it was told: see `Candidates._broken`."""
BROKEN = -6.0
"""Score of a broken rule, before training moves it."""
HIDDEN = 16
FURTHEST = 3.0
"""Distances from a target beyond it are alike: thousands of the index, or the logarithm of the density."""
LENGTHS_LEFT = {Role.LATTICE: 3, Role.A: 2, Role.B: 1}
"""How many lengths have to fill the room after a token of this role."""


class Formula(NamedTuple):
    """What a formula, in the fewest whole units that hold what is written, or a chemical system still lacks.

    Attributes
    ----------
    lacking
        Atoms of each of its elements, (B, tokens, slots); 0 in slots that are not used.
    units
        Formula units, at least 1, (B, tokens).
    done
        Whether nothing is lacking, (B, tokens).
    """

    lacking: Tensor
    units: Tensor
    done: Tensor


def open_formula(written: Tensor, conditions: Conditions) -> Formula:
    """Return what is lacking; `written` are the atoms of each of its elements so far, (B, tokens, slots)."""
    used = (conditions.elements > 0)[:, None]
    by_unit = (conditions.counts != ANY_COUNT)[:, None]
    need = conditions.counts.clamp(min=1)[:, None].double()
    wanted = torch.where(by_unit, (written / need).ceil(), 1.0)
    one = written.new_ones(*written.shape[:2], 1)
    units = torch.cat([wanted, one], dim=-1).amax(-1)
    lacking = (units[..., None] * need - written).clamp(min=0) * used
    return Formula(lacking, units, (lacking == 0).all(-1))


class Candidates(nn.Module):
    """Scores to be added to the logits: of the elements, (B, tokens, elements), then of the waves of the lengths."""

    weights_of: Tensor
    production_of: Tensor
    columns: Tensor
    ranks: Tensor

    def __init__(self, config: ModelConfig, element_of: Tensor, waves: Tensor) -> None:
        """Take the element of each token, (tokens,), and the waves of the numbers, (numbers, 2 k)."""
        super().__init__()
        elements, width = int(element_of.max()) + 1, config.width
        self.max_sites = config.tokenizer.max_sites
        self.elements, self.waves = elements, waves.shape[1] // 2
        self.low, self.high = map(math.log, config.tokenizer.length_ranges[0])
        columns = torch.zeros(len(element_of), elements + 2 * self.waves)
        columns[:, :elements] = nn.functional.one_hot(element_of, elements) * (element_of > 0)[:, None]
        columns[-len(waves) :, elements:] = waves
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("weights_of", torch.from_numpy(masses()[:elements]), persistent=False)
        known = torch.from_numpy(np.nan_to_num(production())[:elements] / 1000)
        self.register_buffer("production_of", known, persistent=False)
        self.register_buffer("ranks", _ranks(elements), persistent=False)
        self.rules = nn.Parameter(torch.full((RULES,), BROKEN))
        self.ask = nn.Linear(QUESTIONS, HIDDEN)
        self.answer = nn.Parameter(torch.zeros(HIDDEN))
        self.answer_here = nn.Linear(width, HIDDEN, bias=False)
        self.bump = nn.Embedding(2 * len(Role), 2 * self.waves)
        self.bump_here = nn.Linear(width, 2 * self.waves, bias=False)

    def initialise(self) -> None:
        """Set the weights so that nothing is said yet."""
        nn.init.normal_(self.ask.weight, std=0.7)
        nn.init.zeros_(self.answer)
        for layer in (self.answer_here, self.bump, self.bump_here):
            nn.init.zeros_(layer.weight)

    def forward(self, hidden: Tensor, roles: Tensor, told: Told) -> Tensor:
        """Return the scores, (B, tokens, elements + waves); `columns` says which token takes which of them."""
        of_elements = self._elements(hidden, told).expand(-1, -1, self.elements)
        return torch.cat([of_elements, self._lengths(hidden, roles, told).to(of_elements.dtype)], dim=-1)

    def at(self, role: Role, span: slice, outlook: Outlook) -> Tensor | None:
        """Return what a part of the vocabulary gains where `role` comes next, (B, tokens, span); None for nothing.

        Lengths and angles gain alike, for the roles of the tokens tell them apart.
        """
        if outlook.told is not None and role == Role.SPECIES:
            gained, columns = self._elements(outlook.hidden, outlook.told), self.columns[span, : self.elements]
            return gained * columns.sum(1) if gained.shape[-1] == 1 else gained @ columns.T
        if outlook.told is not None and role in (Role.A, Role.B, Role.C):
            return self._lengths(outlook.hidden, outlook.roles, outlook.told) @ self.columns[span, self.elements :].T
        return None

    def _elements(self, hidden: Tensor, told: Told) -> Tensor:
        """The scores of the elements, (B, tokens, elements), or (B, tokens, 1) where no question tells them apart."""
        sums, conditions, aims = told
        weights = self.answer + self.answer_here(hidden)
        if aims is None and not conditions.elements.shape[1]:
            answers = nn.functional.silu(self.ask(self.ask.weight.new_zeros(1, 1, 1, QUESTIONS)))
            scores = (answers * weights[..., None, :]).sum(-1)
            return scores + torch.where(_full(sums, conditions), self.rules[FULL], 0.0)
        found = open_formula(sums.written, conditions)
        questions = torch.stack([*self._formula(found, conditions), *self._numbers(sums, aims)], dim=-1)
        answers = nn.functional.silu(self.ask(questions))
        scores = (answers * weights[..., None, :]).sum(-1)
        for broken, cost in zip(self._broken(found, sums, conditions), self.rules, strict=True):
            scores = scores + torch.where(broken, cost, 0.0)
        return scores

    def _formula(self, found: Formula, conditions: Conditions) -> list[Tensor]:
        """Five questions about the formula, each (B, tokens, elements)."""
        place = nn.functional.one_hot(conditions.elements, self.elements).double()
        named = place.sum(1)[:, None].expand(-1, found.units.shape[1], -1) > 0
        lacking = found.lacking @ place
        told = (conditions.elements > 0).any(-1)[:, None, None]
        done = found.done[..., None]
        questions = [
            told & ~named,
            named & (lacking > 0),
            lacking.log1p(),
            named & (lacking == 0) & ~done,
            named & done,
        ]
        return [question.float() for question in questions]

    def _broken(self, found: Formula, sums: Sums, conditions: Conditions) -> tuple[Tensor, Tensor, Tensor]:
        """Which elements would break each of the `RULES`, (B, tokens, elements).

        Units of the formula begin that have no room; an element comes although one that stands before it in the order
        of the sites is lacking; the number of sites that was told is reached.
        """
        ranks = self.ranks[conditions.layout // LAYOUTS_OF_AN_ORDER]
        of_slots = ranks.gather(1, conditions.elements)[:, None]
        first = torch.where(found.lacking > 0, of_slots, torch.inf)
        none = torch.full_like(found.units, torch.inf)[..., None]
        early = ranks[:, None] > torch.cat([first, none], dim=-1).amin(-1, keepdim=True)
        return self._no_room(found, sums, conditions), early, _full(sums, conditions).expand_as(early)

    def _no_room(self, found: Formula, sums: Sums, conditions: Conditions) -> Tensor:
        """Whether one atom more of each element begins units that do not fit, (B, tokens, elements)."""
        place = nn.functional.one_hot(conditions.elements, self.elements).double()
        need = conditions.counts.double()
        begun = ((sums.written + 1) / need[:, None].clamp(min=1)).ceil() @ place
        units = torch.maximum(begun, found.units[..., None])
        return units * need.sum(1)[:, None, None] > self.max_sites

    def _numbers(self, sums: Sums, aims: Targets | None) -> list[Tensor]:
        """Eight questions about the index of production and the density, each (B, tokens, elements)."""
        if aims is None:
            return [sums.mass.new_zeros(*sums.mass.shape, self.elements, dtype=torch.float32)] * NUMBERS
        mass, filled = sums.mass[..., None], sums.filled[..., None]
        after = (sums.weighted[..., None] + self.weights_of * self.production_of) / (mass + self.weights_of).clamp(
            min=1
        )
        now = sums.weighted[..., None] / mass.clamp(min=1)
        dense = ((mass + self.weights_of).clamp(min=1) / (filled + sums.volume_of).clamp(min=1)).log()
        dense_now = (mass.clamp(min=1) / filled.clamp(min=1)).log()
        pairs = ((after, now, aims.production), (dense, dense_now, aims.density))
        return [
            question for later, before, target in pairs for question in _closeness(later, before, target[:, None, None])
        ]

    def _lengths(self, hidden: Tensor, roles: Tensor, told: Told) -> Tensor:
        """Waves of the room for the next length: of what the density leaves, or of what the species fill."""
        sums, aims = told.sums, told.targets
        wanted, given = sums.filled.clamp(min=1).log(), roles.new_zeros(1, dtype=torch.bool)
        if aims is not None:
            by_density = sums.mass.clamp(min=1).log() - aims.density[:, None]
            given = ~by_density.isnan()
            wanted = torch.where(given, by_density, wanted)
        left = torch.zeros_like(wanted)
        for role, count in LENGTHS_LEFT.items():
            left = torch.where(roles == role, float(count), left)
        room = (wanted - sums.volume) / left.clamp(min=1)
        turns = (2 * math.pi / (self.high - self.low)) * torch.arange(1, self.waves + 1, device=roles.device)
        angles = ((room - self.low)[..., None] * turns).float()
        bump = self.bump(2 * roles + given) + self.bump_here(hidden)
        along, across = bump.chunk(2, dim=-1)
        sine, cosine = angles.sin(), angles.cos()
        result = torch.cat([along * sine - across * cosine, along * cosine + across * sine], dim=-1)
        return result * (left > 0)[..., None]


class Sums(NamedTuple):
    """What stands up to each token, (B, tokens) unless another shape is named; units as in `materium.model.tally`.

    Attributes
    ----------
    atoms, mass, weighted, filled
        Sites, u, u times index / 1000, and Å³ that the species fill.
    volume
        ln of the cell's volume over Å³; parameters that do not stand yet count as 1 Å and 90 degrees.
    written
        Atoms of each element of the formula, (B, tokens, slots).
    volume_of
        Å³ that an atom of each element fills, (elements,).
    """

    atoms: Tensor
    mass: Tensor
    weighted: Tensor
    filled: Tensor
    volume: Tensor
    written: Tensor
    volume_of: Tensor

    def keep(self, rows: Tensor | slice) -> Sums:
        """Return the sums of some sentences."""
        return Sums._make([*(part[rows] for part in self[:-1]), self.volume_of])

    def at(self, rows: Tensor, columns: Tensor) -> Sums:
        """Return the sums of single tokens, sentences of one token each."""
        return Sums._make([*(part[rows, columns][:, None] for part in self[:-1]), self.volume_of])


class Targets(NamedTuple):
    """The index of production over 1000 and ln of the density in u/Å³ that are told, (B,), NaN where none is."""

    production: Tensor
    density: Tensor

    def keep(self, rows: Tensor | slice) -> Targets:
        """Return the targets of some sentences."""
        return Targets(self.production[rows], self.density[rows])


class Told(NamedTuple):
    """What stands up to each token, and what the sentences are told; no targets where none has any."""

    sums: Sums
    conditions: Conditions
    targets: Targets | None

    def keep(self, rows: Tensor | slice) -> Told:
        """Return what some sentences are told."""
        return Told(self.sums.keep(rows), self.conditions[rows], self.targets and self.targets.keep(rows))

    def at(self, rows: Tensor, columns: Tensor) -> Told:
        """Return what single tokens are told, sentences of one token each."""
        return Told(self.sums.at(rows, columns), self.conditions[rows], self.targets and self.targets.keep(rows))


class Outlook(NamedTuple):
    """What stands after each token, before any candidate is weighed.

    Attributes
    ----------
    hidden, roles
        Shape (B, tokens, width), and the roles of the tokens, (B, tokens).
    told
        What candidates are asked about; None in networks without a tally.
    """

    hidden: Tensor
    roles: Tensor
    told: Told | None = None

    def keep(self, rows: Tensor | slice) -> Outlook:
        """Return the outlook of some sentences."""
        return Outlook(self.hidden[rows], self.roles[rows], self.told and self.told.keep(rows))

    def at(self, chosen: Tensor) -> Outlook:
        """Return the outlook of single tokens, where `chosen`, (B, tokens), is true: a sentence of one token each."""
        rows, columns = chosen.nonzero(as_tuple=True)  # once: a mask would be turned into them for each part
        told = self.told and self.told.at(rows, columns)
        return Outlook(self.hidden[rows, columns][:, None], self.roles[rows, columns][:, None], told)


def targets(conditions: Conditions) -> Targets | None:
    """Return what the candidates' numbers are compared with; None where no sentence is told any."""
    scalars = {name: conditions.scalars[:, i].double() for i, name in enumerate(scalar_names())}
    density = scalars["density"].clamp(min=1e-3) * (table()["density"].scale / GRAMS_PER_CM3)
    found = Targets(scalars["hhi"] * (table()["hhi"].scale / 1000), density.log())
    return None if bool(torch.cat(found).isnan().all()) else found


def _full(sums: Sums, conditions: Conditions) -> Tensor:
    """Whether the number of sites that was told is reached, (B, tokens, 1)."""
    return sums.atoms[..., None] >= conditions.scalars[:, scalar_names().index("num_sites"), None, None]


def _ranks(elements: int) -> Tensor:
    """Where each element comes in each site order, (orders, elements), the smaller the earlier; all alike in some."""
    numbers = torch.arange(elements, dtype=torch.float64)
    known = {"high": -numbers, "low": numbers, "electronegativity": torch.from_numpy(electronegativities()[:elements])}
    return torch.stack([known.get(order, torch.zeros_like(numbers)) for order in ORDERS])


def _closeness(later: Tensor, before: Tensor, target: Tensor) -> list[Tensor]:
    """Whether there is a target, how far a candidate leaves it, either way and at all, and what it gains."""
    off, was = later - target, (before - target).abs()
    given = ~target.isnan()
    questions = [off, off.abs(), off.abs() - was]
    bounded = [question.nan_to_num(0.0).clamp(-FURTHEST, FURTHEST).float() for question in questions]
    return [given.expand_as(later).float(), *bounded]
