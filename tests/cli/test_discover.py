"""`materium discover`: what it writes, going on after a kill, what ends it, its refusals."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from crystals import NACL
from materium.cli import discover as command
from materium.cli.main import main
from materium.crystal import Crystal
from materium.evaluate.funnel import KEPT, STAGES, Count
from materium.evaluate.reference_build import Options, build
from materium.generate.engine import load
from materium.generate.request import Request
from materium.progress import Bars
from materium.relax.adapters.lennard_jones import LennardJones
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

TABLES = ("rows.parquet", "candidates.parquet", "candidates.csv", "candidates.extxyz")
WRITTEN = {*TABLES, "cif", "journal", "metrics.json", "report.html", "settings.json"}
WIDE = ("--max-hull", "10", "--screen", "20", "--max-steps", "20")
"""Lennard-Jones knows nothing of chemistry, and the tiny model little."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hull of the elements that the tiny model knows, without titanium, and NaCl."""
    folder = tmp_path_factory.mktemp("reference")
    elements = [Crystal(2.8 * np.eye(3), np.zeros((1, 3)), [z], [0]) for z in (8, 11, 14, 17, 20)]
    write_table(folder / "train.parquet", [*elements, NACL])
    build([folder / "train.parquet"], LennardJones(), "small", Options()).write(folder / "small.parquet")
    return str(folder / "small.parquet")


@pytest.fixture
def arguments(tiny_checkpoint: Path, reference: str) -> list[str]:
    return ["discover", "--model", str(tiny_checkpoint), "--potential", "lennard-jones", "--reference", reference]


