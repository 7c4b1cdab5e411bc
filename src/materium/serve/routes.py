"""The routes of the API; what they take and give is in `schema` and `answers`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError, WrapValidator
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from materium import __version__
from materium.errors import MateriumError
from materium.serve import catalogue, exports
from materium.serve.answers import (
    Conditions,
    Health,
    JobAnswer,
    JobList,
    JobPage,
    ModelFacts,
    Presets,
    Refused,
)
from materium.serve.errors import ApiError
from materium.serve.events import MEDIA, events
from materium.serve.exports import Format
from materium.serve.jobs import Job, Jobs
from materium.serve.limits import Limits
from materium.serve.schema import AnyBody, CompleteBody, EvaluateBody, GenerateBody, ScoreBody, Which
from materium.serve.submit import row_of, rows_of, submit

PAGE = 100
MAX_PAGE = 500
IDS = "^[A-Za-z0-9._,-]*$"


UNCHECKED = WrapValidator(lambda given, _: given)
"""Marks a body that is described as its type and comes as JSON; `_begun` checks it, off the event loop."""


class Wanted(NamedTuple):
    """Which file of crystals is asked for."""

    form: Format
    which: Which
    p1: bool


@dataclass
class Server:
    """What all routes share."""

    jobs: Jobs
    limits: Limits
    streams: int = 0

    @contextmanager
    def one_more_stream(self) -> Iterator[None]:
        """Hold a place among those who follow events; raises `ApiError` where none is free."""
        if self.streams >= self.limits.streams:
            raise ApiError("too_many", f"{self.streams} connections follow events already; try again later")
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1


class EventStream(StreamingResponse):
    """Events of a job, with the place that they hold as long as they are sent."""

    def __init__(self, events: AsyncIterator[str], place: ExitStack) -> None:
        super().__init__(events, media_type=MEDIA)
        self.place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self.place:
            await super().__call__(scope, receive, send)


def server_of(request: Request) -> Server:
    """Return the server of a request."""
    found: Server = request.app.state.server
    return found


Here = Annotated[Server, Depends(server_of)]
JobId = Annotated[str, Path(max_length=64)]
Accept = Annotated[str, Header()]
SSE: dict[str, Any] = {MEDIA: {"schema": {"type": "string"}}}
STREAMED: dict[int | str, Any] = {200: {"content": SSE, "description": "the events of the job, if asked for"}}


def refusals(*statuses: int) -> dict[int | str, Any]:
    """Return the refusals of a route, for its description; any may be refused for its origin or token."""
    return {status: {"model": Refused, "description": "refused"} for status in (401, 403, *statuses)}


router = APIRouter(responses=refusals(500))
BODY = refusals(400, 404, 408, 413, 422, 429, 501, 503)


@router.get("/healthz")
async def healthz(here: Here) -> Health:
    """Whether the server works, and how busy it is."""
    jobs = here.jobs
    running = jobs.running.id if jobs.running else None
    return Health(status="ok", version=__version__, worker=jobs.state, queued=len(jobs.waiting), running=running)


@router.get("/conditions", responses=refusals(503))
async def conditions(here: Here) -> Conditions:
    """All that a form needs: conditions with units and ranges, elements, space groups, defaults, limits."""
    return catalogue.conditions(await here.jobs.model_facts(), here.limits)


@router.get("/model", responses=refusals(503))
async def model(here: Here) -> ModelFacts:
    """What the model is."""
    return catalogue.model(await here.jobs.model_facts())


@router.get("/presets")
async def presets() -> Presets:
    """Requests to begin with."""
    return catalogue.presets()


@router.post("/generate", status_code=202, responses={**STREAMED, **BODY}, response_model=JobAnswer)
async def generate(body: Annotated[GenerateBody, UNCHECKED], here: Here, accept: Accept = "") -> Response:
    """Write crystals."""
    return await _begun(here, GenerateBody, body, accept)


@router.post("/complete", status_code=202, responses={**STREAMED, **BODY}, response_model=JobAnswer)
async def complete(body: Annotated[CompleteBody, UNCHECKED], here: Here, accept: Accept = "") -> Response:
    """Complete a structure: the host's atoms stay, a formula is put in."""
    return await _begun(here, CompleteBody, body, accept)


@router.post("/score", status_code=202, responses={**STREAMED, **BODY}, response_model=JobAnswer)
async def score(body: Annotated[ScoreBody, UNCHECKED], here: Here, accept: Accept = "") -> Response:
    """Tell how likely the model holds structures."""
    return await _begun(here, ScoreBody, body, accept)


@router.post("/evaluate", status_code=202, responses={**STREAMED, **BODY}, response_model=JobAnswer)
async def evaluate(body: Annotated[EvaluateBody, UNCHECKED], here: Here, accept: Accept = "") -> Response:
    """Judge structures: validity, uniqueness, novelty, and if asked for relaxation and energy above hull."""
    return await _begun(here, EvaluateBody, body, accept)


