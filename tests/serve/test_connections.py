"""Connections that are slow, silent or rude, at a real server: each ends in its time, and none leaves a traceback."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from materium.serve.app import create_app
from materium.serve.connections import Server
from materium.serve.jobs import Job
from materium.serve.limits import Limits
from materium.serve.schema import GenerateBody

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]
LIMITS = Limits(header_seconds=0.4, body_seconds=0.4, write_seconds=0.4, connections=12, streams=3)
PATIENCE = 10.0
"""Seconds after which a test fails; each bound above is far below."""


class Running:
    """A server in a thread of its own, with one job that has begun and will never end by itself."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = Server(create_app(load_model=False, limits=LIMITS))
        self.jobs = self.server.jobs
        self.job = Job("generate", GenerateBody(), {})
        self.job.state = "running"
        self.jobs._known[self.job.id] = self.jobs.running = self.job
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        end = time.monotonic() + PATIENCE
        while not self.server.started:
            assert time.monotonic() < end
            time.sleep(0.01)

    def connect(self, sent: str = "") -> socket.socket:
        """Open a connection, and send something."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.connections.append(connection)
        connection.sendall(sent.replace("\n", "\r\n").encode("latin-1"))
        return connection

    def head(self, line: str, *headers: str) -> str:
        """Return the header of a request."""
        return "\n".join([f"{line} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", ""])

    @property
    def events(self) -> str:
        return f"GET /jobs/{self.job.id}/events"

    def stop(self) -> None:
        """End the server, as SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def close(self) -> None:
        for opened in (*self.connections, self.listener):
            opened.close()


@pytest.fixture
def running(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Return a server; what it logs beside warnings fails the test."""
    found = Running()
    logger = logging.getLogger("uvicorn")
    logger.handlers.clear()  # they write into a stream that pytest has closed
    monkeypatch.setattr(logger, "propagate", True)
    yield found
    found.stop()
    found.close()
    logged = [*caplog.get_records("call"), *caplog.records]
    assert not [record.getMessage() for record in logged if record.levelno > logging.WARNING]


def read(connection: socket.socket, until: str | None = None) -> str:
    """Return what comes, to its end or up to some text; a connection that stays open fails."""
    found = b""
    try:
        while until is None or until.encode() not in found:
            more = connection.recv(65536)
            if not more:
                break
            found += more
    except ConnectionResetError:
        pass
    return found.decode()


def test_an_origin_that_is_no_address_is_refused(running: Running) -> None:
    """`urlsplit` raises at it; that was an answer 500 before anybody looked at the token."""
    for origin in ("http://[", "http://[::1", "//[", "http://\u00b2", "http://%zz:x"):
        answer = read(running.connect(running.head("GET /healthz", f"Origin: {origin}", "Connection: close")))
        assert answer.startswith("HTTP/1.1 403 ")
        assert '"code":"origin"' in answer


def test_a_length_of_many_digits(running: Running) -> None:
    answer = read(running.connect(running.head("POST /generate", f"Content-Length: {'9' * 19}", "Connection: close")))
    assert answer.startswith("HTTP/1.1 413 ")


@pytest.mark.parametrize("sent", ["", "GET /healthz HT", "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-A: 1\n"])
def test_who_says_nothing_or_half_is_not_waited_for(running: Running, sent: str) -> None:
    begun = time.monotonic()
    assert read(running.connect(sent)) == ""
    assert LIMITS.header_seconds * 0.9 < time.monotonic() - begun < PATIENCE / 2


def test_the_second_request_of_a_connection_has_no_more_time(running: Running) -> None:
    connection = running.connect(running.head("GET /healthz"))
    assert read(connection, '"status":"ok"').startswith("HTTP/1.1 200 ")
    connection.sendall(b"GET /hea")
    assert read(connection) == ""


@pytest.mark.parametrize("drops", [0, 100])
def test_time_holds_for_the_whole_body_not_for_each_piece(running: Running, drops: int) -> None:
    connection = running.connect(running.head("POST /generate", "Content-Length: 1000"))
    stopped = threading.Event()

    def drip() -> None:
        for _ in range(drops):
            if stopped.wait(0.05):
                return
            connection.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    answer = read(connection, '"code":"timeout"')
    stopped.set()
    thread.join()
    assert answer.startswith("HTTP/1.1 408 ")


def test_a_get_that_announces_a_body_and_sends_none(running: Running) -> None:
    """That cut a stream that had begun, with three tracebacks."""
    connection = running.connect(running.head(running.events, "Content-Length: 5"))
    assert read(connection, '"code":"timeout"').startswith("HTTP/1.1 408 ")
    connection = running.connect(running.head(running.events, "Content-Length: 5") + "hello")
    assert read(connection, "event: job").startswith("HTTP/1.1 200 ")


def test_nonsense_in_the_body_after_the_answer(running: Running) -> None:
    chunked = running.head("POST /generate", "Origin: http://evil.example", "Transfer-Encoding: chunked")
    connection = running.connect(chunked)
    assert read(connection, '"code":"origin"').startswith("HTTP/1.1 403 ")
    connection.sendall(b"zz\r\nno chunk\r\n")
    assert read(connection) == ""


def test_a_reader_that_does_not_read_loses_its_place(running: Running) -> None:
    connection = running.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    running.job.rows += ["x" * 1_000_000] * 10
    connection.sendall(running.head(running.events).replace("\n", "\r\n").encode())
    shared = running.server.config.app.state.server  # type: ignore[union-attr]
    end = time.monotonic() + PATIENCE
    places = {shared.streams}
    while 1 not in places or shared.streams:
        assert time.monotonic() < end
        time.sleep(0.01)
        places.add(shared.streams)


def test_no_more_streams_than_there_are_places(running: Running) -> None:
    """Places were counted when the first event was sent: those who came together all got one."""
    connections = [running.connect() for _ in range(8)]
    for connection in connections:
        connection.sendall(running.head(running.events).replace("\n", "\r\n").encode())
    answers = [read(connection, "\r\n\r\n").split(" ")[1] for connection in connections]
    assert sorted(answers) == ["200"] * LIMITS.streams + ["429"] * (8 - LIMITS.streams)


def test_too_many_connections_are_closed_and_leave_room_again(running: Running) -> None:
    connections = [running.connect() for _ in range(LIMITS.connections + 3)]
    assert [read(connection) for connection in connections[-3:]] == [""] * 3
    for connection in connections:
        connection.close()
    answer = read(running.connect(running.head("GET /healthz", "Connection: close")))
    assert answer.startswith("HTTP/1.1 200 ")


def test_those_who_follow_a_job_are_told_that_the_server_ends(running: Running) -> None:
    connection = running.connect(running.head(running.events))
    read(connection, "event: job")
    running.stop()
    told = read(connection)
    assert "event: end" in told
    assert '"state":"cancelled"' in told
    assert "the server was stopped" in told
