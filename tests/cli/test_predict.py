"""`materium predict`: what it asks for and counts, the formats of the field, going on after a kill, its refusals."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from crystals import NACL, RUTILE, SILICON
from materium import convert
from materium.cli import predict as command
from materium.cli.main import main
from materium.crystal import Crystal, fault
from materium.evaluate.prediction import primitive, rms
from materium.generate.engine import load
from materium.generate.request import Request
from materium.generate.rows import crystal_of
from materium.io.atomic import read_signed, write_signed
from tiny import strained, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

PLAIN_NACL = primitive(NACL)
CAO = Crystal(PLAIN_NACL.lattice, PLAIN_NACL.frac_coords, [8, 20])
"""Of which the tiny model writes cells that are not too large."""
CESIUM_CHLORIDE = Crystal(4.12 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17])
"""An element that the tiny model has no token for."""
WRITTEN = ("rows.parquet", "crystals.parquet", "metrics.json")


@pytest.fixture
def predict(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command with the tiny model, and gives status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["predict", "--model", str(tiny_checkpoint), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def table_of(folder: Path, crystals: Sequence[Crystal], name: str = "table.csv", **columns: Any) -> str:
    """Write a CSV with CIFs, and return its name; further columns have one value for all, or a list of them."""
    plain = [Crystal(one.lattice, one.frac_coords, one.numbers) for one in crystals]
    rows: list[dict[str, Any]] = [
        {"material_id": f"row-{number}", "cif": convert.to_cif(one)} for number, one in enumerate(plain)
    ]
    for number, row in enumerate(rows):
        row |= {key: value[number] if isinstance(value, list) else value for key, value in columns.items()}
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in WRITTEN]


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def one_line(error: str) -> str:
    assert error.startswith("materium: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_every_prediction_has_the_content_of_the_cell_and_every_crystal_counts(predict: Run, tmp_path: Path) -> None:
    table = table_of(tmp_path, [SILICON, NACL, RUTILE, CESIUM_CHLORIDE, SILICON])
    status, out, err = predict(table, "-n", "4", "--seed", "3", "--max-sites", "20", "--out", "run")
    assert (status, err) == (0, "")
    assert "of 5 (" in out
    assert "1 too many sites" in out
    rows, crystals = (pq.read_table(tmp_path / "run" / name).to_pylist() for name in WRITTEN[:2])
    assert [row["reference"] for row in rows] == [0] * 4 + [1] * 4 + [4] * 4
    asked = {0: {14: 2}, 1: {11: 1, 17: 1}, 4: {14: 2}}
    assert all(Counter(row["atomic_numbers"]) == asked[row["reference"]] for row in rows)
    assert [row["status"] for row in crystals] == ["predicted", "predicted", "too many sites", "refused", "predicted"]
    assert "at most 5" in crystals[2]["reason"]
    assert "Cs" in crystals[3]["reason"]
    found = metrics_of(tmp_path / "run")
    assert found["all"]["any"]["denominator"] == found["at_most_20_sites"]["any"]["denominator"] == 5
    assert found["all"]["statuses"] == {"predicted": 3, "refused": 1, "too many sites": 1}
    assert "lowest_energy" not in found["all"]


def test_rows_hold_what_they_say(predict: Run, tmp_path: Path, tiny_checkpoint: Path) -> None:
    """One real crystal is what the model writes; its twin in the table gets predictions of its own."""
    engine = load(tiny_checkpoint)
    samples = engine.samples(Request(n=8, seed=5, cell_formula="CaO", conditions={"num_sites": 2}))
    crystals = [engine.read(one) for one in samples]
    place, written = next((place, one) for place, one in enumerate(crystals) if fault(one) is None)
    table = table_of(tmp_path, [written, NACL, written])
    assert predict(table, "-n", "8", "--seed", "5", "--out", "run")[0] == 0
    rows, summary = (pq.read_table(tmp_path / "run" / name).to_pylist() for name in WRITTEN[:2])
    real = {0: written, 1: PLAIN_NACL, 2: written}
    for row in rows:
        distance = rms(crystal_of(row), real[row["reference"]]) if row["valid"] else None
        assert row["rms"] == (None if distance is None else pytest.approx(distance, abs=1e-4))
        assert row["log_likelihood"] < 0
    assert rows[place]["rms"] == pytest.approx(0, abs=1e-4)
    assert summary[0]["rms_any"] == min(row["rms"] for row in rows[:8] if row["rms"] is not None)
    assert [row["frac_coords"] for row in rows[:8]] != [row["frac_coords"] for row in rows[16:]]
    assert [summary[number]["rms_metre_any"] for number in (0, 2)] == [pytest.approx(0, abs=1e-4)] * 2
    assert metrics_of(tmp_path / "run")["all"]["metre_any"]["numerator"] >= 2


def test_predictions_are_those_of_the_cell_formula(predict: Run, tmp_path: Path, tiny_checkpoint: Path) -> None:
    """What is batched with what changes nothing."""
    table = table_of(tmp_path, [*strained([0.0, 0.02])[::5], NACL, SILICON])
    assert predict(table, "-n", "5", "--seed", "9", "--out", "run", "--temperature", "0.8")[0] == 0
    engine = load(tiny_checkpoint)
    request = Request(n=5, seed=9, cell_formula="NaCl", conditions={"num_sites": 2}, temperature=0.8)
    expected = [engine.read(one) for one in engine.samples(request)]
    rows = pq.read_table(tmp_path / "run" / "rows.parquet").to_pylist()
    first = next(row["reference"] for row in rows if 11 in row["atomic_numbers"])
    found = [crystal_of(row) for row in rows if row["reference"] == first]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.frac_coords, other.frac_coords)
        np.testing.assert_array_equal(one.lattice, other.lattice)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        (
            "mp_20",
            {
                "formation_energy_per_atom": -2.1,
                "band_gap": 0.6,
                "pretty_formula": ["Si", "NaCl"],
                "e_above_hull": 0,
                "elements": ["['Si']", "['Na', 'Cl']"],
                "spacegroup.number": [227, 225],
            },
        ),
        ("mpts_52", {"formation_energy_per_atom": -2.1, "energy_above_hull": 0.01, "year": 1997}),
        (
            "perov_5",
            {"material_id": [1, 2], "heat_all": 0.5, "heat_ref": 0.1, "dir_gap": 0.0, "ind_gap": 0.0, "formula": "x"},
        ),
        ("carbon_24", {"material_id": ["C-1-2-3", "C-4-5-6"], "energy_per_atom": -154.2}),
    ],
)
def test_the_tables_of_the_field(predict: Run, tmp_path: Path, name: str, columns: dict[str, Any]) -> None:
    """Their columns beside the CIF, with the number of each row in a column that has no name."""
    table = table_of(tmp_path, [SILICON, NACL], f"{name}.csv", **{"": [0, 1]}, **columns)
    assert predict(table, "-n", "1", "--out", "run")[::2] == (0, "")
    crystals = pq.read_table(tmp_path / "run" / "crystals.parquet").to_pylist()
    assert [row["status"] for row in crystals] == ["predicted"] * 2
    assert [row["id"] for row in crystals] == [*map(str, columns.get("material_id", ["row-0", "row-1"]))]
    assert [row["cell_formula"] for row in crystals] == ["Si2", "Na1Cl1"]


def test_a_row_that_cannot_be_read_counts(predict: Run, tmp_path: Path) -> None:
    table = table_of(tmp_path, [SILICON, NACL], cif=[convert.to_cif(SILICON), "data_x\nloop_"])
    assert predict(table, "-n", "1", "--out", "run")[0] == 0
    found = metrics_of(tmp_path / "run")
    assert found["all"]["statuses"] == {"predicted": 1, "unreadable": 1}
    assert (found["all"]["any"]["denominator"], found["at_most_20_sites"]["any"]["denominator"]) == (2, 1)


def test_limit_and_our_own_tables(predict: Run, tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", [SILICON, NACL, RUTILE])
    assert predict("t.parquet", "-n", "2", "--limit", "2", "--out", "run", "--quiet") == (0, "", "")
    assert len(pq.read_table(tmp_path / "run" / "crystals.parquet")) == 2


def test_the_relaxed_energy_ranks(predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A potential that likes large cells, and cannot relax every third."""

    def relax(crystals: Sequence[Crystal], _: object) -> list[SimpleNamespace]:
        outcomes = [("error", float("nan")) if i % 3 == 0 else ("converged", -c.volume) for i, c in enumerate(crystals)]
        return [
            SimpleNamespace(crystal=one, status=status, energy=energy)
            for one, (status, energy) in zip(crystals, outcomes, strict=True)
        ]

    monkeypatch.setattr("materium.relax.relaxer.relax", relax)
    monkeypatch.setattr(command, "_potential", lambda name: SimpleNamespace(name=name, version="1"))
    table = table_of(tmp_path, [CAO, CAO])
    assert predict(table, "-n", "24", "--relax", "big", "--out", "run")[0] == 0
    rows, crystals = (pq.read_table(tmp_path / "run" / name).to_pylist() for name in WRITTEN[:2])
    for number, one in enumerate(crystals):
        known = [row for row in rows if row["reference"] == number and row["energy"] is not None]
        assert {row["relaxation"] for row in known} == {"converged"}
        best = min(known, key=lambda row: row["energy"])
        assert one["rms_lowest_energy"] == best["rms"]
        assert one["rms_lowest_energy_relaxed"] == pytest.approx(best["rms"])
    assert {row["relaxation"] for row in rows if row["valid"] and row["energy"] is None} == {"error"}
    assert "lowest_energy_relaxed" in metrics_of(tmp_path / "run")["all"]
    assert metrics_of(tmp_path / "run")["settings"]["relax"] == "big 1"
    assert "another relax" in one_line(predict(table, "-n", "24", "--out", "run")[2])


