"""The process that holds the model: it takes one task after the other from a pipe, and sends what comes of it."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from materium.errors import ConversionError, CrystalError, DataError, MateriumError
from materium.relax.potential import FAILURES
from materium.serve.answers import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from materium.serve.answers import CrystalRow
    from materium.serve.limits import Limits
    from materium.serve.schema import AnyBody
    from materium.serve.sources import TextFile
    from materium.serve.work import Bench

log = logging.getLogger(__name__)


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The job was cancelled."""


class Task(NamedTuple):
    """A job as the worker gets it."""

    job: str
    body: AnyBody
    files: tuple[TextFile, ...]


class Cancel(NamedTuple):
    """End a job."""

    job: str


class Ready(NamedTuple):
    """The model is loaded; what the server tells of it."""

    facts: dict[str, Any]


class Row(NamedTuple):
    """A crystal of a job, as JSON."""

    job: str
    id: str
    json: str


class Advance(NamedTuple):
    """How far a job is."""

    job: str
    stage: str
    done: int
    total: int


class Warned(NamedTuple):
    """What the user should know of a job."""

    job: str
    lines: list[str]


class Judged(NamedTuple):
    """The figures of an evaluation."""

    job: str
    figures: dict[str, Any]


class Ended(NamedTuple):
    """A job is over: done, cancelled or failed with an error."""

    job: str
    state: str
    error: Refusal | None = None


Message = Ready | Row | Advance | Warned | Judged | Ended


class Sender:
    """Reports to the pipe, and raises `Cancelled` when it is time."""

    def __init__(self, connection: Connection, job: str) -> None:
        self.connection, self.job = connection, job

    def row(self, row: CrystalRow) -> None:
        """Send a crystal."""
        self.check()
        row.cif = f"/jobs/{self.job}/crystals/{row.id}?format=cif" if row.structure else None
        self.connection.send(Row(self.job, row.id, row.model_dump_json()))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Send how far a stage is."""
        self.connection.send(Advance(self.job, stage, done, total))

    def warn(self, lines: Sequence[str]) -> None:
        """Send warnings."""
        if lines:
            self.connection.send(Warned(self.job, list(lines)))

    def metrics(self, figures: dict[str, Any]) -> None:
        """Send figures."""
        self.connection.send(Judged(self.job, figures))

    def check(self) -> None:
        """Raise `Cancelled` if the job was cancelled; while it works, nothing else comes."""
        while self.connection.poll():
            if self.connection.recv() == Cancel(self.job):
                raise Cancelled


def main(connection: Connection, model: Path | None, limits: Limits) -> None:
    """Load the model, then work until the pipe is closed; the server alone decides when to stop, not Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_server, name="end-with-server", daemon=True).start()
    try:
        bench = _bench(model, limits)
    except (OSError, MateriumError) as error:  # a full disk, a model that was moved while the server ran
        log.error("the process with the model does not start: %s", " ".join(str(error).split()))  # noqa: TRY400 - one line
        return
    try:
        _bound_memory(limits.memory_bytes)
        connection.send(Ready(_facts(bench, model)))
        while True:
            order: Task | Cancel = connection.recv()
            if isinstance(order, Task):  # else a job is over that was to be cancelled
                connection.send(_done(bench, order, Sender(connection, order.job)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the server has gone


def _end_with_server() -> None:
    """In a thread of its own: end this process when the server's has gone, deep in a relaxation or not."""
    server = parent_process()
    if server is not None:
        server.join()
        os._exit(1)


def _bound_memory(more: int) -> None:
    """Let the process take so many bytes more than it has; only Linux tells how many those are."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return
    import resource

    bound = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _bench(model: Path | None, limits: Limits) -> Bench:
    from materium.evaluate import reference
    from materium.generate.engine import load
    from materium.serve.work import Bench

    return Bench(load(model), reference.load().known(), limits)


def _facts(bench: Bench, model: Path | None) -> dict[str, Any]:
    """What the server tells of the model, as JSON types."""
    from dataclasses import asdict

    from materium.evaluate.reference import DEFAULT
    from materium.model.facts import adherence, card, facts

    network, config = bench.engine.model, bench.engine.config
    sentences = network.config.tokenizer
    return {
        "fingerprint": bench.engine.fingerprint,
        "parameters": network.num_parameters(),
        "max_sites": sentences.max_sites,
        "bins": sentences.bins,
        "species": [list(pair) for pair in sentences.species],
        "facts": facts(network.config, network.num_parameters(), config),
        "card": card(model),
        "seen": {name: asdict(seen) for name, seen in network.config.seen.items()},
        "adherence": adherence(model),
        "reference": {"name": DEFAULT, "crystals": len(bench.known)},
    }


def _done(bench: Bench, task: Task, sender: Sender) -> Ended:
    """Do a task and say how it ended; what is no mistake of the user's is logged, and harms no later task."""
    from materium.serve.work import work

    try:
        work(bench, task, sender)
    except Cancelled:
        return Ended(task.job, "cancelled")
    except (ConversionError, CrystalError, DataError) as error:
        return Ended(task.job, "failed", Refusal(code="bad_structure", message=str(error)))
    except MateriumError as error:
        return Ended(task.job, "failed", Refusal(code="bad_request", message=str(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except MemoryError:
        too_much = "the job needs more memory than a job may have; send less, or fewer atoms"
        return Ended(task.job, "failed", Refusal(code="too_large", message=too_much))
    except FAILURES as error:
        log.exception("job %s failed", task.job)
        return Ended(task.job, "failed", Refusal(code="internal", message=f"this is a bug: {type(error).__name__}"))
    return Ended(task.job, "done")
