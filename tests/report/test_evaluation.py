from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from crystals import KNOWN, NACL
from materium.evaluate.pipeline import Settings, evaluate
from materium.evaluate.summary import summarise, verdicts
from materium.report import evaluation, viewer
from materium.report.evaluation import best, cells, write_evaluation
from materium.report.picture import picture
from materium.report.viewer import Viewer

if TYPE_CHECKING:
    from pathlib import Path

CHEAP = Settings(skip=frozenset({"relax", "novel"}))
VOID = {"meta", "path", "use", "rect", "line", "circle", "br"}


class Reader(HTMLParser):
    """Keeps what a browser would find: open elements, ids, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def judged() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows as the pipeline gives them, with figures of a relaxation and a hull put in."""
    found = evaluate(list(KNOWN.values()), settings=CHEAP)
    rows = []
    for place, row in enumerate(found.rows):
        more = {
            "id": f"<script>alert({place})</script>", "relax_status": "converged", "rmsd": 0.01 * place, "novel": True,
            "volume_change": 0.01, "energy_above_hull": 0.05 * place, "hull_reason": None,
        }  # fmt: skip
        rows.append({**row, **more, **verdicts({**row, **more})})
    return rows, {**found.metrics, "skipped": [], **summarise(rows, 8, ())}


def test_page_is_whole_and_alone(
    tmp_path: Path, judged: tuple[list[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra `report`")
    monkeypatch.setattr(viewer, "viewer_code", lambda: None)
    assert write_evaluation(tmp_path / "report.html", "Ünïcode & <b>", *judged)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert all(link.startswith("#") for link in reader.links)
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert "script" not in reader.tags
    for section in (
        "figures",
        "best",
        "funnel",
        "density",
        "energy-above-hull",
        "elements",
        "space-groups",
        "class",
        "failures",
    ):
        assert section in reader.ids
    assert re.findall("https?://[^ \"'<]+", text.replace("http://www.w3.org", "")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_plots_for_papers_are_files(
    tmp_path: Path, judged: tuple[list[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra `report`")
    monkeypatch.setattr(evaluation, "sections", lambda rows, metrics: [evaluation._funnel(rows, metrics)])
    write_evaluation(tmp_path / "report.html", "Title", *judged, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"funnel.svg", "funnel.png"}


def test_funnel_counts_what_is_left(judged: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra `report`")
    rows, metrics = judged
    rows = [*rows, {"id": "x", "formula": None, "valid": False}, {**rows[0], "valid": False, "stable": True}]
    steps = dict(evaluation._funnel(rows, {**metrics, "n_asked": 9}).body)
    assert (steps["asked for"], steps["arrived"], steps["read"], steps["valid"]) == ("9", "7", "6", "5")
    assert int(steps["valid"]) >= int(steps["at most 0.1 eV/atom"]) >= int(steps["on the hull"]) == 1


def test_without_matplotlib_the_page_has_tables(
    tmp_path: Path, judged: tuple[list[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "find_spec", lambda _: None)
    assert not write_evaluation(tmp_path / "report.html", "Title", *judged)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "pip install" in text
    assert "msun" in text


def test_nothing_valid_is_a_page(tmp_path: Path) -> None:
    from materium.data.records import Row

    found = evaluate([Row("a", None, {}, "truncated")], settings=CHEAP)
    write_evaluation(tmp_path / "report.html", "Title", found.rows, found.metrics)
    assert "truncated" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_best_are_low_above_the_hull(judged: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows = judged[0]
    assert [row["index"] for row in best(rows[::-1])] == [0, 1, 2, 3, 4]
    assert len(best(rows, 2)) == 2
    assert [row["index"] for row in best([{**rows[0], "novel_final": False}, rows[1]])] == [1]


def test_cells_of_fractions_and_means() -> None:
    one = {"value": 0.5, "numerator": 1, "denominator": 2, "interval": [0.1, 0.9]}
    assert cells(one)[1] == "1 of 2"
    mean = {"value": 0.5, "median": 0.4, "n": 1, "interval": None}
    assert cells(mean) == ("0.5 (median 0.4)", "1 rows", "–")


def test_elements_have_places_of_their_own() -> None:
    from materium.report.charts import position

    places = {position(number) for number in range(1, 119)}
    assert len(places) == 118
    assert position(1) == (0, 0)
    assert position(2) == (0, 17)
    assert position(6) == (1, 13)
    assert position(26) == (3, 7)
    assert position(72) == (5, 3)
    assert position(57)[0] == position(71)[0] > 7


@pytest.mark.parametrize("name", KNOWN)
def test_picture_shows_every_atom(name: str) -> None:
    text = picture(KNOWN[name])
    assert text.count("<circle") >= len(KNOWN[name])
    assert text.count("<line") == 12
    assert name in text


def test_atoms_on_a_face_are_drawn_on_both_sides() -> None:
    """The conventional cell of rock salt shows 14 sodium and 13 chlorine atoms."""
    assert picture(NACL).count("<circle") == 27


def test_why_the_gallery_is_empty() -> None:
    known = {"valid": True, "energy_above_hull": 0.0, "novel_final": False}
    words = "None of the rows that have a supported energy above the hull is unique and novel."
    assert words in evaluation._gallery([known], {}, Viewer())
    assert "No row is valid." in evaluation._gallery([{"valid": False}], {}, Viewer())
