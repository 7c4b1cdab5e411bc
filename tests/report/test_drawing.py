from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from materium.errors import DataError
from materium.extras import install_command
from materium.report import drawing, plots
from materium.report.drawing import Plot, inline_svg, sample, save, short
from materium.report.summary import Outcome, Share

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG"


def bars(target: str = "NaCl", name: str = "reduced_formula") -> Plot:
    pytest.importorskip("matplotlib", reason="figures need the extra `report`")
    return plots.bars([Outcome(name, target, Share(3, 4), 0, 0, ())])


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_equal_figures_give_equal_bytes(tmp_path: Path) -> None:
    for suffix in (".svg", ".png"):
        first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        save(bars(), first, dpi=50)
        save(bars(), second, dpi=50)
        assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert b"<text" not in (tmp_path / "a.svg").read_bytes()


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.svg or \.png, not \.tiff"):
        save(bars(), tmp_path / "a.tiff")


def test_the_figure_on_the_page_is_named_and_wears_the_pages_colours() -> None:
    text = inline_svg(bars())
    assert text.startswith('<svg role="img" aria-label="Bars of the share')
    assert f"var(--series-0, {drawing.SERIES[0]})" in text
    assert not re.findall(r"(?<!, )#[0-9a-f]{6}", text), "a colour that the dark page cannot change"
    assert "<metadata" not in text
    assert all(name.startswith("bars-reduced_formula-") for name in re.findall(r'\bid="([^"]+)"', text))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert used <= set(re.findall(r'\bid="([^"]+)"', text))


@pytest.mark.parametrize("formula", ["<script>alert(1)</script>", "$x_2", '"&<!--', "氧化鈉", "\x00\x1b[31m"])
def test_any_text_can_be_a_label(formula: str) -> None:
    text = inline_svg(bars(formula))
    assert "<script" not in text
    assert "\x1b" not in re.sub(r'aria-label="[^"]*"', "", text)


def test_every_colour_has_a_variable_in_the_style_sheet() -> None:
    from materium.report.html import css

    css = css()
    assert all(css.count(f"--{name}: ") == 2 for name in drawing.VARIABLES.values()), "one for light, one for dark"
    assert all(f"--{name}: {colour}" in css for colour, name in drawing.VARIABLES.items())


@pytest.mark.parametrize("page", [0, 1])
def test_text_and_series_stand_out_from_light_and_dark_paper(page: int) -> None:
    """WCAG 2 asks 4.5 for text and 3 for graphics; the pale colours of the set are helped by markers and dashes."""
    from materium.report.html import css

    def contrast(name: str) -> float:
        values = [luminance(re.findall(rf"--{other}: (#\w+)", css())[page]) for other in (name, "paper")]
        return (max(values) + 0.05) / (min(values) + 0.05)

    assert contrast("ink") > 7
    assert contrast("muted") > 4.5
    assert all(contrast(f"series-{number}") > (3 if number < 3 else 2) for number in range(7))


def test_the_sample_is_seeded_and_drawn_from_the_points() -> None:
    points = np.arange(20000.0).reshape(-1, 2)
    drawn = sample(points, 100)
    assert drawn.shape == (100, 2)
    assert np.array_equal(drawn, sample(points, 100))
    assert {tuple(point) for point in drawn} <= {tuple(point) for point in points}
    assert np.array_equal(sample(points[:100], 100), points[:100])


def test_long_labels_are_cut() -> None:
    assert short("Y3Al5O12") == "Y3Al5O12"
    assert len(short("Ba" * 40)) == 22
    assert short("Ba" * 40).endswith("…")


def test_without_matplotlib_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError, match=re.escape(install_command("report"))), drawing.style():
        pass
