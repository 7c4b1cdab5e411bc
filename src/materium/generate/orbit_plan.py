"""What each sequence of a run is conditioned on and held to, and how its tokens are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from materium.errors import RequestError
from materium.generate.orbit_draw import DrawSettings
from materium.generate.targets import Range, Target
from materium.model.orbit_conditions import Description, OrbitConditions, layout_id
from materium.properties import scalar_names, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from materium.core.header import HeaderMasks
    from materium.model.config import Seen
    from materium.tokens.orbit_tokenizer import Order

TARGETS = 1
"""Stream of the random numbers from which targets are drawn; those of the tokens are stream 0."""
Sampler = Literal["mask", "rejection"]


@dataclass(frozen=True)
class OrbitPlan:
    """What is asked of the sequences of a seed.

    Parameters
    ----------
    seed
        Sequence i follows from (seed, i) and the plan.
    order, description
        Layout of the sequences.
    settings
        How tokens are drawn.
    targets
        Learned conditions by property, in its unit: a number, or a `Range` from which each sequence draws its own.
    required, forbidden, num_elements
        Learned conditions on elements: atomic numbers, and how many elements (0: not given).
    conditions
        In place of all these, a function from numbers of sequences to their conditions, one row each.
    constraints
        What the header and the orbits must keep; None for all that the grammar allows.
    sampler
        `mask` draws among what the constraints leave; `rejection` draws as if there were none, and starts a sequence
        anew at its first token that breaks them, which is exact.
    given
        The tokens of the first choices, or a function from the number of a sequence to these; None where the model
        chooses.
    max_attempts
        How often a sequence may be started anew, after dead ends or rejections.
    """

    seed: int = 0
    order: Order = "high"
    description: Description = "canonical"
    settings: DrawSettings = field(default_factory=DrawSettings)
    targets: Mapping[str, Target] = field(default_factory=dict)
    required: frozenset[int] = frozenset()
    forbidden: frozenset[int] = frozenset()
    num_elements: int = 0
    conditions: Callable[[Sequence[int]], OrbitConditions] | None = None
    constraints: HeaderMasks | None = None
    sampler: Sampler = "mask"
    given: Sequence[int | None] | Callable[[int], Sequence[int | None]] = ()
    max_attempts: int = 100

    def __post_init__(self) -> None:
        """Refuse targets that are no properties of a crystal's scalars."""
        unknown = sorted(set(self.targets) - set(scalar_names()))
        if unknown:
            raise RequestError(f"unknown condition {unknown[0]!r}; choose among {', '.join(scalar_names())}")

    def given_of(self, index: int) -> Sequence[int | None]:
        """Return the tokens that a sequence is given."""
        return self.given(index) if callable(self.given) else self.given

    @property
    def shared(self) -> tuple[int, ...]:
        """The given tokens with which all sequences begin, under the same conditions, but the last one."""
        differ = self.conditions is not None or any(isinstance(target, Range) for target in self.targets.values())
        if callable(self.given) or differ:
            return ()
        return tuple(token for token in takewhile(lambda token: token is not None, self.given) if token is not None)[
            :-1
        ]

    def conditions_of(self, indices: Sequence[int], seen: Mapping[str, Seen]) -> OrbitConditions:
        """Return the conditions of sequences, one row each; `seen` closes ranges with an open end."""
        if self.conditions is not None:
            return self.conditions(indices)
        rows = OrbitConditions.none(len(indices), layout_id(self.order, self.description))
        rows.required[:, sorted(self.required)] = True
        rows.forbidden[:, sorted(self.forbidden)] = True
        rows.num_elements[:] = self.num_elements
        for name, target in self.targets.items():
            values = [table()[name].encode(self._value(name, target, index, seen)) for index in indices]
            rows.scalars[:, scalar_names().index(name)] = torch.tensor(values)
        return rows

    def uniforms(self, index: int, attempt: int, count: int) -> list[float]:
        """Return the random numbers of an attempt at a sequence."""
        bits = np.random.Philox(key=[self.seed, index], counter=[0, 0, 0, attempt])
        numbers: list[float] = np.random.Generator(bits).random(count).tolist()
        return numbers

    def _value(self, name: str, target: Target, index: int, seen: Mapping[str, Seen]) -> float:
        if not isinstance(target, Range):
            return float(target)
        low, high = target.closed(name, seen.get(name))
        counter = [0, 0, TARGETS, list(table()).index(name)]
        generator = np.random.Generator(np.random.Philox(key=[self.seed, index], counter=counter))
        if table()[name].kind == "category":
            return float(generator.integers(int(low), int(high) + 1))
        return float(generator.uniform(low, high))
