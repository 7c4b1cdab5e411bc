"""Manifests: a folder that holds none of this format is refused in one line, and nothing is written over a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materium.data.manifest import FORMAT, check_shards, read_manifest
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewrite(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def test_a_table_in_place_of_shards_is_never_written_over(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.touch()
    with pytest.raises(DataError, match=r"is a file, .* 'materium prepare \S+/mine.csv --out \S+/mine-shards'"):
        read_manifest(table)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "has no manifest.json; make shards with"),
        (rewrite('{"format": 1, '), "is not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe{}"), "is not JSON"),
        (rewrite("[]"), f"is no manifest of format {FORMAT}"),
        (rewrite('{"format": 1}'), f"is no manifest of format {FORMAT}; remove .* and prepare anew"),
        (rewrite('{"format": 99}'), f"is no manifest of format {FORMAT}"),
        (rewrite("{}"), f"is no manifest of format {FORMAT}"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    damage(tmp_path / "manifest.json")
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)


def test_a_missing_file_of_a_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train/ids\.parquet is damaged or missing; the same 'materium prepare'"):
        check_shards(tmp_path, {"files": {"train/ids.parquet": "0" * 64}})
