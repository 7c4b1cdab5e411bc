"""Settings of the network for orbit sequences."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from materium.errors import MateriumError
from materium.model.config import Seen
from materium.tokens.orbit_tokenizer import OrbitTokenizerConfig


@dataclass(frozen=True)
class OrbitModelConfig:
    """Shape of the network.

    Parameters
    ----------
    width, layers, heads, kv_heads
        Model width, blocks, attention heads, and heads of keys and values (grouped-query attention).
    hidden
        Width of the SwiGLU.
    distances
        Whether the last free coordinate of an orbit is scored by the distances that each candidate would make.
    dropout
        Probability, on the residual branches while training.
    tokenizer
        Settings of the sequences.
    seen
        For each scalar property, what training saw.
    volumes
        Å³ that an atom of each species fills on average, in the vocabulary's order; empty if unknown.
    """

    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 640
    distances: bool = True
    dropout: float = 0.0
    tokenizer: OrbitTokenizerConfig = field(default_factory=OrbitTokenizerConfig)
    seen: dict[str, Seen] = field(default_factory=dict)
    volumes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes that do not divide."""
        if min(self.width, self.layers, self.heads, self.kv_heads, self.hidden) < 1:
            raise MateriumError("width, layers, heads, kv_heads and hidden must be at least 1")
        if not 0 <= self.dropout < 1:
            raise MateriumError(f"dropout = {self.dropout} is no probability below 1")
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            shape = f"width {self.width}, heads {self.heads}, kv_heads {self.kv_heads}"
            raise MateriumError(f"{shape}: heads must divide the width evenly, and kv_heads the heads")
        if self.volumes and len(self.volumes) != len(self.tokenizer.species):
            raise MateriumError(
                f"{len(self.volumes)} volumes for {len(self.tokenizer.species)} species; one each is needed"
            )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> OrbitModelConfig:
        """Return the network called `base` (what ships) or `tiny` (for tests)."""
        presets = {"base": cls(), "tiny": cls(32, 2, 2, 1, 64)}
        if name not in presets:
            raise MateriumError(f"unknown model preset {name!r}; choose one of {', '.join(presets)}")
        return replace(presets[name], **changes)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OrbitModelConfig:
        """Return the settings that `to_dict` wrote."""
        seen = {name: Seen(**entry) for name, entry in data["seen"].items()}
        tokenizer = OrbitTokenizerConfig.from_dict(data["tokenizer"])
        return cls(**{**data, "tokenizer": tokenizer, "seen": seen, "volumes": tuple(data["volumes"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return {**json.loads(json.dumps(asdict(self))), "tokenizer": self.tokenizer.to_dict()}
