"""Runs on shards of orbits: resumed they equal undisturbed ones, and a longer one can begin before the decay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from materium.data.loader import Mix
from materium.data.orbit_loader import CANONICAL, OrbitLoader, OrbitMix
from materium.errors import CheckpointError, TrainingError
from materium.model.checkpoint import load_checkpoint, load_orbit_model
from materium.model.config import ModelConfig
from materium.model.folder import WEIGHTS, default_model
from materium.model.orbit_config import OrbitModelConfig
from materium.model.orbit_transformer import costs
from materium.train.config import TrainConfig
from materium.train.loop import STABLE, STATE, VALIDATION_LOG, Run
from materium.train.orbits import OrbitObjective, arguments, validate

if TYPE_CHECKING:
    from pathlib import Path

    from materium.train.loop import Report

MIX = OrbitMix({"high": 0.5, "random": 0.5}, setting=0.3, subgroup=0.3)
CONFIG = TrainConfig(
    epochs=2, max_tokens=250, validate_steps=5, schedule="wsd", decay=0.5, checkpoint_minutes=1e-9, mix=MIX
)
TINY = OrbitModelConfig.preset("tiny", dropout=0.1)


class Stop(Exception):  # noqa: N818 - it stops a run, it is no error
    """Raised in the middle of a run."""


@pytest.fixture(scope="module")
def whole(tiny_orbit_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed, of two epochs, the second one decaying."""
    run = Run(tiny_orbit_shards, tmp_path_factory.mktemp("whole"), TINY, CONFIG)
    run.fit()
    return run


def stop_after(run: Run, steps: int) -> None:
    def report(_: Report) -> None:
        if run.progress.step == steps:
            raise Stop

    with pytest.raises(Stop):
        run.fit(report)


def test_resumed_equals_undisturbed(whole: Run, tiny_orbit_shards: Path, tmp_path: Path) -> None:
    """Stopped in the second epoch, one step after a checkpoint, in bfloat16 with dropout."""
    validated = [int(line.split(",")[0]) for line in (whole.out / VALIDATION_LOG).read_text().splitlines()[1:]]
    ends = {whole.progress.step // 2, whole.progress.step}
    assert validated == sorted({*range(5, whole.progress.step, 5), *ends})
    steps = whole.progress.step * 3 // 4
    stop_after(Run(tiny_orbit_shards, tmp_path, TINY, CONFIG), steps)
    run = Run(tiny_orbit_shards, tmp_path, TINY, CONFIG)
    assert run.progress.step == steps - 1
    run.fit()
    for name in (WEIGHTS, VALIDATION_LOG):
        assert (tmp_path / name).read_bytes() == (whole.out / name).read_bytes()
    for one, other in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_longer_run_goes_on_from_before_the_decay(whole: Run, tiny_orbit_shards: Path, tmp_path: Path) -> None:
    """The same weights as a run that was longer from the start: before the decay nothing depends on the length."""
    config = replace(CONFIG, epochs=3, decay=1 / 3, warmup=0.0)
    start = Run(tiny_orbit_shards, tmp_path / "start", TINY, replace(CONFIG, warmup=0.0))
    start.fit()
    assert (whole.out / STABLE).exists()
    longer = Run(tiny_orbit_shards, tmp_path / "longer", TINY, config, continued=start.out)
    assert 0 < longer.progress.step < start.progress.step
    stop_after(longer, start.progress.step)
    again = Run(tiny_orbit_shards, tmp_path / "longer", TINY, config, continued=start.out)
    assert again.progress.step == start.progress.step - 1
    again.fit()
    once = Run(tiny_orbit_shards, tmp_path / "once", TINY, config)
    once.fit()
    for one, other in zip(again.model.parameters(), once.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(TrainingError, match="continue it with its own, but for its length"):
        Run(tiny_orbit_shards, tmp_path / "other", TINY, replace(config, learning_rate=1e-4), continued=start.out)
    with pytest.raises(TrainingError, match=f"has no {STABLE}"):
        Run(tiny_orbit_shards, tmp_path / "none", TINY, config, continued=tmp_path)


def test_what_is_validated_are_the_costs(whole: Run) -> None:
    model, _ = load_orbit_model(whole.out)
    objective = whole.objective
    assert isinstance(objective, OrbitObjective)
    figures = validate(model, objective.tokenizer, objective.val)
    loader, total, tokens = OrbitLoader(objective.val, objective.tokenizer, CANONICAL, max_slots=300, seed=1), 0.0, 0
    with torch.no_grad():
        for batch in loader.epoch(0):
            found = costs(model, *arguments(batch, "cpu"))
            total += sum(float(values.sum()) for values in found.values())
            tokens += sum(map(len, found.values()))
    assert figures["nats_per_crystal"] == pytest.approx(total / len(objective.val), rel=1e-5)
    assert figures["nats_per_token"] == pytest.approx(total / tokens, rel=1e-5)
    heads = ("component", "count", "species", "position", "coordinate", "length", "angle")
    assert sum(figures[f"{head}_nats"] for head in heads) == pytest.approx(figures["nats_per_crystal"])
    assert objective.validate(model)["conditioned_nats_per_crystal"] != figures["nats_per_crystal"]


def test_training_goes_on_from_a_model(whole: Run, tiny_orbit_shards: Path, tmp_path: Path) -> None:
    start, _ = load_orbit_model(whole.out)
    run = Run(tiny_orbit_shards, tmp_path, OrbitModelConfig(dropout=0.3), CONFIG, initial=whole.out)
    assert run.model_config == replace(start.config, dropout=0.3)
    for one, other in zip(run.model.parameters(), start.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(CheckpointError, match="'materium-orbit-model-1' is needed here"):
        Run(tiny_orbit_shards, tmp_path / "atoms", TINY, CONFIG, initial=default_model())
    with pytest.raises(CheckpointError, match="'materium-model-1' is needed here"):
        load_checkpoint(whole.out)


def test_weights_of_rows_are_in_the_loader_and_what_is_not_drawn_is_not_seen(
    tiny_orbit_shards: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, mix=replace(MIX, max_energy_above_hull=0.05))
    run = Run(tiny_orbit_shards, tmp_path, TINY, config)
    assert run.loader.weights.tolist() == [1, 0] * 6
    assert run.model_config.seen["energy_above_hull"].count == 6
    assert not (tmp_path / STATE).exists()


def test_settings_and_mix_of_another_representation_are_refused(tiny_orbit_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds orbits; give a OrbitModelConfig"):
        Run(tiny_orbit_shards, tmp_path, ModelConfig.preset("tiny"), CONFIG)
    with pytest.raises(TrainingError, match="holds orbits, and the mix is one of atoms"):
        Run(tiny_orbit_shards, tmp_path, TINY, replace(CONFIG, mix=Mix()))
