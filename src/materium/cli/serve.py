"""`materium serve`: the page in the browser, and the HTTP API behind it."""

import secrets
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.console import make_console
from materium.cli.interrupts import left_to_others
from materium.cli.options import ModelOption, QuietOption
from materium.cli.threads import with_threads
from materium.errors import MateriumError

if TYPE_CHECKING:
    from materium.serve.security import Access

HOST, PORT = "127.0.0.1", 8000
LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what is asked for is told from what is the default
MIN_TOKEN = 16
"""Characters; a shorter token can be guessed."""
EXTRA = "serve"


@with_threads
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen at; another than this machine's needs a token.")] = HOST,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MATERIUM_TOKEN", help="Secret that every request must carry; generated where one is needed."
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A name by which other machines call this one.")
    ] = None,
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Serve the page and the HTTP API, to this machine alone by default; Ctrl-C ends it.

    Example:

        materium serve

        materium serve --host 0.0.0.0 --port 9000
    """
    from materium.extras import require

    require("uvicorn", EXTRA)
    require("fastapi", EXTRA)
    from materium.serve.app import create_app
    from materium.serve.connections import Server

    access = _access(host, token, name or [])
    _check_temporary_folder()
    if model is not None:
        _check_model(model)
    listener = _listener(host, port)
    with listener:
        address = _address(listener, host, access.token)
        make_console(quiet=quiet).print(f"Materium is at {address} (Ctrl-C ends it)", soft_wrap=True)
        with left_to_others("stopped; jobs that were not done are lost"):  # the server lets connections end
            Server(create_app(model=model, access=access)).run(sockets=[listener])


def _access(host: str, token: str | None, names: list[str]) -> "Access":
    """Who may ask: with a token where others can."""
    from materium.serve.security import Access

    if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
        raise MateriumError(f"the token needs at least {MIN_TOKEN} plain characters; leave it out, and one is made")
    needed = token or (None if host in LOOPBACK else secrets.token_urlsafe(24))
    known = {*names, *(() if host in (*LOOPBACK, *EVERYWHERE) else (host,))}
    if needed is not None:
        known.add(socket.gethostname())
    return Access(needed, frozenset(one.lower() for one in known))


def _check_temporary_folder() -> None:
    """Refuse a full disk before anybody waits: what loads the model needs a folder that it can write to."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise MateriumError(
            "no folder for temporary files can be written to; make room on the disk, or set TMPDIR to another folder"
        ) from error


def _check_model(model: Path) -> None:
    """Refuse a damaged model before anybody waits for it."""
    from materium.model.checkpoint import load_checkpoint

    load_checkpoint(model)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise MateriumError(
            f"cannot listen at {host}, port {port} ({error.strerror}); choose another --port or --host"
        ) from error


def _address(listener: socket.socket, host: str, token: str | None) -> str:
    """What to open in a browser."""
    port = listener.getsockname()[1]
    name = socket.gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
