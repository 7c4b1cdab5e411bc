"""Shards: what is packed comes back, and what is damaged is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import KNOWN
from materium.data.shard import ARRAYS, Shard, read_shard, write_shard
from materium.errors import DataError
from materium.properties import scalar_names
from materium.symmetry import canonical
from materium.tokens.tokenizer import Parts, Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENIZER = Tokenizer(TokenizerConfig.preset("base"))


def known_views() -> list[list[Parts]]:
    """One to three views of each known crystal; the later ones are only recognisable."""
    parts = [TOKENIZER.parts(canonical(crystal)) for crystal in KNOWN.values()]
    return [
        [Parts(p.species, (p.points + view) % 1008, p.lattice + view) for view in range(1 + i % 3)]
        for i, p in enumerate(parts)
    ]


def known_shard() -> Shard:
    labels = [{"density": float(i), "band_gap": 0.0} if i % 2 else {} for i in range(len(KNOWN))]
    return Shard.pack(list(KNOWN), known_views(), labels)


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    write_shard(tmp_path / "train", known_shard(), [("x", "too large")])
    shard = read_shard(tmp_path / "train")
    assert list(shard.ids) == list(KNOWN)
    assert len(shard) == len(KNOWN)
    for row, views in enumerate(known_views()):
        assert shard.num_views(row) == len(views)
        assert shard.num_sites()[row] == len(views[0].species)
        for view, parts in enumerate(views):
            found = shard.parts(row, view)
            np.testing.assert_array_equal(found.species, parts.species)
            np.testing.assert_array_equal(found.points, parts.points)
            np.testing.assert_array_equal(found.lattice, parts.lattice)


def test_a_missing_label_is_not_zero(tmp_path: Path) -> None:
    write_shard(tmp_path, known_shard(), [])
    labels = read_shard(tmp_path).properties
    gap, density = (labels[:, scalar_names().index(name)] for name in ("band_gap", "density"))
    np.testing.assert_array_equal(density, [np.nan, 1, np.nan, 3, np.nan])
    np.testing.assert_array_equal(gap, [np.nan, 0, np.nan, 0, np.nan])


def test_arrays_are_mapped_not_loaded(tmp_path: Path) -> None:
    write_shard(tmp_path, known_shard(), [])
    assert isinstance(read_shard(tmp_path).points, np.memmap)


def test_rejected_rows_are_a_table(tmp_path: Path) -> None:
    write_shard(tmp_path, known_shard(), [("a", "overlapping atoms"), ("b", "cell longer than 30 Å")])
    table = pq.read_table(tmp_path / "rejected.parquet").to_pydict()
    assert table == {"id": ["a", "b"], "reason": ["overlapping atoms", "cell longer than 30 Å"]}


def test_a_shard_without_crystals(tmp_path: Path) -> None:
    write_shard(tmp_path, Shard.pack([], [], []), [])
    shard = read_shard(tmp_path)
    assert len(shard) == 0
    assert shard.properties.shape == (0, len(scalar_names()))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def shorter(path: Path) -> None:
    np.save(path, np.load(path)[:-1])


@pytest.mark.parametrize("damage", [cut, empty, pickled, shorter, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_damaged_array_is_refused(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    write_shard(tmp_path, known_shard(), [])
    damage(tmp_path / f"{name}.npy")
    with pytest.raises(DataError, match="prepare it anew"):
        read_shard(tmp_path)


@pytest.mark.parametrize("damage", [cut, empty, lambda path: path.unlink()])
def test_damaged_ids_are_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_shard(tmp_path, known_shard(), [])
    damage(tmp_path / "ids.parquet")
    with pytest.raises(DataError, match="prepare it anew"):
        read_shard(tmp_path)


def test_ids_without_their_column_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, known_shard(), [])
    pq.write_table(pa.table({"name": list(KNOWN)}), tmp_path / "ids.parquet")
    with pytest.raises(DataError, match="prepare it anew"):
        read_shard(tmp_path)


def test_site_separation_is_the_smallest_over_all_pairs() -> None:
    """Sites 0, 20 and 990 steps apart along x, of 1008: the last two are 18 + 20 apart around the corner."""
    species = np.array([5, 5, 5])
    points = np.array([[0, 500, 0], [20, 500, 3], [990, 500, 0]])
    lone = Parts(species[:1], points[:1], np.arange(6))
    shard = Shard.pack(["a", "b"], [[Parts(species, points, np.arange(6))], [lone]], [{}, {}])
    assert shard.site_separation(1008) == 18
    assert Shard.pack(["b"], [[lone]], [{}]).site_separation(1008) == 0
