"""Server-sent events: a job as it comes, told from its state, so that a reader may come late and come back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from materium.serve.answers import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from materium.serve.jobs import Job, Jobs

MEDIA = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
"""After so long without an event a comment is sent, which tells whether anybody still listens."""


async def events(jobs: Jobs, job: Job, after: int) -> AsyncIterator[str]:
    """Yield the events of a job from row `after` + 1 on, to its end."""
    sent = after + 1
    facts, progress = "", Progress().model_dump_json()
    while True:
        changed = job.changed  # before the job is read: what comes meanwhile wakes this up again
        now = jobs.shown(job).model_dump_json(exclude={"progress", "rows", "seconds"})
        if now != facts:
            facts = now
            yield _event("job", jobs.shown(job).model_dump_json())
        while sent < len(job.rows):
            yield _event("crystal", job.rows[sent], sent)
            sent += 1
        now = job.progress.model_dump_json()
        if now != progress:
            progress = now
            yield _event("progress", now)
        if job.over and sent >= len(job.rows):
            yield _event("end", jobs.shown(job).model_dump_json())
            return
        if not changed.is_set():
            yield await _change(changed)


async def _change(changed: asyncio.Event) -> str:
    """Wait for a change; a comment where it takes long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), KEEP_ALIVE_SECONDS)
        return ""
    return ": still here\n\n"


def _event(name: str, data: str, number: int | None = None) -> str:
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {data}\n\n"
