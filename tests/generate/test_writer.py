"""Run folders: killed at any moment and run again, they end as undisturbed ones do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import materium
from crystals import NACL
from materium import convert
from materium.data.readers import read
from materium.errors import RequestError
from materium.generate.request import Request
from materium.generate.writer import RunFolder, RunInfo, fault
from tiny import tiny_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from materium.generate.engine import Materium, Sample

REQUEST = Request(n=12, seed=3, conditions={"density": 3.5})
BATCH = 5
KILL = """
import os, signal, sys
from materium.cli.main import main
from materium.generate import writer

calls = 0
def deadly(original):
    def call(self, *arguments, **options):
        global calls
        calls += 1
        if calls == {when}:
            {before}
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments, **options)
    return call

writer.RunFolder.{step} = deadly(writer.RunFolder.{step})
sys.exit(main(sys.argv[1:]))
"""
"""A program that kills itself when a step of the writer is called for the n-th time."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def samples(engine: Materium) -> list[Sample]:
    return list(engine.samples(REQUEST))


def opened(folder: Path, engine: Materium, request: Request = REQUEST) -> RunFolder:
    return RunFolder(folder, RunInfo(request, engine.fingerprint, {"materium": "0"}, "test"), engine.tokenizer)


def written(folder: Path, engine: Materium, samples: list[Sample]) -> RunFolder:
    """Write what a folder still lacks, and finish it."""
    run = opened(folder, engine)
    rest = iter(samples[run.done :])
    while chunk := list(islice(rest, BATCH)):
        run.add(chunk)
    run.finish()
    return run


