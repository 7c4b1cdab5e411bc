"""`materium info`: what a model is, and what it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materium.cli.main import main
from materium.model.checkpoint import load_checkpoint
from materium.properties import table

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_prints_the_model_and_its_conditions(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(tiny_checkpoint)]) == 0
    out = capsys.readouterr().out
    model, config = load_checkpoint(tiny_checkpoint)
    for words in (f"{model.num_parameters():,}", config["weights_sha256"][:12], "3.50 nats", "1 epochs, 2 steps"):
        assert words in out
    for name in table():
        assert f"\n{name} " in out
    assert "1 to 20" in out


def test_quiet(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--quiet", "--model", str(tiny_checkpoint)]) == 0
    assert capsys.readouterr().out == ""


def test_folder_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_model_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert "parameters" in capsys.readouterr().out
