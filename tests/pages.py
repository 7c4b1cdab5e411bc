"""Helpers of the tests in `browser/`: what they need on the machine, and what they do again and again."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[1]
VIEWER = ROOT / "src" / "materium" / "serve" / "static" / "vendor" / "3Dmol-min.js"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
NO_PLAYWRIGHT = "playwright is not installed; make test-browser installs it"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Software rendering: the same pixels with and without a graphics card.
FLAGS = [
    "--use-angle=swiftshader-webgl",
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",
    "--disable-background-networking",
]
PATIENCE = 100_000
"""Milliseconds: a busy machine without a graphics card takes its time to draw the first picture in 3D."""
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def chromium() -> str | None:
    """Return the path of a Chromium."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def missing() -> str | None:
    """Say what is not installed, if anything."""
    absent = [name for name in ("playwright", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    absent += [] if chromium() else ["chromium"]
    absent += [] if VIEWER.exists() and AXE.exists() else ["the libraries of web/"]
    return f"{', '.join(absent)} not installed; make test-browser installs it" if absent else None


def write(page: Page, *, n: int, seed: int = 1) -> None:
    """Fill in how many and the seed, press the button and wait for the end."""
    page.get_by_label("How many").first.fill(str(n))
    page.get_by_label("Seed").first.fill(str(seed))
    page.get_by_role("button", name="Generate", exact=True).click()
    wait_for_end(page)


def wait_for_end(page: Page) -> None:
    """Wait until all is written."""
    from playwright.sync_api import expect

    status = page.locator("#making-status")
    expect(status).to_have_text(re.compile("^(Done|Failed|Cancelled)"), timeout=PATIENCE)
    assert status.inner_text().startswith("Done"), page.locator("#making-error").inner_text()


def wait_until(page: Page, true: Callable[[], bool], seconds: float = PATIENCE / 1000) -> None:
    """Wait until something is true: the page draws in its next frame, not at once."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        page.wait_for_timeout(30)


def colours(canvas: Locator) -> int:
    """Count the colours of what is seen of a canvas: a blank one has one."""
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(canvas.screenshot())).convert("RGB")
    return len(picture.getcolors(maxcolors=picture.width * picture.height) or [])
