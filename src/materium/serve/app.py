"""The application: the page, the API and the worker behind it, guarded."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from materium import __version__
from materium.serve import pages
from materium.serve.errors import handle_errors
from materium.serve.jobs import Jobs
from materium.serve.limits import Limits
from materium.serve.routes import Server, router
from materium.serve.security import Access, Guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DESCRIPTION = (
    "Requests become jobs; one process with the model does them, one after the other. Every refusal has the schema "
    "Refused. Where a token is needed, send the header Authorization: Bearer TOKEN."
)


def create_app(
    *, model: Path | None = None, access: Access | None = None, limits: Limits | None = None, load_model: bool = True
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    model
        Folder of a model; the one that ships, where none is named.
    access
        Who may ask; by default this machine alone.
    limits
        How much is taken on.
    load_model
        Whether the worker is started; without it nothing is ever written, which is enough to describe the API.
    """
    bounds = limits or Limits()
    jobs = Jobs(bounds, model)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if load_model:
            await jobs.start()
        warm = asyncio.create_task(run_in_threadpool(_warm))
        yield
        await jobs.stop()
        await warm

    app = FastAPI(
        title="Materium",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.server = Server(jobs, bounds)
    handle_errors(app)
    app.include_router(router)
    app.include_router(pages.routes(app))
    app.add_middleware(Guard, access=access or Access(), limits=bounds)
    return app


def _warm() -> None:
    """Load what reads formulas, which takes a second, before the first request needs it."""
    from materium.generate.targets import parse_composition

    parse_composition("H2O")
