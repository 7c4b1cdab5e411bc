"""What pages list by hand is what the program has."""

from __future__ import annotations

import re
import tomllib

import pytest

from documents import ROOT
from materium.cli.main import COMMANDS
from materium.generate.rows import schema

DOCS = ROOT / "docs"
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md")))


def test_every_column_of_a_run_is_explained() -> None:
    page = (DOCS / "reference" / "folders.md").read_text(encoding="utf-8")
    assert not [name for name in schema().names if f"`{name}`" not in page]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown(command: str) -> None:
    assert re.search(rf"materium {command}\b", PAGES)


def test_files_that_pages_name_are_there() -> None:
    named = set(re.findall(r"`((?:src|benchmarks|examples|docs)/[\w/.]+\.\w+)`", PAGES))
    assert named
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_notebooks_are_named() -> None:
    assert "`examples/`" in (DOCS / "tutorial.md").read_text(encoding="utf-8")


def test_every_extra_is_explained() -> None:
    """But for those of developers."""
    page = (DOCS / "howto" / "install.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert listed == project["optional-dependencies"].keys() - {"docs", "test", "browser", "dev"}
