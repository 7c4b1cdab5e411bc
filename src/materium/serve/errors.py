"""Refusals: one JSON schema for all of them, whoever refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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
    code, message = SAID.get(status, ("bad_json" if status == STATUS["bad_json"] else "internal", detail))
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(content(code, message), status, headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    if any(entry["type"] == "json_invalid" for entry in found):
        return JSONResponse(content("bad_json", f"the body is no JSON: {found[0]['ctx']['error']}"), STATUS["bad_json"])
    details = [{"field": field_of(entry["loc"]), "message": _said(entry)} for entry in found]
    first = details[0] if details else {"field": "", "message": "the request is wrong"}
    message = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    body = content("bad_request", message, first["field"] or None, details)
    return JSONResponse(body, STATUS["bad_request"])


def _said(entry: Mapping[str, Any]) -> str:
    """What is wrong: our own words where we refused."""
    own = entry.get("ctx", {}).get("error")
    return " ".join(str(own).split()) if isinstance(own, ValueError) else str(entry["msg"])


async def _broken(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(content("internal", f"this is a bug: {type(error).__name__}; the server's log says more"), 500)


def field_of(location: Sequence[str | int]) -> str:
    """Return the dotted path of a place in a request: `conditions.density`."""
    return ".".join(str(part) for part in location if part not in ("body", "query", "path"))
