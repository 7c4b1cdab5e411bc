"""Pictures that can be turned: still where the library is missing, and safe where it is there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from crystals import KNOWN, NACL
from materium.report import viewer
from materium.report.html import write_page
from materium.report.viewer import Viewer

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = "globalThis.$3Dmol = {};"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "viewer_code", lambda: LIBRARY)


def page(path: Path, found: Viewer, cards: list[str]) -> str:
    write_page(path, "Title", [*cards, found.end()], found.scripts)
    return path.read_text(encoding="utf-8")


def test_without_the_library_pictures_stand_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(viewer, "viewer_code", lambda: None)
    found = Viewer()
    text = page(tmp_path / "a.html", found, [found.card(NACL, ["NaCl"])])
    assert "<script" not in text
    assert "<button" not in text
    assert "make serve" in text
    assert "script-src" not in text


@pytest.mark.usefixtures("library")
def test_the_page_runs_what_came_with_us_and_nothing_else(tmp_path: Path) -> None:
    found = Viewer()
    text = page(tmp_path / "a.html", found, [found.card(NACL, ["<script>alert(1)</script>"])])
    run = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert run[0] == LIBRARY
    assert len(run) == 2
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in run]
    assert policy.endswith("script-src " + " ".join(f"'sha256-{one}'" for one in hashes))
    assert "default-src 'none'" in policy
    assert "alert(1)" not in "".join(run)


@pytest.mark.usefixtures("library")
def test_each_button_opens_its_crystal(tmp_path: Path) -> None:
    found = Viewer()
    text = page(tmp_path / "a.html", found, [found.picture(crystal) for crystal in KNOWN.values()])
    (data,) = re.findall(r'<script type="application/json" id="crystals">(.*?)</script>', text)
    crystals = json.loads(data)
    assert [one["name"] for one in crystals] == list(KNOWN)
    assert re.findall(r'data-crystal="(\d+)"', text) == [str(number) for number in range(len(KNOWN))]
    salt = crystals[list(KNOWN).index("NaCl")]
    assert len(salt["edges"]) == 12
    assert {atom[0] for atom in salt["atoms"]} == set(salt["colours"]) == {"Na", "Cl"}


@pytest.mark.usefixtures("library")
def test_a_page_without_crystals_needs_no_library() -> None:
    found = Viewer()
    assert found.end() == ""
    assert found.scripts == ()


def test_the_library_comes_with_its_licence_and_cannot_end_the_script(tmp_path: Path) -> None:
    text = viewer.viewer_code()
    if text is None:
        pytest.skip("3Dmol.js is not set up; make serve fetches it")
    assert text.index("BSD-3-Clause") < text.index("*/") < text.index("3Dmol=")
    assert "</script" not in text
    found = Viewer()
    page(tmp_path / "a.html", found, [found.picture(NACL)])
    assert found.scripts[0] == text
