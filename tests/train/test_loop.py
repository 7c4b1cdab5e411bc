"""The training loop: killed and resumed it gives the same weights, and it stops before anything bad is kept."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from materium.data.loader import CANONICAL, Mix
from materium.data.shard import read_shard
from materium.errors import CheckpointError, DataError, TrainingError
from materium.io.atomic import write_signed
from materium.model.checkpoint import load_checkpoint
from materium.model.config import ModelConfig
from materium.model.folder import WEIGHTS, default_model
from materium.properties import scalar_names
from materium.tokens.grammar import Grammar
from materium.train import atoms
from materium.train.atoms import validate
from materium.train.config import TrainConfig
from materium.train.facts import seen_in
from materium.train.loop import LOG, STATE, VALIDATION_LOG, Run, read_state

if TYPE_CHECKING:
    from pathlib import Path

    from materium.train.loop import Report

MIX = Mix(orders={"high": 0.5, "random": 0.5}, lattice_first=0.3, other_setting=0.5, conditional=0.7)
CONFIG = TrainConfig(epochs=4, max_tokens=200, bfloat16=False, checkpoint_minutes=1e-9, warmup=0.1, mix=MIX)
"""Eight or so batches an epoch, and a checkpoint after each."""
ALWAYS = 1e-9
KILL_AT = 21
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "adamw": ({}, {}),
    "muon, bfloat16, dropout": ({"dropout": 0.2}, {"optimiser": "muon", "bfloat16": True}),
}
KILLED = """
import json, os, signal, sys
from pathlib import Path
from materium.data.loader import Mix
from materium.model.config import ModelConfig
from materium.train.config import TrainConfig
from materium.train.loop import Run

data, out, model, train, mix, step = json.loads(sys.argv[1])
run = Run(Path(data), Path(out), ModelConfig.preset("tiny", **model), TrainConfig(**train, mix=Mix(**mix)))
assert run.progress.step == 0

def report(now):
    if run.progress.step == step:
        os.kill(os.getpid(), signal.SIGKILL)

