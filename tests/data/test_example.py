"""The table of textbook crystals that comes with the package."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from documents import ROOT
from materium.cli.main import main
from materium.data.example import example_table
from materium.data.readers import checked, read

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_what_its_script_writes() -> None:
    """Which holds every crystal to the space group that it names, and to its shortest distance."""
    spec = importlib.util.spec_from_file_location("textbook", ROOT / "benchmarks" / "textbook_crystals.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made, shipped = script.table().to_pylist(), pq.read_table(example_table()).to_pylist()
    assert len(shipped) == len(made) == len({row["id"] for row in shipped}) == 175
    for one, other in zip(shipped, made, strict=True):
        for name, value in other.items():
            assert one[name] == (pytest.approx(value, abs=2e-6) if name in ("cell", "frac_coords") else value)
    assert example_table().stat().st_size < 50_000


@pytest.mark.parametrize("name", ["crystals.csv", "crystals.extxyz"])
def test_it_is_written_in_every_format(name: str, tmp_path: Path) -> None:
    assert main(["data", "example", str(tmp_path / name), "--quiet"]) == 0
    rows = list(checked(read(tmp_path / name)))
    assert len(rows) == 175
    assert not [row.reason for row in rows if row.crystal is None]
