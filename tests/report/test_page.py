from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crystals import KNOWN, NACL
from materium.convert import formula
from materium.report import viewer
from materium.report.page import MAX_LISTED, best, write_report
from materium.report.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from materium.crystal import Crystal

pytest.importorskip("matplotlib", reason="the report needs the extra `report`")

VOID = {"meta", "path", "use", "rect"}


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the checkout has the 3D viewer or not."""
    monkeypatch.setattr(viewer, "viewer_code", lambda: None)


class Reader(HTMLParser):
    """Keeps what a browser would find: open elements, ids, links, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.errors: list[str] = []

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
        if tag not in VOID and self.open.pop() != tag:
            self.errors.append(tag)


def row(number: int, targets: dict[str, Any], measured: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": f"1-{number:06d}", "request": 0, "targets": targets, "measured": measured, "valid": True, **more}


def noisy(count: int, *targets: dict[str, float], seed: int = 0) -> list[dict[str, Any]]:
    """So many rows for each set of targets, measured with a tenth of noise; some invalid, some not measured."""
    rng = np.random.default_rng(seed)
    rows = []
    for request, told in enumerate(targets):
        for number in range(count):
            found = {name: None if number % 9 == 8 else target * rng.normal(1, 0.1) for name, target in told.items()}
            rows.append(row(number, told, found, valid=number % 7 != 6) | {"request": request})
    return rows


def written(path: Path, rows: list[dict[str, Any]], **more: Any) -> str:
    write_report(path, "A run", {"seed": "1"}, rows, **more)
    return path.read_text(encoding="utf-8")


def figures(text: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)">\n<h2>[^<]*</h2>\n<div class="split">', text)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (noisy(10, {"density": 2.5}, {"density": 5}), ["violins-density"]),
        (
            noisy(10, {"density": 5, "hhi": 1000}, {"density": 5, "hhi": 4000}),
            ["violins-density", "violins-hhi", "scatter-density-hhi", "radar-density-hhi-1"],
        ),
        ([row(0, {"space_group": 225}, {"space_group": 225})], ["bars-space_group"]),
        (
            [row(0, {"reduced_formula": "NaCl", "density": 2.2}, {})],
            ["bars-reduced_formula", "violins-density", "radar-reduced_formula-density-1"],
        ),
        ([row(0, {}, {})], []),
        (
            [row(n, {"band_gap": 1}, {"band_gap": 1.0}, guidance=weight) for n, weight in enumerate((1.0, 2.0))],
            ["violins-band_gap", "guidance"],
        ),
        (
            [row(n, {"band_gap": 1 + n / 50}, {"band_gap": 1.5}) for n in range(50)],
            ["parity-band_gap"],
        ),
    ],
    ids=["one number", "two numbers", "category", "combined", "nothing asked", "guidance", "range"],
)
def test_the_targets_decide_the_figures(rows: list[dict[str, Any]], expected: list[str], tmp_path: Path) -> None:
    assert figures(written(tmp_path / "report.html", rows)) == expected


def test_the_page_is_one_file_that_holds_together(tmp_path: Path) -> None:
    text = written(tmp_path / "report.html", noisy(20, {"density": 5, "hhi": 1000}, {"density": 2.5, "hhi": 1000}))
    reader = Reader()
    reader.feed(text)
    assert not reader.errors
    assert not reader.open
    assert len(reader.ids) == len(set(reader.ids))
    assert {link for link in reader.links if not link.startswith("#")} == set()
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert not reader.tags & {"script", "link", "img", "iframe"}
    assert "@import" not in text
    assert re.findall("https?://", text.replace("http://www.w3.org", "")) == []
    assert len(re.findall(r'<svg role="img" aria-label="\w', text)) == len(figures(text)) == 4


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = noisy(10, {"density": 5, "hhi": 1000})
    assert written(tmp_path / "a.html", rows) == written(tmp_path / "b.html", rows)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.html", "b.html"]


def test_counts_on_the_page_hold_the_failures(tmp_path: Path) -> None:
    told = {"density": 5.0}
    rows = [row(0, told, {"density": 5.0}), row(1, told, {"density": None}), row(2, told, {"density": 8.0})]
    rows.append(row(3, told, {"density": 5.0}, valid=False, reason="atoms 0.2 Å apart"))
    text = written(tmp_path / "report.html", rows)
    cells = "".join(f"<td>{cell}</td>" for cell in ("5", "4", "1", "25.0\N{NO-BREAK SPACE}%"))
    assert f"<tr>{cells}" in text
    for kind in ("density missed", "density not measured", "not valid"):
        assert f"<td>{kind}</td><td>1</td>" in text
    assert "<td>1-000003</td><td>0</td><td>not valid: atoms 0.2 Å apart</td>" in text
    assert "density 8 g/cm³, asked 5 g/cm³" in text


