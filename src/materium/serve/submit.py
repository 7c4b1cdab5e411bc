"""From a request to a job: what can be refused before it waits in the queue is refused here."""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from materium.errors import MateriumError
from materium.evaluate.reference import DEFAULT
from materium.extras import install_command
from materium.generate.constraints import constraints_of
from materium.serve import calls, catalogue, exports, sources
from materium.serve.errors import ApiError
from materium.serve.jobs import Job
from materium.serve.schema import MAX_SEED, CompleteBody, EvaluateBody, GenerateBody, ScoreBody, Upload
from materium.serve.wording import label, worded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.serve.jobs import Jobs
    from materium.serve.limits import Limits
    from materium.serve.schema import AnyBody, Kind
    from materium.serve.sources import TextFile

KINDS: dict[type, Kind] = {
    GenerateBody: "generate",
    CompleteBody: "complete",
    ScoreBody: "score",
    EvaluateBody: "evaluate",
}


async def submit(jobs: Jobs, body: AnyBody) -> Job:
    """Put a request into the queue.

    Raises
    ------
    ApiError
        If it contradicts itself, is too much, or the queue is full.
    """
    if isinstance(body, GenerateBody):
        _check_count(body.total, jobs.limits)
        await run_in_threadpool(_check_constraints, body, await jobs.model_facts())
    elif isinstance(body, CompleteBody):
        _check_count(body.n, jobs.limits)
    elif isinstance(body, EvaluateBody) and body.relax and find_spec(DEFAULT) is None:
        raise ApiError("not_installed", f"relaxing needs CHGNet; install it with: {install_command(DEFAULT)}")
    drawn = _with_seed(body)
    files = () if isinstance(drawn, GenerateBody) else await run_in_threadpool(_files, jobs, drawn)
    job = Job(KINDS[type(drawn)], drawn, _shown(drawn, files), files)
    out = f"runs/{job.id[:8]}"
    job.command = calls.command(drawn, files, out, jobs.model)
    job.python = calls.python(drawn, files, out, jobs.model)
    return jobs.submit(job)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.crystals:
        message = f"{label('n')}: {count} crystals are asked for; at most {limits.crystals} are written by one job"
        raise ApiError("bad_request", message, "n")


def _check_constraints(body: GenerateBody, facts: Mapping[str, Any]) -> None:
    request, vocab = body.request(), catalogue.vocabulary(facts)
    try:
        for cell in request.cells:
            constraints_of(request, cell, vocab, facts["max_sites"])
    except MateriumError as error:
        wrong = worded(str(error))
        raise ApiError("bad_request", wrong.message, wrong.field or None) from error


def _with_seed(body: AnyBody) -> AnyBody:
    """The body with a seed, drawn where none was given."""
    if isinstance(body, GenerateBody | CompleteBody) and body.seed is None:
        return body.model_copy(update={"seed": secrets.randbelow(MAX_SEED + 1)})
    return body


def _files(jobs: Jobs, body: CompleteBody | ScoreBody | EvaluateBody) -> tuple[TextFile, ...]:
    """The files of a source; crystals of a job become one."""
    try:
        if isinstance(body.source, Upload):
            found = [sources.TextFile(sources.safe_name(file.name), file.text) for file in body.source.files]
            _check_names([file.name for file in found])
            return tuple(sorted(found))
        named = exports.chosen(rows_of(jobs.get(body.source.job), body.source.ids), body.source.which)
        return (sources.TextFile(sources.MADE_NAME, exports.extxyz(named)),)
    except MateriumError as error:
        raise ApiError("bad_structure", str(error), "source") from error


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ApiError("bad_request", "two files have the same name; each needs its own", "source.files")


def rows_of(job: Job, names: Sequence[str] | None) -> list[str]:
    """Return rows of a job, all or those that are named; raises `ApiError` where there is none of a name."""
    return list(job.rows) if names is None else [row_of(job, name) for name in dict.fromkeys(names)]


def row_of(job: Job, name: str) -> str:
    """Return a row by its crystal's id."""
    place = job.places.get(name)
    if place is None:
        raise ApiError("not_found", f"job {job.id} has no crystal {name[:40]!r}", "ids")
    return job.rows[place]


def _shown(body: AnyBody, files: Sequence[TextFile]) -> dict[str, Any]:
    """The body as the job shows it: without what is null, and without the text of files."""
    shown = body.model_dump(mode="json")
    if "conditions" in shown:
        shown["conditions"] = {name: value for name, value in shown["conditions"].items() if value is not None}
    if "files" in shown.get("source", {}):
        shown["source"] = {"files": [file.name for file in files]}
    return shown