def test_metre_that_would_take_too_long_is_left_out_and_named(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materium.evaluate.prediction.MAX_COMPARISONS", -1)
    status, out, _ = predict(table_of(tmp_path, [CAO, CAO]), "-n", "2", "--out", "run")
    found = metrics_of(tmp_path / "run")
    assert (status, found["left_out"]) == (0, ["metre_first", "metre_any"])
    assert not {"metre_first", "metre_any"} & found["all"].keys()
    assert "metre any is left out" in out


# --- stopping and going on ---


def test_a_killed_run_goes_on_to_the_same_files(
    predict: Run, tmp_path: Path, tiny_checkpoint: Path, offline_environment: dict[str, str]
) -> None:
    pairs = [(11, 17), (20, 8), (22, 8), (14, 8), (20, 17), (22, 14), (11, 14), (11, 8)]
    salts = [Crystal(PLAIN_NACL.lattice, PLAIN_NACL.frac_coords, pair) for pair in pairs]
    table = table_of(tmp_path, [SILICON, *salts])
    arguments = [table, "-n", "40", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "materium", "predict", "--model", str(tiny_checkpoint), *arguments],
        cwd=tmp_path,
        env=offline_environment,
    )
    journal, waiting = tmp_path / "run" / "predictions.jsonl", time.monotonic()
    while not journal.exists() or journal.stat().st_size == 0:
        assert process.poll() is None
        assert time.monotonic() - waiting < 200
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    kept = journal.read_bytes()
    journal.write_bytes(kept + b'{"7": {"sam')  # what a kill in the middle of a line leaves
    assert predict(*arguments)[0] == 0
    assert journal.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert predict(table, "-n", "40", "--out", "whole")[0] == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_finished_run_is_only_shown(predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(tmp_path, [SILICON])
    arguments = (table, "-n", "2", "--out", "run")
    first = predict(*arguments)
    monkeypatch.setattr(command, "_write", None)
    assert predict(*arguments) == first


def test_a_run_of_before_a_setting_was_known_is_taken_up(predict: Run, tmp_path: Path) -> None:
    table = table_of(tmp_path, [SILICON])
    arguments = (table, "-n", "2", "--out", "run")
    first = predict(*arguments)
    settings = tmp_path / "run" / "settings.json"
    older = read_signed(settings, "no predictions")
    del older["geometry_reach"]
    write_signed(settings, older)
    assert predict(*arguments) == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["-n", "3"], "another n;"),
        (["--seed", "4"], "another seed;"),
        (["--temperature", "0.5"], "another temperature;"),
        (["--geometry-temperature", "0.5"], "another geometry_temperature;"),
        (["--max-sites", "3"], "another max_sites;"),
        (["--limit", "1"], "another limit, table;"),
    ],
)
def test_other_settings_are_refused(predict: Run, tmp_path: Path, change: list[str], said: str) -> None:
    table = table_of(tmp_path, [SILICON, NACL])
    assert predict(table, "-n", "2", "--out", "run", "--quiet")[0] == 0
    before = contents(tmp_path / "run")
    status, out, err = predict(table, "-n", "2", "--out", "run", *change)
    assert (status, out) == (2, "")
    assert said in one_line(err)
    assert contents(tmp_path / "run") == before


