"""The files of the page, read without a browser: nothing inline or from elsewhere, and every name leads somewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "src" / "materium" / "serve" / "static"
INDEX = STATIC / "index.html"
OURS = [INDEX, *sorted(STATIC.glob("css/*.css")), *sorted(STATIC.glob("js/*.js"))]
SCRIPTS = [file for file in OURS if file.suffix == ".js"]
MAX_LINES = 400


class Reader(HTMLParser):
    """Collects the tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def tags() -> list[tuple[str, dict[str, str | None]]]:
    """Return the tags of the page."""
    reader = Reader()
    reader.feed(INDEX.read_text(encoding="utf-8"))
    return reader.tags


def name(file: Path) -> str:
    return str(file.relative_to(STATIC))


@pytest.mark.parametrize("file", OURS, ids=name)
def test_files_are_short_and_load_from_no_other_host(file: Path) -> None:
    """A link that a reader may follow is no load."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    allowed = r"www\.w3\.org/2000/svg|materialsproject\.org/materials/"
    assert not re.findall(rf"(?:https?:)?//(?!{allowed})[\w-]+\.[\w.-]+", text)


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_scripts_parse_no_text_as_code(file: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.findall(forbidden, file.read_text())


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_imports_lead_to_exports(file: Path) -> None:
    for names, source in re.findall(r'import \{([^}]+)\} from "\./([\w.-]+)"', file.read_text()):
        exported = re.findall(r"export (?:async )?(?:function|class|const) (\w+)", (STATIC / "js" / source).read_text())
        assert {word.strip() for word in names.split(",") if word.strip()} <= set(exported)


def test_nothing_is_inline(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    for tag, attributes in tags:
        assert not {key for key in attributes if key == "style" or key.startswith("on")}, tag
        assert tag != "style"
        assert tag != "script" or attributes.get("src")


def test_what_the_page_loads_is_there(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    loaded = [a.get("src") or a.get("href") or "" for tag, a in tags if tag in {"script", "link"}]
    assert loaded
    for path in loaded:
        assert path.startswith("/static/")
        assert "vendor" in path or (STATIC / path.removeprefix("/static/")).exists(), path


def test_ids_are_one_of_a_kind_and_names_lead_to_them(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointing = {"for", "aria-controls", "aria-labelledby", "aria-describedby", "data-copies"}
    named = {word for _, a in tags for key in pointing & a.keys() for word in (a[key] or "").split()}
    used = {word for file in SCRIPTS for word in re.findall(r'byId\("([\w-]+)"\)', file.read_text())}
    assert (named | used) <= set(ids)


def test_elements_have_the_radii_and_colours_of_ase() -> None:
    from ase.data import chemical_symbols, covalent_radii
    from ase.data.colors import jmol_colors

    table = json.loads((STATIC / "elements.json").read_text(encoding="utf-8"))
    assert [entry["symbol"] for entry in table] == chemical_symbols[1:119]
    assert [entry["number"] for entry in table] == list(range(1, 119))
    for entry in table[:96]:
        number = entry["number"]
        assert entry["radius"] == pytest.approx(covalent_radii[number], abs=0.005)
        assert entry["color"] == "#" + "".join(f"{round(255 * float(part)):02x}" for part in jmol_colors[number])
    places = {(entry["row"], entry["column"]) for entry in table}
    assert len(places) == len(table), "no two elements share a place of the periodic table"
