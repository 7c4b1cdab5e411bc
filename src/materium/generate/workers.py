"""Batches that processes write side by side, a core each: threads of one matrix product wait for each other."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from materium.errors import MateriumError
from materium.processes import begin_worker, blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection


Written = TypeVar("Written")


def can_fork() -> bool:
    """Return whether processes can begin as copies of this one, with its model: not on Windows, not safely on macOS."""
    return multiprocessing.get_all_start_methods()[0] != "spawn"


def load_first(*modules: str) -> None:
    """Import modules that each process would import for itself, before processes begin as copies of this one."""
    for module in modules:
        import_module(module)


def side_by_side(write: Callable[[range], Written], batches: Iterable[range], count: int) -> Iterator[Written]:
    """Yield what `write` makes of each batch, in their order, `count` of them at a time.

    Raises
    ------
    MateriumError
        If a process has died.
    """
    workers = [Worker(write) for _ in range(count)]
    waiting: list[Worker[Written]] = []
    try:
        todo = iter(batches)
        for worker, indices in zip(workers, islice(todo, count), strict=False):
            worker.begin(indices)
            waiting.append(worker)
        while waiting:
            worker = waiting.pop(0)
            written = worker.result()
            for indices in islice(todo, 1):
                worker.begin(indices)
                waiting.append(worker)
            if worker not in waiting:
                worker.stop()  # its memory is given back while the others write
            yield written
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.process.join()


class Worker(Generic[Written]):
    """A process that writes one batch at a time."""

    def __init__(self, write: Callable[[range], Written]) -> None:
        """Begin as a copy of this process: the model is not copied until somebody writes to it."""
        context = multiprocessing.get_context("fork")
        self.end, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(write, theirs, self.end), daemon=True)
        with blocked(signal.SIGINT, signal.SIGTERM):
            self.process.start()
        theirs.close()

    def begin(self, indices: range) -> None:
        """Give it a batch."""
        self.end.send(indices)

    def result(self) -> Written:
        """Wait for its batch."""
        try:
            written: Written = self.end.recv()
        except EOFError as error:
            self.process.join()
            killed = (self.process.exitcode or 0) <= 0
            reason = (
                "is there memory enough? A smaller --batch-size needs less" if killed else "what it said stands above"
            )
            raise MateriumError(f"a process that wrote crystals died ({self.process.exitcode}); {reason}") from error
        return written

    def stop(self) -> None:
        """End the process, whatever it is at, without waiting for it; once it is told, nothing more is done."""
        if not self.end.closed:
            self.end.close()
            self.process.terminate()


def _serve(write: Callable[[range], object], end: Connection, other: Connection) -> None:
    """Write what is asked for, on one thread, until nobody asks any more."""
    other.close()
    begin_worker()
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError):
        while True:
            end.send(write(end.recv()))