run.fit(report)
"""


def make_run(data: Path, out: Path, config: TrainConfig = CONFIG, **changes: Any) -> Run:
    return Run(data, out, ModelConfig.preset("tiny", **changes), config)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {
        **{name: p.detach() for name, p in run.model.named_parameters()},
        **{f"average {name}": p for name, p in run.average.weights.items()},
    }


def assert_same_weights(one: Run, other: Run) -> None:
    for name, weight in weights(one).items():
        assert torch.equal(weight, weights(other)[name]), name


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_and_resumed_equals_undisturbed(
    name: str, tmp_path: Path, tiny_shards: Path, offline_environment: dict[str, str]
) -> None:
    """`kill -9` in the third epoch, one step after a checkpoint; the last bits of all weights are the same."""
    model, changes = SETTINGS[name]
    config = replace(CONFIG, **changes)
    whole = make_run(tiny_shards, tmp_path / "whole", config, **model)
    figures = whole.fit()
    per_epoch = whole.progress.step / config.epochs
    assert KILL_AT % per_epoch != 0
    assert per_epoch < KILL_AT < whole.progress.step

    train = {**config.to_dict()}
    mix = train.pop("mix")
    settings = json.dumps([str(tiny_shards), str(tmp_path / "killed"), model, train, mix, KILL_AT])
    done = subprocess.run([sys.executable, "-c", KILLED, settings], env=offline_environment, check=False, timeout=250)
    assert done.returncode == -signal.SIGKILL
    resumed = make_run(tiny_shards, tmp_path / "killed", config, **model)
    assert resumed.progress.step == KILL_AT - 1
    assert resumed.fit() == figures
    assert resumed.progress.step == whole.progress.step
    assert_same_weights(resumed, whole)
    assert (tmp_path / "killed" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    assert (tmp_path / "killed" / VALIDATION_LOG).read_text() == (tmp_path / "whole" / VALIDATION_LOG).read_text()


class Stop(Exception):  # noqa: N818 - it stops a run, it is no error
    """Raised in the middle of a run."""


def stop_at(run: Run, step: int) -> None:
    """Train up to a step, and leave as Ctrl-C would."""

    def report(_: Report) -> None:
        if run.progress.step == step:
            raise Stop

    with pytest.raises(Stop):
        run.fit(report)


def test_logs_have_every_step_once_after_resuming(tmp_path: Path, tiny_shards: Path) -> None:
    """The log runs ahead of the checkpoint; what it has too much is dropped, and half a line too."""
    config = replace(CONFIG, epochs=12, checkpoint_minutes=100)
    stop_at(make_run(tiny_shards, tmp_path, config), 63)
    with (tmp_path / LOG).open("a") as file:
        file.write("6")
    run = make_run(tiny_shards, tmp_path, config)
    assert run.progress.step < 60
    run.fit()
    logged = [int(row["step"]) for row in rows_of(tmp_path / LOG)]
    assert logged == list(range(20, run.progress.step + 1, 20))
    assert all(math.isfinite(float(value)) for row in rows_of(tmp_path / LOG) for value in row.values())
    validated = [int(row["epoch"]) for row in rows_of(tmp_path / VALIDATION_LOG)]
    assert validated == list(range(1, 13))


def test_finished_run_stays_as_it_is(tmp_path: Path, tiny_shards: Path) -> None:
    first = make_run(tiny_shards, tmp_path)
    figures = first.fit()
    files = {name: (tmp_path / name).read_bytes() for name in (WEIGHTS, LOG, VALIDATION_LOG, STATE)}
    again = make_run(tiny_shards, tmp_path)
    assert again.fit() == figures
    assert_same_weights(first, again)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(("epochs", "validate_epochs"), [(3, 2), (2, 5)])
def test_last_weights_are_validated_and_shipped(
    tmp_path: Path, tiny_shards: Path, epochs: int, validate_epochs: int
) -> None:
    """An interval that does not divide the epochs once shipped the model of an earlier epoch."""
    run = make_run(tiny_shards, tmp_path, replace(CONFIG, epochs=epochs, validate_epochs=validate_epochs))
    run.fit()
    model, config = load_checkpoint(tmp_path)
    assert config["facts"]["steps"] == run.progress.step
    assert config["facts"]["epochs"] == epochs
    for name, weight in model.named_parameters():
        assert torch.equal(weight, run.average.weights[name])
    assert read_state(tmp_path / STATE)[0]["progress"]["step"] == run.progress.step


def test_run_by_the_clock_ends(tmp_path: Path, tiny_shards: Path) -> None:
    run = make_run(tiny_shards, tmp_path, replace(CONFIG, minutes=0.02, validate_epochs=1000))
    figures = run.fit()
    assert run.progress.step > 0
    assert figures["nats_per_crystal"] > 0
    assert load_checkpoint(tmp_path)[1]["facts"]["steps"] == run.progress.step


def test_loss_goes_down(tmp_path: Path, tiny_shards: Path) -> None:
    """24 crystals that are six, at four sizes: a network of width 32 learns most of them by heart."""
    config = replace(CONFIG, epochs=60, max_tokens=1000, checkpoint_minutes=100, validate_epochs=30, mix=CANONICAL)
    config = replace(config, learning_rate=1e-2, ema=0.9)
    losses: list[float] = []
    figures = make_run(tiny_shards, tmp_path, config).fit(lambda now: losses.append(now.loss))
    assert np.mean(losses[:5]) > 5
    assert np.mean(losses[-5:]) < 2
    first, last = rows_of(tmp_path / VALIDATION_LOG)
    assert float(last["nats_per_crystal"]) < float(first["nats_per_crystal"])
    assert figures["nats_per_crystal"] == pytest.approx(float(last["nats_per_crystal"]), abs=1e-4)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_not_a_number_stops_before_it_is_kept(
    what: str, tmp_path: Path, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_shards, tmp_path)
    stop_at(run, 10)
    kept = (tmp_path / STATE).read_bytes()
    good = make_run(tiny_shards, tmp_path)
    before = {name: weight.clone() for name, weight in weights(good).items()}
    if what == "loss":
        real = atoms.nll

        def poisoned(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
            costs, kinds = real(*arguments)
            return costs * math.nan, kinds

        monkeypatch.setattr(atoms, "nll", poisoned)
    else:
        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(TrainingError, match=rf"{what} is (nan|inf) at step 10; the last good checkpoint is .*{STATE}"):
        good.fit()
    assert all(torch.equal(weight, before[name]) for name, weight in weights(good).items())
    assert (tmp_path / STATE).read_bytes() == kept
    monkeypatch.undo()
    assert make_run(tiny_shards, tmp_path).progress.step == 9


def test_training_goes_on_from_a_model(tmp_path: Path, tiny_shards: Path) -> None:
    """It keeps the model's shape and what it reads values with, and starts at its weights."""
    make_run(tiny_shards, tmp_path / "first").fit()
    start, _ = load_checkpoint(tmp_path / "first")
    run = Run(tiny_shards, tmp_path / "second", ModelConfig(dropout=0.3), CONFIG, initial=tmp_path / "first")
    assert run.model_config.width == start.config.width
    assert run.model_config.dropout == 0.3
    assert run.model_config.seen == start.config.seen
    known = replace(run.model_config, seen={"density": run.model_config.seen["density"]})
    assert run.objective.continued(start.config, known, "test").seen == start.config.seen
    for (name, weight), other in zip(run.model.named_parameters(), start.parameters(), strict=True):
        assert torch.equal(weight, other), name
    before = validate(start, Grammar(run.loader.tokenizer), run.val)["nats_per_crystal"]
    assert run.fit()["nats_per_crystal"] < before
    with pytest.raises(TrainingError, match="other data or settings"):
        Run(tiny_shards, tmp_path / "second", ModelConfig(dropout=0.3), CONFIG)


