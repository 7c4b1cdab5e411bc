"""What a run learns from shards of atoms: data, network, likelihood and validation of the sequences of all sites."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from materium.data.loader import CANONICAL, TOLD, Batch, Loader, Mix
from materium.data.manifest import options_for
from materium.data.shard import Shard, read_shard
from materium.errors import TrainingError
from materium.model.checkpoint import load_checkpoint
from materium.model.conditions import Conditions, layout_id
from materium.model.config import ModelConfig
from materium.model.likelihood import TOKEN_TYPES, nll
from materium.model.transformer import Transformer
from materium.tokens.grammar import Grammar
from materium.tokens.tokenizer import ORDERS, Tokenizer, TokenizerConfig
from materium.tokens.vocab import Role
from materium.train.facts import seen_by_both, seen_in, species_and_volumes
from materium.train.objective import Objective, figures_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from materium.train.config import TrainConfig


class AtomObjective(Objective[ModelConfig, Transformer, Batch]):
    """Shards of atoms and how a network learns from them; see `Objective`."""

    takes = ModelConfig

    def __init__(self, data: Path, manifest: Mapping[str, Any], config: TrainConfig, device: torch.device) -> None:
        """Open the shards."""
        if not isinstance(config.mix, Mix):
            raise TrainingError(f"{data} holds atoms, and the mix is one of orbits; train with a Mix")
        self.tokenizer = Tokenizer(TokenizerConfig.from_dict(manifest["tokenizer"]))
        self.tokenizer.config.require(manifest["fingerprint"], str(data))
        self.mix, self.device = config.mix, device
        self.train, self.val = read_shard(data / "train"), read_shard(data / "val")
        self.loader = Loader(self.train, self.tokenizer, config.mix, max_tokens=config.max_tokens, seed=config.seed)
        self.grammar = Grammar(self.tokenizer, device)

    def settings(self, model: ModelConfig) -> ModelConfig:
        """Return the settings of the network with what follows from the data."""
        return replace(
            model,
            tokenizer=self.tokenizer.config,
            seen=seen_in(self.train, self.loader.weights > 0),
            site_separation=self.train.site_separation(self.tokenizer.config.bins),
        )

    def load(self, folder: Path) -> tuple[Transformer, dict[str, Any]]:
        """Return the model in a folder."""
        return load_checkpoint(folder)

    def continued(self, start: ModelConfig, wanted: ModelConfig, source: str) -> ModelConfig:
        """Return the settings of a model that is trained on: its shape, the facts of the data, the dropout wanted.

        Mean and spread of a property stay, for they are part of how the weights read a value.
        """
        if start.tokenizer.fingerprint != wanted.tokenizer.fingerprint:
            raise TrainingError(
                f"{source} was trained with another tokenizer than the shards have; "
                f"prepare them with {options_for(start.tokenizer, wanted.tokenizer)}, or leave --initial out"
            )
        tally, seen = start.tally or wanted.tally, seen_by_both(start.seen, wanted.seen)
        return replace(start, dropout=wanted.dropout, site_separation=wanted.site_separation, tally=tally, seen=seen)

    def network(self, settings: ModelConfig) -> Transformer:
        """Return a network with fresh weights."""
        model = Transformer(settings).to(self.device)
        if model.tally is not None:
            model.tally.measure(*species_and_volumes(self.train, self.tokenizer))
        return model

    def nats(self, model: Transformer, batch: Batch) -> tuple[Tensor, int]:
        """Return -ln p of a batch, and of how many tokens."""
        costs, kinds = nll(model, self.grammar, *tensors(batch, self.device))
        return costs.sum(), int((kinds >= 0).sum())

    def tokens(self, batch: Batch) -> int:
        """Return how many tokens a batch has."""
        return int((batch.roles != Role.PAD).sum())

    def validate(self, model: Transformer) -> dict[str, float]:
        """Return the figures of the validation split, and what a crystal costs with its conditions."""
        always = self.mix.always  # the network knows no crystal without these
        figures = validate(model, self.grammar, self.val, replace(CANONICAL, always=always))
        conditioned = validate(model, self.grammar, self.val, replace(TOLD, always=always))
        return {**figures, "conditioned_nats_per_crystal": conditioned["nats_per_crystal"]}


def tensors(batch: Batch, device: torch.device | str) -> tuple[Tensor, Tensor, Conditions]:
    """Return tokens, roles and conditions of a batch on a device."""
    layouts = zip(batch.orders, batch.lattice_first, batch.canonical, strict=True)
    layout = [layout_id(ORDERS[o], lattice_first=bool(f), canonical=bool(c)) for o, f, c in layouts]
    conditions = Conditions(
        torch.from_numpy(batch.scalars),
        torch.from_numpy(batch.elements),
        torch.from_numpy(batch.counts),
        torch.tensor(layout),
    )
    tokens, roles = torch.from_numpy(batch.tokens), torch.from_numpy(batch.roles)
    return tokens.to(device), roles.to(device), conditions.to(device)


@torch.no_grad()
def validate(model: Transformer, grammar: Grammar, shard: Shard, mix: Mix = CANONICAL) -> dict[str, float]:
    """Return nats a token of each type and nats a crystal on a shard, with one fixed draw of orders and conditions."""
    loader = Loader(shard, grammar.tokenizer, mix, max_tokens=8192, seed=0)
    sums, counts = torch.zeros(len(TOKEN_TYPES)), torch.zeros(len(TOKEN_TYPES))
    device = next(model.parameters()).device
    for batch in loader.epoch(0):
        costs, kinds = nll(model, grammar, *tensors(batch, device))
        for kind in range(len(TOKEN_TYPES)):
            sums[kind] += costs[kinds == kind].sum().cpu()
            counts[kind] += (kinds == kind).sum().cpu()
    named = {name: (float(s), int(c)) for name, s, c in zip(TOKEN_TYPES, sums, counts, strict=True)}
    return figures_of(named, len(shard))
