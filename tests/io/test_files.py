"""Encodings and limits of files; what readers make of them is in tests/data/test_labels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materium.errors import DataError
from materium.io.files import decode, read_bytes, read_json, read_lines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"])
def test_text_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    content = "Größe\nÅ\n".encode(encoding)
    (tmp_path / "t").write_bytes(content)
    assert decode(content) == "Größe\nÅ\n"
    assert list(read_lines(tmp_path / "t")) == ["Größe\n", "Å\n"]


def test_limits(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"12345")
    assert read_bytes(tmp_path / "t", 5) == b"12345"
    with pytest.raises(DataError, match="has more than"):
        read_bytes(tmp_path / "t", 4)
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_bytes(tmp_path, 4)
    (tmp_path / "t").write_text("{")
    with pytest.raises(DataError, match="give a whole JSON file"):
        read_json(tmp_path / "t")
