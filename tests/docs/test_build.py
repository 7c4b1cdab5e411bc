"""The documentation is built as `make docs` builds it: without a warning, whole, and needing nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from documents import ROOT
from materium.cli.main import COMMANDS
from materium.properties import table

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("mkdocs", reason="needs the extra docs")
pytest.importorskip("mkdocstrings", reason="needs the extra docs")

ELSEWHERE = re.compile(r"^(https?:)?//")
LOADING = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
    ("form", "action"),
}
"""What a browser fetches without being asked; links that a reader follows are not among it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, offline_environment: dict[str, str]) -> Path:
    """Return the folder of the built pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**offline_environment, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a page loads when it is opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if (tag, name) in LOADING]


def page(site: Path, name: str) -> str:
    return (site / name / "index.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        loaded = Loads(path.read_text(encoding="utf-8")).found
        assert loaded
        assert not [one for one in loaded if ELSEWHERE.match(one)], path


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_the_command_line_is_told_whole(site: Path) -> None:
    told = page(site, "reference/cli")
    assert not [name for name in COMMANDS if f">materium {name}<" not in told]
    assert not [name for name in ("--guidance", "--keep-lattice", "--max-hull", "--symprec") if name not in told]


def test_every_property_is_told(site: Path) -> None:
    told = page(site, "reference/properties")
    assert not [name for name in table() if f"<code>{name}</code>" not in told]


def test_public_names_are_told(site: Path) -> None:
    engine = page(site, "reference/python/generate")
    assert all(f'id="materium.generate.engine.{name}"' in engine for name in ("Materium", "Materium.generate", "load"))
    assert 'id="materium.crystal.Crystal"' in page(site, "reference/python/materium")


def test_the_card_is_the_one_that_ships(site: Path) -> None:
    assert "What it cannot do" in page(site, "model-card")


def test_notes_of_the_builders_are_not_published(site: Path) -> None:
    assert not list(site.rglob("*.py"))


def test_the_reference_begins_with_what_people_call(site: Path) -> None:
    """Signatures with every keyword, before the modules behind them."""
    text = page(site, "reference/python/generate")
    places = [text.index(f'id="materium.generate.{name}"') for name in ("engine", "request", "automaton")]
    assert places == sorted(places)
    assert "**options" not in text
    overview = page(site, "reference/python")
    assert 'id="materium.evaluate.EvaluatePackage.__call__"' in overview
    sys.path.insert(0, str(ROOT / "docs" / "tools"))
    import python_pages

    for folder, names in python_pages.FIRST.items():
        assert all((ROOT / "src" / "materium" / folder / f"{name}.py").is_file() for name in names), folder