def test_model_of_other_tokens_is_no_start(tmp_path: Path, tiny_shards: Path) -> None:
    with pytest.raises(TrainingError, match=r"pretrained was trained with another tokenizer .*--max-length 31\.5"):
        Run(tiny_shards, tmp_path / "run", ModelConfig(), CONFIG, initial=default_model())


def test_runaway_learning_rate_is_one_error(tmp_path: Path, tiny_shards: Path) -> None:
    config = replace(CONFIG, learning_rate=1e30, checkpoint_minutes=100)
    with pytest.raises(TrainingError, match="none was kept"):
        make_run(tiny_shards, tmp_path, config).fit()


@pytest.mark.parametrize("changes", [{"seed": 1}, {"learning_rate": 1e-4}, {"epochs": 9}, {"mix": CANONICAL}])
def test_other_settings_are_refused(changes: dict[str, Any], tmp_path: Path, tiny_shards: Path) -> None:
    stop_at(make_run(tiny_shards, tmp_path), 3)
    kept = (tmp_path / STATE).read_bytes()
    with pytest.raises(TrainingError, match="other data or settings; choose another --out"):
        make_run(tiny_shards, tmp_path, replace(CONFIG, **changes))
    with pytest.raises(TrainingError, match="choose another --out"):
        make_run(tiny_shards, tmp_path, dropout=0.1)
    assert (tmp_path / STATE).read_bytes() == kept


