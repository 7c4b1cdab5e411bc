"""Refusals: one JSON schema for all of them, whoever refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from materium.serve.wording import Fault, faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

STATUS = {
    "bad_json": 400,
    "unauthorized": 401,
    "origin": 403,
    "host": 403,
    "not_found": 404,
    "not_allowed": 405,
    "timeout": 408,
    "too_large": 413,
    "content_type": 415,
    "bad_request": 422,
    "bad_structure": 422,
    "queue_full": 429,
    "too_many": 429,
    "internal": 500,
    "worker_died": 500,
    "not_installed": 501,
    "unavailable": 503,
}
"""Codes, with the status of an answer; the same codes say why a job failed."""
RETRY_SECONDS = 2
"""What a refusal for lack of room advises."""
SAID = {
    400: ("bad_json", "the body cannot be read: it is no JSON in UTF-8, nested too deep, or holds too long a number"),
    404: ("not_found", "there is nothing at this address; /docs tells what there is"),
    405: ("not_allowed", "this address does not take this method; /docs tells which it takes"),
}
"""Codes and lines for what the framework says by a status alone."""


class ApiError(HTTPException):
    """A refusal with its code, the line for people, and the field of the request that is wrong."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        headers = {"Retry-After": str(RETRY_SECONDS)} if STATUS[code] in (429, 503) else None
        super().__init__(STATUS[code], message, headers)
        self.code, self.message, self.field = code, " ".join(message.split()), field

    def content(self) -> dict[str, Any]:
        """Return the error as the schema has it."""
        return content(self.code, self.message, self.field)


def content(
    code: str, message: str, field: str | None = None, details: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return the body of a refusal."""
    return {"error": {"code": code, "message": message, "field": field, "details": list(details)}}


def handle_errors(app: FastAPI) -> None:
    """Make the application answer every refusal in the one schema."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ApiError):
        return JSONResponse(error.content(), error.status_code, error.headers)
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(getattr(error, "detail", error))
    code, message = SAID.get(status, ("internal", detail))
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(content(code, message), status, headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    if any(entry["type"] == "json_invalid" for entry in found):
        return JSONResponse(content("bad_json", f"the body is no JSON: {found[0]['ctx']['error']}"), STATUS["bad_json"])
    wrong = faults(found)
    first = wrong[0] if wrong else Fault("", "the request is wrong")
    details = [fault._asdict() for fault in wrong]
    return JSONResponse(content("bad_request", first.message, first.field or None, details), STATUS["bad_request"])


async def _broken(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(content("internal", f"this is a bug: {type(error).__name__}; the server's log says more"), 500)
