"""What a run learns from shards of atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materium.model.config import ModelConfig
from materium.tokens.grammar import Grammar
from materium.train.atoms import validate
from materium.train.config import TrainConfig
from materium.train.loop import Run

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_of_validation_add_up(tmp_path: Path, tiny_shards: Path) -> None:
    run = Run(tiny_shards, tmp_path, ModelConfig.preset("tiny"), TrainConfig(epochs=1))
    run.model.eval()
    figures = validate(run.model, Grammar(run.loader.tokenizer), run.val)
    assert figures == validate(run.model, Grammar(run.loader.tokenizer), run.val)
    parts = sum(figures[f"{name}_nats"] for name in ("species", "coordinate", "lattice"))
    assert parts == pytest.approx(figures["nats_per_crystal"], rel=1e-5)
    assert figures["lattice_nats"] == pytest.approx(6 * figures["lattice_nats_per_token"], rel=1e-5)
