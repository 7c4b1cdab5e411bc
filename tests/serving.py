"""What tests of the server share: waiting for a job, and rows by their id."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx2 import Response
    from starlette.testclient import TestClient

PATIENCE_SECONDS = 120
ADDRESS = "http://127.0.0.1"


def begin(client: TestClient, kind: str, body: dict[str, Any]) -> str:
    """Put a job into the queue, and return its id."""
    answer = client.post(f"/{kind}", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"]["id"])


def finish(client: TestClient, job: str) -> dict[str, Any]:
    """Wait for the end of a job, and return its facts with all of its rows under `crystals`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        page = client.get(f"/jobs/{job}?limit=500").json()
        assert "job" in page, page
        if page["job"]["state"] in ("done", "failed", "cancelled"):
            return {**page["job"], "crystals": page["rows"]}
        time.sleep(0.05)
    raise AssertionError(f"job {job} did not end")


def run(client: TestClient, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do a job that must end well."""
    found = finish(client, begin(client, kind, body))
    assert found["state"] == "done", found["error"]
    return found


def refused(answer: Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a refusal in the one schema, and return what it says."""
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"code", "message", "field", "details"}
    assert error["code"] == code
    assert error["message"]
    assert "\n" not in error["message"]
    return error


def read_events(text: str) -> list[tuple[str, Any]]:
    """Return names and data of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found
