"""The table that LeMat-GenBench reads: a CSV with one CIF a row, in the column `cif`.

Its own runner also takes a folder of CIFs; the rows that could not be read have no CIF and are counted in the name of
no file, so compare its number of structures with `n_asked` of `metrics.json`.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import convert
from materium.crystal import Crystal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

COLUMNS = ("id", "cif")


def write_lemat(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the structures as they were made, and return how many; rows without a structure are left out."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            if row.get("cell") is not None:
                writer.writerow((row["id"], convert.to_cif(made_crystal(row), row["id"])))
                count += 1
    return count


def made_crystal(row: Mapping[str, Any]) -> Crystal:
    """Return the crystal of a row as it was made."""
    frac = np.reshape(row["frac_coords"], (-1, 3))
    return Crystal(np.reshape(row["cell"], (3, 3)), frac, np.array(row["atomic_numbers"]))
