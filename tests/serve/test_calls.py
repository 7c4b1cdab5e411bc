"""The command line and the Python call that a job shows are true: they make the same crystals."""

from __future__ import annotations

import shlex
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from materium.cli.main import main
from materium.evaluate import pipeline
from materium.generate.engine import make_request
from materium.generate.targets import Range, parse_target
from materium.serve.calls import command, target_text
from materium.serve.calls import python as python_of
from materium.serve.schema import TUNED, EvaluateBody, GenerateBody
from materium.serve.sources import TextFile
from serving import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike
    from starlette.testclient import TestClient

EVERYTHING = {
    "n": 2,
    "seed": 11,
    "conditions": {"density": [3.25, ">=4"], "num_sites": "<5", "band_gap": "0.1234567..2"},
    "elements": ["Li", "O", "S", "Mg"],
    "require": ["O"],
    "forbid": ["S"],
    "neutral": True,
    "order": "low",
    "temperature": 0.9,
    "geometry_temperature": 0.5,
    "geometry_reach": 0.1,
    "end_odds": 0.5,
    "top_p": 0.95,
    "guidance": 1.5,
    "symmetrize": 0.1,
}
BODIES = [
    {"n": 3, "seed": 7},
    EVERYTHING,
    {"n": 2, "seed": 3, "conditions": {"reduced_formula": ["NaCl", "Ca(OH)2"]}, "z": "1..2", "lattice_first": True},
    {"n": 2, "seed": 3, "cell_formula": "Na2Cl2"},
    {"n": 2, "seed": 3, "conditions": {"chemical_system": "Li-O", "space_group": "Fm-3m"}, "soft": True},
]


