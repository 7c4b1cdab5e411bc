"""The worker may hang, die or take too long: the job says so, and the next one is done."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from multiprocessing import Pipe
from typing import TYPE_CHECKING

from materium.serve import worker
from materium.serve.limits import Limits
from serving import PATIENCE_SECONDS, begin, finish, run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from starlette.testclient import TestClient

    from materium.serve.jobs import Jobs


def jobs_of(client: TestClient) -> Jobs:
    found: Jobs = client.app.state.server.jobs  # type: ignore[attr-defined]
    return found


def worker_of(client: TestClient) -> int:
    sender = jobs_of(client)._worker
    assert sender is not None
    return int(sender.process.pid)


def running(client: TestClient) -> str:
    """Begin a job that would take minutes, and wait for its first crystal."""
    job = begin(client, "generate", {"n": 10_000})
    end = time.monotonic() + PATIENCE_SECONDS
    while not client.get(f"/jobs/{job}?limit=0").json()["job"]["rows"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    return job


def test_a_worker_that_hangs_is_ended_within_a_second(small: TestClient) -> None:
    job = running(small)
    os.kill(worker_of(small), signal.SIGSTOP)  # it looks at nothing any more, like one deep in a foreign library
    begun = time.monotonic()
    facts = small.post(f"/jobs/{job}/cancel").json()["job"]
    assert time.monotonic() - begun < 1
    assert facts["state"] == "cancelled"
    assert facts["rows"] > 0
    assert run(small, "generate", {"n": 2})["rows"] == 2


def test_a_worker_that_dies_fails_its_job_alone(small: TestClient) -> None:
    job, waiting = running(small), begin(small, "generate", {"n": 2})
    os.kill(worker_of(small), signal.SIGKILL)
    found = finish(small, job)
    assert found["state"] == "failed"
    assert found["error"]["code"] == "worker_died"
    assert len(found["crystals"]) == found["rows"] > 0
    assert finish(small, waiting)["state"] == "done"


def test_a_job_that_takes_too_long_fails_and_keeps_its_rows(small: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_of(small)
    monkeypatch.setattr(jobs, "limits", replace(jobs.limits, job_seconds=2.0, rows=10_000))
    found = finish(small, running(small))
    assert found["state"] == "failed"
    assert found["error"]["code"] == "timeout"
    assert found["rows"] > 0
    assert 2 <= found["seconds"] < 10


def test_a_worker_that_cannot_load_the_model_says_so_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materium.serve.worker.signal.signal", lambda *_: None)
    here, there = Pipe()
    worker.main(there, tmp_path, Limits())
    assert not here.poll()
    (record,) = caplog.records
    assert "does not start" in record.getMessage()
    assert record.exc_info is None
