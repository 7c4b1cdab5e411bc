"""The mask of hard constraints: for each sentence, the species from which the constraints can still be met.

A sentence's standing is a small state (atoms so far, their charge); what may follow depends on it alone. States are
found as sampling meets them, and each one's mask is worked out once and kept in a table, so that a step of sampling
looks up rows of the table and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from materium.generate.constraints import Composition, Constraints
    from materium.tokens.grammar import Grammar
    from materium.tokens.vocab import Species, Vocabulary

Standing: TypeAlias = tuple[tuple[int, ...], int, int]
"""What decides the rest: atoms of each element (or of each required one), their charge, and the last element's rank."""


class Automaton:
    """The states of sentences under one set of constraints; state 0 is the empty one."""

    def __init__(self, constraints: Constraints, vocab: Vocabulary) -> None:
        """Start with the empty state, from which some sentence can always keep the constraints.

        Contradictions are refused where constraints are made, and neutral is always possible: every element has a token
        without charge.
        """
        self.species = vocab.species
        self.rules: Rules = FixedContent(constraints, vocab) if constraints.compositions else Open(constraints, vocab)
        self.ids: dict[Standing, int] = {}
        self.standings: list[Standing] = []
        self.following: list[dict[int, int]] = []
        self.table = np.zeros((64, len(vocab.species) + 1), dtype=bool)
        self._id(self.rules.start)

    def legal(self, states: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which species may come next and, last, whether the atoms may end; shape (B, species + 1)."""
        return self.table[states]

    def advance(self, state: int, species: int) -> int:
        """Return the state after a species, by its place in the vocabulary's list."""
        known = self.following[state]
        if species not in known:
            known[species] = self._id(self.rules.after(self.standings[state], self.species[species]))
        return known[species]

    def _id(self, standing: Standing) -> int:
        """The number of a standing; a new one is entered into the table."""
        if standing not in self.ids:
            number = self.ids[standing] = len(self.standings)
            self.standings.append(standing)
            self.following.append({})
            if number == len(self.table):
                self.table = np.concatenate([self.table, np.zeros_like(self.table)])
            self.table[number, :-1] = self.rules.allowed(standing)
            self.table[number, -1] = self.rules.may_end(standing)
        return self.ids[standing]


class Rules(ABC):
    """What a standing is made of, and what may follow it."""

    start: Standing

    @abstractmethod
    def after(self, standing: Standing, species: Species) -> Standing:
        """Return the standing after one more atom."""

    @abstractmethod
    def allowed(self, standing: Standing) -> NDArray[np.bool_]:
        """Return after which species the constraints can still be met, shape (species,)."""

    @abstractmethod
    def may_end(self, standing: Standing) -> bool:
        """Return whether they are met."""


class FixedContent(Rules):
    """One of several exact contents of the cell must come out."""

    def __init__(self, constraints: Constraints, vocab: Vocabulary) -> None:
        """List the elements in the order in which they must stand."""
        self.neutral, self.sorted, self.species = constraints.neutral, constraints.direction != 0, vocab.species
        elements = sorted((z for z, _ in constraints.compositions[0]), key=lambda z: z * (constraints.direction or 1))
        self.place = {z: i for i, z in enumerate(elements)}
        self.own = [i for i, (z, _) in enumerate(vocab.species) if z in self.place]
        self.contents = [_counts(composition, elements) for composition in constraints.compositions]
        self.states = [[s for z, s in vocab.species if z == element] for element in elements]
        self.start = ((0,) * len(elements), 0, 0)

    def after(self, standing: Standing, species: Species) -> Standing:
        """Count the atom and its charge."""
        counts, charge, _ = standing
        place = self.place[species[0]]
        more = tuple(count + (i == place) for i, count in enumerate(counts))
        return more, charge + self.neutral * species[1], 0

    def allowed(self, standing: Standing) -> NDArray[np.bool_]:
        """Try each species of the formula."""
        result = np.zeros(len(self.species), dtype=bool)
        for i in self.own:
            result[i] = self._possible(self.after(standing, self.species[i]))
        return result

    def may_end(self, standing: Standing) -> bool:
        """Whether the content is complete, and neutral."""
        return standing[0] in self.contents and standing[1] == 0

    def _possible(self, standing: Standing) -> bool:
        """Whether some content fits what stands there, and the rest can balance its charge."""
        counts, charge, _ = standing
        return any(
            self._fits(counts, content)
            and (not self.neutral or -charge in self._charges(tuple(np.subtract(content, counts).tolist())))
            for content in self.contents
        )

    def _fits(self, counts: tuple[int, ...], content: tuple[int, ...]) -> bool:
        """Whether no element has too many atoms and, where they are sorted, no earlier one too few."""
        last = max((i for i, count in enumerate(counts) if count), default=0) if self.sorted else 0
        return counts[:last] == content[:last] and all(c <= most for c, most in zip(counts, content, strict=True))

    @cache  # noqa: B019 - as long as the automaton
    def _charges(self, rest: tuple[int, ...]) -> frozenset[int]:
        """Every charge that the atoms still to come can have in sum."""
        totals = frozenset({0})
        for states, atoms in zip(self.states, rest, strict=True):
            for _ in range(atoms):
                totals = frozenset(t + s for t in totals for s in states)
        return totals


class Open(Rules):
    """Any content of allowed elements, with required ones, within a number of atoms.

    Sums of charges are rows of flags: entry Q + q stands for the charge q, Q being the largest that can occur.
    """

    def __init__(self, constraints: Constraints, vocab: Vocabulary) -> None:
        """Rank the allowed elements."""
        self.neutral, self.sites = constraints.neutral, constraints.sites
        self.sorted = constraints.direction != 0
        elements = sorted(constraints.allowed, key=lambda z: z * (constraints.direction or 1))
        self.rank = {z: i for i, z in enumerate(elements)}
        self.required = sorted(self.rank[z] for z in constraints.required)
        self.ranks = np.array([self.rank.get(z, -1) for z, _ in vocab.species])
        self.charges = np.array([state * self.neutral for _, state in vocab.species])
        self.states = [np.unique(self.charges[self.ranks == rank]).tolist() for rank in range(len(elements))]
        self.largest = int(np.abs(self.charges).max()) * self.sites[1]
        self.start = ((0,) * (1 + len(self.required)), 0, -1)
        self.within = self._within() if self.sorted else np.zeros((0, 0, 0), dtype=bool)
        self.totals = self._totals()

    def after(self, standing: Standing, species: Species) -> Standing:
        """Count the atom, tick off a required element, note its rank."""
        (atoms, *found), charge, last = standing
        rank = self.rank[species[0]]
        ticks = [max(tick, int(place == rank)) for tick, place in zip(found, self.required, strict=True)]
        return (atoms + 1, *ticks), charge + self.neutral * species[1], rank if self.sorted else last

    def may_end(self, standing: Standing) -> bool:
        """Whether there are enough atoms, all required elements, and no charge."""
        (atoms, *found), charge, _ = standing
        return self.sites[0] <= atoms and all(found) and charge == 0

    def allowed(self, standing: Standing) -> NDArray[np.bool_]:
        """Look up, for each species, whether further atoms can bring what is missing then, and balance the charge."""
        (atoms, *found), charge, last = standing
        missing = tuple(place for place, tick in zip(self.required, found, strict=True) if not tick)
        if atoms >= self.sites[1]:
            return np.zeros(len(self.ranks), dtype=bool)
        balance = self.largest - charge - self.charges
        inside = (balance >= 0) & (balance <= 2 * self.largest) & (self.ranks >= 0)
        balance = balance.clip(0, 2 * self.largest)
        if self.sorted:
            furthest = missing[0] if missing else len(self.rank)
            inside &= (self.ranks >= last) & (self.ranks <= furthest)
            fits: NDArray[np.bool_] = inside & self._reach_sorted(atoms + 1)[self.ranks, balance]
            return fits
        result: NDArray[np.bool_] = inside & self._reach(missing, atoms + 1)[balance]
        for place in missing:
            own = self.ranks == place
            rest = self._reach(tuple(other for other in missing if other != place), atoms + 1)
            result[own] = inside[own] & rest[balance[own]]
        return result

    def _further(self, atoms: int) -> slice:
        """How many atoms may still come."""
        return slice(max(0, self.sites[0] - atoms), self.sites[1] - atoms + 1)

    @cache  # noqa: B019 - as long as the automaton
    def _reach_sorted(self, atoms: int) -> NDArray[np.bool_]:
        """Sums that atoms after `atoms` ones can have, the last one's rank being given, shape (ranks, 2 Q + 1)."""
        reach: NDArray[np.bool_] = np.any(self.within[:, self._further(atoms)], axis=1)
        return reach

    @cache  # noqa: B019 - as long as the automaton
    def _reach(self, missing: tuple[int, ...], atoms: int) -> NDArray[np.bool_]:
        """Sums that atoms after `atoms` ones can have, the missing elements among them, shape (2 Q + 1,)."""
        further = self._further(atoms)
        counts = slice(max(0, further.start - len(missing)), max(0, further.stop - len(missing)))
        sums: NDArray[np.bool_] = np.any(self.totals[counts], axis=0)
        for place in missing:
            sums = self._plus(sums, self.states[place])
        return sums

    def _plus(self, sums: NDArray[np.bool_], states: list[int]) -> NDArray[np.bool_]:
        """The sums with one more atom, in any of its states; Q is so large that nothing is shifted out."""
        more, size = np.zeros_like(sums), len(sums)
        for state in states:
            more[max(state, 0) : size + min(state, 0)] |= sums[max(-state, 0) : size - max(state, 0)]
        return more

    def _totals(self) -> NDArray[np.bool_]:
        """For 0, 1, … atoms of any allowed elements, their sums, shape (atoms + 1, 2 Q + 1)."""
        every = sorted(set().union(*self.states))
        totals = np.zeros((self.sites[1] + 1, 2 * self.largest + 1), dtype=bool)
        totals[0, self.largest] = True
        for atoms in range(self.sites[1]):
            totals[atoms + 1] = self._plus(totals[atoms], every)
        return totals

    def _within(self) -> NDArray[np.bool_]:
        """For each rank and number of atoms, the sums of atoms from this rank on, of which one stands there already.

        Shape (ranks, atoms + 1, 2 Q + 1). All required elements after the rank are among the atoms.
        """
        most = self.sites[1]
        within = np.zeros((len(self.rank), most + 1, 2 * self.largest + 1), dtype=bool)
        ahead = np.zeros_like(within[0])  # of atoms from the next rank on, of which none stands there yet
        ahead[0, self.largest] = True
        for rank in reversed(range(len(self.rank))):
            begun = np.zeros_like(ahead)  # with at least one further atom of this rank
            for atoms in range(1, most + 1):
                begun[atoms] = self._plus(begun[atoms - 1] | ahead[atoms - 1], self.states[rank])
            within[rank] = begun | ahead
            ahead = begun if rank in self.required else within[rank]
        return within


class Keeper:
    """The states of the sentences of a batch, each under its own constraints; None where there are none."""

    def __init__(self, automata: list[Automaton | None], grammar: Grammar) -> None:
        """Start every sentence in the empty state."""
        self.automata, self.grammar = automata, grammar
        self.states = np.zeros(len(automata), dtype=np.int64)

    def keep(self, rows: Tensor) -> None:
        """Drop all sentences but `rows`."""
        chosen = rows.tolist()
        self.automata, self.states = [self.automata[i] for i in chosen], self.states[chosen]

    def mask(self, role: Role, legal: Tensor, first: int, places: NDArray[np.int64]) -> Tensor:
        """Return the legal tokens less those from which a constraint could not be met.

        `legal`, shape (B, part), are those of the part of the vocabulary from token `first` on, for the sentences at
        `places`, in all of which `role` comes next; one row stands for all where they are alike.
        """
        starts, names = role == self.grammar.first_of_site, role == Role.SPECIES
        if not (starts or names):
            return legal
        table = torch.from_numpy(self._tables(places)).to(legal.device)
        vocab, result = self.grammar.tokenizer.vocab, legal.expand(len(places), -1).clone()
        marks, species = vocab.first_species - first, vocab.first_number - first
        if starts:
            result[:, :marks] &= table[:, -1:]
        if names:
            result[:, marks:species] &= table[:, :-1]
        else:
            result[:, marks:] &= table[:, :-1].any(dim=1, keepdim=True)
        return result

    def take(self, tokens: Tensor) -> None:
        """Note the tokens that were written; others than species change nothing."""
        vocab = self.grammar.tokenizer.vocab
        chosen = tokens.cpu().numpy() - vocab.first_species
        for row in np.flatnonzero((chosen >= 0) & (chosen < len(vocab.species))):
            automaton = self.automata[row]
            if automaton is not None:
                self.states[row] = automaton.advance(int(self.states[row]), int(chosen[row]))

    def _tables(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which species may come next in some sentences and, last, whether their atoms may end."""
        tables = np.ones((len(places), len(self.grammar.tokenizer.vocab.species) + 1), dtype=bool)
        ruling = [self.automata[place] for place in places]
        for automaton in {id(one): one for one in ruling if one is not None}.values():
            rows = np.array([one is automaton for one in ruling])
            tables[rows] = automaton.legal(self.states[places[rows]])
        return tables


def _counts(composition: Composition, elements: list[int]) -> tuple[int, ...]:
    counts = dict(composition)
    return tuple(counts[z] for z in elements)
