"""`materium score`: a row for every structure, with its likelihood or the reason why it has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import materium
from crystals import MAGNETITE_LIKE, NACL, QUARTZ, SILICON
from materium import convert
from materium.cli.main import main
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def score(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["score", "--model", str(tiny_checkpoint), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_every_row_has_a_figure_or_a_reason(score: Callable[..., Any], tmp_path: Path, tiny_checkpoint: Path) -> None:
    """NaCl in its conventional cell: eight sites that are one sentence of two."""
    write_table(tmp_path / "in.parquet", [NACL, QUARTZ, SILICON, MAGNETITE_LIKE])
    status, out, _ = score("in.parquet", "--out", "out")
    assert status == 0
    assert "mean_log_likelihood" in out
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"row-{index}" for index in range(4)]
    assert [row["reason"] is None for row in rows] == [True, False, True, False]
    assert "9 sites; at most 5" in rows[1]["reason"]
    salt = rows[0]
    assert salt["num_sites"] == 2
    assert salt["log_likelihood_per_atom"] == salt["log_likelihood"] / 2
    parts = salt["species"] + salt["coordinate"] + salt["lattice"]
    assert parts == pytest.approx(salt["log_likelihood"])
    expected = materium.load(tiny_checkpoint).log_likelihoods([NACL])[0]["log_likelihood"]
    assert salt["log_likelihood"] == pytest.approx(expected, rel=1e-5)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["structures"], metrics["scored"]) == (4, 2)
    mean = (salt["log_likelihood"] + rows[2]["log_likelihood"]) / 2
    assert metrics["mean_log_likelihood"] == pytest.approx(mean)
    assert "mean_any_order_log_likelihood" not in metrics
    assert salt["any_order_log_likelihood"] is None


def test_sites_are_those_of_the_canonical_crystal(score: Callable[..., Any], tmp_path: Path) -> None:
    """The rows are a table of structures themselves: scored again, they have the same figures, site by site."""
    write_table(tmp_path / "in.parquet", [NACL, SILICON])
    assert score("in.parquet", "--out", "out")[0] == 0
    assert score("out/rows.parquet", "--out", "again")[0] == 0
    first, second = (pq.read_table(tmp_path / out / "rows.parquet").to_pylist() for out in ("out", "again"))
    assert first[0]["atomic_numbers"] == [17, 11]
    for row, other in zip(first, second, strict=True):
        assert len(row["site_log_likelihoods"]) == len(row["atomic_numbers"]) == len(row["frac_coords"]) / 3 == 2
        assert other["site_log_likelihoods"] == pytest.approx(row["site_log_likelihoods"], rel=1e-5)
        assert sum(row["site_log_likelihoods"]) > row["species"] + row["coordinate"]


def test_conditions_layout_and_orders(score: Callable[..., Any], tmp_path: Path, tiny_checkpoint: Path) -> None:
    write_table(tmp_path / "in.parquet", [NACL, QUARTZ])
    options = ["--density", "2.2", "--formula", "NaCl", "--order", "low", "--lattice-first", "--draws", "10"]
    status, out, _ = score("in.parquet", "--out", "told", "--seed", "4", *options)
    assert status == 0
    assert "mean_any_order_log_likelihood" in out
    salt, quartz = pq.read_table(tmp_path / "told" / "rows.parquet").to_pylist()
    engine = materium.load(tiny_checkpoint)
    told: dict[str, Any] = {"density": 2.2, "formula": "NaCl", "order": "low", "lattice_first": True, "draws": 10}
    (expected,) = engine.log_likelihood(NACL, **told)
    for name in ("log_likelihood", "any_order_log_likelihood", "any_order_spread", "site_log_likelihoods"):
        assert salt[name] == pytest.approx(expected[name], rel=1e-5)
    assert (salt["any_order_draws"], salt["any_order_error"]) == (2, 0)
    assert salt["log_likelihood"] != engine.log_likelihood(NACL)[0]["log_likelihood"]
    assert quartz["any_order_draws"] is None
    metrics = json.loads((tmp_path / "told" / "metrics.json").read_text())
    assert metrics["conditions"] == {"reduced_formula": "NaCl", "density": 2.2}
    assert (metrics["order"], metrics["lattice_first"], metrics["seed"]) == ("low", True, 4)
    assert metrics["mean_any_order_log_likelihood"] == salt["any_order_log_likelihood"]


def test_target_outside_training_is_a_warning(score: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [NACL])
    status, _, err = score("in.parquet", "--density", "90", "--out", "out")
    assert status == 0
    assert "density = 90.0 g/cm³ lies outside training" in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--space-group", "231"], "231"),
        (["--formula", "NaXx"], "NaXx"),
        (["--densty", "3"], "--density"),
        (["--density", "3eV"], "3eV"),
        (["--order", "random"], "no canonical sentence"),
        (["--order", "hihg"], "hihg"),
        (["--draws", "1"], "draws = 1"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], said: str, score: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [NACL])
    status, out, err = score("in.parquet", "--out", "out", *options)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_several_sources(score: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "salt.cif").write_text(convert.to_cif(NACL))
    write_table(tmp_path / "in.parquet", [SILICON])
    assert score("salt.cif", "in.parquet", "--out", "out")[0] == 0
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert [row["source"] for row in rows] == ["salt.cif", "in.parquet"]


def test_nothing_to_score_is_no_mean(score: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [QUARTZ])
    assert score("in.parquet", "--out", "out")[0] == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["mean_log_likelihood"] is None


def wrong_columns(path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "colour": ["red"]}), path)


def truncated(path: Path) -> None:
    write_table(path, [NACL])
    path.write_bytes(path.read_bytes()[:-40])


def missing(_: Path) -> None:
    """Leave nothing."""


@pytest.mark.parametrize(
    ("spoil", "said"), [(wrong_columns, "column"), (truncated, "in.parquet"), (missing, "in.parquet")]
)
def test_sources_that_cannot_be_read(
    spoil: Callable[[Path], None], said: str, score: Callable[..., Any], tmp_path: Path
) -> None:
    spoil(tmp_path / "in.parquet")
    status, out, err = score("in.parquet", "--out", "out")
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "rows.parquet").exists()


def test_result_is_never_overwritten(score: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [NACL])
    assert score("in.parquet", "--out", "out")[0] == 0
    before = (tmp_path / "out" / "rows.parquet").read_bytes()
    status, _, err = score("in.parquet", "--out", "out")
    assert status == 2
    assert "choose another --out" in err
    assert (tmp_path / "out" / "rows.parquet").read_bytes() == before
