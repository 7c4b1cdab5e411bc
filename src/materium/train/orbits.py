"""What a run learns from shards of orbits: data, network, likelihood and validation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from materium.data.orbit_batch import HEADS
from materium.data.orbit_loader import CANONICAL, CONDITIONED, OrbitBatch, OrbitLoader, OrbitMix
from materium.data.orbit_shard import OrbitShard
from materium.errors import TrainingError
from materium.model.checkpoint import load_orbit_model
from materium.model.orbit_conditions import OrbitConditions
from materium.model.orbit_config import OrbitModelConfig
from materium.model.orbit_tensors import SlotTensors
from materium.model.orbit_transformer import OrbitTransformer, costs
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from materium.tokens.orbit_vocab import Role
from materium.train.facts import orbits_and_volumes, seen_by_both, seen_in, species_volumes
from materium.train.objective import Objective, figures_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from materium.data.orbit_batch import Choices, Distances
    from materium.train.config import TrainConfig


class OrbitObjective(Objective[OrbitModelConfig, OrbitTransformer, OrbitBatch]):
    """Shards of orbits and how a network learns from them; see `Objective`."""

    takes = OrbitModelConfig

    def __init__(self, data: Path, manifest: Mapping[str, Any], config: TrainConfig, device: torch.device) -> None:
        """Open the shards."""
        if not isinstance(config.mix, OrbitMix):
            raise TrainingError(f"{data} holds orbits, and the mix is one of atoms; train with an OrbitMix")
        self.tokenizer = OrbitTokenizer(OrbitTokenizerConfig.from_dict(manifest["tokenizer"]))
        self.tokenizer.config.require(manifest["fingerprint"], str(data))
        self.mix, self.device = config.mix, device
        self.train, self.val = OrbitShard.load(data / "train"), OrbitShard.load(data / "val")
        self.loader = OrbitLoader(self.train, self.tokenizer, config.mix, max_slots=config.max_tokens, seed=config.seed)

    def settings(self, model: OrbitModelConfig) -> OrbitModelConfig:
        """Return the settings of the network with what follows from the data."""
        drawn = self.loader.weights > 0
        counts, volumes = orbits_and_volumes(self.train, self.tokenizer)
        fitted = species_volumes(counts[drawn], volumes[drawn])
        return replace(
            model,
            tokenizer=self.tokenizer.config,
            seen=seen_in(self.train, drawn),
            volumes=tuple(np.round(fitted, 3).tolist()),
        )

    def load(self, folder: Path) -> tuple[OrbitTransformer, dict[str, Any]]:
        """Return the model in a folder."""
        return load_orbit_model(folder)

    def continued(self, start: OrbitModelConfig, wanted: OrbitModelConfig, source: str) -> OrbitModelConfig:
        """Return the settings of a model that is trained on: its shape and volumes, the dropout that is wanted.

        Mean and spread of a property stay, for they are part of how the weights read a value.
        """
        if start.tokenizer.fingerprint != wanted.tokenizer.fingerprint:
            names = [n for n, value in start.tokenizer.to_dict().items() if value != wanted.tokenizer.to_dict()[n]]
            raise TrainingError(
                f"{source} was trained with another tokenizer than the shards have ({', '.join(names)}); "
                "prepare them with the same --bins, --max-sites and --oxidation-states, or leave --initial out"
            )
        return replace(start, dropout=wanted.dropout, seen=seen_by_both(start.seen, wanted.seen))

    def network(self, settings: OrbitModelConfig) -> OrbitTransformer:
        """Return a network with fresh weights."""
        return OrbitTransformer(settings).to(self.device)

    def nats(self, model: OrbitTransformer, batch: OrbitBatch) -> tuple[Tensor, int]:
        """Return -ln p of a batch, and of how many tokens."""
        found = costs(model, *arguments(batch, self.device))
        return torch.stack([values.sum() for values in found.values()]).sum(), sum(map(len, found.values()))

    def tokens(self, batch: OrbitBatch) -> int:
        """Return how many slots a batch has."""
        return int((batch.slots.roles != Role.PAD).sum())

    def validate(self, model: OrbitTransformer) -> dict[str, float]:
        """Return the figures of the validation split without conditions, and with them."""
        figures = validate(model, self.tokenizer, self.val)
        mix = replace(CONDITIONED, always=self.mix.always)
        conditioned = validate(model, self.tokenizer, self.val, mix)
        return {**figures, **{f"conditioned_{name}": value for name, value in conditioned.items()}}


def arguments(
    batch: OrbitBatch, device: torch.device | str
) -> tuple[SlotTensors, OrbitConditions, dict[str, Choices], Distances | None]:
    """Return what `costs` takes besides the model."""
    given = (batch.scalars, batch.layout, batch.required, batch.forbidden, batch.num_elements)
    conditions = OrbitConditions(*map(torch.from_numpy, given)).to(device)
    return SlotTensors.of(batch.slots, device), conditions, batch.choices, batch.contacts


@torch.no_grad()
def validate(
    model: OrbitTransformer, tokenizer: OrbitTokenizer, shard: OrbitShard, mix: OrbitMix = CANONICAL
) -> dict[str, float]:
    """Return nats a token of each type and nats a crystal on a shard, with one fixed draw of orders and conditions."""
    loader = OrbitLoader(shard, tokenizer, mix, max_slots=6000, seed=0)
    nats, tokens = dict.fromkeys(HEADS, 0.0), dict.fromkeys(HEADS, 0)
    device = next(model.parameters()).device
    for batch in loader.epoch(0):
        for head, values in costs(model, *arguments(batch, device)).items():
            nats[head] += float(values.sum())
            tokens[head] += len(values)
    return figures_of({head: (nats[head], tokens[head]) for head in HEADS}, len(shard))
