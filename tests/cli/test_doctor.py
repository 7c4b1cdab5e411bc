from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from materium.cli import doctor
from materium.cli.main import main
from materium.model import checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def test_table_has_a_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for name in ("Python", "torch", "moyopy", "tensorboard [train]", "device", "bfloat16", "model", "disk"):
        assert any(line.startswith(name) for line in shown.splitlines()), name


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--quiet", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "extra", "passed", "needed"),
    [
        ("torch>=2.6", "", True, True),
        ("torch>=99", "", False, True),
        ("no-such-package-of-materium>=1", "", False, True),
        ("no-such-package-of-materium>=1", "train", False, False),
    ],
)
def test_package_against_its_range(line: str, extra: str, *, passed: bool, needed: bool) -> None:
    (check,) = doctor._package(Requirement(line), extra)
    assert (check.passed, check.needed) == (passed, needed)


def test_missing_device_is_a_failing_line_and_the_rest_is_still_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cuda:63"]) == 1
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("torch") and "FAILS" in line]
    assert "temporary folder" in shown


def test_missing_model_is_a_failing_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "default_model", lambda: tmp_path)
    assert main(["doctor", "--device", "cpu"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("model")]
    assert "FAILS" in line


@pytest.mark.parametrize("there", [True, False])
def test_says_whether_the_loops_are_compiled(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    monkeypatch.setattr("materium.model.loops.compiled", lambda: object() if there else None)
    (check,) = doctor._loops()
    assert (check.verdict, "C compiler" in check.detail) == (("ok", False) if there else ("not there", True))
