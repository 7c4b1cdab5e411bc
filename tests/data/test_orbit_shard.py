"""A shard gives back what was put into it, from memory and from a folder."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from materium.core.orbits import all_settings
from materium.data.orbit_shard import ARRAYS, OrbitShard
from materium.errors import DataError
from materium.properties import scalar_names
from orbit_rows import CRYSTALS, shard, tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def test_every_description_comes_back() -> None:
    packed, place = shard(), 0
    for row, crystal in enumerate(CRYSTALS):
        assert packed.row_start[row] == place
        for kind, orbits in enumerate(all_settings(crystal)):
            wanted = tokenizer().grid(orbits)
            found = packed.grid(place)
            assert found.group == wanted.group
            assert packed.kinds[place] == (kind > 0)
            for name in ("lattice", "species", "positions", "points"):
                assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
            place += 1
    assert len(packed) == len(CRYSTALS)
    assert len(packed.groups) == place


def test_labels_that_are_missing_are_nan() -> None:
    gaps = shard().properties[:, scalar_names().index("band_gap")]
    assert np.isnan(gaps).tolist() == [True, True, True, False, False]


def test_a_folder_holds_all_of_it(tmp_path: Path) -> None:
    shard().save(tmp_path / "rows", [("odd", "why")])
    again = OrbitShard.load(tmp_path / "rows")
    for f in fields(OrbitShard):
        np.testing.assert_array_equal(getattr(again, f.name), getattr(shard(), f.name))
    assert isinstance(again.orbits.base, np.memmap)
    assert pq.read_table(tmp_path / "rows" / "rejected.parquet").to_pylist() == [{"id": "odd", "reason": "why"}]


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit_each_other_are_refused(name: str, tmp_path: Path) -> None:
    shard().save(tmp_path)
    np.save(tmp_path / f"{name}.npy", getattr(shard(), name)[:-1])
    with pytest.raises(DataError, match="arrays of unequal length; prepare it anew"):
        OrbitShard.load(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        OrbitShard.load(tmp_path)
