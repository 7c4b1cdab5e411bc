"""What is taken away, files and commands that other programs read, and what is brought along."""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pymatgen.core import Composition, Lattice, Structure

from pages import NO_PLAYWRIGHT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


def downloaded(page: Page, link: Locator) -> bytes:
    with page.expect_download() as waiting:
        link.click()
    return Path(waiting.value.path()).read_bytes()


def same(structure: Structure, formula: str) -> bool:
    return structure.composition.element_composition.almost_equals(
        Composition(formula) * (len(structure) / Composition(formula).num_atoms)
    )


def test_a_crystal_is_taken_away_in_every_format(written: Page) -> None:
    written.locator(".card-open").nth(1).click()
    formula = written.locator("#detail-title").inner_text().replace("\n", "")
    files = written.locator("#detail-files")
    cif = downloaded(written, files.get_by_text("CIF")).decode()
    poscar = downloaded(written, files.get_by_text("POSCAR")).decode()
    structures = [Structure.from_str(cif, fmt="cif", primitive=False), Structure.from_str(poscar, fmt="poscar")]
    assert all(same(structure, formula) for structure in structures)
    assert "Lattice=" in downloaded(written, files.get_by_text("extxyz")).decode()


def test_those_that_are_chosen_are_taken_away(written: Page) -> None:
    for place in (0, 2):
        written.locator(".card input").nth(place).check()
    expect(written.locator("#subjects")).to_have_text("2 chosen")
    written.locator(".menu summary").click()
    table = downloaded(written, written.get_by_role("link", name="Table (CSV)")).decode().splitlines()
    assert len(table) == 3
    with zipfile.ZipFile(io.BytesIO(downloaded(written, written.get_by_role("link", name="Everything")))) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".cif")]) == 2


def test_the_same_command_is_copied(written: Page) -> None:
    written.get_by_text("The same in a terminal").click()
    written.get_by_role("button", name="Copy the command line").click()
    copied = written.evaluate("navigator.clipboard.readText()")
    assert copied == written.locator("#equal-command").inner_text().strip()
    assert re.match(r"materium generate .*-n 8\b.*--seed 1\b", copied)
    written.get_by_role("button", name="Copy the Python call").click()
    assert "materium.load()" in written.evaluate("navigator.clipboard.readText()")


def test_a_structure_of_ones_own_is_scored_and_completed(page: Page) -> None:
    page.get_by_role("tab", name="Your structure").click()
    page.get_by_role("button", name="Likelihood").first.click()
    expect(page.locator("#upload-error")).to_contain_text("Choose a file")
    file = {"name": "salt.cif", "mimeType": "chemical/x-cif", "buffer": ROCK_SALT.to(fmt="cif").encode()}
    page.get_by_label("A structure: CIF").set_input_files(file)
    expect(page.locator("#upload-name")).to_have_text("salt.cif")
    page.get_by_role("button", name="Likelihood").first.click()
    expect(page.locator(".card-name")).to_have_text("NaCl")
    page.locator(".card-open").click()
    assert "ln p" in page.locator("#facts").inner_text()

    page.get_by_role("button", name="Close").last.click()
    page.get_by_label("Atoms to add").fill("Zz")
    page.get_by_role("button", name="Complete", exact=True).click()
    expect(page.locator("#upload-error")).to_contain_text("Zz")
    page.get_by_label("Atoms to add").fill("Li")
    page.locator("#complete-n").fill("1")
    page.get_by_role("button", name="Complete", exact=True).click()
    wait_until(page, lambda: "Li" in page.locator(".card-name").first.inner_text())
    assert page.locator(".card").count() == 1


@pytest.mark.skipif(importlib.util.find_spec("chgnet") is None, reason="chgnet is not installed")
def test_crystals_are_relaxed_and_judged_on_demand(written: Page) -> None:
    page = written
    page.locator(".card input").first.check()
    page.get_by_role("button", name="Relax and judge").first.click()
    expect(page.locator("#judging-status")).to_have_text(re.compile("^Done"), timeout=120_000)
    page.get_by_role("tab", name="Table").click()
    expect(page.locator("#table-head")).to_contain_text("Unique")
    page.locator("#table-body .row").first.click()
    expect(page.locator("#facts")).to_contain_text("Relaxation")
    if page.get_by_label("relaxed").is_visible():
        page.get_by_label("relaxed").check()
        cif = downloaded(page, page.locator("#detail-files").get_by_text("CIF")).decode()
        assert same(Structure.from_str(cif, fmt="cif"), page.locator("#detail-title").inner_text().replace("\n", ""))


def test_names_that_are_scripts_are_text(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """What a file, a frame, a reason and an address say is shown, never run."""
    script = "<img src=x onerror=document.title='run'></script><script>document.title='run'</script>\"'\u202e"
    frame = (
        f'1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 id="{script.replace(chr(34), "")}"\nO 0 0 0\n'
    )
    files = tmp_path / "<b onclick=alert(1)>.extxyz"
    files.write_text(frame + "1\n<img src=x onerror=alert(1)>\nXx 0 0 0\n", encoding="utf-8")
    page = open_page(f"#{script}")
    title = page.title()
    page.locator("#tab-upload").click()
    page.set_input_files("#upload-files", files)
    page.locator("#upload-score").click()
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card-open").first.click()
    assert page.title() == title
    assert page.locator("img[src=x], script:not([src]), b[onclick]").count() == 0
