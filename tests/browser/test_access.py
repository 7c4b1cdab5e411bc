"""For everybody: no finding of axe that is serious, a phone's width, the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pages import AXE, PHONE, wait_for_end, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
VIEWS = ("Gallery", "Table", "Plot")


def findings(page: Page) -> list[str]:
    """Return what axe finds serious or critical, of the rules of WCAG 2.2 AA and good practice."""
    # Playwright's evaluation is not held to the page's policy; a script element would be.
    page.evaluate(AXE.read_text(encoding="utf-8") + "; 1")
    found: list[dict[str, Any]] = page.evaluate("async rules => (await axe.run({runOnly: rules})).violations", RULES)
    return [
        f"{one['id']}: {one['help']} ({node['target']})"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Callable[..., Page], eight: str, scheme: str) -> None:
    page = open_page(eight, color_scheme=scheme)
    wait_for_end(page)
    for details in page.locator("details").all():
        details.evaluate("details => { details.open = true }")
    page.locator("[data-symbol=Li]").click()
    page.locator(".card-open").first.click()
    for view in VIEWS:
        page.get_by_role("tab", name=view).click()
        page.wait_for_timeout(100)
        assert not findings(page), view
    page.get_by_role("tab", name="Your structure").click()
    assert not findings(page)
    page.get_by_role("button", name="About the model").click()
    assert not findings(page)


def test_a_phone_never_scrolls_sideways(open_page: Callable[..., Page], eight: str) -> None:
    page = open_page(eight, viewport=PHONE, is_mobile=True, has_touch=True)
    wait_for_end(page)

    def fits() -> bool:
        # What is too wide makes a phone zoom out: the window grows with it, and must not.
        return bool(page.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)") == PHONE["width"])

    for details in page.locator("details").all():
        details.evaluate("details => { details.open = true }")
    for view in VIEWS:
        page.get_by_role("tab", name=view).click()
        page.wait_for_timeout(100)
        assert fits(), view
    page.get_by_role("tab", name="Gallery").click()
    page.locator(".card-open").first.click()
    assert fits()
    box = page.locator("#viewer").bounding_box()
    assert box
    assert box["width"] > 300
    page.locator("#detail-close").click()
    page.get_by_role("tab", name="Your structure").click()
    assert fits()


def test_the_keyboard_alone_is_enough(written: Page) -> None:
    page = written
    focused = "document.activeElement.closest('[data-id]')?.dataset.id"
    page.locator(".card-open").first.focus()
    first = page.evaluate(focused)
    page.keyboard.press("ArrowRight")
    second = page.evaluate(focused)
    assert second not in {first, None}
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail-title"
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    wait_until(page, lambda: page.evaluate(focused) == second)
    page.get_by_role("tab", name="Gallery").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Table").get_attribute("aria-selected") == "true"


def test_the_switch_of_colours_is_remembered(page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator("#theme").click()
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate(colour) == dark
