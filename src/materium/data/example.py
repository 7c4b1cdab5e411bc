"""The table of textbook crystals that comes with the package, from rock salt to spinel, to try the commands on."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def example_table() -> Path:
    """Return the path of the table, which `benchmarks/textbook_crystals.py` writes; it is too small to measure on."""
    return Path(str(files("materium.data").joinpath("textbook.parquet")))
