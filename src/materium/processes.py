"""Worker processes: deaf to the terminal's Ctrl-C, ended at once with the work, and gone with who started them.

A pool of the standard library waits for what its workers have in hand when the work is interrupted, prints a traceback
from each, and leaves them behind when its process is killed.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from multiprocessing.process import BaseProcess
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def blocked(*numbers: signal.Signals) -> Iterator[None]:
    """Keep signals waiting while processes begin: these inherit it, until they say what a signal does to them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """Make this process a worker: its parent alone hears Ctrl-C, SIGTERM ends it, and it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    Thread(target=_end_with_parent, daemon=True).start()


class Pool(ProcessPoolExecutor):
    """Workers that are started afresh: a fork of a process that has run torch may hang.

    Where the block of a pool ends by an exception, its workers are ended instead of waited for.
    """

    def __init__(
        self, workers: int, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()
    ) -> None:
        """Take `initializer` to be called in each worker with `initargs`."""
        super().__init__(workers, get_context("spawn"), initializer=_begin, initargs=(initializer, initargs))
        self._begun: set[BaseProcess] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit work, for which a worker may begin."""
        before = set(active_children())
        try:
            with blocked(signal.SIGINT):
                return super().submit(fn, *args, **kwargs)
        finally:
            self._begun |= set(active_children()) - before

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End the workers."""
        if kind is not None:
            for process in self._begun:
                process.kill()
        self.shutdown(wait=self._is_watched(), cancel_futures=True)
        return None

    def _is_watched(self) -> bool:
        """Whether the thread of the standard library that looks after workers runs: an interrupt may come before."""
        watcher: Any = self._executor_manager_thread  # typeshed has it for another class
        return watcher is None or watcher.ident is not None


def _begin(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    begin_worker()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
