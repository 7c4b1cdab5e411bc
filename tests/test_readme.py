"""Runs every command of the README, in order and in one empty folder, and holds the printed file tree to the files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import materium
from documents import MADE, ROOT, SUBSTITUTIONS, Command, blocks, commands, missing, run, skip_if_impossible

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = commands(README)
NOT_IN_README = {"make docs"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the README is followed from top to bottom."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("command", [pytest.param(one, id=one.name) for one in COMMANDS])
def test_command_works(command: Command, folder: Path, offline_environment: dict[str, str]) -> None:
    skip_if_impossible(command)
    run(command, folder, offline_environment)


def test_samples_are_compared() -> None:
    """Lines in their order, words and counts exactly, decimals closely, times not at all."""
    printed = "                 result\ncrystals         8, in runs/k\nmean             -63.78\nseconds          1.4\n"
    assert not missing(printed, printed)
    assert not missing("mean -63.79\nseconds 7.7\n", printed)
    assert missing("mean -31.58\ncrystals 9, in runs/k\n", printed) == ["mean -31.58", "crystals 9, in runs/k"]
    assert missing("mean -63.78\nresult\n", printed) == ["result"]
    shown = [command for command in COMMANDS if command.output]
    assert {"make generate", "materium score runs/k/cif --out runs/score"} <= {command.text for command in shown}
    assert f"$(BIN)/{MADE}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_substitutions_are_all_used() -> None:
    assert SUBSTITUTIONS.keys() - {one.text for one in COMMANDS} <= {"make test"} | NOT_IN_README


def test_nothing_is_left_to_fill() -> None:
    assert "TO FILL" not in README


def test_file_tree_is_the_real_one() -> None:
    """By paths: several folders have files of the same name."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (tree,) = (block.text for block in blocks(page) if block.language == "text" and "src/materium/" in block.text)
    folder, printed = "", []
    for line in tree.splitlines():
        if found := re.match(r"^ {0,2}([\w/]+/)? *(?=\S)", line) if not line.startswith("   ") else None:
            folder = found[1] or ""
        printed += [folder + name for name in re.findall(r"\w+\.py\b", line)]
    package = ROOT / "src" / "materium"
    files = [file.relative_to(package).as_posix() for file in package.rglob("*.py") if not file.name.startswith("__")]
    assert sorted(printed) == sorted(files)


def test_links_of_the_pages_at_the_top_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page) if not link.startswith("http")]
        assert not [link for link in links if not (ROOT / link).exists()], name


def test_citation_is_of_this_version() -> None:
    assert f"version: {materium.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
