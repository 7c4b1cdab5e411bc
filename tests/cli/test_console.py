from __future__ import annotations

from typing import TYPE_CHECKING

from materium.cli.console import make_console, make_progress, make_table

if TYPE_CHECKING:
    import pytest


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("[SOS] [ATOMS] runs/[a] :smile:")
    assert capsys.readouterr().out == "[SOS] [ATOMS] runs/[a] :smile:\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    make_console(quiet=True).print("anything")
    assert capsys.readouterr().out == ""


def test_table_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(make_table(("count", "seconds"), [(64, 3.5)]))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["count", "seconds"], ["64", "3.5"]]


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress() as progress:
        assert list(progress.track(range(3))) == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