def follow(job: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the job's command line in a folder, and return what it wrote into."""
    monkeypatch.chdir(folder)
    words = typed(job["command"])
    assert main([*words, "--quiet"]) == 0
    return folder / words[words.index("--out") + 1]


def typed(command: str) -> list[str]:
    program, *words = shlex.split(command)
    assert program == "materium"
    return words


def fetch(client: TestClient, job: dict[str, Any], folder: Path) -> None:
    """Save the job's source where the command looks for it."""
    (folder / job["source"]["name"]).write_bytes(client.get(job["source"]["url"]).content)


def python(job: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the job's Python, and return its variables."""
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    exec(job["python"], found)  # noqa: S102 - the text is what is tested
    return found


def structures(job: dict[str, Any], kind: str = "structure") -> list[dict[str, Any]]:
    return [row[kind] for row in sorted(job["crystals"], key=lambda row: row["index"])]


def assert_same(structure: dict[str, Any], lattice: ArrayLike, frac: ArrayLike, numbers: Sequence[int]) -> None:
    assert [site["number"] for site in structure["sites"]] == list(numbers)
    np.testing.assert_array_equal(structure["lattice"], np.reshape(lattice, (3, 3)))
    np.testing.assert_array_equal([site["frac"] for site in structure["sites"]], np.reshape(frac, (-1, 3)))


@pytest.mark.parametrize("body", BODIES, ids=["plain", "all", "formulas", "cell", "soft"])
def test_calls_ask_for_the_same(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line and Python reach the model with the request of the body, and with the same settings left to it."""
    asked: list[Any] = []
    monkeypatch.setattr("materium.cli.generate._run", lambda both, *_, **__: asked.append(both))
    monkeypatch.setattr("materium.load", lambda: SimpleNamespace(generate=lambda n, **rest: asked.append((n, rest))))
    read = GenerateBody.model_validate(body)
    assert main(typed(command(read, (), "out"))) == 0
    exec(python_of(read, (), "out"), {})  # noqa: S102 - the text is what is tested
    (request, chosen), (n, options) = asked
    assert (request, chosen) == (read.request(), read.chosen)
    formula = options.pop("formula", None)
    assert make_request(n, options.pop("seed"), formula, options) == read.request()
    assert {name for name in TUNED if name in options} == set(read.chosen)


def test_crystals_are_the_same(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run(client, "generate", EVERYTHING)
    rows = pq.read_table(follow(job, tmp_path, monkeypatch) / "structures.parquet").to_pylist()
    crystals = python(job, tmp_path, monkeypatch)["crystals"]
    found = sorted(job["crystals"], key=lambda row: row["index"])
    assert len(rows) == len(crystals) == len(found) == 4
    for row, crystal, shown in zip(rows, crystals, found, strict=True):
        assert_same(shown["structure"], row["cell"], row["frac_coords"], row["atomic_numbers"])
        for name in ("id", "formula", "density", "log_likelihood", "valid", "reason", "request", "symmetrized"):
            assert shown[name] == row[name], name
        assert (shown["space_group"] or {}).get("number") == row["space_group"]
        assert crystal.properties["log_likelihood"] == row["log_likelihood"]
        best = shown["refined"] or shown["structure"]
        assert_same(best, crystal.lattice.matrix, crystal.frac_coords, crystal.atomic_numbers)


def test_another_model_is_named(tmp_path: Path) -> None:
    body = GenerateBody.model_validate({"n": 1})
    assert f"--model {tmp_path} " in command(body, (), "out", tmp_path)
    assert f"materium.load({str(tmp_path)!r})" in python_of(body, (), "out", tmp_path)


def test_completions(
    client: TestClient, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = next(row["id"] for row in written["crystals"] if row["valid"])
    source = {"job": written["id"], "ids": [host]}
    job = run(client, "complete", {"source": source, "add": "LiH", "n": 2, "seed": 5, "keep_lattice": True})
    fetch(client, job, tmp_path)
    rows = pq.read_table(follow(job, tmp_path, monkeypatch) / "structures.parquet").to_pylist()
    crystals = python(job, tmp_path, monkeypatch)["crystals"]
    assert len(rows) == len(crystals) == len(job["crystals"]) == 2
    for structure, row, crystal in zip(structures(job), rows, crystals, strict=True):
        assert_same(structure, row["cell"], row["frac_coords"], row["atomic_numbers"])
        assert_same(structure, crystal.lattice.matrix, crystal.frac_coords, crystal.atomic_numbers)


def test_scores(client: TestClient, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    valid = [row["id"] for row in written["crystals"] if row["valid"]][:2]
    body = {"source": {"job": written["id"], "ids": valid}, "conditions": {"density": 3.5}, "draws": 3, "seed": 2}
    job = run(client, "score", body)
    fetch(client, job, tmp_path)
    rows = pq.read_table(follow(job, tmp_path, monkeypatch) / "rows.parquet").to_pylist()
    figures = python(job, tmp_path, monkeypatch)["rows"]
    for crystal, row, own in zip(job["crystals"], rows, figures, strict=True):
        for name in ("log_likelihood", "species", "coordinate", "lattice", "any_order_log_likelihood"):
            assert crystal["score"][name] == pytest.approx(row[name], abs=1e-3)
            assert crystal["score"][name] == pytest.approx(own[name], abs=1e-3)


def test_verdicts(client: TestClient, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run(client, "evaluate", {"source": {"job": written["id"]}, "relax": False, "bond_valence": True})
    fetch(client, job, tmp_path)
    rows = python(job, tmp_path, monkeypatch)["found"].rows
    for crystal, row in zip(job["crystals"], rows, strict=True):
        assert crystal["name"] == row["id"]
        for name in ("unique", "novel", "smact_valid", "neutral", "nearest_id", "notes"):
            assert crystal["verdict"][name] == row[name], name


@pytest.mark.parametrize("body", [{}, {"relax": False}, {"fmax": 0.1, "max_steps": 7, "bond_valence": True}])
def test_evaluations_ask_for_the_same(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(pipeline, "evaluate", lambda source, out, settings, **_: asked.append((source, out, settings)))
    read = EvaluateBody.model_validate({"source": {"job": "x"}, **body})
    files = [TextFile("a.extxyz", "")]
    with pytest.raises(AttributeError):  # nothing was judged, so that there is nothing to report
        main(typed(command(read, files, "out")))
    exec(python_of(read, files, "out"), {})  # noqa: S102 - the text is what is tested
    (source, out, settings), python_asked = asked
    assert (str(source), str(out), settings) == python_asked
    assert settings.runs("relax") == read.relax


def test_several_files_are_a_folder(
    client: TestClient, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [client.get(row["cif"]).text for row in written["crystals"] if row["valid"]][:2]
    files = [{"name": f"{name}.cif", "text": text} for name, text in zip("ba", texts, strict=True)]
    job = run(client, "score", {"source": {"files": files}})
    fetch(client, job, tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.unpack_archive(tmp_path / "source.zip", tmp_path)
    rows = pq.read_table(follow(job, tmp_path, monkeypatch) / "rows.parquet").to_pylist()
    assert [row["id"] for row in rows] == [crystal["name"] for crystal in job["crystals"]] == ["a.cif", "b.cif"]
    for crystal, row in zip(job["crystals"], rows, strict=True):
        assert crystal["score"]["log_likelihood"] == pytest.approx(row["log_likelihood"], abs=1e-3)


@pytest.mark.parametrize("name", ["density", "num_sites"])
@pytest.mark.parametrize("given", [3.0, Range(1, 4), Range(None, 5.0), Range(2, None)])
def test_a_target_is_read_as_it_was_written(name: str, given: float | Range) -> None:
    assert parse_target(name, target_text(given)) == given


def test_targets_keep_all_their_digits() -> None:
    assert parse_target("density", target_text(1234567.125)) == 1234567.125
    assert parse_target("density", target_text(Range(1.23456789, 2.0))) == Range(1.23456789, 2.0)
