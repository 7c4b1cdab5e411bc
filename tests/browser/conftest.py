"""A real server on this machine, and a headless Chromium that reaches nothing else; without them tests are skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pages import DESKTOP, FLAGS, PATIENCE, chromium, missing, wait_for_end, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route


@pytest.fixture(scope="session")
def server(offline_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start `materium serve` with the model that ships, and return its address."""
    if reason := missing():
        pytest.skip(reason)
    command = [sys.executable, "-u", "-m", "materium", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path_factory.mktemp("serve"), env=offline_environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found, "the program printed no address"
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the browser, once for all tests."""
    if reason := missing():
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root with its sandbox
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *root])
        yield started
        started.close()


@pytest.fixture
def strangers() -> list[str]:
    """Return the list of requests to other machines; it must stay empty."""
    return []


@pytest.fixture
def open_page(browser: Browser, server: str, strangers: list[str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page; errors of its scripts, and requests to other machines, fail the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def guard(route: Route, request: Request) -> None:
        if request.url.startswith((server, "blob:", "data:")):
            route.fallback()
        else:
            strangers.append(request.url)
            route.abort()

    def opened(path: str = "", **settings: object) -> Page:
        context = browser.new_context(
            **{"viewport": DESKTOP, "permissions": ["clipboard-read", "clipboard-write"], **settings}
        )
        contexts.append(context)
        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        page.goto(server + path)
        page.wait_for_selector("body[data-ready]", timeout=2 * PATIENCE)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults
    assert not strangers


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """Return the page on a desktop."""
    return open_page()


@pytest.fixture(scope="session")
def eight(browser: Browser, server: str) -> str:
    """Write eight crystals and return where they are; the server keeps them, so that no other test needs to write."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server)
    page.wait_for_selector("body[data-ready]", timeout=2 * PATIENCE)  # the model is loaded meanwhile
    write(page, n=8)
    place: str = page.evaluate("location.hash")
    page.close()
    return place


@pytest.fixture
def written(open_page: Callable[..., Page], eight: str) -> Page:
    """Return the page with eight crystals on it."""
    page = open_page(eight)
    wait_for_end(page)
    return page
