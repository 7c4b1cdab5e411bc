from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

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


COMMANDS = {
    "--version": HEAVY - {"typer"},
    "--help": HEAVY - {"typer"},
    "generate --help": HEAVY - {"typer", "rich", "moyopy"},
    "info": HEAVY - {"typer", "rich"},
    "conditions": HEAVY - {"typer", "rich"},
    "generate -n 1 --table-only --no-space-groups -q --out OUT": {"chgnet", "fastapi", "matplotlib", "pandas", "scipy"},
}
"""What a command may not import: seconds for a line of text, or what it does not use."""


@pytest.mark.parametrize("command", COMMANDS)
def test_command_imports_what_it_uses_alone(command: str, tmp_path: Path) -> None:
    words = command.replace("OUT", str(tmp_path / "run")).split()
    program = f"import sys; from materium.cli.main import main; main({words}); print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & COMMANDS[command]


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    import materium

    assert materium.__version__ == version("materium")