def content(folder: Path) -> dict[str, Any]:
    """What two runs must have in common: bytes of the text files, rows of the table."""
    cifs = {file.name: file.read_bytes() for file in (folder / "cif").iterdir()}
    rows = pq.read_table(folder / "structures.parquet").to_pylist()
    return {"extxyz": (folder / "structures.extxyz").read_bytes(), "cif": cifs, "rows": rows}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, engine: Materium, samples: list[Sample]) -> dict[str, Any]:
    """Return what an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    written(folder, engine, samples)
    return content(folder)


def test_files_of_a_finished_run(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    run = written(tmp_path / "run", engine, samples)
    names = sorted(path.name for path in run.folder.iterdir())
    assert names == ["cif", "run.json", "structures.extxyz", "structures.parquet"]
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["finished"]
    assert facts["request"] == REQUEST.to_dict()
    assert facts["model"] == engine.fingerprint
    assert facts["seconds"] > 0
    summary = run.summary()
    assert summary["crystals"] == 12
    assert 0 <= summary["valid"] <= 12


def test_the_same_structures_under_the_same_id_in_every_file(whole: dict[str, Any], samples: list[Sample]) -> None:
    ids = [f"3-{index:06d}" for index in range(12)]
    assert [row["id"] for row in whole["rows"]] == ids
    assert sorted(whole["cif"]) == [f"{name}.cif" for name in ids]
    assert [row["tokens"] for row in whole["rows"]] == [sample.tokens.tolist() for sample in samples]
    assert [row["log_likelihood"] for row in whole["rows"]] == [sample.log_likelihood for sample in samples]
    frames = list(convert.split_extxyz(whole["extxyz"].decode().splitlines(keepends=True)))
    assert len(frames) == 12
    for row, frame in zip(whole["rows"], frames, strict=True):
        if not row["valid"]:
            continue  # overlapping atoms are written, and refused by every reader
        crystal, facts = convert.from_extxyz(frame)
        assert facts["id"] == row["id"]
        assert crystal.numbers.tolist() == row["atomic_numbers"]
        np.testing.assert_allclose(crystal.lattice.ravel(), row["cell"], atol=1e-6)
        assert json.loads(row["conditions"]) == {"density": 3.5}


def test_own_table_can_be_read_again(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    run = written(tmp_path / "run", engine, samples)
    rows = list(read(run.folder / "structures.parquet"))
    assert [row.id for row in rows] == [f"3-{index:06d}" for index in range(12)]


def test_stopped_run_goes_on(tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]) -> None:
    run = opened(tmp_path / "run", engine)
    run.add(samples[:5])
    run.pause()
    assert opened(tmp_path / "run", engine).done == 5
    assert content(written(tmp_path / "run", engine, samples).folder) == whole


def damage_extxyz(folder: Path) -> None:
    data = (folder / "structures.extxyz").read_bytes()
    (folder / "structures.extxyz").write_bytes(data[: len(data) - 40])


def double_extxyz(folder: Path) -> None:
    data = (folder / "structures.extxyz").read_bytes()
    (folder / "structures.extxyz").write_bytes(data + data[:100])


def half_a_part(folder: Path) -> None:
    whole_part = next((folder / "parts").glob("*.parquet")).read_bytes()
    (folder / "parts" / "000000005-5.part").write_bytes(whole_part[:100])


def half_a_cif(folder: Path) -> None:
    (folder / "cif" / "3-000005.cif").write_text("data_")


def half_a_table(folder: Path) -> None:
    (folder / "structures.part").write_bytes(b"PAR1")


def half_a_note(folder: Path) -> None:
    (folder / "run.part").write_text("{")


def lose_extxyz(folder: Path) -> None:
    (folder / "structures.extxyz").unlink()


@pytest.mark.parametrize(
    "damage", [damage_extxyz, double_extxyz, half_a_part, half_a_cif, half_a_table, half_a_note, lose_extxyz]
)
def test_what_a_crash_left_is_mended(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any], damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    run = opened(folder, engine)
    run.add(samples[:5])
    damage(folder)
    written(folder, engine, samples)
    assert content(folder) == whole
    leftovers = {"structures.part", "run.part"} & {path.name for path in folder.iterdir()}
    assert not leftovers


def test_crash_before_anything_was_written(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]
) -> None:
    """The folder is known by run.json, which comes first: with no more than half of it there, it is still ours."""
    folder = tmp_path / "run"
    folder.mkdir()
    half_a_note(folder)
    assert content(written(folder, engine, samples).folder) == whole


def test_crash_after_the_mark(tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]) -> None:
    """... and before the journal was removed."""
    folder = tmp_path / "run"
    written(folder, engine, samples)
    (folder / "parts").mkdir()
    assert opened(folder, engine).finished
    assert not (folder / "parts").exists()
    assert content(folder) == whole


@pytest.mark.parametrize(
    ("step", "when", "before"),
    [
        ("_write_cif", 8, "pass"),
        ("_append_extxyz", 2, "(self.folder / 'structures.extxyz').open('a').write('3\\nLat')"),
        ("finish", 1, "pass"),
        ("_write_run", 2, "pass"),
        ("_mend_extxyz", 1, "pass"),
    ],
)
def test_killed_and_run_again(  # noqa: PLR0913, PLR0917 - a kill is a place, a time and a last deed
    tmp_path: Path,
    offline_environment: dict[str, str],
    tiny_checkpoint: Path,
    undisturbed: dict[str, Any],
    step: str,
    when: int,
    before: str,
) -> None:
    """`kill -9` in the middle of a batch, half-way through a frame, before and after the table is joined."""
    arguments = [*COMMAND, "--model", str(tiny_checkpoint), "--out", "run"]
    code = KILL.format(step=step, when=when, before=before)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=offline_environment, check=False, timeout=250
    )
    assert done.returncode == -signal.SIGKILL
    os.chdir(tmp_path)
    run_command(arguments)
    assert content(tmp_path / "run") == undisturbed


COMMAND = ["generate", "-n", "12", "--seed", "3", "--batch-size", "5", "--quiet"]


def run_command(arguments: list[str]) -> None:
    from materium.cli.main import main

    assert main(arguments) == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command([*COMMAND, "--model", str(tiny_checkpoint), "--out", str(folder)])
    return content(folder)


@pytest.fixture(autouse=True)
def _stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test works in a folder of its own, and goes back."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("finish", [True, False])
def test_other_settings_are_refused(tmp_path: Path, engine: Materium, samples: list[Sample], finish: bool) -> None:
    folder = tmp_path / "run"
    if finish:
        written(folder, engine, samples)
    else:
        opened(folder, engine).add(samples[:5])
    for changes in ({"seed": 4}, {"n": 13}, {"conditions": {}}, {"top_p": 0.9}):
        other = Request(**{"n": 12, "seed": 3, "conditions": {"density": 3.5}, **changes})
        with pytest.raises(RequestError, match="finished run with other settings"):
            opened(folder, engine, other)


def test_finished_run_is_left_as_it_is(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    folder = tmp_path / "run"
    written(folder, engine, samples)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert opened(folder, engine).finished
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", "7", '{"request": {}, "model": "x"}'])
def test_run_that_cannot_be_read(tmp_path: Path, engine: Materium, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RequestError, match="choose another --out"):
        opened(tmp_path, engine)


def test_folder_of_something_else_is_not_touched(tmp_path: Path, engine: Materium) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RequestError, match="is not empty and holds no run"):
        opened(tmp_path, engine)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_faults_have_reasons() -> None:
    assert fault(NACL) is None
    close = materium.Crystal(4 * np.eye(3), [[0, 0, 0], [0.1, 0, 0]], [11, 17])
    assert "0.400 Å apart" in str(fault(close))
    assert "volume per atom" in str(fault(materium.Crystal(1.2 * np.eye(3), [[0, 0, 0]], [11])))
    assert "volume per atom" in str(fault(materium.Crystal(9 * np.eye(3), [[0, 0, 0]], [11])))