# --- wrong input ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv", "--out", "run"], "missing.csv does not exist"),
        (["table.csv", "--out", "run", "-n", "0"], "-n"),
        (["table.csv", "--out", "run", "--temperature", "0"], "temperature"),
        (["table.csv", "--out", "run", "--relax", "nothing"], "unknown potential"),
        (["table.csv", "--out", "run", "--model", "nowhere"], "nowhere"),
        (["table.csv", "--out", "full"], "is not empty and holds no predictions"),
        (["table.csv", "--out", "odd"], "describes no predictions"),
        (["text.csv", "--out", "run"], "no structure column"),
        (["empty.csv", "--out", "run"], "empty.csv holds no rows"),
        (["table.csv"], "--out"),
    ],
)
def test_wrong_input_is_one_line(predict: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    table_of(tmp_path, [SILICON])
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("material_id,cif\n")
    for name, file, text in (("full", "note.txt", "mine"), ("odd", "settings.json", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    status, out, err = predict(*arguments)
    assert (status, out) == (2, "")
    assert said in one_line(err)
    assert not (tmp_path / "run").exists()


def test_the_model_that_ships_finds_rock_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold, as the model is sure of it; the benchmark prints the figures."""
    monkeypatch.chdir(tmp_path)
    table = table_of(tmp_path, [NACL])
    assert main(["predict", table, "-n", "8", "--temperature", "0.5", "--out", "run", "--quiet"]) == 0
    assert metrics_of(tmp_path / "run")["all"]["any"]["match_rate"] == 1.0
