"""What is too much is refused, in one schema, and harms nobody else."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from materium.errors import ConversionError
from materium.serve.sources import safe_name
from serving import begin, finish, refused, run

if TYPE_CHECKING:
    from starlette.testclient import TestClient


def long_job(client: TestClient) -> str:
    """Begin a job of some seconds, and wait until it runs."""
    job = begin(client, "generate", {"n": 10_000, "conditions": {"num_sites": 5}})
    wait_for(client, job, "running")
    return job


def wait_for(client: TestClient, job: str, state: str) -> None:
    end = time.monotonic() + 60
    while client.get(f"/jobs/{job}?limit=0").json()["job"]["state"] != state:
        assert time.monotonic() < end
        time.sleep(0.02)


def source(name: str = "a.extxyz", frames: int = 1, atoms: int = 1) -> dict[str, Any]:
    lattice = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3'
    frame = f"{atoms}\n{lattice}\n" + "".join(f"O {k} 0 0\n" for k in range(atoms))
    return {"files": [{"name": name, "text": frame * frames}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 10_001}, "n"),
        ({"n": 102, "conditions": {"density": [float(k) for k in range(1, 100)]}}, "n"),
        ({"n": 1, "conditions": {"density": [1.0] * 101}}, "conditions.density"),
        ({"require": ["Na"], "forbid": ["Na"]}, None),
        ({"require": ["Fe"]}, None),
        ({"conditions": {"num_sites": 9}}, None),
        ({"conditions": {"reduced_formula": "Xx2"}}, "conditions.reduced_formula"),
    ],
)
def test_impossible_requests_do_not_reach_the_queue(small: TestClient, body: dict[str, Any], field: str | None) -> None:
    before = len(small.get("/jobs").json()["jobs"])
    error = refused(small.post("/generate", json=body), 422, "bad_request")
    assert (error["field"] or "").startswith(field or "")
    assert len(small.get("/jobs").json()["jobs"]) == before


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null", '{"n": 1e999}', '{"n": NaN}', "\xff", "[" * 2000])
def test_broken_json(small: TestClient, text: str) -> None:
    content = text.encode("latin-1")
    answer = small.post("/generate", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    refused(answer, answer.status_code, "bad_json" if answer.status_code == 400 else "bad_request")


def test_a_large_body_is_not_read(small: TestClient) -> None:
    body = json.dumps({"source": source(), "add": "x" * 6000})
    answer = small.post("/complete", content=body, headers={"content-type": "application/json"})
    assert f"the body has {len(body)} bytes" in refused(answer, 413, "too_large")["message"]


def test_a_body_that_does_not_tell_its_length_is_counted(small: TestClient) -> None:
    pieces = (b" " * 1000 for _ in range(6))
    answer = small.post("/generate", content=pieces, headers={"content-type": "application/json"})
    assert "more than 5000 bytes" in refused(answer, 413, "too_large")["message"]


def test_files_of_other_kinds_are_refused(small: TestClient) -> None:
    for name in ("a.exe", "a.db", "/etc/passwd", "a.cif.gz", "..", "x" * 255):
        refused(small.post("/score", json={"source": source(name)}), 422, "bad_structure")
    error = refused(small.post("/score", json={"source": {"files": source()["files"] * 2}}), 422, "bad_request")
    assert "same name" in error["message"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/x.cif", "x.cif"),
        ("C:\\temp\\x.cif", "x.cif"),
        ("POSCAR", "POSCAR"),
        ("--out.cif", "out.cif"),
        (".hidden.cif", "hidden.cif"),
        ("a b;rm -rf.cif", "a-b-rm--rf.cif"),
        ("héllo.extxyz", "h-llo.extxyz"),
    ],
)
def test_names_become_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["", "x", "a.py", "a.db", ".cif/..", "a.cif\x00.exe"])
def test_names_of_no_structures(name: str) -> None:
    with pytest.raises(ConversionError):
        safe_name(name)


def test_too_many_structures_and_too_many_atoms(small: TestClient) -> None:
    found = finish(small, begin(small, "score", {"source": source(frames=4)}))
    assert found["error"]["code"] == "bad_structure"
    assert "at most 3" in found["error"]["message"]
    (row,) = run(small, "score", {"source": source(atoms=6)})["crystals"]
    assert "at most 5" in row["reason"]
    found = finish(small, begin(small, "complete", {"source": source(frames=2), "add": "O"}))
    assert "single one" in found["error"]["message"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.cif", "data_a\n_cell_length_a 1\n"),
        ("a.cif", "\x00\x01"),
        ("a.vasp", "x\n1\n1 0 0\n0 1 0\n0 0 1\nFe\n9999999999\nDirect\n"),
        ("a.extxyz", f"{'9' * 30}\nx\n"),
        ("a.extxyz", "-1\n"),
        ("a.extxyz", '1\nLattice="nan 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3\nFe 0 0 0\n'),
        ("a.extxyz", '1\nLattice="1e300 0 0 0 1e300 0 0 0 1e300" Properties=species:S:1:pos:R:3\nFe 0 0 0\n'),
        ("a.extxyz", '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3\nFe 0 0 0\nFe 0 0 0.1\n'),
        ("a.extxyz", '1\nLattice="900 0 0 0 900 0 0 0 0.001" Properties=species:S:1:pos:R:3\nFe 0 0 0\n'),
    ],
)
@pytest.mark.parametrize("kind", ["score", "evaluate"])
def test_broken_structures_are_rows_with_reasons(small: TestClient, name: str, text: str, kind: str) -> None:
    body: dict[str, Any] = {"source": {"files": [{"name": name, "text": text}]}}
    job = finish(small, begin(small, kind, body if kind == "score" else {**body, "relax": False}))
    assert job["state"] == "done", job["error"]
    # A count beyond the limit is refused as a frame of its own, and the line after it as another.
    assert len(job["crystals"]) == (2 if text.startswith("9" * 30) else 1)
    assert all(crystal["reason"] and not crystal["valid"] for crystal in job["crystals"])


def test_a_full_queue_refuses_and_a_cancelled_job_makes_room(small: TestClient) -> None:
    jobs = [long_job(small), *(begin(small, "generate", {"n": 1}) for _ in range(2))]
    positions = [small.get(f"/jobs/{job}").json()["job"]["position"] for job in jobs]
    assert positions == [None, 1, 2]
    answer = small.post("/generate", json={"n": 1})
    refused(answer, 429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    assert small.post(f"/jobs/{jobs[1]}/cancel").json()["job"]["state"] == "cancelled"
    begin(small, "generate", {"n": 1})
    for job in jobs:
        small.post(f"/jobs/{job}/cancel")


def test_a_stream_that_is_refused_leaves_no_job(small: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job was queued before anybody looked whether there was room for its stream."""
    shared = small.app.state.server  # type: ignore[attr-defined]
    before = [job["id"] for job in small.get("/jobs").json()["jobs"]]
    monkeypatch.setattr(shared, "streams", shared.limits.streams)
    asked = {"accept": "text/event-stream"}
    refused(small.post("/generate", json={"n": 1}, headers=asked), 429, "too_many")
    assert [job["id"] for job in small.get("/jobs").json()["jobs"]] == before
    monkeypatch.undo()
    refused(small.post("/generate", json={"n": 10_001}, headers=asked), 422, "bad_request")
    assert small.post("/generate", json={"n": 1}, headers=asked).text.count("event: end") == 1
    assert shared.streams == 0


def test_cancelling_takes_less_than_a_second_and_keeps_the_rows(small: TestClient) -> None:
    job = long_job(small)
    begun = time.monotonic()
    facts = small.post(f"/jobs/{job}/cancel").json()["job"]
    assert time.monotonic() - begun < 1
    assert facts["state"] == "cancelled"
    assert facts["error"] is None
    assert finish(small, job)["rows"] == facts["rows"] < 10_000
    assert small.post(f"/jobs/{job}/cancel").json()["job"]["state"] == "cancelled"
    assert run(small, "generate", {"n": 1})["rows"] == 1


def test_old_jobs_are_forgotten(small: TestClient) -> None:
    jobs = [run(small, "generate", {"n": 1})["id"] for _ in range(3 + 1)]
    remembered = [job["id"] for job in small.get("/jobs").json()["jobs"]]
    assert remembered == jobs[:0:-1]
    refused(small.get(f"/jobs/{jobs[0]}"), 404, "not_found")
    run(small, "generate", {"n": 50})
    run(small, "generate", {"n": 50})
    assert sum(job["rows"] for job in small.get("/jobs").json()["jobs"]) <= 60
