"""Optimisers, learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from materium.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from materium.train.config import TrainConfig


def optimisers(
    model: nn.Module, config: TrainConfig, precision: torch.dtype = torch.bfloat16
) -> list[torch.optim.Optimizer]:
    """Return AdamW for everything, or Muon for the matrices within the blocks and AdamW for the rest.

    `precision` is that of Muon's products. Decay is for matrices only: embeddings, norms and biases carry scale that
    the loss does not see otherwise.
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
    muon = Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay, precision=precision)
    return [torch.optim.AdamW([plain], lr=config.learning_rate, betas=config.betas, fused=True), muon]


POLYNOMIALS = (
    (7.6641, -18.8923, 12.385),
    (3.7704, -2.3614, 0.3933),
    (3.5216, -2.3154, 0.4049),
    (2.7246, -1.8467, 0.3687),
)
"""Coefficients of x, x³ and x⁵, one polynomial after the other. Each is nearest to 1 on what the ones before it make of
[0.002, 1], but for what is below a twentieth of its upper end (the greedy choice of Amsel et al. 2025, "The Polar
Express", with their cushion; without it a polynomial comes so near to 0 in between that rounding in bfloat16 turns a
direction round), its argument divided by 1.05, for rounding lets singular values exceed their bounds too. But for
rounding, all together bring values from 0.002 on to 0.53 to 1.36."""


class Muon(torch.optim.Optimizer):
    """Momentum whose update is the nearest orthogonal matrix (Jordan et al. 2024), scaled as AdamW's updates are.

    PyTorch has one too; it takes the matrices one by one, and on two cores five times as long (`LOG.md`).
    """

    MOMENTUM = 0.95
    SCALE = 0.2
    """Root mean square of an AdamW update, which the orthogonal matrix is brought to (Liu et al. 2025, eq. 4)."""

    def __init__(
        self, parameters: list[nn.Parameter], lr: float, weight_decay: float, precision: torch.dtype = torch.bfloat16
    ) -> None:
        """Take matrices; those of one shape are worked on together, with products in `precision`."""
        self.precision = precision
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Adjust the matrices by their gradients."""
        del closure
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                rate = group["lr"] * self.SCALE * max(shape) ** 0.5
                updates = orthogonalised(torch.stack([self._momentum(p) for p in parameters]).to(self.precision))
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype)), alpha=-rate)

    def _momentum(self, parameter: Tensor) -> Tensor:
        """Nesterov's look ahead along the running mean of the gradient."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        state["momentum"].lerp_(gradient, 1 - self.MOMENTUM)
        return gradient.lerp(state["momentum"], self.MOMENTUM)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices with the singular vectors of those given and singular values near 1, (k, rows, columns).

    Each of `POLYNOMIALS` is an odd function of the matrix, which is a product of it with a function of its Gram matrix,
    X -> F(X Xᵀ) X. Two of them go by Gram matrices alone, which are smaller, and meet the matrix together; a third
    would magnify what rounding in bfloat16 makes of small singular values.
    """
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x: Tensor = matrices if wide else matrices.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    gram = x @ x.mT
    bound = gram.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-14)  # of the largest singular value, squared
    x, gram = x / bound.sqrt(), gram / bound
    for place in range(0, len(POLYNOMIALS), 2):
        gram = x @ x.mT if place else gram
        one = _factor(gram, POLYNOMIALS[place])
        other = _factor(one @ gram @ one, POLYNOMIALS[place + 1])
        x = other @ one @ x
    return x if wide else x.mT


def _factor(gram: Tensor, polynomial: tuple[float, float, float]) -> Tensor:
    """F(G) = a + b G + c G², by which X is multiplied to get a X + b X³ + c X⁵."""
    a, b, c = polynomial
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor


def schedule(progress: float, warmup: float, decay: float | None = None) -> float:
    """Return the factor on the learning rate; `progress` in [0, 1].

    Linear warm-up, then cosine to one hundredth; with `decay` 1 instead, but linear to one hundredth over that last
    share of the run (warm-up, stable, decay: S. Hu et al. 2024, arXiv 2404.06395).
    """
    if progress < warmup:
        return progress / warmup
    if decay is not None:
        return min(1.0, max(0.01, (1 - progress) / decay))
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
