"""Settings of the network, and the presets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from materium.errors import MateriumError
from materium.tokens.tokenizer import TokenizerConfig

WAVES = 24
"""Fourier features of a number: 24 divides the grid, so they are equal at symmetry-equivalent special positions."""


@dataclass(frozen=True)
class Seen:
    """What training saw of a scalar property: range in its unit, mean and spread as encoded, labelled crystals."""

    low: float
    high: float
    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network.

    Parameters
    ----------
    width, layers, heads, kv_heads
        Model width, blocks, attention heads, and heads of keys and values (grouped-query attention).
    hidden
        Width of the SwiGLU.
    positions
        `standard` counts tokens; `blockwise` repeats 0 to 3 within the atoms (paper, section 3.2).
    prefix
        `sum` puts all conditions into one position before the sentence, `separate` gives each its own (paper).
    tally
        Whether each token is told what stands so far, set against what the sentence is to be (`materium.model.tally`).
    fourier
        Whether a number's embedding has a part that is a function of its value.
    dropout
        Probability, on the residual branches while training.
    tokenizer
        Settings of the sentences.
    seen
        For each scalar property, what training saw.
    site_separation
        Grid steps by which, in training, any two sites of a crystal differ in at least one coordinate; 0 if unknown.
    """

    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 640
    positions: Literal["standard", "blockwise"] = "standard"
    prefix: Literal["sum", "separate"] = "sum"
    tally: bool = True
    fourier: bool = True
    dropout: float = 0.0
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    seen: dict[str, Seen] = field(default_factory=dict)
    site_separation: int = 0

    def __post_init__(self) -> None:
        """Refuse shapes that do not divide, and unknown choices."""
        if min(self.width, self.layers, self.heads, self.kv_heads, self.hidden) < 1:
            raise MateriumError("width, layers, heads, kv_heads and hidden must be at least 1")
        if not 0 <= self.dropout < 1:
            raise MateriumError(f"dropout = {self.dropout} is no probability below 1")
        if self.positions not in ("standard", "blockwise") or self.prefix not in ("sum", "separate"):
            message = f"positions {self.positions!r} or prefix {self.prefix!r} is unknown"
            raise MateriumError(f"{message}; choose standard or blockwise, and sum or separate")
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            shape = f"width {self.width}, heads {self.heads}, kv_heads {self.kv_heads}"
            raise MateriumError(f"{shape}: heads must divide the width evenly, and kv_heads the heads")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> ModelConfig:
        """Return the network called `base` (what ships), `paper` (43 M parameters) or `tiny` (for tests)."""
        presets = {
            "base": cls(),
            "paper": cls(512, 12, 16, 16, 1536, prefix="separate", tally=False, fourier=False, dropout=0.1),
            "tiny": cls(32, 2, 2, 1, 64),
        }
        if name not in presets:
            raise MateriumError(f"unknown model preset {name!r}; choose one of {', '.join(presets)}")
        return replace(presets[name], **changes)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Return the settings that `to_dict` wrote; older ones say nothing of a tally, for there was none."""
        seen = {name: Seen(**entry) for name, entry in data["seen"].items()}
        return cls(**{"tally": False, **data, "tokenizer": TokenizerConfig.from_dict(data["tokenizer"]), "seen": seen})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return {**json.loads(json.dumps(asdict(self))), "tokenizer": self.tokenizer.to_dict()}
