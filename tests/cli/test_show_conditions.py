"""`materium conditions`: every property with its option, what training saw, and the measured adherence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materium.cli.main import main
from materium.io.atomic import write_signed
from materium.model.facts import ADHERENCE
from materium.model.folder import default_model
from materium.properties import table

if TYPE_CHECKING:
    from pathlib import Path


def test_prints_every_property(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conditions", "--model", str(tiny_checkpoint)]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in table())
    assert "--formula" in out
    assert "--chemical-system" in out
    assert "not measured" in out
    assert "1 to 20" in out


def test_measured_adherence_stands_beside_the_model(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"properties": {"density": {"share": 0.8125, "targets": [2.5, 5.0]}}}
    write_signed(tiny_checkpoint / ADHERENCE, found)
    assert main(["conditions", "--model", str(tiny_checkpoint)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("density"))
    assert "81 %" in line
    assert "2.5, 5" in line


def test_model_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    if not (default_model() / ADHERENCE).exists():
        pytest.skip("the adherence of this model was not measured")
    assert main(["conditions"]) == 0
    assert "%" in capsys.readouterr().out
