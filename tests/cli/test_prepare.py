"""`materium prepare`: shards and their counts, nothing the second time, and mistakes in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import NACL, QUARTZ, SILICON
from materium.cli.main import main
from tiny import strained, write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["prepare", "--workers", "1", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_writes_shards_and_prints_every_count(prepare: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "train.parquet", strained([0, 0.01]))
    write_table(tmp_path / "val.parquet", [NACL, QUARTZ, SILICON])
    arguments = ["train.parquet", "--val", "val.parquet", "--max-sites", "9", "--out", "shards"]
    status, out, err = prepare(*arguments)
    assert (status, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "train kept 10" in lines
    assert "train rejected: more than 9 sites 2" in lines
    assert "val kept 3" in lines
    assert lines[-1].startswith("2 rows were rejected; ")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*")}
    assert prepare(*arguments)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*")} == before
    status, _, err = prepare(*arguments, "--views", "3")
    assert status == 2
    assert "other sources or settings" in err


def nothing(_: Path) -> None:
    """Leave nothing."""


def wrong_columns(path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), path)


def truncated(path: Path) -> None:
    write_table(path, [NACL])
    path.write_bytes(path.read_bytes()[:-40])


def good(path: Path) -> None:
    write_table(path, [NACL])


def too_large(path: Path) -> None:
    write_table(path, [QUARTZ])


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        (nothing, [], "in.parquet"),
        (wrong_columns, [], "column"),
        (truncated, [], "in.parquet"),
        (too_large, ["--max-sites", "2"], "no crystal is left"),
        (good, ["--tokenizer", "fancy"], "choose base or paper"),
        (good, ["--exclude-elements", "Na,Xx"], "Xx"),
        (good, ["--max-sites", "0"], "max-sites"),
        (good, ["--views", "0"], "views"),
        (good, ["--val-fraction", "0.9"], "val-fraction"),
        (good, ["--max-sights", "4"], "--max-sites"),
        (good, ["--val", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line(
    make: Callable[[Path], None], arguments: list[str], said: str, prepare: Callable[..., Any], tmp_path: Path
) -> None:
    make(tmp_path / "in.parquet")
    status, out, err = prepare("in.parquet", "--out", "shards", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.startswith("materium: ")
    assert err.count("\n") == 1
