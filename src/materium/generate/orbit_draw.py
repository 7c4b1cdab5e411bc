"""How a token is chosen from scores: guidance, masks, temperatures, local resampling, and the probability it had.

The plain decoder and the batched one both call `choose`, so that they differ only in how scores are worked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from materium.errors import RequestError
from materium.generate import sample
from materium.model.loops import compiled, parts_of, run
from materium.tokens.orbit_vocab import ANGLES, COORDINATES, LENGTHS, Role

if TYPE_CHECKING:
    from torch import Tensor

GEOMETRY = frozenset((*COORDINATES, *LENGTHS, *ANGLES))
POSITIONS = frozenset((Role.SPECIES, Role.POSITION))
LEAST = 1e-6
"""Smallest temperature: float32 holds no logits that are divided by less."""
MAX_REACH = 0.5
"""Share of an axis; farther to one side is nearer to the other."""


@dataclass(frozen=True)
class DrawSettings:
    """How tokens are drawn.

    Parameters
    ----------
    temperature
        Of composition, space group and formula units; 1 is the learned distribution.
    geometry_temperature
        Of coordinates, lengths and angles.
    reach
        If given, coordinates, lengths and angles are drawn at temperature 1 and then once more, at
        `geometry_temperature`, among the points within this share of the axis.
    guidance
        Classifier-free guidance scale; 1 takes the conditional distribution as it is.
    position_temperature
        Of Wyckoff positions, and of the species of orbits where the order leaves a choice; None for `temperature`.
    top_p
        Share of the probability that the likeliest tokens must hold; the others are left out.
    """

    temperature: float = 1.0
    geometry_temperature: float = 1.0
    reach: float | None = None
    guidance: float = 1.0
    position_temperature: float | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn with."""
        temperatures = self.temperature, self.geometry_temperature, self.position_temperature
        for value in temperatures:
            if value is not None and not value >= LEAST:
                raise RequestError(f"temperature = {value} is not possible; give at least {LEAST}")
        if self.reach is not None and not 0 < self.reach < MAX_REACH:
            raise RequestError(
                f"reach = {self.reach} is not possible; give a share of the axis between 0 and {MAX_REACH}"
            )
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p = {self.top_p} is not possible; give a share above 0, at most 1")

    def of(self, role: Role) -> float:
        """Return the temperature of tokens of a role."""
        if role in GEOMETRY:
            return self.geometry_temperature
        fallback = self.position_temperature if role in POSITIONS else None
        return self.temperature if fallback is None else fallback


class Drawn(NamedTuple):
    """Tokens of B sequences.

    Attributes
    ----------
    places
        In the span that was scored, shape (B,).
    nats
        ln p of each at temperature 1, under the masks of the grammar alone, shape (B,), float64.
    open_nats
        ln of the probability that the constraints had left before the draw, at the temperature of the draw: the
        incremental weight of a sequential Monte Carlo sampler; shape (B,), float64.
    """

    places: Tensor
    nats: Tensor
    open_nats: Tensor


def choose(  # noqa: PLR0913, PLR0917 - scores, two masks, a number, and how to draw
    settings: DrawSettings,
    role: Role,
    logits: Tensor,
    legal: Tensor,
    open_: Tensor,
    uniform: Tensor,
    given: Tensor | None = None,
) -> Drawn:
    """Draw a token for each of B sequences in which tokens of the same kind come next.

    Parameters
    ----------
    role
        Any of the roles; X for coordinates, A for lengths.
    logits
        Shape (B, span), float32.
    legal, open_
        What the grammar allows, and of that what the constraints leave, shape (B, span); the same tensor where there
        are no constraints.
    uniform
        Random numbers in [0, 1), shape (B,), float64.
    given
        Places that are taken in place of a draw, -1 where one is made, shape (B,); they need not be legal.
    """
    again = settings.reach is not None and role in GEOMETRY
    first, second = (1.0, settings.geometry_temperature) if again else (settings.of(role), 0.0)
    reach = int((settings.reach or 0) * logits.shape[1]) if again else 0
    cyclic = role in COORDINATES
    if logits.device.type == "cpu" and settings.top_p >= 1 and compiled() is not None:
        places, norms = _in_loops(logits, legal, open_, uniform, (first, second, reach, cyclic))
    else:
        norms = sample.mask(logits, legal).logsumexp(-1).double()
        warm = sample.cut(sample.temper(sample.mask(logits, open_), first), settings.top_p)
        axis = slice(0, logits.shape[1])
        places = (
            sample.settle(warm, uniform, second, axis, reach, cyclic=cyclic) if again else sample.draw(warm, uniform)
        )
    if given is not None:
        places = torch.where(given >= 0, given, places)
    nats = logits.gather(1, places[:, None])[:, 0].double() - norms
    if given is not None:
        nats = nats.masked_fill(~legal.gather(1, places[:, None])[:, 0], sample.NEVER)
    if open_ is legal:
        return Drawn(places, nats, torch.zeros_like(nats))
    tempered = sample.temper(logits, first)
    left = [sample.mask(tempered, part).double().logsumexp(-1) for part in (open_, legal)]
    return Drawn(places, nats, left[0] - left[1])


def _in_loops(
    logits: Tensor, legal: Tensor, open_: Tensor, uniform: Tensor, how: tuple[float, float, int, bool]
) -> tuple[Tensor, Tensor]:
    """Return places, and ln of the sum of exp over the legal, in one pass over each row."""
    first, second, reach, cyclic = how
    rows, tokens = logits.shape
    settings = torch.tensor([0.0, 1 / first, 1 / second if second else 0.0, sample.FINER], dtype=torch.float64)
    room, parts = tokens + 2 * reach + 1, parts_of(rows, tokens)
    places, norms = torch.empty(rows, dtype=torch.long), torch.empty(rows, dtype=torch.float64)
    scores = logits.contiguous(), legal.contiguous(), open_.contiguous(), uniform.contiguous()
    at = (*scores, torch.full((rows,), -1), settings, torch.empty(parts, room), places, norms)
    run("choose", torch.float32, rows, parts, at, (tokens, tokens, tokens, 0, tokens, reach, cyclic, room))
    return places, norms
