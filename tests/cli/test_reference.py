"""`materium reference`: builds from a table, shows what came of it, and never overwrites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import NACL, QUARTZ, RUTILE
from materium.cli.main import main
from materium.evaluate.reference import load, shipped

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of three crystals with labels above the hull."""
    crystals = [NACL, RUTILE, QUARTZ]
    columns = {
        "id": ["salt", "rutile", "quartz"],
        "cell": [c.lattice.ravel().tolist() for c in crystals],
        "atomic_numbers": [c.numbers.tolist() for c in crystals],
        "frac_coords": [c.frac_coords.ravel().tolist() for c in crystals],
        "energy_above_hull": [0.0, 0.05, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "few.parquet")
    return tmp_path / "few.parquet"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run the command and return what it prints, line by line, single-spaced."""
    assert main(["reference", *arguments]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_builds_and_shows(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "made" / "reference-tiny.parquet"
    lines = shown(capsys, "build", str(table), "--potential", "lennard-jones", "--out", str(out))
    found = load(out)
    assert f"fingerprint {found.fingerprint}" in lines
    assert "name tiny" in lines
    assert "hull 3 phases: 3 computed" in lines  # Lennard-Jones energies and DFT labels do not mix
    assert any(line.startswith("table few, 3 crystals, sha256 ") for line in lines)
    assert [line for line in shown(capsys, "info", str(out)) if line] == [line for line in lines if line]


def test_nothing_is_overwritten(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "build", str(table), "--potential", "lennard-jones", "--out", str(table)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "never overwritten" in captured.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("build", "missing.parquet", "--potential", "lennard-jones", "--out", "new.parquet"), "does not exist"),
        (("info", "missing.parquet"), "no reference 'missing.parquet'"),
        (("build", "missing.parquet", "--potential", "chgnt", "--out", "new.parquet"), "unknown potential"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str) -> None:
    assert main(["reference", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert reason in captured.err


@pytest.mark.skipif("chgnet" not in shipped(), reason="the reference for CHGNet does not ship")
def test_info_shows_the_one_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert "potential chgnet 0.3.0, energies MP2020" in shown(capsys, "info")
