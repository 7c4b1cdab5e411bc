"""How much one server takes on; what goes beyond is refused with a clear answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that hold for all requests.

    Parameters
    ----------
    crystals
        Written by one job, all combinations of its targets together.
    structures
        In the source of one job.
    atoms
        In the cell of a structure that comes in.
    relax_structures, relax_atoms
        The same for jobs that relax.
    body_bytes
        Of a request.
    connections
        That are open at once; more are closed.
    header_seconds
        From the first byte of a request, or the opening of a connection, to the last byte of the header.
    body_seconds
        From the end of the header to the last byte of the body.
    write_seconds
        In which some of what waits to be sent must be read.
    job_seconds
        Of work on one job; it fails then, and keeps its rows.
    memory_bytes
        That a job may take beside what the model holds.
    queue
        Jobs that wait.
    history
        Jobs that are remembered, the waiting ones apart.
    rows
        Of all remembered jobs together; the oldest jobs are forgotten first.
    streams
        Connections that follow events.
    """

    crystals: int = 1000
    structures: int = 200
    atoms: int = 200
    relax_structures: int = 100
    relax_atoms: int = 100
    body_bytes: int = 2_000_000
    connections: int = 200
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 60.0
    job_seconds: float = 900.0
    memory_bytes: int = 4_000_000_000
    queue: int = 16
    history: int = 32
    rows: int = 10_000
    streams: int = 100
