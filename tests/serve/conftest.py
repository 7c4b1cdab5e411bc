"""A server with the model that ships and a small one with a tiny model, each started once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from materium.serve.app import create_app
from materium.serve.limits import Limits
from serving import ADDRESS, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LIMITS = Limits(
    crystals=10_000, structures=3, atoms=5, body_bytes=5000, job_seconds=100, queue=2, history=3, rows=60, streams=1
)


@pytest.fixture(scope="session")
def small(tiny_checkpoint: Path) -> Iterator[TestClient]:
    """A server that takes little, with a tiny model."""
    with TestClient(create_app(model=tiny_checkpoint, limits=LIMITS), base_url=ADDRESS) as found:
        yield found


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(), base_url=ADDRESS) as found:
        yield found


@pytest.fixture(scope="session")
def written(client: TestClient) -> dict[str, Any]:
    """Return a finished job with some crystals."""
    return run(client, "generate", {"n": 6, "seed": 7, "symmetrize": 0.1, "conditions": {"num_sites": "2..6"}})
