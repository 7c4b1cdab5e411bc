"""Settings of the network: presets, the way through JSON, and shapes that are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from materium.errors import MateriumError
from materium.model.config import ModelConfig
from materium.model.transformer import Transformer
from materium.tokens.tokenizer import TokenizerConfig
from tiny import SEEN, TOKENIZER


@pytest.mark.parametrize("name", ["base", "paper", "tiny"])
def test_settings_survive_json(name: str) -> None:
    config = ModelConfig.preset(name, tokenizer=TOKENIZER, seen=SEEN)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_paper_preset_has_the_published_size() -> None:
    """Paper, section 3.2: 43 million parameters."""
    model = Transformer(ModelConfig.preset("paper", tokenizer=TokenizerConfig.preset("paper")))
    assert model.num_parameters() == pytest.approx(43e6, rel=0.1)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(MateriumError, match="base, paper, tiny"):
        ModelConfig.preset("large")


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": 3},
        {"heads": 4, "kv_heads": 3},
        {"width": 4, "heads": 4, "kv_heads": 4},
        {"heads": 0},
        {"layers": 0},
        {"dropout": -0.1},
        {"dropout": 1.0},
        {"positions": "absolute"},
        {"prefix": "none"},
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MateriumError):
        ModelConfig.preset("tiny", **changes)
