"""Optimisers, learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from materium.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from materium.train.config import TrainConfig


def optimisers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW for everything, or Muon for the matrices within the blocks and AdamW for the rest.

    Decay is for matrices only: embeddings, norms and biases carry scale that the loss does not see otherwise.
    """
    if config.optimiser not in ("adamw", "muon"):
        raise TrainingError(f"unknown optimiser {config.optimiser!r}; choose adamw or muon")
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in named.values() if id(p) not in inside]
    decayed = {"params": matrices, "weight_decay": config.weight_decay}
    plain = {"params": others, "weight_decay": 0.0}
    if config.optimiser == "adamw":
        groups = [decayed, plain]
        return [torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)]
    muon = torch.optim.Muon(
        matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [torch.optim.AdamW([plain], lr=config.learning_rate, betas=config.betas, fused=True), muon]


def schedule(progress: float, warmup: float) -> float:
    """Return the factor on the learning rate: linear warm-up, then cosine to one hundredth; `progress` in [0, 1]."""
    if progress < warmup:
        return progress / warmup
    phase = (progress - warmup) / (1 - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(phase, 1.0)))


class Average:
    """Exponential moving average of the weights, with a shorter memory at the start."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model's weights."""
        self.decay = decay
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        own: list[Tensor] = list(self.weights.values())
        torch._foreach_lerp_(own, [p.detach() for p in model.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Put the averaged weights into a model of the same shape."""
        for name, parameter in model.named_parameters():
            parameter.copy_(self.weights[name])
