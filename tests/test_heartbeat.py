"""Nothing long is silent: lines where there is no terminal, `working` on one, bars that count what is known."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from materium import heartbeat
from materium.cli.console import make_console, make_progress
from materium.heartbeat import Heartbeat, counted

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that waits until something stands on standard error, and returns it."""
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.02)
    monkeypatch.setattr(heartbeat, "SOON", 0.02)

    def until_it_speaks() -> str:
        said, end = "", time.monotonic() + 10
        while not said and time.monotonic() < end:
            time.sleep(0.01)
            said = capsys.readouterr().err
        return said

    return until_it_speaks


def test_a_pipe_gets_lines_with_the_count(waited: Callable[[], str]) -> None:
    with Heartbeat.beating(), make_progress() as progress:
        task = progress.add_task("generating", total=64)
        progress.advance(task, 8)
        waited()
        assert waited().splitlines()[-1].startswith("generating 8/64, 0:00:0")


def test_a_pipe_gets_lines_before_there_is_a_count_and_none_after_the_result(
    waited: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Heartbeat.beating():
        assert waited().startswith("working, 0:00:0")
        make_console().print("Materium is at http://127.0.0.1:8000/")
        time.sleep(0.05)
        capsys.readouterr()
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_terminal_is_told_at_once_and_the_word_goes_before_anything_else(
    waited: Callable[[], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Heartbeat.beating():
        assert waited() == "working"
        make_console().print("result")
        assert capsys.readouterr() == ("result\n", "\r       \r")


@pytest.mark.usefixtures("waited")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Heartbeat.beating(quiet=True), make_progress(quiet=True) as progress:
        progress.add_task("generating", total=64)
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_bar_counts_what_is_known() -> None:
    with make_progress() as progress:
        tasks = [
            progress.add_task("scoring", total=8, completed=3),
            progress.add_task("exporting", total=None, completed=8),
            progress.add_task("drawing", total=None),
            progress.add_task("training", total=100, completed=97.2, percent=True),
        ]
        assert [counted(progress.tasks[task]) for task in tasks] == ["3/8", "8", "", "97 %"]