def test_what_comes_from_outside_is_text_and_nothing_else(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>'
    rows = [row(0, {"reduced_formula": evil, "density": 1.0}, {"reduced_formula": evil}, reason=evil) | {"id": evil}]
    path = tmp_path / "report.html"
    write_report(path, evil, {evil: evil, "bell": "\x07\ud800"}, rows, notes=[evil])
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in text
    assert "default-src 'none'" in text


def test_the_predictors_error_stands_beside_its_figure(tmp_path: Path) -> None:
    rows = [row(n, {"band_gap": target}, {"band_gap": 1.2}) for n, target in enumerate((1.0, 4.0))]
    text = written(tmp_path / "report.html", rows, predictor_errors={"band_gap": 0.38})
    assert "The predictor&#x27;s mean absolute error is 0.38 eV." in text
    assert re.findall(r"<td>(yes|no)</td></tr>", text) == ["yes", "no"]


def test_the_page_does_not_grow_with_the_run(tmp_path: Path) -> None:
    targets = [{"density": 5.0, "hhi": 1000.0}, {"density": 2.5, "hhi": 4000.0}]
    small = len(written(tmp_path / "small.html", noisy(1900, *targets)))
    large = written(tmp_path / "large.html", noisy(6000, *targets))
    assert len(large) < 1.1 * small < 1_000_000
    assert "a seeded sample of 3000 is drawn" in large
    assert f"the first {MAX_LISTED} of them listed" in large


def test_a_range_of_thousands_of_targets_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    told = [
        {"density": d, "hhi": h} for d, h in zip(rng.uniform(1, 9, 3000), rng.uniform(500, 5000, 3000), strict=True)
    ]
    text = written(tmp_path / "report.html", noisy(1, *told))
    assert figures(text) == ["parity-density", "parity-hhi", "radar-density-hhi-1"]
    assert len(text) < 1_200_000
    assert "more requests are not listed" in text


def test_training_data_is_drawn_behind_the_pairs(tmp_path: Path) -> None:
    rows = noisy(10, {"density": 5, "hhi": 1000})
    text = written(tmp_path / "report.html", rows, cloud={"density": [1.0, 2.0], "hhi": [900.0, 5000.0]})
    assert "training data" in text


@pytest.mark.parametrize("measured", [None, 0.0, 7.5])
def test_a_single_or_missing_value_is_drawn_without_a_warning(measured: float | None, tmp_path: Path) -> None:
    rows = [row(n, {"density": 5.0}, {"density": measured}) for n in range(9)]
    assert figures(written(tmp_path / "report.html", rows)) == ["violins-density"]


def record(number: int, crystal: Crystal, **more: Any) -> dict[str, Any]:
    """Return a row of a run's table, as far as the page reads it."""
    known = {
        "id": f"1-{number:06d}", "formula": formula(crystal), "num_sites": len(crystal), "space_group": 225,
        "density": crystal.density, "log_likelihood": -10.0 * number - 5, "valid": True, "copy_of": None,
        "cell": crystal.lattice.ravel().tolist(), "frac_coords": crystal.frac_coords.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(), "oxidation_states": None,
    }  # fmt: skip
    return known | more


def test_what_the_crystals_look_like(tmp_path: Path) -> None:
    crystals = [record(n, crystal) for n, crystal in enumerate(KNOWN.values())]
    rows = [row(n, {}, {}) for n in range(len(crystals))]
    text = written(tmp_path / "report.html", rows, crystals=crystals)
    slugs = re.findall(r'<section id="([^"]+)"', text)
    shown = ["funnel", "crystal-systems", "elements", "space-groups", "num-sites", "density", "log-likelihood"]
    assert slugs == ["run", "best", *shown, "failures"]
    assert text.count("<figure>") == len(KNOWN)
    assert "The pictures stand still" in text
    assert "225 Fm-3m" in text


def test_the_best_meet_targets_are_likely_and_no_copies() -> None:
    told, met, missed = {"density": 5.0}, {"density": 5.0}, {"density": 9.0}
    rows = read_rows([row(0, told, missed), row(1, told, met), row(2, told, met), row(3, told, met), row(4, told, met)])
    crystals = [record(n, NACL) for n in range(5)]
    crystals[1]["log_likelihood"] = -99.0
    crystals[3]["copy_of"] = "1-000002"
    assert [one["id"] for one in best(rows, crystals)] == [f"1-{n:06d}" for n in (2, 4, 1, 0)]
    assert len(best(rows, crystals, 2)) == 2


def test_figures_for_papers_are_files(tmp_path: Path) -> None:
    rows = noisy(10, {"density": 5})
    files = write_report(tmp_path / "report.html", "A run", {}, rows, figures=tmp_path / "figures")
    assert [path.name for path in files] == ["violins-density.svg", "violins-density.png"]
    assert all(path.stat().st_size > 1000 for path in files)
