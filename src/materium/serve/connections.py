"""What one connection may hold, and for how long: a request must come, an answer must be read, and an end is announced.

uvicorn waits for ever for the rest of a header, and for a reader that does not read. The bounds matter where other
machines can connect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI

    from materium.serve.limits import Limits

GRACE_SECONDS = 2
"""What open connections get when the server ends."""


class Deadline:
    """A call that comes unless it is called off."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def set(self) -> bool:
        """Whether the call will come."""
        return self._timer is not None

    def start(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        """Have the call come after so many seconds, in place of any earlier one."""
        self.stop()
        self._timer = loop.call_later(seconds, call)

    def stop(self) -> None:
        """Call it off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 within `limits`: header_seconds, write_seconds, connections."""

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request, or close the connection where there are too many."""
        super().connection_made(transport)
        self._header, self._reader = Deadline(), Deadline()
        transport.set_write_buffer_limits(high=0)  # else less than 64 kB that nobody reads is never noticed
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._await_header()

    def data_received(self, data: bytes) -> None:
        """Take what came; the header's time runs from its first byte to its last."""
        if not self._header.set and not self._answering():
            self._await_header()
        super().data_received(data)
        if self._answering():
            self._header.stop()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where an answer has begun already, close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Begin to watch whether anything is read of what waits to be sent."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """All was read."""
        self._reader.stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._header.stop()
        self._reader.stop()
        super().connection_lost(exc)

    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete  # uvicorn has None there at first

    def _await_header(self) -> None:
        self._header.start(self.loop, self.limits.header_seconds, self.transport.abort)

    def _watch_reader(self) -> None:
        """Close the connection if nothing is read within write_seconds."""
        before = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() >= before:
                self.transport.abort()
            else:
                self._watch_reader()

        self._reader.start(self.loop, self.limits.write_seconds, check)


class Server(uvicorn.Server):
    """A server that ends its jobs before its connections, so that those who follow a job learn its end."""

    def __init__(self, app: FastAPI) -> None:
        shared = app.state.server
        self.jobs = shared.jobs
        protocol = type("Protocol", (BoundedProtocol,), {"limits": shared.limits})
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                lifespan="on",
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the jobs, then the connections."""
        await self.jobs.stop()
        await super().shutdown(sockets)
