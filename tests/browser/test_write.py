"""The way through the page: fill in, write, look, sort, filter, cancel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pages import NO_PLAYWRIGHT, colours, wait_until, write

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLAIN = 60
"""Colours on a view without a crystal: background, frame and the smooth edges of its corners."""


def formulas(page: Page) -> list[str]:
    return [re.sub(r"\s", "", text) for text in page.locator(".card-name").all_inner_texts()]


def column(page: Page, name: str) -> list[str]:
    """Return the cells of a column of the table, as they are seen."""
    heads = page.locator("#table-head [role=columnheader]").all_inner_texts()
    place = next(number for number, head in enumerate(heads) if head.startswith(name))
    return page.locator(f"#table-body [role=row] > :nth-child({place + 1})").all_inner_texts()


def numbers(page: Page, name: str) -> list[float]:
    return [float(text.replace("−", "-")) for text in column(page, name)]


def test_what_is_filled_in_is_what_is_written(page: Page) -> None:
    page.get_by_label("Formula", exact=True).fill("GaAs")
    page.get_by_label("Density").first.fill("5..5.5")
    write(page, n=3, seed=7)
    assert formulas(page) == ["GaAs"] * 3
    assert page.locator("#making-status").inner_text().startswith("Done: 3 crystals")
    page.locator(".card-open").first.click()
    facts = page.locator("#facts").inner_text()
    assert "Density asked for" in facts
    assert re.search(r"Density asked for\s+5\.\d", facts)


def test_the_view_draws_the_crystal_turns_it_and_repeats_the_cell(written: Page) -> None:
    page = written
    wait_until(page, lambda: colours(page.locator(".thumbnail").first) > PLAIN)
    page.locator(".card-open").first.click()
    canvas = page.locator("#viewer canvas")
    wait_until(page, lambda: colours(canvas) > PLAIN)
    elements = set(re.findall(r"[A-Z][a-z]?", formulas(page)[0]))
    assert page.locator("#legend li").count() == len(elements)
    first = canvas.screenshot()
    page.locator("#viewer").press("ArrowRight")
    wait_until(page, lambda: canvas.screenshot() != first)
    turned = canvas.screenshot()
    page.get_by_label("Cells").select_option("2")
    wait_until(page, lambda: canvas.screenshot() != turned)
    page.get_by_label("Cells").select_option("1")
    still = canvas.screenshot()
    page.get_by_label("Rotate").check()
    wait_until(page, lambda: canvas.screenshot() != still)


def test_the_table_is_sorted_by_a_heading_and_filtered(written: Page) -> None:
    page = written
    page.get_by_role("tab", name="Table").click()
    wait_until(page, lambda: page.locator("#table-body [role=row]").count() == 8)
    densities = sorted(numbers(page, "Density"))
    assert densities[0] < densities[-1]
    head = page.get_by_role("button", name="Density")
    head.click()
    wait_until(page, lambda: numbers(page, "Density") == densities)
    assert page.locator("[aria-sort=ascending]").inner_text().startswith("Density")
    head.click()
    wait_until(page, lambda: numbers(page, "Density") == densities[::-1])

    page.get_by_text("Filter and sort").click()
    page.get_by_label("Range of").select_option("density")
    page.get_by_label("from", exact=True).fill(f"{(densities[3] + densities[4]) / 2:.4f}")
    expect(page.locator("#count")).to_have_text("4 of 8 crystals")
    assert numbers(page, "Density") == densities[:3:-1]
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#count")).to_have_text("8 crystals")
    symbol = re.findall(r"[A-Z][a-z]?", "".join(column(page, "Formula")[0].split()))[0]
    page.get_by_label("Formula or elements").fill(symbol)
    expect(page.locator("#count")).to_contain_text("of 8")
    assert all(re.search(rf"{symbol}(?![a-z])", "".join(text.split())) for text in column(page, "Formula"))


def test_a_point_of_the_plot_opens_its_crystal(written: Page) -> None:
    written.get_by_role("tab", name="Plot").click()
    dots = written.locator("#plot .dot")
    dots.first.wait_for()
    assert dots.count() == 8
    dots.nth(2).press("Enter")
    chosen = dots.nth(2).get_attribute("data-id")
    assert written.locator("#facts").inner_text().splitlines()[1] == chosen
    written.locator("#plot-x").select_option("num_sites")
    assert "Atoms" in (written.locator("#plot svg").get_attribute("aria-label") or "")


def test_cancel_stops_and_keeps_what_is_there(page: Page) -> None:
    page.get_by_label("How many").first.fill("1000")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(".card").first.wait_for()
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.locator("#making-status")).to_have_text(re.compile("^Cancelled"), timeout=2000)
    assert page.locator(".card").count() > 0
    assert page.get_by_role("button", name="Cancel").first.is_hidden()


@pytest.mark.parametrize(("field", "text"), [("condition-reduced_formula", "Zz3"), ("condition-density", "heavy")])
def test_what_is_wrong_is_said_where_it_stands(page: Page, field: str, text: str) -> None:
    page.locator(f"#{field}").fill(text)
    page.get_by_role("button", name="Generate", exact=True).click()
    problem = page.locator(f"#{field}-problem")
    expect(problem).to_contain_text(text)
    assert page.locator(f"#{field}").get_attribute("aria-invalid") == "true"
    assert page.locator(f"#{field}").evaluate("field => field === document.activeElement")
    page.get_by_role("button", name="Clear").click()
    assert problem.is_hidden()


def test_what_contradicts_itself_is_said_above_the_button(page: Page) -> None:
    page.get_by_label("Formula units").fill("2")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#form-error, #z-problem").filter(has_text="formula")).to_have_count(1)
    assert page.locator(".card").count() == 0


def test_the_periodic_table_is_kept(page: Page) -> None:
    page.get_by_label("required", exact=True).check()
    page.locator("[data-symbol=O]").click()
    page.locator("[data-symbol=O]").press("ArrowRight")
    page.keyboard.press("f")
    assert page.locator("#elements-summary").inner_text() == "required: O · forbidden: F"
    write(page, n=4)
    assert all("O" in re.findall(r"[A-Z][a-z]?", formula) for formula in formulas(page))


def test_presets_fill_in_the_form(page: Page) -> None:
    page.get_by_role("button", name="a lithium solid electrolyte").click()
    assert "required: Li" in page.locator("#elements-summary").inner_text()
    told = page.evaluate("async () => (await (await fetch('/presets')).json()).presets[0].request.conditions.band_gap")
    assert page.get_by_label("Band gap").input_value() == str(told)
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_label("Band gap").input_value() == ""
