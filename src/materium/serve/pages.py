"""The page, its files, and the plain description of the API; a path of a request is looked up, never opened."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from materium.serve.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

STATIC = Path(__file__).parent / "static"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
"""By ending; a file of another kind is not handed out."""
STYLE = """body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
:root { color-scheme: light dark } code { font-family: ui-monospace, monospace }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .2rem .6rem }
th, td { border-bottom: 1px solid #8884 } h2 { margin-top: 2rem } pre { overflow: auto }
"""


def files(folder: Path = STATIC) -> dict[str, Path]:
    """Return the files of the page by their name in URLs."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in MEDIA)
    return {path.relative_to(folder).as_posix(): path for path in found}


def routes(app: FastAPI) -> APIRouter:
    """Return the routes of the page and of the description of `app`."""
    router = APIRouter(include_in_schema=False)
    table = files()

    def named(name: str) -> FileResponse:
        if name not in table:
            table.update(files())  # what was fetched since the start
        path = table.get(name)
        if path is None:
            raise ApiError("not_found", "there is no such file")
        return FileResponse(path, media_type=MEDIA[path.suffix], headers={"cache-control": "no-cache"})

    @router.get("/")
    def page() -> FileResponse:
        return named("index.html")

    @router.get("/static/{name:path}")
    def file(name: str) -> FileResponse:
        return named(name)

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return HTMLResponse(description(app.openapi()))

    @router.get("/docs/style.css")
    def style() -> Response:
        return Response(STYLE, media_type=MEDIA[".css"])

    return router


def description(schema: dict[str, Any]) -> str:
    """Return an OpenAPI schema as a page to read, without scripts."""
    parts = [f"<h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>"]
    parts.append(f"<p>{escape(schema['info'].get('description', ''))}</p>")
    parts.append('<p>For programs: <a href="/openapi.json">openapi.json</a></p>')
    for path, methods in schema["paths"].items():
        parts += [_operation(path, method, operation) for method, operation in methods.items()]
    parts.append("<h1>Schemas</h1>")
    parts += [_model(name, model) for name, model in schema["components"]["schemas"].items()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>API of Materium</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="/docs/style.css"></head><body><main>{"".join(parts)}</main></body></html>\n'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    takes = [(one["name"], _type(one["schema"]), one.get("description", "")) for one in operation.get("parameters", [])]
    body = operation.get("requestBody", {}).get("content", {})
    takes += [("body", _type(one["schema"]), kind) for kind, one in body.items()]
    gives = [(status, _content(one), one["description"]) for status, one in operation["responses"].items()]
    heading = f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    return heading + _table(("takes", "type", ""), takes) + _table(("gives", "type", ""), gives)


def _content(answer: dict[str, Any]) -> str:
    return " or ".join(f"{kind}: {_type(one.get('schema', {}))}" for kind, one in answer.get("content", {}).items())


def _model(name: str, model: dict[str, Any]) -> str:
    fields = [(field, _type(one), _note(one)) for field, one in model.get("properties", {}).items()]
    anchor = f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(model.get("description", ""))}</p>'
    return anchor + _table(("field", "type", ""), fields)


def _note(field: dict[str, Any]) -> str:
    default = f"default {field['default']!r}" if "default" in field else ""
    return "; ".join(part for part in (field.get("description", ""), default) if part)


def _type(schema: dict[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " or ".join(_type(one) for one in several)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    inner = f" of {_type(schema['items'])}" if "items" in schema else ""
    return f"{schema.get('type', 'anything')}{inner}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    words = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "maxLength": "at most", "maxItems": "at most"}
    return "".join(f" {word} {schema[name]}" for name, word in words.items() if name in schema)


def _table(head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    return f"<table><tr>{''.join(_cells(head, 'th'))}</tr>{''.join(_lines(rows))}</table>"


def _lines(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    return (f"<tr>{''.join(_cells(row, 'td'))}</tr>" for row in rows)


def _cells(row: tuple[str, str, str], tag: str) -> Iterator[str]:
    return (f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
