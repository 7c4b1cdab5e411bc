"""The page of a search: whole, alone, and every candidate with its reasons and neighbours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from crystals import KNOWN
from materium.report.discovery import funnel_svg, write_discovery

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


class Reader(HTMLParser):
    """Keeps the tags that are open, and those that were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        self.seen.append(tag)

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
    assert reader.seen.count("svg") == 1 + len(found)
    assert reader.seen.count("article") == len(found)
    assert not {"script", "b", "i"} & set(reader.seen)
    assert re.findall("https?://", text) == []
    for one in found:
        assert f"reason {one['rank']} &amp; &lt;i&gt;" in text
    assert text.count("mp-1") == len(found)
    assert "60 of 64" in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_no_candidates_are_a_page(tmp_path: Path) -> None:
    text, reader = read(tmp_path / "report.html", [])
    assert "No crystal came through" in text
    assert "article" not in reader.seen


def test_funnel_narrows_to_scale() -> None:
    drawn = funnel_svg(STAGES)
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height', drawn)][::2]
    assert widths == pytest.approx([widths[0] * share / 64 for share in (64, 60, 5, 5)], abs=0.1)
    assert "5 of 64, 30 not reached" in drawn
    assert "Funnel: generated 64, check 60, hull 5, final 5" in drawn
