"""Runs every command of the README, in order and in one empty folder, and holds the printed file tree to the files.

In a ```console block each line after `$ ` is a command and the rest is its output; in a ```bash block each line is a
command; a ```python block is a script. A line that ends in a backslash goes on in the next.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA = ROOT.parent / "shared" / "data"

SUBSTITUTIONS = {
    # Setting up would set up the environment that runs this test: the target's steps are resolved, not run.
    "make generate": f"make --dry-run -C {ROOT} generate",
    "make test": f"make --dry-run -C {ROOT} test",
    # No network in tests: the package's metadata is built and its installation resolved, nothing is installed.
    "pip install .": f"python -m pip install --dry-run --no-deps --no-index --no-build-isolation {ROOT}",
}
"""All that is run otherwise than as it is written; `data/` in the README stands for the reader's own tables."""

NEEDS_DATA = re.compile(r"(^|\s)(data/|shards\b|runs/tiny\b)")  # and what is made of them
TIMEOUT_SECONDS = 240


def blocks(language: str) -> list[tuple[int, str]]:
    """Return position and text of the README's fenced blocks of a language."""
    return [
        (found.start(), found[1])
        for found in re.finditer(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    ]


def commands() -> list[str]:
    """Return what a reader would type, in the README's order; a Python script as one command."""
    typed = [(at, line[2:]) for at, text in blocks("console") for line in joined(text) if line.startswith("$ ")]
    typed += [(at, line) for at, text in blocks("bash") for line in joined(text) if line and not line.startswith("#")]
    typed += [(at, text) for at, text in blocks("python")]
    return [command for _, command in sorted(typed, key=lambda entry: entry[0])]


def joined(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def is_script(command: str) -> bool:
    return command.endswith("\n")


def case(command: str) -> object:
    """Give a command its name in the report, and the mark of those that need the tables."""
    marks = [pytest.mark.shared_data] if NEEDS_DATA.search(command) else []
    return pytest.param(command, id=command.splitlines()[0][:60], marks=marks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the README is followed from top to bottom."""
    path = tmp_path_factory.mktemp("readme")
    if DATA.is_dir():
        (path / "data").symlink_to(DATA)
    return path


@pytest.mark.parametrize("command", [case(command) for command in commands()])
def test_command_works(command: str, folder: Path, offline_environment: dict[str, str]) -> None:
    if NEEDS_DATA.search(command) and not DATA.is_dir():
        pytest.skip(f"no data tables in {DATA}")
    written = SUBSTITUTIONS.get(command, command)
    program = [sys.executable, "-c", written] if is_script(command) else ["bash", "-euo", "pipefail", "-c", written]
    done = subprocess.run(
        program,
        cwd=folder,
        env=offline_environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{written}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_substitutions_are_all_used() -> None:
    assert SUBSTITUTIONS.keys() - set(commands()) <= {"make test"}


def test_nothing_is_left_to_fill() -> None:
    assert "TO FILL" not in README


def test_file_tree_is_the_real_one() -> None:
    (tree,) = (text for _, text in blocks("text") if text.startswith("src/materium/"))
    printed = set(re.findall(r"[\w]+\.py\b", tree))
    hidden = {"__init__.py", "__main__.py"}
    assert printed == {file.name for file in (ROOT / "src" / "materium").rglob("*.py")} - hidden
