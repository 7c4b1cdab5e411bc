"""Settings of a run: JSON, and numbers with which no run can end well."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from materium.data.loader import Mix
from materium.errors import TrainingError
from materium.train.config import TrainConfig


def test_settings_are_json_and_hold_the_mix() -> None:
    config = TrainConfig(mix=Mix(orders={"high": 0.5, "random": 0.5}), minutes=3.5)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert config.to_dict()["mix"]["orders"] == {"high": 0.5, "random": 0.5}
    assert TrainConfig().to_dict() != config.to_dict()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("minutes", 0),
        ("minutes", -1.0),
        ("max_tokens", 0),
        ("learning_rate", 0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("muon_learning_rate", math.inf),
        ("clip", 0),
        ("weight_decay", -0.1),
        ("warmup", 1.0),
        ("ema", 1.0),
        ("ema", -0.1),
        ("checkpoint_minutes", -1),
        ("validate_epochs", 0),
    ],
)
def test_impossible_numbers_are_named(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(TrainingError, match=f"{name} = {value}"):
        TrainConfig(**settings)
