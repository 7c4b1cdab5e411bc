"""The decoder: RMSNorm, rotary attention, SwiGLU, and embeddings that are tied to the output."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from materium.model import fused
from materium.model.attention import Attention, KeyValueCache, rotary
from materium.model.candidates import Outlook
from materium.model.conditions import ConditionEncoder, Conditions
from materium.model.config import WAVES
from materium.model.dropout import Dropout
from materium.model.fused import fusible
from materium.model.tally import Tally, TallyEncoder
from materium.tokens.vocab import Role, Vocabulary

if TYPE_CHECKING:
    from materium.model.config import ModelConfig

INIT_STD = 0.02


class Feedforward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: ModelConfig) -> None:
        """Make one projection for gate and value together."""
        super().__init__()
        self.up = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) for (..., width)."""
        up = self.up(x)
        if fusible(up):
            return self.down(fused.swiglu(up))
        gate, value = up.chunk(2, dim=-1)
        return self.down(functional.silu(gate) * value)


class Block(nn.Module):
    """Attention and feedforward, each on a normalised branch."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        """Make the two branches."""
        super().__init__()
        self.norm_attention = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = Attention(config, layer)
        self.norm_feedforward = nn.RMSNorm(config.width, eps=1e-6)
        self.feedforward = Feedforward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        """Return (B, tokens, width) for (B, tokens, width)."""
        x = self.dropout.onto(x, self.attention(_normed(self.norm_attention, x), rotation, cache))
        return self.dropout.onto(x, self.feedforward(_normed(self.norm_feedforward, x)))


class Embedding(nn.Module):
    """Tokens to vectors: learned, plus a function of the value for numbers, plus the role of the token."""

    waves: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Make the tables, and the Fourier features of the grid points."""
        super().__init__()
        self.vocab = Vocabulary(config.tokenizer.species, config.tokenizer.bins)
        self.token = nn.Embedding(len(self.vocab), config.width)
        self.role = nn.Embedding(len(Role), config.width)
        self.value = nn.Linear(2 * WAVES, config.width, bias=False) if config.fourier else None
        points = torch.arange(self.vocab.bins + 1)[:, None] / self.vocab.bins
        angles = 2 * math.pi * points * torch.arange(1, WAVES + 1)
        self.register_buffer("waves", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)

    def table(self) -> Tensor:
        """Return the vectors of all tokens, (tokens, width); the output is tied to them."""
        if self.value is None:
            return self.token.weight
        marks, numbers = self.token.weight.split([self.vocab.first_number, self.vocab.bins + 1])
        return torch.cat([marks, numbers + self.value(self.waves) * WAVES**-0.5])

    def forward(self, tokens: Tensor, roles: Tensor, table: Tensor) -> Tensor:
        """Return (B, tokens, width)."""
        return functional.embedding(tokens, table) + self.role(roles)


class Transformer(nn.Module):
    """The language model of crystals."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the network with fresh weights, drawn from PyTorch's generator."""
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.conditions = ConditionEncoder(config)
        self.tally = TallyEncoder(config, self.embedding.waves) if config.tally else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        self.apply(_initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "down.weight")):
                nn.init.normal_(weight, std=INIT_STD / math.sqrt(2 * config.layers))
        if self.tally is not None:
            self.tally.initialise()

    def forward(
        self,
        tokens: Tensor,
        roles: Tensor,
        conditions: Conditions | None,
        cache: KeyValueCache | None = None,
        table: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what stands after each token, (B, tokens, width), and the table of token vectors.

        The prefix of `conditions` goes before the tokens; without conditions the tokens follow what the cache holds.
        """
        table = self.table() if table is None else table
        outlook = self.read(tokens, roles, conditions, cache, table)
        if self.tally is None or outlook.told is None:
            return outlook.hidden, table
        scores = self.tally.candidates(outlook.hidden, roles, outlook.told)
        return torch.cat([outlook.hidden, scores.to(outlook.hidden.dtype)], dim=-1), table

    def read(
        self, tokens: Tensor, roles: Tensor, conditions: Conditions | None, cache: KeyValueCache | None, table: Tensor
    ) -> Outlook:
        """Return what `forward` does before any candidate is weighed: few tokens are asked for all candidates."""
        x = self.embedding(tokens, roles, table[:, : self.config.width])
        before = None if conditions is None else self.conditions(conditions)
        tally = self._tally(conditions, before, cache)
        margin = None if self.tally is None or tally is None else self.tally(tokens, roles, tally)
        if margin is not None:
            x = x + margin.before.to(x.dtype)
        start = 0 if cache is None else cache.length
        prefix = 0
        if before is not None:
            prefix = before.shape[1]
            x = torch.cat([before.to(x.dtype), x], dim=1)
        rotation = rotary(self._positions(roles, prefix, start), self.config.width // self.config.heads)
        if cache is not None and cache.native is not None:
            x = cache.native.read(x, rotation, cache)
        else:
            for block in self.blocks:
                x = block(x, rotation, cache)
        if cache is not None:
            cache.length += x.shape[1]
        hidden = _normed(self.norm, x[:, prefix:], exact=True)
        if self.tally is None or margin is None:
            return Outlook(hidden, roles)
        return Outlook(self.tally.note(hidden, margin), roles, margin.told)

    def table(self) -> Tensor:
        """Return the vectors of all tokens, (tokens, width); a tally adds columns for the scores of candidates."""
        table = self.embedding.table()
        return table if self.tally is None else torch.cat([table, self.tally.candidates.columns.to(table.dtype)], dim=1)

    def logits(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return the scores of all tokens, (..., tokens)."""
        return hidden @ table.T.to(hidden.dtype)

    def logits_at(self, role: Role, span: slice, outlook: Outlook, table: Tensor) -> Tensor:
        """Return what `logits` does for a part of the vocabulary, where `role` comes next, (B, tokens, span)."""
        scores = outlook.hidden @ table[span, : self.config.width].T.to(outlook.hidden.dtype)
        gained = None if self.tally is None else self.tally.candidates.at(role, span, outlook)
        return scores if gained is None else scores + gained

    def _tally(self, conditions: Conditions | None, before: Tensor | None, cache: KeyValueCache | None) -> Tally | None:
        """A new tally for new sentences, else the one that the cache holds."""
        if conditions is None or before is None:
            return None if cache is None else cache.tally
        tally = Tally(conditions, self.conditions.head(before))
        if cache is not None:
            cache.tally = tally
        return tally

    def _positions(self, roles: Tensor, prefix: int, start: int) -> Tensor:
        """Positions of prefix and tokens, (B or 1, positions)."""
        count = torch.arange(start, start + prefix + roles.shape[1], device=roles.device)[None]
        if self.config.positions == "standard":
            return count
        site = (roles >= Role.SPECIES) & (roles <= Role.Z)
        block = torch.where(site, (roles - Role.SPECIES).clamp(0, 3), count[:, prefix:])
        return torch.cat([count[:, :prefix].expand(len(roles), -1), block], dim=1)

    def num_parameters(self) -> int:
        """Return how many numbers training adjusts."""
        return sum(p.numel() for p in self.parameters())


def _normed(layer: nn.RMSNorm, x: Tensor, *, exact: bool = False) -> Tensor:
    if layer.eps is None or not fusible(x) or {x.dtype, layer.weight.dtype} != {torch.float32}:
        return layer(x)
    return fused.norm(x, layer.weight, layer.eps, exact=exact)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
