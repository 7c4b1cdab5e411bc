"""The notebooks run from top to bottom, in an empty folder and without a network, and are kept without their output."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
RUN = "from nbclient.cli import main; main()"


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook that hold code."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def executed(notebook: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    """Run a notebook in a folder, and return the one with its output."""
    copy = shutil.copy(notebook, folder)
    private = {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython")}
    command = [sys.executable, "-c", RUN, str(copy), "--output", str(folder / "executed.ipynb"), "--timeout", "200"]
    done = subprocess.run(
        command, env={**environment, **private}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "executed.ipynb"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(notebook: Path, tmp_path: Path, offline_environment: dict[str, str]) -> None:
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason="needs the extra docs")
    done = cells(executed(notebook, tmp_path, offline_environment))
    assert [cell["execution_count"] for cell in done] == list(range(1, len(done) + 1))
    shown = [output["data"] for cell in done for output in cell["outputs"] if "data" in output]
    assert any("<svg" in "".join(data.get("text/html", "")) for data in shown), "no gallery is shown"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_output(notebook: Path) -> None:
    assert not [cell for cell in cells(notebook) if cell["outputs"] or cell["execution_count"]]


def test_there_are_two() -> None:
    assert len(NOTEBOOKS) == 2
