"""Runs every code block of the documentation, page by page, each page from top to bottom in a folder of its own."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from documents import (
    ROOT,
    SHOWN,
    Command,
    blocks,
    commands,
    run,
    run_preloaded,
    skip_if_impossible,
    start,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
CASES = [
    pytest.param(page, command, id=f"{page}: {command.name}")
    for page, text in PAGES.items()
    for command in commands(text)
]
IN_A_CLONE = "<!-- in a clone -->"
"""First line of a page whose reader changes the source: it is followed in a copy of it."""
STAYS = "materium serve"
"""A command that is left running while the page goes on."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that holds a folder for each page."""
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Return a list for the servers that a page starts; they are ended when all pages have been followed."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for server in running:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.parametrize(("page", "command"), CASES)
def test_block_works(
    page: str,
    command: Command,
    desk: Path,
    servers: list[subprocess.Popen[bytes]],
    offline_environment: dict[str, str],
) -> None:
    skip_if_impossible(command)
    folder = desk / page.replace("/", "-").removesuffix(".md")
    in_a_clone = PAGES[page].startswith(IN_A_CLONE)
    if not folder.exists():
        folder.mkdir(parents=True)
        make_clone(folder, copy=in_a_clone)
    if command.text.startswith(STAYS):
        servers.append(start(command, folder, offline_environment))
        assert servers[-1].poll() is None
    elif in_a_clone:
        path = os.pathsep.join([str(folder / "src"), offline_environment["PYTHONPATH"]])
        run(command, folder, {**offline_environment, "PYTHONPATH": path})
    else:
        run_preloaded(command, folder, offline_environment)


def make_clone(folder: Path, *, copy: bool) -> None:
    """Put the source into a folder, as in a clone: a copy that the page may change, or a link to the real one."""
    if copy:
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (folder / "src").symlink_to(ROOT / "src")


@pytest.mark.parametrize("page", PAGES)
def test_no_block_escapes(page: str) -> None:
    """A block without a language, or with a new one, would be shown and never run."""
    known = {"console", "bash", "python"} | SHOWN
    assert not [block.text for block in blocks(PAGES[page]) if not block.title and block.language not in known]
    fences = sum(line.lstrip().startswith("```") for line in PAGES[page].splitlines())
    assert fences == 2 * len(blocks(PAGES[page]))
