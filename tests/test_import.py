from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"ase", "matplotlib", "moyopy", "pandas", "pyarrow", "pymatgen", "rich", "scipy", "torch", "typer"}
LIMIT_SECONDS = 1.0

TIMED_IMPORT = """
import json, sys, time
start = time.perf_counter()
import {module}
print(json.dumps([time.perf_counter() - start, sorted(name for name in sys.modules if "." not in name)]))
"""


def timed_import(module: str) -> tuple[float, set[str]]:
    """Import in a process of its own: seconds, and the top-level modules that came with it."""
    program = [sys.executable, "-c", TIMED_IMPORT.format(module=module)]
    seconds, loaded = json.loads(subprocess.run(program, capture_output=True, check=True, text=True).stdout)
    return seconds, set(loaded)


def test_import_takes_less_than_a_second() -> None:
    assert min(timed_import("materium")[0] for _ in range(3)) < LIMIT_SECONDS


def test_import_brings_no_heavy_package() -> None:
    assert not timed_import("materium")[1] & HEAVY


@pytest.mark.parametrize("module", ["materium.cli.main", "materium.cli.doctor", "materium.cli.options"])
def test_command_line_brings_no_science(module: str) -> None:
    assert not timed_import(module)[1] & (HEAVY - {"rich", "typer"})


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    import materium

    assert materium.__version__ == version("materium")
