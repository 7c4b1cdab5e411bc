"""`materium bench`: every figure is there, the last line is JSON, and so is the file. No timing is asserted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from materium.bench.limits import number_types
from materium.cli.bench import flat
from materium.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_quick_run_of_a_tiny_model(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "here.json"
    assert main(["bench", "--quick", "--model", str(tiny_checkpoint), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    assert json.loads(out.read_text()) == figures
    assert {"machine", "command", "version", "commit", "model", "limits"} <= set(figures)
    sampling = figures["sampling"]
    assert sampling["float32"]["gflops"] > 0
    assert sampling["float32"]["times_the_plain_decoder"] > 0
    for kind in number_types():
        assert figures["limits"][f"{kind}_gflops"] > 0
        assert sampling["float32"][f"share_of_{kind}_peak"] > 0
        assert figures["training"][f"share_of_{kind}_peak"] > 0
    written = {"reading and writing", "reading, searching space groups, writing"}
    assert set(figures["times_as_much"]) == {"guidance", "hard constraints", *written}
    assert figures["generate"]["4"]["seconds"] > 0
    assert figures["prepared_per_second"] > 0
    assert figures["prepared_per_second_at_first"] > 0
    assert 0 <= figures["training"]["padding"] < 1
    for name, _ in flat(figures):
        assert name in printed


def test_names_of_figures_inside_others() -> None:
    assert flat({"a_b": {"c": 1.23456, "d": {"e": None}}}) == [("a b, c", "1.235"), ("a b, d, e", "None")]
