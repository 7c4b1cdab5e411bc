from __future__ import annotations

from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from materium.errors import DataError
from materium.evaluate.stages import DIED, Journal, Stage, run
from workers import squares, squares_unless_unlucky, threads_of

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = {number: number for number in range(3, 23)}
EXPECTED = {number: {"square": number * number} for number in ITEMS}


class Stopped(BaseException):
    """What stands for a kill in these tests."""


@pytest.mark.parametrize("chunk", [1, 3, 20, 64, None])
def test_chunks_change_nothing(chunk: int | None) -> None:
    assert run(Stage("squares", squares, chunk), ITEMS, Journal(None)) == EXPECTED


@pytest.mark.parametrize("kills", [1, 2, 5])
def test_stopped_run_goes_on(tmp_path: Path, kills: int) -> None:
    """Stopped after each so-manieth chunk, and the last line torn each time: the columns are the same, none twice."""
    path = tmp_path / "squares.jsonl"
    worked: list[int] = []

    def work(items: list[int]) -> list[dict[str, int]]:
        worked.extend(items)
        return squares(items)

    while True:
        count = 0

        def stop() -> None:
            nonlocal count
            count += 1
            if count == kills:
                raise Stopped

        try:
            found = run(Stage("squares", work, 3), ITEMS, Journal(path), stop=stop)
            break
        except Stopped:
            with path.open("a", encoding="utf-8") as file:
                file.write('{"3": {"squ')
    assert found == EXPECTED
    assert sorted(worked) == list(ITEMS)
    assert Journal(path).columns == EXPECTED


def test_torn_chunk_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "squares.jsonl"
    run(Stage("squares", squares, 5), ITEMS, Journal(path))
    path.write_bytes(path.read_bytes()[:-10])
    assert len(Journal(path).columns) == 15
    assert run(Stage("squares", squares, 5), ITEMS, Journal(path)) == EXPECTED


@pytest.mark.parametrize("at", range(0, 500, 9))
def test_damaged_lines_are_done_again(tmp_path: Path, at: int) -> None:
    """A flipped bit costs the line that it falls into and those after it, and is never read as a column."""
    path = tmp_path / "squares.jsonl"
    run(Stage("squares", squares, 5), ITEMS, Journal(path))
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 2
    path.write_bytes(data)
    journal = Journal(path)
    assert len(journal.columns) == 5 * path.read_bytes().count(b"\n") < 20
    assert journal.columns.items() <= EXPECTED.items()
    assert run(Stage("squares", squares, 5), ITEMS, journal) == EXPECTED
    assert Journal(path).columns == EXPECTED


def test_progress_counts_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "squares.jsonl"
    Journal(path).add({n: EXPECTED[n] for n in (3, 4, 5)})
    seen: list[tuple[str, int, int]] = []
    run(Stage("squares", squares, 3), ITEMS, Journal(path), progress=lambda *told: seen.append(told))
    assert seen[:2] == [("squares", 3, 20), ("squares", 6, 20)]  # at once: a chunk may take minutes
    assert seen[-1] == ("squares", 20, 20)


def test_wrong_number_of_results_is_no_row_lost() -> None:
    with pytest.raises(DataError, match="19 results for 20 rows"):
        run(Stage("short", lambda items: squares(items)[:-1]), ITEMS, Journal(None))


def test_no_items_are_no_work(tmp_path: Path) -> None:
    assert run(Stage("squares", squares), {}, Journal(tmp_path / "a.jsonl")) == {}


def test_only_job_dies_in_a_process_of_its_own() -> None:
    stage = Stage("squares", squares_unless_unlucky, None, {"square": None}, "why")
    assert run(stage, {13: 13}, Journal(None), processes=2) == {13: {"square": None, "why": DIED}}


def test_process_that_dies_costs_one_row() -> None:
    """Two processes, one of which is killed in the middle of a chunk: all other rows have their columns."""
    stage = Stage("squares", squares_unless_unlucky, 2, {"square": None}, "why")
    few = {number: number for number in (3, 5, 13, 14)}
    found = run(stage, few, Journal(None), processes=2)
    assert found.pop(13) == {"square": None, "why": DIED}
    assert found == {number: EXPECTED[number] for number in (3, 5, 14)}


def test_crystal_that_kills_a_run_of_one_process_stops_no_second_one(tmp_path: Path) -> None:
    stage = Stage("squares", squares_unless_unlucky, 2, {"square": None}, "why")
    few = {number: number for number in (3, 5, 13, 14)}
    first = get_context("spawn").Process(target=run, args=(stage, few, Journal(tmp_path / "squares.jsonl")))
    first.start()
    first.join()
    assert first.exitcode != 0
    journal = Journal(tmp_path / "squares.jsonl")
    assert journal.columns == {number: EXPECTED[number] for number in (3, 5)}
    found = run(stage, few, journal)
    assert found.pop(13) == {"square": None, "why": DIED}
    assert found == {number: EXPECTED[number] for number in (3, 5, 14)}
    assert journal.suspect is None


def test_processes_have_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # as a command sets it where two cores are free
    found = run(Stage("threads", threads_of, 10), ITEMS, Journal(None), processes=2)
    assert {columns["threads"] for columns in found.values()} == {"1"}