@pytest.fixture
def discover(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command with the tiny model, and gives status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*more: str) -> tuple[int, str, str]:
        status = main([*arguments, *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, reference: str) -> Path:
    """A search that found enough."""
    out = tmp_path_factory.mktemp("made") / "run"
    options = ["--model", str(tiny_checkpoint), "--potential", "lennard-jones", "--reference", reference, *WIDE]
    assert main(["discover", *options, "--keep", "9", "--seed", "2", "--quiet", "--out", str(out)]) == 0
    return out


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder where the command runs."""
    return shutil.copytree(made, tmp_path / "run")


SAME = (*WIDE, "--keep", "9", "--seed", "2", "--out", "run")


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in TABLES]


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def one_line(error: str) -> str:
    assert error.startswith("materium: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_a_search_ends_in_ranked_candidates(made: Path, tiny_checkpoint: Path) -> None:
    assert {path.name for path in made.iterdir()} == WRITTEN
    rows, found = (pq.read_table(made / name).to_pylist() for name in TABLES[:2])
    facts = metrics_of(made)
    assert facts["ended_by"] == "keep"
    assert facts["crystals"] == len(rows) == 64 * (1 + max(row["batch"] for row in rows))
    assert [one["stage"] for one in facts["stages"]] == list(STAGES)
    assert 9 <= len(found) == facts["candidates"] == sum(row["stage"] == KEPT for row in rows)
    heights = [row["energy_above_hull"] for row in found]
    assert heights == pytest.approx(sorted(heights), abs=1e-3)
    assert facts["no_reference"] == sum("no reference" in (row["why"] or "") for row in rows) > 0
    assert facts["settings"]["max_hull"] == 10.0
    samples = load(tiny_checkpoint).samples(Request(n=64, seed=2))
    assert [row["log_likelihood"] for row in rows[:64]] == pytest.approx([one.log_likelihood for one in samples])
    assert "<svg" in (made / "report.html").read_text(encoding="utf-8")


def test_a_finished_search_is_only_shown(discover: Run, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, noted = contents(run), (run / "metrics.json").read_bytes()
    (run / "report.html").unlink()
    monkeypatch.setattr(command, "_finish", None)
    status, out, err = discover(*SAME)
    assert (status, err) == (0, "")
    for words in ("finished already", "enough candidates were found", "lack", "competes with", "screen"):
        assert words in out
    assert (run / "report.html").exists()
    assert (contents(run), (run / "metrics.json").read_bytes()) == (before, noted)
    assert discover(*SAME, "--quiet") == (0, "", "")


def test_a_killed_search_goes_on_to_the_same_files(
    arguments: list[str], discover: Run, made: Path, tmp_path: Path, offline_environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "materium", *arguments, *SAME], cwd=tmp_path, env=offline_environment
    )
    journal, waiting = tmp_path / "run" / "journal" / "made.jsonl", time.monotonic()
    while not journal.exists() or journal.stat().st_size == 0:
        assert process.poll() is None
        assert time.monotonic() - waiting < 200
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert discover(*SAME)[0] == 0
    assert contents(tmp_path / "run") == contents(made)


def test_a_larger_budget_goes_on(discover: Run, tmp_path: Path) -> None:
    asked = (*WIDE[:4], "--max-steps", "2", "--keep", "1", "--out", "run")
    status, out, _ = discover(*asked, "--budget", "0.001s")
    assert (status, metrics_of(tmp_path / "run")["ended_by"]) == (0, "budget")
    assert "the budget is used up" in out
    assert metrics_of(tmp_path / "run")["crystals"] == 0  # of the first batch there was no time for the rest
    seconds = metrics_of(tmp_path / "run")["seconds"]
    assert discover(*asked, "--budget", "1h")[0] == 0
    more = metrics_of(tmp_path / "run")
    assert more["seconds"] > seconds
    assert (more["ended_by"], more["candidates"] > 0) == ("keep", True)
    assert "finished already" in discover(*asked, "--budget", "0.001s")[1]


def test_a_cap_ends_a_search_without_a_budget(discover: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "BATCH", 8)
    monkeypatch.setattr(command, "CAP_FACTOR", 20)
    status, out, _ = discover("--max-hull", "-50", "--keep", "1", "--out", "run")
    found = metrics_of(tmp_path / "run")
    assert (status, found["ended_by"], found["crystals"], found["candidates"]) == (0, "cap", 24, 0)
    assert "0 candidates in run" in out
    assert "No crystal came through" in (tmp_path / "run" / "report.html").read_text()


def test_combinations_of_targets_take_turns(discover: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "BATCH", 4)
    monkeypatch.setattr(command, "CAP_FACTOR", 12)
    assert discover("--density", "2", "5", "--max-hull", "-50", "--keep", "1", "--out", "run")[0] == 0
    rows = pq.read_table(tmp_path / "run" / "rows.parquet").to_pylist()
    assert [json.loads(row["targets"])["density"] for row in rows] == [2.0] * 4 + [5.0] * 4 + [2.0] * 4
    ids = ["0-0-000003", *(f"0-1-00000{k}" for k in range(4)), "0-0-000004"]
    assert [row["id"] for row in rows[3:9]] == ids


def test_the_stages_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    monkeypatch.setattr(command, "make_progress", lambda *, quiet: Bars(console, quiet=quiet))
    with command._live(quiet=False) as (show, tell):
        show([Count("check", 64, 60, 4, 0)])
        tell("relax", 3, 17)
    assert re.search(r"check +64 +60 +4 +0", written.getvalue())
    assert re.search(r"relax .*3/17", written.getvalue())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--keep", "8"], "another keep;"),
        (["--seed", "4"], "another seed;"),
        (["--temperature", "0.5"], "another temperature;"),
        (["--max-hull", "0.2"], "another max_hull;"),
        (["--screen", "15"], "another screen;"),
        (["--density", "3"], "another conditions;"),
        (["--elements", "Na,Cl"], "another elements;"),
        (["--max-steps", "30", "--fmax", "0.1"], "another fmax, max_steps;"),
    ],
)
def test_other_settings_are_refused(discover: Run, run: Path, change: list[str], said: str) -> None:
    before = contents(run)
    status, out, err = discover(*SAME, *change)
    assert (status, out) == (2, "")
    assert said in one_line(err)
    assert contents(run) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--budget", "soon"], "budget = soon is no time"),
        (["--budget", "0h"], "budget = 0h is no time"),
        (["--keep", "0"], "keep 0"),
        (["--screen", "0.01"], "screen 0.01 eV/atom must be at least max_hull 0.05"),
        (["--elements", "Xx"], "'Xx' is no element"),
        (["--potential", "nothing"], "nothing"),
        (["--reference", "chgnet"], "hull of chgnet"),
        (["--reference", "nowhere"], "no reference 'nowhere'"),
        (["--model", "nowhere"], "nowhere"),
        (["--symmetrize"], "--symmetrize"),
        (["--out", "full"], "is not empty and holds no search"),
        (["--out", "odd"], "describes no search"),
    ],
)
def test_wrong_input_is_one_line(discover: Run, tmp_path: Path, more: list[str], said: str) -> None:
    for name, file, text in (("full", "note.txt", "mine"), ("odd", "settings.json", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    status, out, err = discover("--out", "run", *more)
    assert (status, out) == (2, "")
    assert said in one_line(err)
    assert not (tmp_path / "run").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_times(text: str, seconds: float) -> None:
    assert command._seconds(text) == seconds
