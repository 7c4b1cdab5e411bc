"""How a stage of the evaluation runs: in chunks that are safe on the disk one by one, in as many processes as wished.

A stage turns crystals into columns. The chunks depend on the rows alone, so that a run that was killed goes on where it
stood and ends with the same columns, whatever the number of processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from materium.errors import DataError
from materium.io.atomic import write_bytes
from materium.processes import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Columns = dict[str, Any]
    """What a stage says of one row, as JSON types."""
    Item = Any
    """What the work takes of a row: its crystal, or a tuple with it."""
    Work = Callable[[Sequence[Item]], list[Columns]]
    """Picklable where processes are used."""
    Progress = Callable[[str, int, int], None]
    """Called with the stage, the rows done and their number."""
    Job = tuple[int, ...]
    """Indices of rows that are worked on together."""

CHECKSUM_DIGITS = 16
OPENING = CHECKSUM_DIGITS + len('["", ')
"""Bytes of a line before its columns."""
DIED = "the process that worked on it died"


@dataclass(frozen=True)
class Stage:
    """A named piece of work on items, which are crystals or hold one.

    Attributes
    ----------
    work
        From items to columns, in their order.
    chunk
        Items that are worked on and saved together; None where the work needs all of them at once.
    lost
        Columns of an item whose process died; the reason is put in under the name that `reason` gives.
    """

    name: str
    work: Work
    chunk: int | None = None
    lost: Mapping[str, Any] | None = None
    reason: str = "reason"


class Journal:
    """The columns of a stage as they come: a JSON line for every chunk, flushed to the disk before it counts.

    A line is `["CHECKSUM", {"INDEX": COLUMNS, ...}]`. What comes before the first line that was cut short or damaged is
    kept, as after an earlier stop; the file is cut there, and the rest done again.
    """

    def __init__(self, path: Path | None) -> None:
        """Take up what a stopped run left at `path`; None keeps all in memory."""
        self.path = path
        self.columns: dict[int, Columns] = {}
        self.lines = 0
        """How many chunks there are."""
        self.damaged = False
        """Whether whole lines were lost, which a stop alone does not do."""
        if path is not None and path.exists():
            self._take_up(path)

    @property
    def suspect(self) -> Job | None:
        """The job that a run of one process was at when it ended: one of its crystals may have killed it."""
        mark = self._mark
        if mark is None or not mark.exists():
            return None
        try:
            return tuple(json.loads(mark.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError):  # damaged: then nothing is suspected
            return None

    def begin(self, job: Job) -> None:
        """Note what is worked on from now until `add`."""
        if self._mark is not None:
            write_bytes(self._mark, json.dumps(job).encode())

    @property
    def _mark(self) -> Path | None:
        return None if self.path is None else self.path.with_suffix(".begun")

    def add(self, found: Mapping[int, Columns]) -> None:
        """Append the columns of some rows, by index, as one line."""
        line = json.dumps({str(index): columns for index, columns in found.items()}, allow_nan=False)
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(_signed(line.encode()))
                file.flush()
                os.fsync(file.fileno())
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)
        self._take(json.loads(line))  # as a resumed run will read it: both go on with the same values

    def _take(self, line: Mapping[str, Columns]) -> None:
        self.columns |= {int(index): columns for index, columns in line.items()}
        self.lines += 1

    def _take_up(self, path: Path) -> None:
        content, kept = path.read_bytes(), 0
        for line in content.splitlines(keepends=True):
            body = line[OPENING:-2]
            if line != _signed(body):
                self.damaged = line.endswith(b"\n") or kept + len(line) < len(content)
                with path.open("r+b") as file:
                    file.truncate(kept)
                return
            self._take(json.loads(body))
            kept += len(line)


def run(  # noqa: PLR0913 - all but the first three have a use in every run
    stage: Stage,
    items: Mapping[int, Item],
    journal: Journal,
    *,
    processes: int = 1,
    progress: Progress | None = None,
    stop: Callable[[], None] | None = None,
) -> dict[int, Columns]:
    """Run a stage on items by their row's index, as far as the journal lacks them, and return all columns.

    Parameters
    ----------
    stop
        Called after each chunk that was saved; tests raise here what kills a run.

    Raises
    ------
    DataError
        If the work gives another number of columns than it got items.
    """
    jobs = _jobs(stage, sorted(items))
    left = [job for job in jobs if not journal.columns.keys() >= set(job)]
    done = sum(map(len, jobs)) - sum(map(len, left))
    if progress is not None and left:
        progress(stage.name, done, len(items))  # before the first chunk: it may take minutes
    for job, found in _results(stage, items, left, processes, journal):
        if len(found) != len(job):
            raise DataError(f"stage {stage.name} gave {len(found)} results for {len(job)} rows; this is a bug")
        journal.add(dict(zip(job, found, strict=True)))
        done += len(job)
        if progress is not None:
            progress(stage.name, done, len(items))
        if stop is not None:
            stop()
    return {index: journal.columns[index] for index in items}


def _jobs(stage: Stage, indices: Sequence[int]) -> list[Job]:
    size = stage.chunk or max(1, len(indices))
    return [tuple(indices[start : start + size]) for start in range(0, len(indices), size)]


def _results(
    stage: Stage, items: Mapping[int, Item], jobs: Sequence[Job], processes: int, journal: Journal
) -> Iterator[tuple[Job, list[Columns]]]:
    """Jobs with their columns, in the order in which they end."""
    if processes == 1 or not jobs:  # one job needs a process of its own too: it may die of a crystal
        yield from _one_by_one(stage, items, jobs, journal)
        return
    finished: set[Job] = set()
    try:
        with _pool(stage, min(processes, len(jobs))) as pool:
            waiting = {pool.submit(_work, [items[index] for index in job]): job for job in jobs}
            for future in as_completed(waiting):
                found = future.result()
                finished.add(waiting[future])
                yield waiting[future], found
    except BrokenProcessPool:
        for job in jobs:
            if job not in finished:
                yield job, _salvaged(stage, [items[index] for index in job])


def _one_by_one(
    stage: Stage, items: Mapping[int, Item], jobs: Sequence[Job], journal: Journal
) -> Iterator[tuple[Job, list[Columns]]]:
    """Jobs in this process, but for the one in which a run ended before: it would never get past it."""
    suspect = journal.suspect
    for job in jobs:
        todo = [items[index] for index in job]
        if job == suspect:
            yield job, _salvaged(stage, todo)
        else:
            journal.begin(job)
            yield job, stage.work(todo)


def _salvaged(stage: Stage, items: list[Item]) -> list[Columns]:
    """The columns of some items from a process of their own, of halves of them if it dies: one harms no other."""
    try:
        with _pool(stage, 1) as pool:
            return pool.submit(_work, items).result()
    except BrokenProcessPool:
        if len(items) == 1:
            return [{**(stage.lost or {}), stage.reason: DIED}]
        half = len(items) // 2
        return _salvaged(stage, items[:half]) + _salvaged(stage, items[half:])


@contextmanager
def _pool(stage: Stage, processes: int) -> Iterator[Pool]:
    with Pool(processes, _prepare, (stage.work,)) as pool:
        yield pool


_WORKER: dict[str, Work] = {}
"""In a worker process: what it does. The work is sent once, not with every chunk."""


def _prepare(work: Work) -> None:
    """Take the work, on one thread: processes are as many as there are cores for them."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when a potential first loads it
    if "torch" in sys.modules:  # the work itself brought it
        sys.modules["torch"].set_num_threads(1)
    _WORKER["work"] = work


def _work(items: Sequence[Item]) -> list[Columns]:
    return _WORKER["work"](items)


def _signed(body: bytes) -> bytes:
    """A line of a journal."""
    return b'["%s", %s]\n' % (hashlib.sha256(body).hexdigest()[:CHECKSUM_DIGITS].encode(), body)