def _checked(kind: type[AnyBody], given: object) -> AnyBody:
    """The body that came as JSON; raises `RequestValidationError`."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


async def _begun(here: Server, kind: type[AnyBody], given: object, accept: str) -> Response:
    body = await run_in_threadpool(_checked, kind, given)
    if MEDIA in accept:
        with ExitStack() as place:
            place.enter_context(here.one_more_stream())  # before the job is queued, which a refusal must not leave
            job = await submit(here.jobs, body)
            return EventStream(events(here.jobs, job, -1), place.pop_all())
    job = await submit(here.jobs, body)
    answer = JobAnswer(job=here.jobs.shown(job))
    return JSONResponse(answer.model_dump(mode="json"), 202, {"location": f"/jobs/{job.id}"})


@router.get("/jobs")
async def listed(here: Here) -> JobList:
    """All jobs that are remembered, the newest first."""
    return JobList(jobs=[here.jobs.shown(job) for job in here.jobs.all()])


@router.get("/jobs/{id}", responses=refusals(404, 422), response_model=JobPage)
async def page(
    id: JobId,  # noqa: A002 - as it is called in the URL
    here: Here,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=0, le=MAX_PAGE)] = PAGE,
) -> Response:
    """A job, with some of its rows."""
    job = here.jobs.get(id)
    rows, total = job.rows[offset : offset + limit], len(job.rows)
    after = offset + len(rows)
    shown = here.jobs.shown(job).model_dump_json()
    following = "null" if after >= total or not rows else str(after)
    text = f'{{"job":{shown},"rows":[{",".join(rows)}],"offset":{offset},"total":{total},"next":{following}}}'
    return Response(text, media_type="application/json")


@router.post("/jobs/{id}/cancel", responses=refusals(404, 422))
async def cancel(id: JobId, here: Here) -> JobAnswer:  # noqa: A002 - as above
    """End a job; what it has written stays."""
    job = here.jobs.get(id)
    await here.jobs.cancel(job)
    return JobAnswer(job=here.jobs.shown(job))


@router.get("/jobs/{id}/events", responses={**refusals(404, 422, 429), 200: {"content": SSE}})
async def follow(
    id: JobId,  # noqa: A002 - as above
    here: Here,
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:
    """Follow a job by server-sent events: job, crystal, progress, end."""
    last = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else after
    job = here.jobs.get(id)
    with ExitStack() as place:
        place.enter_context(here.one_more_stream())
        return EventStream(events(here.jobs, job, last), place.pop_all())


InP1 = Annotated[bool, Query(description="CIFs with all atoms of the cell in P1, without the space group")]
FILE: dict[int | str, Any] = {200: {"content": {media: {} for media in exports.MEDIA.values()}}}


@router.get("/jobs/{id}/crystals/{crystal}", responses={**FILE, **refusals(404, 422)}, response_class=Response)
async def one(  # noqa: PLR0913, PLR0917 - what an address takes
    id: JobId,  # noqa: A002 - as above
    crystal: Annotated[str, Path(max_length=100)],
    here: Here,
    format: Format = "cif",  # noqa: A002 - as above
    which: Which = "made",
    p1: InP1 = False,  # noqa: FBT002 - a query
) -> Response:
    """One crystal as a file."""
    job = here.jobs.get(id)
    return await _file(here.jobs, job, crystal, [row_of(job, crystal)], Wanted(format, which, p1))


@router.get("/jobs/{id}/download", responses={**FILE, **refusals(404, 422)}, response_class=Response)
async def download(  # noqa: PLR0913, PLR0917 - as above
    id: JobId,  # noqa: A002 - as above
    here: Here,
    format: Format = "zip",  # noqa: A002 - as above
    ids: Annotated[str, Query(max_length=20_000, pattern=IDS, description="by commas; none: all")] = "",
    which: Which = "made",
    p1: InP1 = False,  # noqa: FBT002 - a query
) -> Response:
    """Crystals of a job as one file, with the verdicts of the jobs that judged them."""
    job = here.jobs.get(id)
    rows = rows_of(job, [name for name in ids.split(",") if name] or None)
    return await _file(here.jobs, job, f"materium-{job.id[:8]}", rows, Wanted(format, which, p1))


async def _file(jobs: Jobs, job: Job, stem: str, rows: list[str], wanted: Wanted) -> Response:
    """Rows under a name as a file; completions stay in the cell of their host."""
    judged = [{name: one.rows[place] for name, place in one.places.items()} for one in jobs.judging(job)]
    try:
        named = await run_in_threadpool(exports.chosen, rows, wanted.which, judged)
    except MateriumError as error:
        raise ApiError("not_found", str(error)) from error
    p1 = wanted.p1 or job.kind == "complete"
    return _attachment(await run_in_threadpool(exports.download, stem, named, wanted.form, p1=p1))


@router.get("/jobs/{id}/source", responses={**FILE, **refusals(404, 422)}, response_class=Response)
async def source(id: JobId, here: Here) -> Response:  # noqa: A002 - as above
    """The file that a job read."""
    job = here.jobs.get(id)
    if not job.files:
        raise ApiError("not_found", "this job read no file")
    return _attachment(await run_in_threadpool(exports.source, job.files))


def _attachment(file: exports.Download) -> Response:
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media, headers=headers)
