"""A thousand crystals: the page holds those in sight alone, and never stalls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pages import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page, Route

COUNT = 1000
STEP_SECONDS = 0.06
"""Of the processor, for two thirds of a screen of new cards: twice what was measured, however busy the machine is."""

# Scrolls through the whole page, and counts the cards that are on it at a time.
SCROLL = """async () => {
    let cards = 0, steps = 0;
    const bottom = document.documentElement.scrollHeight;
    for (let top = 0; top < bottom; top += 600) {
        scrollTo(0, top);
        await new Promise(requestAnimationFrame);
        cards = Math.max(cards, document.querySelectorAll('.card').length);
        steps += 1;
    }
    return {cards, steps};
}"""


def thousand(page: Page) -> str:
    """Return the events of a job with a thousand crystals, made of the eight that the server has."""
    job: dict[str, Any] = page.evaluate("async () => await (await fetch(`/jobs/${location.hash.slice(1)}`)).json()")
    rows = [{**job["rows"][i % 8], "id": f"many-{i}", "index": i} for i in range(COUNT)]
    done = {**job["job"], "rows": COUNT}
    events = [("job", done), *(("crystal", row) for row in rows), ("end", done)]
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)


def busy(session: CDPSession) -> float:
    """Return the seconds of the processor that the page's main thread has taken."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def test_a_thousand_crystals_scroll_without_a_stall(written: Page) -> None:
    page = written
    body = thousand(page)

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    page.route("**/jobs/*/events", answer)
    page.reload()
    wait_until(page, lambda: page.locator("#count").inner_text() == f"{COUNT} crystals")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = busy(session)
    found = page.evaluate(SCROLL)
    assert found["steps"] > 50
    assert 10 < found["cards"] < 100
    assert (busy(session) - before) / found["steps"] < STEP_SECONDS
    wait_until(page, lambda: page.locator(f".card[data-index='{COUNT - 1}']").count() == 1)
    page.get_by_role("tab", name="Table").click()
    wait_until(page, lambda: page.locator("#table-body [role=row]").count() > 10)
    assert page.locator("#table-body [role=row]").count() < 100
    assert page.locator(".table").get_attribute("aria-rowcount") == str(COUNT + 1)
