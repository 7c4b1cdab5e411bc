"""The plan of a request: which structure answers which combination of targets, told what, kept to what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from materium.generate import targets
from materium.generate.automaton import Automaton
from materium.generate.constraints import constraints_of
from materium.generate.targets import Range, composition_slots
from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from materium.generate.constraints import Constraints
    from materium.generate.request import Request
    from materium.generate.targets import Target, Value
    from materium.model.conditions import Conditions
    from materium.model.config import Seen
    from materium.tokens.tokenizer import Tokenizer

DRAWS = 1
"""Stream of the random numbers from which targets are drawn; those of the tokens are stream 0."""


@dataclass(frozen=True)
class Plan:
    """A request, with the model that is to answer it.

    Structures are numbered through, combination by combination. Structure k of a combination is the structure k that a
    request for this combination alone would write.
    """

    request: Request
    seen: Mapping[str, Seen]
    tokenizer: Tokenizer

    @cached_property
    def cells(self) -> list[dict[str, Target]]:
        """Every combination of the targets."""
        return self.request.cells

    def check(self) -> None:
        """Refuse what no structure can keep, or be told, before anything is written.

        Raises
        ------
        RequestError
            If constraints contradict each other, or a range holds nothing.
        """
        for number in range(len(self.cells)):
            index = number * self.request.n
            self.targets(index)
            self.automata([index])

    def cell(self, index: int) -> int:
        """Return the number of the combination that a structure answers."""
        return index // self.request.n

    def within(self, index: int) -> int:
        """Return the number of a structure within its combination: what its random numbers follow from."""
        return index % self.request.n

    def targets(self, index: int) -> dict[str, Value]:
        """Return the targets of a structure, those drawn that are ranges; a range that the mask keeps is no target."""
        values = self.cells[self.cell(index)]
        kept = {"num_sites"} if isinstance(values.get("num_sites"), Range) and not self.request.soft else set()
        chosen = [name for name in values if name not in kept]
        return {name: self._value(name, values[name], self.within(index)) for name in chosen}

    def told(self, indices: Sequence[int]) -> Conditions:
        """Return the conditions of structures with equally many elements in their formula; see `batches`."""
        return targets.told([self._told(index) for index in indices], self.request.layout)

    def automata(self, indices: Sequence[int]) -> list[Automaton | None]:
        """Return what keeps the constraints of each structure; None where there are none.

        Raises
        ------
        RequestError
            If no structure can keep the constraints of some combination.
        """
        return [self._automata[self.cell(index)] for index in indices]

    def batches(self, start: int, size: int) -> Iterator[range]:
        """Yield the structures from `start` on, at most `size` at a time, with equally many slots for elements."""
        while start < self.request.total:
            end = min(start + size, self.request.total)
            slots = self._slots(start)
            end = next((index for index in range(start, end) if self._slots(index) != slots), end)
            yield range(start, end)
            start = end

    def _told(self, index: int) -> dict[str, Value]:
        """What a structure is told: hints, and targets as the model must hear them."""
        aims, asked = self.request.aims, self.targets(index)
        return {**self.request.hints, **{k: aims[k].told(v) if k in aims else v for k, v in asked.items()}}

    @cached_property
    def _automata(self) -> list[Automaton | None]:
        made: dict[Constraints, Automaton | None] = {}
        limit, vocab = self.tokenizer.config.max_sites, self.tokenizer.vocab
        asked = [constraints_of(self.request, cell, vocab, limit) for cell in self.cells]
        for constraints in asked:
            if constraints not in made:
                made[constraints] = None if constraints.free else Automaton(constraints, vocab)
        return [made[constraints] for constraints in asked]

    def _slots(self, index: int) -> int:
        return self._slots_of_cells[self.cell(index)]

    @cached_property
    def _slots_of_cells(self) -> list[int]:
        return [len(composition_slots(cell)) for cell in self.cells]

    def _value(self, name: str, target: Target, index: int) -> Value:
        """A target as it is, or drawn evenly from its range."""
        if not isinstance(target, Range):
            return target
        low, high = target.closed(name, self.seen.get(name))
        key = [self.request.seed, index]
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, DRAWS, _stream(name)]))
        if table()[name].kind == "category":
            return int(generator.integers(int(low), int(high) + 1))
        return float(generator.uniform(low, high))


def _stream(name: str) -> int:
    return list(table()).index(name)
