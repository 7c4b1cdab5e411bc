"""`materium evaluate`: a folder of results for any folder of structures, and one line for every mistake."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from crystals import KNOWN, NACL
from materium import convert
from materium.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHEAP = ("--skip", "novel,relax")


@pytest.fixture
def judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in a folder with the folder `in` of CIFs, one of them cut short."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name, crystal in KNOWN.items():
        (tmp_path / "in" / f"{name}.cif").write_text(convert.to_cif(crystal))
    (tmp_path / "in" / "ß.cif").write_text(convert.to_cif(NACL)[:500])

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["evaluate", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_folder_of_cifs(judge: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = judge("in", "--out", "out", *CHEAP)
    assert (status, err) == (0, "")
    assert "5 of 6" in out
    assert re.search(r"^valid .*no two atoms too close", out, re.MULTILINE)
    assert re.search(r"^1 +\S+\.cif ", out, re.MULTILINE)  # the first of the best
    assert "out/report.html" in out.splitlines()[-1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "evaluation.json", "lemat.csv", "metrics.json", "relaxed.extxyz", "report.html", "rows.csv", "rows.parquet"
    }  # fmt: skip
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert sorted(row["id"] for row in rows) == sorted([*(f"{name}.cif" for name in KNOWN), "ß.cif"])
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["metrics"]["valid"]["numerator"] == 5
    assert metrics["skipped"] == ["hull", "novel", "relax"]


def test_same_command_again_writes_nothing(judge: Callable[..., Any], tmp_path: Path) -> None:
    assert judge("in", "--out", "out", *CHEAP)[0] == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    status, out, _ = judge("in", "--out", "out", *CHEAP)
    assert status == 0
    assert "finished already" in out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_only_the_check(judge: Callable[..., Any], tmp_path: Path) -> None:
    assert judge("in", "--out", "out", "--only", "check", "--n-asked", "20", "--quiet")[:2] == (0, "")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["metrics"]["valid"]["denominator"] == 20
    assert "unique" not in metrics["metrics"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing", "--out", "out", *CHEAP], "missing"),
        (["in", "--out", "out", "--skip", "hulk"], "hulk"),
        (["in", "--out", "out", "--only", "hulk"], "hulk"),
        (["in", "--out", "out", *CHEAP, "--n-asked", "2"], "2"),
        (["in", "--out", "in/out", *CHEAP], "beside it"),
        (["in", "--out", "out", "--reference", "nowhere"], "nowhere"),
        (["in", "--out", "out", "--potential", "chgnett", "--skip", "novel,hull"], "chgnett"),
        (["in", "--out", "out", "--fmax", "0"], "fmax"),
        (["in", "--out", "out", "--known", "nowhere.parquet", "--skip", "relax"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str, judge: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = judge(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused(judge: Callable[..., Any]) -> None:
    assert judge("in", "--out", "out", *CHEAP)[0] == 0
    status, _, err = judge("in", "--out", "out", "--only", "check")
    assert status == 2
    assert "choose another --out" in err