def test_damaged_state_is_refused(tmp_path: Path, tiny_shards: Path) -> None:
    stop_at(make_run(tiny_shards, tmp_path), 3)
    data = (tmp_path / STATE).read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    flips = [bytearray(data) for _ in range(4)]
    for flipped, place in zip(flips, (3, header // 2, header + 100, len(data) - 1), strict=True):
        flipped[place] ^= 0x10
    for damaged in (b"", data[: len(data) // 2], data[:-1], b"\x80\x04]\x94.", *flips):
        (tmp_path / STATE).write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            make_run(tiny_shards, tmp_path)
        assert "\n" not in str(caught.value)
        assert "remove it to start anew" in str(caught.value)


def test_shards_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="materium prepare"):
        make_run(tmp_path / "nothing", tmp_path / "out")


def test_shards_without_validation_are_refused_before_training(tmp_path: Path, tiny_shards: Path) -> None:
    """Not after the first epoch, when it is needed."""
    data = tmp_path / "data"
    data.mkdir()
    for file in tiny_shards.iterdir():
        (data / file.name).symlink_to(file)
    (data / "val").unlink()
    with pytest.raises(DataError, match="val"):
        make_run(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_of_another_tokenizer_are_refused(tmp_path: Path, tiny_shards: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "val"):
        (data / name).symlink_to(tiny_shards / name)
    manifest = json.loads((tiny_shards / "manifest.json").read_text())
    del manifest["checksum"]
    manifest["tokenizer"]["bins"] = 504
    write_signed(data / "manifest.json", manifest)
    with pytest.raises(ValueError, match="tokenizer"):
        make_run(data, tmp_path / "out")


def test_what_training_saw_is_in_the_settings(tmp_path: Path, tiny_shards: Path) -> None:
    seen = seen_in(read_shard(tiny_shards / "train"))
    assert seen == make_run(tiny_shards, tmp_path).model_config.seen
    assert (seen["num_sites"].low, seen["num_sites"].high, seen["num_sites"].count) == (2, 20, 24)
    assert (seen["band_gap"].low, seen["band_gap"].high, seen["band_gap"].count) == (0, 4, 16)
    assert "hhi" not in seen
    assert set(seen) <= set(scalar_names())


def test_tensorboard_events_are_written_when_asked(tmp_path: Path, tiny_shards: Path) -> None:
    config = replace(CONFIG, epochs=3, checkpoint_minutes=100)
    make_run(tiny_shards, tmp_path / "without", config).fit()
    assert not (tmp_path / "without" / "tensorboard").exists()
    Run(tiny_shards, tmp_path / "with", ModelConfig.preset("tiny"), config, events=True).fit()
    (events,) = (tmp_path / "with" / "tensorboard").iterdir()
    content = events.read_bytes()
    for name in (b"loss", b"learning_rate", b"validation/nats_per_crystal"):
        assert name in content


def test_missing_tensorboard_is_one_error(tmp_path: Path, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install .*\[train\]'"):
        Run(tiny_shards, tmp_path, ModelConfig.preset("tiny"), CONFIG, events=True)


def test_report_says_where_the_run_stands(tmp_path: Path, tiny_shards: Path) -> None:
    reports: list[Report] = []
    make_run(tiny_shards, tmp_path).fit(reports.append)
    shares = [now.share for now in reports]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.1
    assert shares[-1] == 1
    assert reports[-1].seconds_left < reports[1].seconds_left


def test_the_model_that_validated_best_stays(
    tmp_path: Path, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three validations is the best by decree, so the folder's model is the one of epoch 2."""
    decreed = iter([3.0, 1.0, 2.0])

    def judge(_model: object, _grammar: object, _shard: object, mix: Mix) -> dict[str, float]:
        told = mix.conditional > 0  # the second figure of each validation, which decides nothing
        return {"nats_per_crystal": 9.0 if told else next(decreed)}

    monkeypatch.setattr("materium.train.atoms.validate", judge)
    make_run(tiny_shards, tmp_path, replace(CONFIG, epochs=3, validate_epochs=1)).fit()
    assert load_checkpoint(tmp_path)[1]["facts"]["epochs"] == 2
