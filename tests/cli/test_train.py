"""`materium train`: from shards to a model that generates, and mistakes in one line."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from materium.cli.main import main
from materium.cli.train import parse_weights
from materium.errors import MateriumError
from materium.model.checkpoint import load_checkpoint
from materium.train.memory import keep_freed_memory
from tiny import strained, write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHORT = ["--preset", "tiny", "--epochs", "2", "--batch-tokens", "300"]


@pytest.fixture
def train(
    tmp_path: Path, tiny_shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("materium.train.memory.keep_freed_memory", lambda: True)  # it is for a process of its own

    def run(*arguments: str, data: Path = tiny_shards) -> tuple[int, str, str]:
        status = main(["train", str(data), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_trains_a_model_that_generates(train: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = train(*SHORT, "--out", "model")
    assert (status, err) == (0, "")
    assert "24 crystals, from step 0" in out
    assert re.search(r"^perplexity +[\d.]+ +per token", out, re.MULTILINE)
    assert main(["generate", "--model", "model", "-n", "2", "--out", "run", "--quiet"]) == 0
    assert (tmp_path / "run" / "structures.parquet").exists()
    assert "from step 0" not in train(*SHORT, "--out", "model")[1]
    status, _, err = train(*SHORT, "--out", "model", "--seed", "1")
    assert status == 2
    assert "choose another --out" in err


def test_rows_by_energy_above_hull_and_a_condition_that_is_always_given(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    energies = [0.0, 0.05, 0.1, 0.2, None, 0.0] * 2
    write_table(tmp_path / "table.parquet", strained([0, 0.01]), energy_above_hull=energies)
    data = tmp_path / "data"
    assert (
        main(["prepare", "table.parquet", "--val", "table.parquet", "--views", "1", "--workers", "1", "--out", "data"])
        == 0
    )
    arguments = ["--epochs", "1", "--max-energy-above-hull", "0.1", "--always", "energy_above_hull", "--out", "stable"]
    status, out, _ = train(*SHORT, *arguments, data=data)
    assert status == 0
    assert "8 of 12 crystals with weights, 8 to an epoch, from step 0" in out
    assert "-ln p of a crystal, given energy_above_hull alone, nats" in out
    seen = load_checkpoint(tmp_path / "stable")[0].config.seen["energy_above_hull"]
    assert (seen.low, seen.high, seen.count) == (0.0, pytest.approx(0.1), 8)


def test_shards_of_orbits_train_a_model_of_orbits(
    train: Callable[..., Any], tiny_orbit_shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--other-setting", "0.5", "--subgroup", "0.5", "--dropped", "0", "--schedule", "wsd"]
    status, out, err = train(*SHORT, *options, "--out", "model", data=tiny_orbit_shards)
    assert (status, err) == (0, "")
    assert "-ln p of a crystal, unconditional, nats" in out
    assert main(["info", "--model", "model"]) == 0
    assert "at most 52 sites" in capsys.readouterr().out
    assert main(["generate", "--model", "model", "-n", "1", "--out", "run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    status, _, err = train(*SHORT, "--lattice-first", "0.5", "--out", "other", data=tiny_orbit_shards)
    assert (status, err.count("\n")) == (2, 1)
    assert "--lattice-first is not for shards of orbits" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "huge"], "base, paper, tiny"),
        (["--optimiser", "sgd"], "choose adamw or muon"),
        (["--learning-rate", "-1"], "learning_rate = -1.0"),
        (["--muon-learning-rate", "0"], "muon_learning_rate"),
        (["--dropout", "1.5"], "dropout = 1.5"),
        (["--minutes", "-1"], "minutes = -1.0"),
        (["--epochs", "0"], "epochs"),
        (["--batch-tokens", "1"], "batch-tokens"),
        (["--orders", "high=much"], "write orders like"),
        (["--orders", "heavy=1"], "high, low"),
        (["--orders", "high=-1"], "weights"),
        (["--conditional", "2"], "conditional"),
        (["--lattice-first", "-1"], "lattice_first"),
        (["--always", "hardness"], "always: unknown hardness; choose from space_group"),
        (["--energy-weight", "0"], "energy_scale = 0.0"),
        (["--max-energy-above-hull", "-1"], "max_energy_above_hull = -1.0"),
        (["--max-energy-above-hull", "inf"], "the weights of the 24 crystals sum to 0"),
        (["--device", "cuda"], "not on this machine"),
        (["--epoch", "3"], "--epochs"),
        (["--schedule", "step"], "choose cosine or wsd"),
        (["--decay", "0"], "decay = 0.0"),
        (["--continue", "nothing"], "has no stable.safetensors"),
        (["--subgroup", "0.1"], "--subgroup is not for shards of atoms"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, out, err = train(*SHORT, "--out", "model", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_folder_without_shards(train: Callable[..., Any], tmp_path: Path) -> None:
    status, _, err = train(*SHORT, "--out", "model", data=tmp_path)
    assert status == 2
    assert "materium prepare" in err


def test_ctrl_c_is_one_line_and_the_run_goes_on(
    tmp_path: Path, tiny_shards: Path, offline_environment: dict[str, str], train: Callable[..., Any]
) -> None:
    arguments = ["--preset", "tiny", "--epochs", "2000", "--batch-tokens", "300", "--out", "model"]
    with subprocess.Popen(
        [sys.executable, "-m", "materium", "train", str(tiny_shards), *arguments],
        cwd=tmp_path,
        env=offline_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        waiting = time.monotonic()
        while not (tmp_path / "model" / "state.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() - waiting < 200
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was finished stays" in err
    assert err.count("\n") == 1
    status, _, err = train(*SHORT, "--out", "model")
    assert status == 2
    assert "other data or settings" in err


def test_weights_of_orders() -> None:
    assert parse_weights("high=0.6, random=0.4") == {"high": 0.6, "random": 0.4}
    assert parse_weights("high") == {"high": 1.0}
    with pytest.raises(MateriumError, match="is no weight"):
        parse_weights("high=x")


def test_memory_setting_is_there_to_be_taken() -> None:
    assert callable(keep_freed_memory)
