"""What the routes give: catalogue, jobs, events, files."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from materium import convert
from materium.cli.conditions import option_flag
from materium.crystal import Crystal
from materium.extras import install_command
from materium.generate.request import Request
from materium.model.folder import default_model, read_config
from materium.properties import table
from materium.serve.schema import GenerateBody
from serving import begin, finish, read_events, refused, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient


def test_conditions_are_the_table_with_what_training_saw(client: TestClient) -> None:
    answer = client.get("/conditions").json()
    seen = read_config(default_model())["model"]["seen"]
    assert [entry["name"] for entry in answer["conditions"]] == list(table())
    for entry in answer["conditions"]:
        known = table()[entry["name"]]
        assert (entry["unit"], entry["description"], entry["kind"]) == (known.unit, known.description, known.kind)
        assert entry["option"] == option_flag(entry["name"])
        if entry["name"] in seen:
            assert entry["trained"]["high"] == seen[entry["name"]]["high"]
        else:
            assert entry["trained"] is None
    assert {entry["name"] for entry in answer["conditions"] if entry["adherence"]} >= {"density", "space_group", "hhi"}
    assert [entry["number"] for entry in answer["space_groups"]] == list(range(1, 231))
    for entry in answer["space_groups"]:
        assert convert.space_group_number(entry["symbol"]) == entry["number"]
    assert GenerateBody.model_validate(answer["defaults"]).request() == Request()
    assert {"Li", "O", "U"} <= set(answer["elements"])


def test_the_model_tells_of_itself(client: TestClient) -> None:
    answer = client.get("/model").json()
    assert answer["fingerprint"] == read_config(default_model())["weights_sha256"][:12]
    assert answer["card"].startswith("# The model that ships")
    assert answer["reference"]["crystals"] > 40_000
    assert answer["extras"].keys() == {"chgnet", "smact"}


def test_every_preset_writes_crystals_that_keep_it(client: TestClient) -> None:
    presets = client.get("/presets").json()["presets"]
    assert {"a lithium solid electrolyte", "a hard boride", "surprise me"} <= {preset["title"] for preset in presets}
    for preset in presets:
        job = run(client, "generate", {**preset["request"], "n": 1})
        (crystal,) = job["crystals"]
        assert set(preset["request"].get("require", [])) <= set(crystal["elements"])
        assert set(crystal["elements"]) <= set(preset["request"].get("elements", crystal["elements"]))


def test_a_drawn_seed_is_told_and_differs(client: TestClient) -> None:
    jobs = [run(client, "generate", {"n": 1, "seed": None}) for _ in range(2)]
    seeds = [job["request"]["seed"] for job in jobs]
    assert seeds[0] != seeds[1]  # equal in one run of 4e9
    assert f"--seed {seeds[0]} " in jobs[0]["command"]


def test_a_crystal_is_told_whole(written: dict[str, Any]) -> None:
    for row in written["crystals"]:
        structure, sites = row["structure"], row["structure"]["sites"]
        assert row["num_sites"] == len(sites)
        for site in sites:
            cart = [
                sum(f * v[axis] for f, v in zip(site["frac"], structure["lattice"], strict=True)) for axis in range(3)
            ]
            assert site["cart"] == pytest.approx(cart, abs=1e-9)
            assert convert.symbols([site["number"]]) == [site["element"]]
        assert set(row["elements"]) == {site["element"] for site in sites}
        assert row["volume"] == pytest.approx(structure["volume"])
        assert row["valid"] == (row["reason"] is None)
        assert row["novelty"] is None or isinstance(row["novelty"]["novel"], bool)


def test_rows_come_in_pages(client: TestClient, written: dict[str, Any]) -> None:
    rows: list[Any] = []
    offset: int | None = 0
    while offset is not None:
        page = client.get(f"/jobs/{written['id']}?offset={offset}&limit=4").json()
        assert page["total"] == 6
        rows += page["rows"]
        offset = page["next"]
    assert rows == written["crystals"]
    assert client.get(f"/jobs/{written['id']}?offset=99").json()["rows"] == []
    assert written["id"] in [job["id"] for job in client.get("/jobs").json()["jobs"]]


def test_events_tell_the_job_from_beginning_to_end(client: TestClient, written: dict[str, Any]) -> None:
    events = read_events(client.get(f"/jobs/{written['id']}/events").text)
    names = [name for name, _ in events]
    assert names[0] == "job"
    assert names[-1] == "end"
    assert [data for name, data in events if name == "crystal"] == written["crystals"]
    assert events[-1][1]["state"] == "done"
    assert events[-1][1]["rows"] == 6


@pytest.mark.parametrize("how", [{"params": {"after": 3}}, {"headers": {"Last-Event-ID": "3"}}])
def test_events_go_on_where_they_stopped(client: TestClient, written: dict[str, Any], how: dict[str, Any]) -> None:
    events = read_events(client.get(f"/jobs/{written['id']}/events", **how).text)
    assert [data for name, data in events if name == "crystal"] == written["crystals"][4:]


def test_a_request_may_be_answered_by_events(client: TestClient) -> None:
    answer = client.post("/generate", json={"n": 2}, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read_events(answer.text)
    assert sum(name == "crystal" for name, _ in events) == 2
    assert [data["done"] for name, data in events if name == "progress"][-1] == 2


def test_what_lies_outside_training_is_a_warning(client: TestClient) -> None:
    job = run(client, "generate", {"n": 1, "conditions": {"density": 99}})
    assert job["warnings"][0].startswith("density = 99.0 g/cm³ lies outside training")


def test_a_contradiction_that_only_the_model_knows_ends_the_job(client: TestClient) -> None:
    """Range without an end where training saw no label: no form can tell."""
    found = finish(client, begin(client, "generate", {"conditions": {"density": "<0.001"}}))
    assert found["state"] == "failed"
    assert found["error"]["code"] == "bad_request"
    assert "nothing that training saw" in found["error"]["message"]


@pytest.mark.parametrize(
    ("form", "parse"),
    [("cif", convert.from_cif), ("poscar", convert.from_poscar), ("extxyz", lambda text: convert.from_extxyz(text)[0])],
)
@pytest.mark.parametrize("which", ["made", "refined"])
def test_one_crystal_as_a_file(
    client: TestClient, written: dict[str, Any], form: str, parse: Callable[[str], Crystal], which: str
) -> None:
    row = next(row for row in written["crystals"] if row["refined"])
    answer = client.get(f"/jobs/{written['id']}/crystals/{row['id']}", params={"format": form, "which": which})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{row["id"]}.')
    crystal = parse(answer.text)
    structure = row["structure" if which == "made" else "refined"]
    cells, rest = divmod(len(crystal), len(structure["sites"]))
    assert (rest, cells > 1) == (0, False) or form == "cif"
    assert crystal.volume / cells == pytest.approx(structure["volume"], rel=1e-4)
    assert convert.formula(crystal) == row["formula"]


def test_a_selection_as_files(client: TestClient, written: dict[str, Any]) -> None:
    chosen = [row["id"] for row in written["crystals"]][1:4]
    params = {"ids": ",".join(chosen)}
    at = f"/jobs/{written['id']}/download"
    lines = list(csv.DictReader(io.StringIO(client.get(at, params={**params, "format": "csv"}).text)))
    assert [line["id"] for line in lines] == chosen
    assert [line["formula"] for line in lines] == [row["formula"] for row in written["crystals"][1:4]]
    frames = list(
        convert.split_extxyz(client.get(at, params={**params, "format": "extxyz"}).text.splitlines(keepends=True))
    )
    assert [convert.from_extxyz(frame)[1]["id"] for frame in frames] == chosen
    cif = client.get(at, params={**params, "format": "cif"}).text
    assert re.findall(r"(?m)^data_(.*)$", cif) == chosen
    with zipfile.ZipFile(io.BytesIO(client.get(at, params={**params, "format": "zip"}).content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert names == {
            *(f"cif/{n}.cif" for n in chosen),
            *(f"poscar/{n}.vasp" for n in chosen),
            "structures.extxyz",
            "table.csv",
            "README.txt",
        }
    with zipfile.ZipFile(io.BytesIO(client.get(at, params={**params, "format": "poscar"}).content)) as archive:
        assert len(archive.namelist()) == 3


def test_a_whole_job_as_json(client: TestClient, written: dict[str, Any]) -> None:
    assert client.get(f"/jobs/{written['id']}/download?format=json").json() == written["crystals"]


def test_what_is_not_there(client: TestClient, written: dict[str, Any]) -> None:
    refused(client.get("/jobs/none"), 404, "not_found")
    refused(client.post("/jobs/none/cancel"), 404, "not_found")
    refused(client.get("/jobs/none/events"), 404, "not_found")
    refused(client.get(f"/jobs/{written['id']}/crystals/none"), 404, "not_found")
    refused(client.get(f"/jobs/{written['id']}/download?ids=none"), 404, "not_found")
    refused(client.get(f"/jobs/{written['id']}/download?which=relaxed"), 404, "not_found")
    refused(client.get(f"/jobs/{written['id']}/source"), 404, "not_found")
    refused(client.get("/nothing"), 404, "not_found")
    refused(client.get("/generate"), 405, "not_allowed")
    assert client.get(f"/jobs/{written['id']}").json()["job"]["state"] == "done"  # what is there is untouched


def test_uploads_are_scored(client: TestClient, written: dict[str, Any]) -> None:
    row = next(row for row in written["crystals"] if row["valid"])
    cif = client.get(row["cif"]).text
    files = [{"name": "C:\\data\\my salt.cif", "text": cif}, {"name": "../../POSCAR", "text": "not one"}]
    job = run(client, "score", {"source": {"files": files}})
    good, bad = sorted(job["crystals"], key=lambda row: row["structure"] is None)
    assert good["name"] == "my-salt.cif"
    assert good["score"]["log_likelihood"] < 0
    assert len(good["score"]["site_log_likelihoods"]) >= 1
    assert bad["structure"] is None
    assert bad["reason"].startswith("unreadable POSCAR")
    assert "text" not in json.dumps(job["request"])


def test_completing_keeps_the_host(client: TestClient, written: dict[str, Any]) -> None:
    row = next(row for row in written["crystals"] if row["valid"] and row["num_sites"] <= 4)
    source = {"files": [{"name": "host.cif", "text": client.get(row["cif"], params={"p1": True}).text}]}
    job = run(client, "complete", {"source": source, "add": "H", "n": 2, "keep_lattice": True})
    for crystal in job["crystals"]:
        assert crystal["num_sites"] == row["num_sites"] + 1
        assert crystal["structure"]["parameters"] == pytest.approx(row["structure"]["parameters"], abs=1e-6)


def test_judging_without_and_with_relaxing(client: TestClient) -> None:
    """Rock salt, pulled apart by 2 %: it comes back, near the hull, and is known."""
    pytest.importorskip("chgnet", reason="CHGNet relaxes")
    a = 5.64 * 1.02
    salt = Crystal(a / 2 * (1 - np.eye(3)), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    source = {"files": [{"name": "salt.cif", "text": convert.to_cif(salt)}]}
    (before,) = run(client, "evaluate", {"source": source, "relax": False})["crystals"]
    assert before["verdict"]["energy_above_hull"] is None
    assert before["verdict"]["novel"] is False
    job = run(client, "evaluate", {"source": source})
    (after,) = job["crystals"]
    verdict = after["verdict"]
    assert verdict["relax_status"] == "converged"
    assert verdict["energy_above_hull"] == pytest.approx(0, abs=0.05)
    assert verdict["space_group_relaxed"] == {"number": 225, "symbol": "Fm-3m"}
    assert verdict["relaxed"]["parameters"]["a"] < after["structure"]["parameters"]["a"]
    assert job["metrics"]["converged"]["count"] == 1
    text = client.get(f"/jobs/{job['id']}/crystals/{after['id']}?which=relaxed").text
    assert "_symmetry_Int_Tables_number   225\n" in text
    assert convert.from_cif(text).volume == pytest.approx(4 * verdict["relaxed"]["volume"], rel=1e-4)


def test_without_chgnet_relaxing_is_one_clear_refusal(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("materium.serve.submit.find_spec", lambda _: None)
    source = {"files": [{"name": "a.cif", "text": "data_a"}]}
    error = refused(client.post("/evaluate", json={"source": source}), 501, "not_installed")
    assert install_command("chgnet") in error["message"]
    begin(client, "evaluate", {"source": source, "relax": False})


def test_the_description_needs_no_other_machine(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page.text)
    for path in client.get("/openapi.json").json()["paths"]:
        assert path.replace("&", "&amp;") in page.text
    assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")
