"""The page of a search: whole, alone, and every candidate with its reasons and neighbours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from crystals import KNOWN
from materium.report import discovery, viewer
from materium.report.discovery import sections, write_discovery

if TYPE_CHECKING:
    from pathlib import Path

STAGES = [
    {"stage": "check", "came": 64, "passed": 60, "dropped": 4, "left": 0},
    {"stage": "hull", "came": 60, "passed": 5, "dropped": 25, "left": 30},
    {"stage": "final", "came": 5, "passed": 5, "dropped": 0, "left": 0},
]
METRICS: dict[str, Any] = {
    "stages": STAGES, "ended_because": "enough <b>", "seconds": 3.5, "neutral": 4, "smact_valid": 3, "no_reference": 2,
    "command": "materium discover --out 'ü & <b>'", "potential": {"name": "chgnet", "version": "0.3.0"},
    "reference": {"name": "chgnet", "fingerprint": "f" * 64},
    "settings": {"keep": 5, "elements": ["Na", "Cl"], "z": None, "conditions": {}, "potential": {}},
}  # fmt: skip
VOID = {"meta", "br", "path", "use", "rect", "line", "circle"}


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the checkout has the 3D viewer or not."""
    monkeypatch.setattr(viewer, "viewer_code", lambda: None)


class Reader(HTMLParser):
    """Keeps the tags that are open, and those that were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert all((value or "").startswith("#") for name, value in attrs if name in {"src", "href", "xlink:href"})
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def candidate(rank: int, formula: str) -> dict[str, Any]:
    crystal = KNOWN[formula]
    neighbour = {"id": "mp-1", "formula": "Na", "role": "on the hull (computed)", "share": 0.5, "distance": None}
    return {
        "rank": rank, "id": f"<script>alert({rank})</script>", "formula": formula, "energy_above_hull": 0.012,
        "log_likelihood": None, "num_sites": len(crystal), "space_group_relaxed": 225, "density": 2.0, "screened": 0.1,
        "decomposition": "0.5 Na", "neighbours": [neighbour], "why_kept": [f"reason {rank} & <i>"],
        "atomic_numbers": crystal.numbers.tolist(), "relaxed_cell": crystal.lattice.ravel().tolist(),
        "relaxed_frac_coords": crystal.frac_coords.ravel().tolist(),
    }  # fmt: skip


def read(path: Path, found: list[dict[str, Any]]) -> tuple[str, Reader]:
    write_discovery(path, "Search <b>", found, METRICS)
    text, reader = path.read_text(encoding="utf-8"), Reader()
    reader.feed(text)
    assert reader.open == []
    return text, reader


def test_page_is_whole_and_alone_and_shows_every_candidate(tmp_path: Path) -> None:
    found = [candidate(rank, formula) for rank, formula in enumerate(KNOWN, 1)]
    text, reader = read(tmp_path / "report.html", found)
    assert text.count('aria-label="Cell of') == len(found)
    assert reader.seen.count("article") == len(found)
    assert not {"script", "b", "i"} & set(reader.seen)
    assert re.findall("https?://", text.replace("http://www.w3.org", "")) == []
    for one in found:
        assert f"reason {one['rank']} &amp; &lt;i&gt;" in text
    assert text.count("mp-1") == len(found)
    assert "60 (93.8\N{NO-BREAK SPACE}%)" in text
    assert "5 (7.8\N{NO-BREAK SPACE}%), 30 not reached" in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_no_candidates_are_a_page(tmp_path: Path) -> None:
    text, reader = read(tmp_path / "report.html", [])
    assert "No crystal came through. Try a larger --budget" in text
    assert "article" not in reader.seen


def test_plots_tell_the_stages_and_the_crystals() -> None:
    crystal = KNOWN["NaCl"]
    row = {
        "valid": True, "atomic_numbers": crystal.numbers.tolist(), "cell": crystal.lattice.ravel().tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(), "space_group": 225, "num_sites": 2, "screened": 0.2,
    }  # fmt: skip
    plots = {section.plot.name: section for section in sections(METRICS, [row, {"valid": False}])}
    assert list(plots) == [
        "funnel", "crystal-systems", "elements", "space-groups", "num-sites", "density", "screened"
    ]  # fmt: skip
    assert plots["funnel"].plot.alt == "Funnel: generated 64, check 60, hull 5, final 5."
    assert plots["density"].body[0][0] == f"{crystal.density:.4g}"


def test_without_matplotlib_the_page_has_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_spec", lambda _: None)
    text, _ = read(tmp_path / "report.html", [candidate(1, "NaCl")])
    assert "pip install" in text
    assert "<td>hull</td><td>60</td><td>5</td><td>25</td><td>30</td>" in text
