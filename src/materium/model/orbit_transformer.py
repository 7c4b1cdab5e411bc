"""The language model of orbit sequences: RMSNorm, rotary attention, SwiGLU, and an output tied to the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from materium.core.wyckoff import space_group
from materium.data.orbit_batch import HEADS
from materium.model.attention import rotary
from materium.model.orbit_conditions import OrbitConditionEncoder, OrbitConditions
from materium.model.orbit_embedding import TokenTable
from materium.model.orbit_features import DistanceScores, LengthScores, PositionScores, PrefixFeatures
from materium.model.orbit_tensors import DistanceTensors, SlotTensors
from materium.model.transformer import INIT_STD, Block
from materium.tokens.orbit_vocab import Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from materium.data.orbit_batch import Choices, Distances
    from materium.model.orbit_config import OrbitModelConfig


@dataclass(frozen=True)
class TokenVectors:
    """Vectors of all tokens, (tokens, width), and of species, 0 for none: of atoms, and of the orbit that is open.

    Shapes (species + 1, width) and (species + 1, 2 width).
    """

    table: Tensor
    species: Tensor
    current: Tensor


@dataclass(frozen=True)
class Outlook:
    """What a model holds after each slot.

    Attributes
    ----------
    hidden
        Shape (B, T, width).
    room
        ln of the length in Å that open lengths have, by filled volume and by density, shape (B, T, 2).
    table
        The vectors of all tokens, (tokens, width).
    slots
        What was read.
    """

    hidden: Tensor
    room: Tensor
    table: Tensor
    slots: SlotTensors


class OrbitTransformer(nn.Module):
    """The network."""

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make the network with fresh weights, drawn from PyTorch's generator."""
        super().__init__()
        self.config = config
        self.tokens = TokenTable(config)
        self.vocab = self.tokens.vocab
        self.role = nn.Embedding(len(Role), config.width)
        self.current = nn.Linear(config.width, 2 * config.width, bias=False)
        self.conditions = OrbitConditionEncoder(config)
        self.conditioned = nn.Linear(config.width, config.width, bias=False)
        self.features = PrefixFeatures(config)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))  # type: ignore[arg-type]
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        sizes = [len(p.coset) for number in range(1, 231) for p in space_group(number).positions]
        self.position_scores = PositionScores(config, torch.tensor(sizes, dtype=torch.float32))
        self.length_scores = LengthScores(config)
        self.distance_scores = DistanceScores(config) if config.distances else None
        self.apply(_initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "down.weight")):
                nn.init.normal_(weight, std=INIT_STD / math.sqrt(2 * config.layers))
        nn.init.zeros_(self.conditioned.weight)
        for part in (self.features, self.position_scores, self.length_scores, self.distance_scores):
            if part is not None:
                part.initialise()

    def forward(self, slots: SlotTensors, conditions: OrbitConditions) -> Outlook:
        """Return what stands after each slot."""
        vectors = self.vectors()
        given = self.conditions(conditions)[:, None]
        starts = (slots.roles == Role.SOS)[..., None]
        x, after, room = self.embed(slots, conditions, torch.where(starts, given, self.conditioned(given)), vectors)
        rotation = rotary(torch.arange(x.shape[1], device=x.device)[None], self.config.width // self.config.heads)
        for block in self.blocks:
            x = block(x, rotation, None)
        return Outlook(self.norm(x) + after, room, vectors.table, slots)

    def vectors(self) -> TokenVectors:
        """Return what does not change from slot to slot."""
        table = self.tokens()
        species = nn.functional.pad(table[self.vocab.species_ids], (0, 0, 1, 0))
        return TokenVectors(table, species, self.current(species))

    def embed(
        self, slots: SlotTensors, conditions: OrbitConditions, given: Tensor, vectors: TokenVectors
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what goes into the blocks and what is added after them, (B, T, width), and the room, (B, T, 2).

        `given`, (B, T, width), are the vectors of the conditions for [SOS], and `conditioned` of them for other slots.
        """
        x = vectors.table[slots.tokens] + self.role(slots.roles) + self.tokens.atoms(slots.points)
        features, room = self.features(slots, conditions)
        before, after = (features + vectors.current[slots.current]).chunk(2, dim=-1)
        return x + vectors.species[slots.sites] + given + before, after, room

    def logits(
        self, head: str, outlook: Outlook, at: tuple[Tensor, Tensor], contacts: DistanceTensors | None = None
    ) -> Tensor:
        """Return the scores of the tokens of a head, (n, span), after the slots `at` (sequences and slots, (n,) both).

        `contacts` are those of last coordinates among them.
        """
        hidden, slots = outlook.hidden[at], outlook.slots
        span = self.vocab.spans[HEADS[head][0]]
        scores = (hidden @ outlook.table[span].T.to(hidden.dtype)).float()
        if head == "length":
            return scores + self.length_scores(hidden, outlook.room[at], slots.cell[at][:, 1])
        if head == "position":
            own = slots.components[at[0]] == slots.current[at][:, None]
            return scores + self.position_scores(hidden, (slots.lacking[at] * own).sum(-1))
        if head == "coordinate" and contacts is not None and self.distance_scores is not None:
            gained = self.distance_scores(hidden[contacts.choices], contacts)
            return scores.index_add(0, contacts.choices, gained)
        return scores

    def num_parameters(self) -> int:
        """Return how many numbers training adjusts."""
        return sum(p.numel() for p in self.parameters())


def costs(
    model: OrbitTransformer,
    slots: SlotTensors,
    conditions: OrbitConditions,
    choices: dict[str, Choices],
    contacts: Distances | None,
) -> dict[str, Tensor]:
    """Return the nats of every choice, (n,), by head."""
    outlook = model(slots, conditions)
    device, result = outlook.hidden.device, dict[str, Tensor]()
    for head, entry in choices.items():
        at = _tensor(entry.rows, device), _tensor(entry.slots, device)
        touching = None if contacts is None or head != "coordinate" else DistanceTensors.of(contacts, device)
        logits = model.logits(head, outlook, at, touching)
        if entry.legal is not None:
            logits = logits.masked_fill(~_tensor(entry.legal, device), float("-inf"))
        result[head] = nn.functional.cross_entropy(logits, _tensor(entry.places, device), reduction="none")
    return result


def _tensor(array: NDArray[np.int64] | NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
