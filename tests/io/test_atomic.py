"""Files whole or not at all, and damage to them found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from materium.errors import DataError
from materium.io.atomic import damaged, digests, is_empty, read_signed, replacing, whole, write_bytes, write_signed

if TYPE_CHECKING:
    from pathlib import Path

FACTS = {"request": {"n": 12, "density": 3.5}, "finished": False, "seconds": 12.345}


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def fail() -> None:
        with replacing(tmp_path / "a") as part:
            part.write_bytes(b"ne")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_flipped_bits_and_every_cut_of_signed_json_is_found(tmp_path: Path) -> None:
    """Or it reads as what was written: of a blank that became a tab, nothing is lost."""
    path = tmp_path / "run.json"
    write_signed(path, FACTS)
    content = path.read_bytes()
    others = [content[:at] + bytes([byte ^ 1 << at % 8]) + content[at + 1 :] for at, byte in enumerate(content)]
    found = 0
    for other in [*others, *(content[:place] for place in range(len(content) - 1))]:
        path.write_bytes(other)
        try:
            assert read_signed(path, "no run") == FACTS
        except DataError:
            found += 1
    assert found > 0.9 * (len(others) + len(content))


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"run"', "[" * 100_000, "\ud800", "{}", '{"checksum": [1]}'])
def test_what_is_no_signed_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DataError, match="describes no run"):
        read_signed(tmp_path / "run.json", "no run")


def test_files_beside_their_mark(tmp_path: Path) -> None:
    (tmp_path / "cif").mkdir()
    for name in ("rows", "cif/1", "cif/2"):
        (tmp_path / name).write_text(name)
    write_signed(tmp_path / "mark", {"files": digests(tmp_path, ("rows", "cif"))})
    assert whole(tmp_path / "mark")
    expected = read_signed(tmp_path / "mark", "nothing")["files"]
    (tmp_path / "cif" / "2").rename(tmp_path / "cif" / "3")
    assert damaged(tmp_path, expected) == ["cif"]
    (tmp_path / "rows").unlink()
    assert damaged(tmp_path, expected) == ["rows", "cif"]
    assert not whole(tmp_path / "mark")
    assert not whole(tmp_path / "other")


def test_what_a_stopped_write_leaves_is_nothing(tmp_path: Path) -> None:
    (tmp_path / ".run.json.part").touch()
    (tmp_path / ".lock").touch()
    assert is_empty(tmp_path)
    (tmp_path / "part").touch()
    assert not is_empty(tmp_path)


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(DataError, match="no regular file"):
        read_signed(tmp_path / "run.json", "no run")
