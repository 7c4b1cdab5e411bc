"""`materium prepare`: shards and their counts, nothing the second time, and mistakes in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import NACL, QUARTZ, RUTILE, SILICON
from materium.cli.main import main
from materium.data.shard import read_shard
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


def test_tables_with_weights_and_filters_of_their_own(prepare: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", [NACL, QUARTZ], energy_above_hull=[0.0, None])
    write_table(tmp_path / "b.parquet", [NACL, SILICON, RUTILE], energy_above_hull=[0.0, 0.2, 0.05])
    (tmp_path / "labels.csv").write_text("id,gap\nrow-0,5\nrow-9,1\n")
    options = [
        "--weight",
        "b.parquet=0.5",
        "--max-energy-above-hull",
        "0.3",
        "--max-energy-above-hull",
        "b.parquet=0.1",
    ]
    options += ["--unlabelled", "a.parquet=drop", "--labels", "labels.csv", "--label", "band_gap=band_gap, gap"]
    status, out, err = prepare("a.parquet", "b.parquet", *options, "--val-fraction", "0", "--out", "shards")
    assert (status, err) == (0, "")
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert {
        "train kept 2",
        "train: a.parquet rejected: no energy above hull 1",
        "train: b.parquet rejected: same crystal in another table 1",
        "train: b.parquet rejected: energy above hull over 0.1 eV/atom 1",
        "labels.csv ids of crystals 1",
        "labels.csv unknown ids 1",
        "labels.csv band_gap from gap 2",
    } <= lines
    shard = read_shard(tmp_path / "shards" / "train")
    assert dict(zip(shard.ids, shard.weights.tolist(), strict=True)) == {"row-0": 1.0, "row-2": 0.5}


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
        (good, ["--weight", "much"], "--weight much: expected a number such as 0.1, got 'much'"),
        (good, ["--weight", "0"], "weight 0.0 of in.parquet is not possible"),
        (good, ["--max-energy-above-hull", "nan"], "expected a number from 0 on, got nan"),
        (good, ["--unlabelled", "some"], "expected keep or drop, got 'some'"),
        (good, ["--weight", "out.parquet=2"], "0 tables are called 'out.parquet'; name one of in.parquet"),
        (good, ["in.parquet"], "train: in.parquet is given twice"),
        (good, ["--labels", "in.csv"], "in.csv does not exist"),
        (good, ["--label", "gap"], "expected a label and its columns"),
        (good, ["--label", "gap=a"], "no label is called 'gap'"),
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
