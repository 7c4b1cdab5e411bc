"""The arithmetic of benchmarks that take too long for tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materium.cli.main import main

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(peer: str, ten: float, twenty: float, peak: int) -> dict[str, Any]:
    rows = [{"atoms": 10, "per_1000": ten}, {"atoms": 20, "per_1000": twenty}]
    return {"peer": peer, "rows": rows, "peak_mb": peak, "batch": 4, "steps": 9, "parameters": 12_300_000}


def test_peers_are_medians_and_ratios_to_ours() -> None:
    found = {
        "Materium": [run("Materium", 10, 20, 300), run("Materium", 12, 24, 310), run("Materium", 99, 28, 305)],
        "GPT-2 small, CIF": [run("GPT-2 small, CIF", 120, 120, 900)],
    }
    ours, theirs = script("peers/run").summary(found)
    assert (ours["s per 1,000 of 10 atoms"], ours["s per 1,000 of 20 atoms"], ours["peak MB"]) == (12, 24, 310)
    assert (theirs["times ours, 10"], theirs["times ours, 20"]) == (10, 5)
    assert theirs["parameters"] == "12.3 M"


def test_a_step_is_timed_after_one_that_is_not_counted() -> None:
    calls: list[int] = []
    seconds = script("peers/measure").seconds_of(lambda: calls.append(sum(range(200_000))), 3)
    assert len(calls) == 4
    assert seconds > 0


def test_streaming_counts_what_is_on_the_disk(tmp_path: Path, tiny_checkpoint: Path) -> None:
    streaming = script("streaming")
    words = ["-n", "12", "--seed", "3", "--batch-size", "5", "--unique", "--table-only", "--quiet"]
    assert main(["generate", "--model", str(tiny_checkpoint), "--out", str(tmp_path / "run"), *words]) == 0
    found = streaming.result(tmp_path / "run")
    assert found["crystals"] == 12
    assert 0 < found["unique"] <= found["valid"] <= 12
    assert found["formulas"] <= 12


def test_times_are_shown_in_the_unit_that_fits() -> None:
    shown = script("scaling").shown
    assert [shown(seconds) for seconds in (5, 90, 7200, 2 * 86400)] == ["5 s", "1.5 min", "2 h", "2 days"]
