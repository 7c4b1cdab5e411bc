"""Jobs and their queue: what waits, what runs, what is remembered, and the process that does the work.

Everything here happens on the event loop, one thing after the other, so that nothing needs a lock; the process's
messages come in by a thread that does nothing but read them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

from materium.serve import worker
from materium.serve.answers import JobFacts, Progress, Refusal, SourceFile
from materium.serve.errors import ApiError
from materium.serve.schema import Crystals, EvaluateBody

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from materium.serve.answers import State, WorkerState
    from materium.serve.limits import Limits
    from materium.serve.schema import AnyBody, Kind
    from materium.serve.sources import TextFile

PATIENCE = 0.4
"""Seconds in which a cancelled job may end by itself; then its process is ended, which costs the next job seconds."""
READY_SECONDS = 180.0
MAX_FAILED_STARTS = 3
"""Starts of the process, one after the other, that may fail before the server gives up."""
DOES_NOT_START = "the process with the model does not start; see the server's log"
OVER = ("done", "cancelled", "failed")


@dataclass(eq=False)
class Job:
    """One request and what came of it; rows are JSON texts in the order in which they came.

    Attributes
    ----------
    changed
        Set, and replaced by a new one, whenever anything changed.
    """

    kind: Kind
    body: AnyBody
    shown: dict[str, Any]
    files: tuple[TextFile, ...] = ()
    command: str = ""
    python: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "queued"
    created: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    progress: Progress = field(default_factory=Progress)
    rows: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: Refusal | None = None
    metrics: dict[str, Any] | None = None
    cancelling: bool = False
    expired: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER

    def wake(self) -> None:
        """Tell all who wait that something changed."""
        self.changed.set()
        self.changed = asyncio.Event()

    def facts(self, position: int | None) -> JobFacts:
        """Return all but the rows."""
        source = SourceFile(name=self.source_name, url=f"/jobs/{self.id}/source") if self.files else None
        end = self.finished or time.time()
        return JobFacts(
            **{name: getattr(self, name) for name in ("id", "kind", "state", "created", "started", "finished")},
            **{name: getattr(self, name) for name in ("progress", "warnings", "error", "command", "python", "metrics")},
            seconds=0.0 if self.started is None else round(end - self.started, 3),
            position=position,
            rows=len(self.rows),
            request=self.shown,
            source=source,
        )

    @property
    def source_name(self) -> str:
        """The file in which the source is handed out."""
        return self.files[0].name if len(self.files) == 1 else "source.zip"

    def end(self, state: State, error: Refusal | None = None) -> None:
        """Close the job."""
        self.state, self.error, self.finished = state, error, time.time()
        self.wake()


class Jobs:
    """The queue, the jobs that are remembered, and the worker."""

    def __init__(self, limits: Limits, model: Path | None = None) -> None:
        self.limits, self.model = limits, model
        self.facts: dict[str, Any] = {}
        self.waiting: list[Job] = []
        self.running: Job | None = None
        self._known: dict[str, Job] = {}
        self._context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._worker: _Worker | None = None
        self._ready = asyncio.Event()
        self._failed_starts = 0
        self._closing = False

    async def start(self) -> None:
        """Start the worker; jobs may come before it is ready."""
        self._loop = asyncio.get_running_loop()
        self._start_worker()

    async def stop(self) -> None:
        """End the worker and what it does; those who follow a job are told. What is stopped stays so."""
        self._closing = True
        sender, self._worker = self._worker, None
        if sender:
            sender.kill()
        stopped = Refusal(code="unavailable", message="the server was stopped; start it again, and ask once more")
        for job in [*self.waiting, *([self.running] if self.running else [])]:
            job.end("cancelled", stopped)
        self.waiting.clear()
        self.running = None

    @property
    def state(self) -> WorkerState:
        """What the worker does."""
        if not self._ready.is_set() or self._worker is None or not self._worker.ready:
            return "starting"
        return "busy" if self.running else "ready"

    async def model_facts(self) -> dict[str, Any]:
        """Return what the worker told of its model, as soon as it did.

        Raises
        ------
        ApiError
            If it does not start.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
        if not self.facts and self._worker is None:
            raise ApiError("unavailable", DOES_NOT_START)
        if not self.facts:
            raise ApiError("unavailable", "the model is not loaded yet; try again in a few seconds")
        return self.facts

    def submit(self, job: Job) -> Job:
        """Put a job into the queue.

        Raises
        ------
        ApiError
            If the queue is full, or nobody could do it.
        """
        if self._closing:
            raise ApiError("unavailable", "the server is being stopped")
        if self._worker is None:
            raise ApiError("unavailable", DOES_NOT_START)
        if len(self.waiting) >= self.limits.queue:
            waiting = len(self.waiting)
            raise ApiError("queue_full", f"{waiting} jobs wait already, and no more may; try again when one is done")
        self._known[job.id] = job
        self.waiting.append(job)
        self._next()
        self._forget()
        return job

    def get(self, name: str) -> Job:
        """Return a job by its id; raises `ApiError` if it is not known, or not any more."""
        job = self._known.get(name)
        if job is None:
            raise ApiError("not_found", "there is no such job; it may be too old to be remembered", "id")
        return job

    def all(self) -> list[Job]:
        """Return all that are remembered, the newest first."""
        return list(reversed(self._known.values()))

    def judging(self, job: Job) -> list[Job]:
        """Return the jobs that judged crystals of this one as they were generated, the oldest first."""
        return [
            one
            for one in self._known.values()
            if isinstance(one.body, EvaluateBody) and isinstance(one.body.source, Crystals)
            if (one.body.source.job, one.body.source.which) == (job.id, "made")
        ]

    def position(self, job: Job) -> int | None:
        """Return how many jobs are before a waiting one."""
        if job not in self.waiting:
            return None
        return self.waiting.index(job) + (self.running is not None)

    def shown(self, job: Job) -> JobFacts:
        """Return a job's facts."""
        return job.facts(self.position(job))

    async def cancel(self, job: Job) -> None:
        """End a job, within a second; one that is over stays as it is."""
        if job in self.waiting:
            self.waiting.remove(job)
            job.end("cancelled")
            self._moved()
        elif job is self.running:
            job.cancelling = True
            self._interrupt(job)
        while not job.over:
            await job.changed.wait()

    def _interrupt(self, job: Job) -> None:
        if self._worker:
            self._worker.send(worker.Cancel(job.id))
            self._loop.call_later(PATIENCE, self._kill_if, job)

    def _kill_if(self, job: Job) -> None:
        if job is self.running and self._worker:
            self._worker.kill()

    def _expire(self, job: Job) -> None:
        if job is self.running:
            job.expired = True
            self._interrupt(job)

    def _next(self) -> None:
        """Give the worker the next job, if it has none."""
        if self.running or not self.waiting or self._worker is None or not self._worker.ready:
            return
        job = self.running = self.waiting.pop(0)
        job.state, job.started = "running", time.time()
        self._worker.send(worker.Task(job.id, job.body, job.files))
        self._timer = self._loop.call_later(self.limits.job_seconds, self._expire, job)
        job.wake()
        self._moved()

    def _moved(self) -> None:
        for job in self.waiting:
            job.wake()

    def _take(self, sender: _Worker, message: worker.Message) -> None:
        """What the worker says; of one that is ended already nothing counts."""
        if sender is not self._worker:
            return
        job = self.running
        match message:
            case worker.Ready():
                self.facts, sender.ready, self._failed_starts = message.facts, True, 0
                self._ready.set()
                self._next()
            case worker.Ended() if job:
                self._close(job, message.state, message.error)
            case _ if job:
                _note(job, message)

    def _close(self, job: Job, state: str, error: Refusal | None) -> None:
        if state == "cancelled" and job.expired:
            state, error = "failed", self._too_long()
        self._timer.cancel()
        self.running = None
        job.end(state, error)  # type: ignore[arg-type]  # the worker sends no other states
        self._forget()
        self._next()

    def _too_long(self) -> Refusal:
        seconds = self.limits.job_seconds
        return Refusal(code="timeout", message=f"the job took more than {seconds:g} seconds; ask for less at once")

    def _lost(self, sender: _Worker) -> None:
        """The worker's process has ended: its job is over, and another one takes its place."""
        if sender is not self._worker or self._closing:
            return
        sender.kill()  # it closed its end of the pipe; nobody else waits for it
        self._failed_starts += not sender.ready
        job = self.running
        if self._failed_starts < MAX_FAILED_STARTS:
            self._start_worker()
        else:
            self._give_up()
        if job and job.cancelling:
            self._close(job, "cancelled", None)
        elif job:
            died = Refusal(code="worker_died", message="the process that worked on it ended; try again with less")
            self._close(job, "failed", self._too_long() if job.expired else died)

    def _give_up(self) -> None:
        """No worker can be had: what waits is over."""
        self._worker = None
        self._ready.set()
        died = Refusal(code="worker_died", message=DOES_NOT_START)
        while self.waiting:
            self.waiting.pop(0).end("failed", died)

    def _start_worker(self) -> None:
        self._worker = _Worker(self._context, self.model, self.limits)
        Thread(target=self._listen, args=(self._worker,), name="worker-messages", daemon=True).start()

    def _listen(self, sender: _Worker) -> None:
        """In a thread of its own: pass on what comes."""
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            with suppress(EOFError, OSError):
                while True:
                    self._loop.call_soon_threadsafe(self._take, sender, sender.connection.recv())
            self._loop.call_soon_threadsafe(self._lost, sender)

    def _forget(self) -> None:
        """Drop the oldest jobs that are over, as far as there are too many, or too many rows."""
        over = [job for job in self._known.values() if job.over]
        rows = sum(len(job.rows) for job in self._known.values())
        while over and (len(over) > self.limits.history or rows > self.limits.rows):
            job = over.pop(0)
            rows -= len(job.rows)
            del self._known[job.id]


class _Worker:
    """The process, and the pipe to it."""

    def __init__(self, context: Any, model: Path | None, limits: Limits) -> None:  # noqa: ANN401 - a context has no type
        self.ready = False
        self.connection: Connection
        self.connection, other = context.Pipe()
        arguments = (other, model, limits)
        self.process = context.Process(target=worker.main, args=arguments, name="materium-worker", daemon=True)
        self.process.start()
        other.close()  # so that the pipe ends with the process

    def send(self, order: worker.Task | worker.Cancel) -> None:
        """Send an order; if the process is gone, the thread that listens says so."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(order)

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()


def _note(job: Job, message: worker.Message) -> None:
    """What a running job brings."""
    match message:
        case worker.Row():
            job.places[message.id] = len(job.rows)
            job.rows.append(message.json)
        case worker.Advance():
            job.progress = Progress(stage=message.stage, done=message.done, total=message.total)
        case worker.Warned():
            job.warnings += message.lines
        case worker.Judged():
            job.metrics = message.figures
    job.wake()
