"""`materium complete`: a host file in, a run folder out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from crystals import NACL
from materium.cli.main import main
from materium.convert import to_cif
from materium.crystal import Crystal
from materium.symmetry import canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SODIUM = Crystal(canonical(NACL).lattice, np.zeros((1, 3)), np.array([11]))


@pytest.fixture
def complete(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "host.cif").write_text(to_cif(SODIUM, "host"), encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["complete", "--model", str(tiny_checkpoint), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_writes_a_run_folder(complete: Callable[..., Any], tmp_path: Path) -> None:
    status, out, _ = complete("host.cif", "--add", "Cl", "-n", "3", "--keep-lattice", "--out", "run")
    assert status == 0
    assert "3 of 3 (100.0 %)" in out
    rows = pq.read_table(tmp_path / "run" / "structures.parquet").to_pylist()
    assert [row["formula"] for row in rows] == ["NaCl"] * 3
    for row in rows:
        cell = np.array(row["cell"]).reshape(3, 3)  # a CIF keeps lengths and angles, not the orientation
        np.testing.assert_allclose(cell @ cell.T, SODIUM.lattice @ SODIUM.lattice.T, atol=1e-3)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["host"]["add"] == "Cl"
    assert complete("host.cif", "--add", "Cl2", "-n", "3", "--keep-lattice", "--out", "run")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["host.cif", "--add", "Xx"], "is no formula"),
        (["host.cif", "--add", "Og"], "no token"),
        (["host.cif", "--add", "Cl40"], "41 atoms; this model writes at most 5"),
        (["missing.cif", "--add", "Cl"], "missing.cif"),
        (["host.cif"], "--add"),
        (["host.cif", "--add", "Cl", "-n", "0"], "n = 0"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str, complete: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = complete(*arguments, "--out", "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "run").exists()


def test_overlapping_host_is_refused(complete: Callable[..., Any], tmp_path: Path) -> None:
    close = Crystal(SODIUM.lattice, np.array([[0, 0, 0], [0, 0, 0.02]]), np.array([11, 11]))
    (tmp_path / "close.cif").write_text(to_cif(close, "close"), encoding="utf-8")
    status, _, err = complete("close.cif", "--add", "Cl", "--out", "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "apart" in err
