"""`materium report`: a finished run in, one page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materium.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")


@pytest.fixture
def run(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    arguments = ["--density", "2.5", "5", "--band-gap", "1", "-n", "4", "--out", str(tmp_path / "run"), "--quiet"]
    assert main(["generate", "--model", str(tiny_checkpoint), *arguments]) == 0
    return tmp_path / "run"


def test_writes_the_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--figures"]) == 0
    assert "shows 8 crystals" in capsys.readouterr().out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "density" in page
    assert "<svg" in page
    assert "band_gap: asked for, and not measured" in page
    assert {path.suffix for path in (run / "figures").iterdir()} == {".svg", ".png"}


def test_run_that_was_told_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    out = tmp_path / "run"
    assert main(["generate", "--model", str(tiny_checkpoint), "-n", "6", "--out", str(out), "--quiet"]) == 0
    assert main(["report", str(out), "--quiet"]) == 0
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")


def test_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "holds no finished run" in err
