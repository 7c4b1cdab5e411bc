"""What a model says of itself: its size and training, and what was measured on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materium.errors import CheckpointError, DataError
from materium.io.atomic import read_signed
from materium.model.folder import default_model
from materium.tokens.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from materium.model.config import ModelConfig
    from materium.model.orbit_config import OrbitModelConfig

ADHERENCE = "adherence.json"
"""Beside the weights: what `benchmarks/adherence.py` measured on the model."""
CARD = "card.md"
"""Beside the weights: what the model is and is not, for people."""


def facts(shape: ModelConfig | OrbitModelConfig, parameters: int, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values of what a model is, as text for a table."""
    sentences, known = shape.tokenizer, config["facts"]
    ranges = sentences.length_ranges if isinstance(sentences, TokenizerConfig) else (sentences.length_range,)
    lengths = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(ranges))
    validation = known.get("validation", {})
    return [
        ("parameters", f"{parameters:,}"),
        ("shape", f"{shape.layers} layers, width {shape.width}, {shape.heads} heads"),
        ("sequences", f"at most {sentences.max_sites} sites, {sentences.bins} grid steps, lengths {lengths} Å"),
        ("species", f"{len(sentences.species)} of element and oxidation state"),
        ("tokenizer", config["tokenizer_fingerprint"]),
        ("weights", config["weights_sha256"][:12]),
        ("training", f"{known.get('epochs', 0)} epochs, {known.get('steps', 0)} steps"),
        ("validation", f"{validation.get('nats_per_crystal', float('nan')):.2f} nats a crystal"),
    ]


def adherence(folder: Path | None = None) -> dict[str, Any]:
    """Return what was measured on the model in `folder` (the one that ships) by property; nothing where none was."""
    path = (folder or default_model()) / ADHERENCE
    if not path.exists():
        return {}
    try:
        properties: dict[str, Any] = read_signed(path, "no measured model", "fetch it again, or remove it")[
            "properties"
        ]
    except DataError as error:
        raise CheckpointError(str(error)) from error
    return properties


def card(folder: Path | None = None) -> str:
    """Return the card of the model in `folder` (the one that ships), Markdown; empty where it has none."""
    path = (folder or default_model()) / CARD
    return path.read_text(encoding="utf-8") if path.exists() else ""
