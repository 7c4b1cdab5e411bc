"""Run folders: killed at any moment and run again, they end as undisturbed ones do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import materium
from crystals import NACL, assert_same
from materium import convert
from materium.crystal import fault
from materium.data.readers import read
from materium.errors import DataError, RequestError
from materium.evaluate.firsts import Firsts
from materium.generate import writer
from materium.generate.request import ADDED, Request
from materium.generate.rows import crystal_of, make_row, schema, table_of
from materium.generate.workers import can_fork
from materium.generate.writer import RunFolder, RunInfo
from materium.io.atomic import read_signed, write_signed
from materium.symmetry import canonical, space_group
from tiny import tiny_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from materium.generate.engine import Materium, Sample

PLAIN = Request(n=12, seed=3, conditions={"density": 3.5})
REQUEST = replace(PLAIN, symmetrize=0.1)
"""What most tests write: a symmetrising run keeps more files, and every law holds for all of them."""
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
    """Return the sentences of REQUEST, and that of one well-known crystal in place of number 4."""
    written = list(engine.samples(REQUEST))
    written[4] = replace(written[4], tokens=engine.sentence(NACL, REQUEST), request=1, targets={"density": 2.0})
    return written


def test_table_holds_what_the_rows_do(engine: Materium, samples: list[Sample]) -> None:
    """It goes by JSON; pyarrow's own way from Python's objects is what it is held against."""
    rows = [make_row(sample, engine.read(sample), REQUEST) for sample in samples]
    rows[0] |= {"reason": 'two\nlines, "quotes" and \u00e5', "log_likelihood": -1 / 3, "index": 2**62}
    assert {row["refined"] is None for row in rows} == {True, False}
    table = table_of(rows)
    assert table.schema == schema()
    assert table.equals(pa.Table.from_pylist(rows, schema=schema()))
    assert table.to_pylist() == rows


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_table_keeps_what_json_cannot_say(engine: Materium, samples: list[Sample], value: float) -> None:
    row = make_row(samples[0], engine.read(samples[0]), REQUEST)
    assert str(table_of([row, {**row, "log_likelihood": value}])["log_likelihood"][1].as_py()) == str(value)


def opened(folder: Path, engine: Materium, request: Request = REQUEST) -> RunFolder:
    return RunFolder(folder, RunInfo(request, engine.fingerprint, {"materium": "0"}, "test"), engine.read)


def add(run: RunFolder, samples: list[Sample]) -> None:
    run.append(run.prepare(samples))


def written(folder: Path, engine: Materium, samples: list[Sample], request: Request = REQUEST) -> RunFolder:
    """Write what a folder still lacks, and finish it."""
    run = opened(folder, engine, request)
    rest = iter(samples[run.done :])
    while chunk := list(islice(rest, BATCH)):
        add(run, chunk)
    run.finish()
    return run


def content(folder: Path) -> dict[str, Any]:
    """What two runs must have in common: bytes of the text files, rows of the table."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.cif")}
    files |= {file.name: file.read_bytes() for file in folder.glob("*.extxyz")}
    return {"files": files, "rows": pq.read_table(folder / "structures.parquet").to_pylist()}


def frames(whole: dict[str, Any], name: str) -> list[tuple[materium.Crystal, dict[str, Any]]]:
    """Return the crystals of an extxyz file, and what its comment lines say; overlapping atoms are no crystal."""
    texts = convert.split_extxyz(whole["files"][name].decode().splitlines(keepends=True))
    return [convert.from_extxyz(text) for text in texts if "valid=F" not in text]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, engine: Materium, samples: list[Sample]) -> dict[str, Any]:
    """Return what an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    written(folder, engine, samples)
    return content(folder)


def test_files_of_a_finished_run(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    run = written(tmp_path / "run", engine, samples)
    names = sorted(path.name for path in run.folder.iterdir())
    assert names == ["cif", "refined", "refined.extxyz", "run.json", "structures.extxyz", "structures.parquet"]
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["finished"]
    assert facts["request"] == REQUEST.to_dict()
    assert facts["model"] == engine.fingerprint
    assert facts["seconds"] > 0
    summary = run.summary()
    assert summary["crystals"] == 12
    assert 0 <= summary["symmetrized"] <= summary["valid"] <= 12


def test_a_run_that_refines_nothing(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]
) -> None:
    run = written(tmp_path / "run", engine, samples, PLAIN)
    names = sorted(path.name for path in run.folder.iterdir())
    assert names == ["cif", "run.json", "structures.extxyz", "structures.parquet"]
    assert "symmetrized" not in run.summary()
    plain = content(run.folder)
    assert plain["files"].items() <= whole["files"].items()
    columns = ("symmetrized", "symmetrize_reason", "space_group_refined", "refined")
    blank = dict.fromkeys(columns)
    assert plain["rows"] == [{**row, **blank} for row in whole["rows"]]


def test_the_same_structures_under_the_same_id_in_every_file(whole: dict[str, Any], samples: list[Sample]) -> None:
    ids = [f"3-{index:06d}" for index in range(12)]
    assert [row["id"] for row in whole["rows"]] == ids
    assert sorted(name for name in whole["files"] if name.startswith("cif/")) == [f"cif/{name}.cif" for name in ids]
    assert [row["tokens"] for row in whole["rows"]] == [sample.tokens.tolist() for sample in samples]
    assert [row["log_likelihood"] for row in whole["rows"]] == [sample.log_likelihood for sample in samples]
    assert whole["files"]["structures.extxyz"].count(b"Lattice=") == 12
    valid = [row for row in whole["rows"] if row["valid"]]
    for row, (crystal, facts) in zip(valid, frames(whole, "structures.extxyz"), strict=True):
        assert facts["id"] == row["id"]
        assert crystal.numbers.tolist() == row["atomic_numbers"]
        np.testing.assert_allclose(crystal.lattice.ravel(), row["cell"], atol=1e-6)
        assert json.loads(row["conditions"]) == {"density": 3.5}


def test_rows_say_what_they_answer(whole: dict[str, Any]) -> None:
    rows = whole["rows"]
    assert [row["request"] for row in rows] == [int(index == 4) for index in range(12)]
    assert [json.loads(row["targets"]) for row in rows] == [
        {"density": 2.0 if index == 4 else 3.5} for index in range(12)
    ]
    by_id = {row["id"]: row for row in rows}
    for name in ("structures.extxyz", "refined.extxyz"):
        for _, facts in frames(whole, name):
            row = by_id[facts["id"]]
            assert (facts["request"], facts["targets"]) == (row["request"], row["targets"])


def test_raw_and_refined_crystals(whole: dict[str, Any]) -> None:
    rows = whole["rows"]
    accepted = [row for row in rows if row["symmetrized"]]
    assert 0 < len(accepted) < 12
    assert rows[4] in accepted
    assert rows[4]["space_group_refined"] == 225
    names = [f"refined/{row['id']}.cif" for row in accepted]
    assert sorted(name for name in whole["files"] if name.startswith("refined/")) == names
    for name, row, (crystal, facts) in zip(names, accepted, frames(whole, "refined.extxyz"), strict=True):
        assert row["symmetrize_reason"] is None
        assert facts["id"] == row["id"]
        assert facts["formula"] == row["formula"] == convert.formula(crystal)
        stored = crystal_of(row["refined"])
        assert sorted(stored.oxidation_states.tolist()) == sorted(row["oxidation_states"])
        assert_same(bare(stored), bare(crystal), tolerance=1e-6)
        read = convert.from_cif(whole["files"][name].decode())
        assert_same(canonical(bare(stored)), canonical(bare(read)), tolerance=1e-6)
        assert facts["space_group_refined"] == row["space_group_refined"] == space_group(crystal, 1e-4)


def bare(crystal: materium.Crystal) -> materium.Crystal:
    """Return the crystal without oxidation states: what is all zeros in a file is read as none."""
    return materium.Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


def test_refused_rows_say_why(whole: dict[str, Any]) -> None:
    refused = [row for row in whole["rows"] if not row["symmetrized"]]
    assert refused
    for row in refused:
        assert row["refined"] is row["space_group_refined"] is None
        assert row["symmetrize_reason"]
        assert row["valid"] or row["symmetrize_reason"] == row["reason"]


def test_cifs_carry_the_group_of_the_table(whole: dict[str, Any]) -> None:
    """... where symmetrising hardly moves anything, as at the finer tolerance; P1 where atoms overlap."""
    for row in whole["rows"]:
        text = whole["files"][f"cif/{row['id']}.cif"].decode()
        number = int(re.findall(r"_symmetry_Int_Tables_number\s+(\d+)", text)[0])
        assert number in {row["space_group"] or 1, row["space_group_fine"] or 1}
        assert number > 1 or row["space_group_fine"] in {1, None}


def test_on_request_cifs_hold_the_cell_as_generated(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    info = RunInfo(PLAIN, engine.fingerprint, {}, "test", p1=True)
    run = RunFolder(tmp_path / "run", info, engine.read)
    add(run, samples)
    for row in run.prepare(samples):
        text = (run.folder / "cif" / f"{row.row['id']}.cif").read_text(encoding="utf-8")
        assert "_symmetry_Int_Tables_number   1\n" in text
        assert len(re.findall(r"(?m)^  [A-Z].*  1$", text)) == row.row["num_sites"]
    assert info.identity["output"] == ["p1"]


def test_own_table_can_be_read_again(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    run = written(tmp_path / "run", engine, samples)
    rows = list(read(run.folder / "structures.parquet"))
    assert [row.id for row in rows] == [f"3-{index:06d}" for index in range(12)]


def test_stopped_run_goes_on(tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]) -> None:
    run = opened(tmp_path / "run", engine)
    add(run, samples[:5])
    run.pause()
    assert opened(tmp_path / "run", engine).done == 5
    assert content(written(tmp_path / "run", engine, samples).folder) == whole


def unique_run(folder: Path, engine: Materium, *, table_only: bool = False) -> RunFolder:
    info = RunInfo(REQUEST, engine.fingerprint, {}, "test", unique=True, table_only=table_only)
    return RunFolder(folder, info, engine.read, Firsts)


def test_copies_are_marked_and_get_no_files(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    """Number 4 is rock salt; it comes again as number 9, in another batch and after a stop."""
    twice = [*samples[:9], replace(samples[4], index=9), *samples[10:]]
    run = unique_run(tmp_path / "run", engine)
    add(run, twice[:5])
    run.pause()
    run = unique_run(tmp_path / "run", engine)
    add(run, twice[5:])
    run.finish()
    rows = content(run.folder)["rows"]
    assert [row["index"] for row in rows] == list(range(12))
    assert rows[9]["copy_of"] == "3-000004"
    assert rows[4]["copy_of"] is None
    copies = {row["id"] for row in rows if row["copy_of"]}
    assert {file.stem for file in (run.folder / "cif").iterdir()} == {row["id"] for row in rows} - copies
    assert run.summary()["unique"] == run.summary()["valid"] - len(copies)


def test_a_table_is_all_that_is_written(tmp_path: Path, engine: Materium, samples: list[Sample]) -> None:
    run = unique_run(tmp_path / "run", engine, table_only=True)
    add(run, samples)
    run.finish()
    assert sorted(path.name for path in run.folder.iterdir()) == ["run.json", "structures.parquet"]
    with pytest.raises(RequestError, match="other settings"):
        opened(tmp_path / "run", engine)


@pytest.mark.parametrize("unique", [False, True])
def test_cifs_are_written_where_the_crystal_was(
    tmp_path: Path, engine: Materium, samples: list[Sample], *, unique: bool
) -> None:
    """But a copy is told by the process that holds the run together, and gets none."""
    run = unique_run(tmp_path / "run", engine) if unique else opened(tmp_path / "run", engine)
    prepared = run.prepare(samples[:5])
    assert len(list((run.folder / "cif").iterdir())) == (0 if unique else 5)
    assert all((one.texts["cif"][0] is None) != unique for one in prepared)
    run.append(prepared)
    assert len(list((run.folder / "cif").iterdir())) == 5


def test_what_the_disk_refuses_is_said_where_the_run_is_held_together(
    tmp_path: Path, engine: Materium, samples: list[Sample]
) -> None:
    run = opened(tmp_path / "run", engine)
    (run.folder / "cif").rmdir()
    prepared = run.prepare(samples[:5])
    with pytest.raises(FileNotFoundError, match="cif"):
        run.append(prepared)
    (run.folder / "cif").mkdir()
    run.append(prepared)
    assert len(list((run.folder / "cif").iterdir())) == 5


def test_space_groups_may_be_left_out(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]
) -> None:
    """Nothing else changes, and a run with them is another one."""
    run = RunFolder(
        tmp_path / "run", RunInfo(REQUEST, engine.fingerprint, {}, "test", no_space_groups=True), engine.read
    )
    add(run, samples)
    run.finish()
    empty = {"space_group": None, "space_group_fine": None}
    assert any(row["space_group"] for row in whole["rows"])
    assert content(run.folder)["rows"] == [{**row, **empty} for row in whole["rows"]]
    assert "space_group" not in (run.folder / "structures.extxyz").read_text(encoding="utf-8")
    with pytest.raises(RequestError, match="other settings"):
        opened(tmp_path / "run", engine)


def test_parts_are_joined_a_few_at_a_time(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ROW_GROUP", 6)
    run = written(tmp_path / "run", engine, samples)
    assert pq.ParquetFile(run.folder / "structures.parquet").num_row_groups == 2
    assert content(run.folder) == whole


def damage_extxyz(folder: Path) -> None:
    data = (folder / "structures.extxyz").read_bytes()
    (folder / "structures.extxyz").write_bytes(data[: len(data) - 40])


def double_extxyz(folder: Path) -> None:
    data = (folder / "structures.extxyz").read_bytes()
    (folder / "structures.extxyz").write_bytes(data + data[:100])


def half_a_part(folder: Path) -> None:
    whole_part = next((folder / "parts").glob("*.parquet")).read_bytes()
    (folder / "parts" / ".000000005-5.part").write_bytes(whole_part[:100])


def half_a_cif(folder: Path) -> None:
    (folder / "cif" / "3-000005.cif").write_text("data_")


def half_a_table(folder: Path) -> None:
    (folder / ".structures.parquet.part").write_bytes(b"PAR1")


def half_a_note(folder: Path) -> None:
    (folder / ".run.json.part").write_text("{")


def lose_extxyz(folder: Path) -> None:
    (folder / "structures.extxyz").unlink()


def damage_refined(folder: Path) -> None:
    data = (folder / "refined.extxyz").read_bytes()
    assert len(data) > 40
    (folder / "refined.extxyz").write_bytes(data[: len(data) - 40])


def lose_refined(folder: Path) -> None:
    (folder / "refined.extxyz").unlink()


def half_a_refined_cif(folder: Path) -> None:
    (folder / "refined" / "3-000011.cif").write_text("data_")  # a later one of those that are refined


DAMAGES = [
    damage_extxyz, double_extxyz, half_a_part, half_a_cif, half_a_table, half_a_note, lose_extxyz,
    damage_refined, lose_refined, half_a_refined_cif,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_crash_left_is_mended(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any], damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    run = opened(folder, engine)
    add(run, samples[:5])
    damage(folder)
    written(folder, engine, samples)
    assert content(folder) == whole
    leftovers = {".structures.parquet.part", ".run.json.part"} & {path.name for path in folder.iterdir()}
    assert not leftovers


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, lambda path: path.unlink()], ids=["flip", "lose"])
@pytest.mark.parametrize("finished", [False, True], ids=["stopped", "finished"])
def test_damage_to_any_file_is_found(
    tmp_path: Path, engine: Materium, samples: list[Sample], damage: Callable[[Path], None], *, finished: bool
) -> None:
    """It is made anew, or named where it cannot be; rock salt comes twice, so that the index of copies counts."""
    twice = [*samples[:9], replace(samples[4], index=9), *samples[10:]]

    def go_on(folder: Path, stop: int) -> RunFolder:
        run = unique_run(folder, engine)
        while run.done < stop and not run.finished:
            add(run, twice[run.done : run.done + BATCH])
        return run

    go_on(tmp_path / "whole", 12).finish()
    expected = content(tmp_path / "whole")
    first = tmp_path / "first"
    run = go_on(first, 12 if finished else 10)
    run.finish() if finished else run.pause()
    names = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    cifs = [name for name in names if name.parent.name == "cif"]
    for name in [name for name in names if name not in cifs[2:]]:
        folder = tmp_path / "damaged"
        shutil.copytree(first, folder)
        damage(folder / name)
        if name.name in {"run.json", "structures.parquet"}:
            with pytest.raises((DataError, RequestError), match=r"choose another --out|run the same command again"):
                go_on(folder, 12)
        else:
            run = go_on(folder, 12)
            if not run.finished:
                run.finish()
            assert content(folder) == expected, name
            assert run.repaired or not finished, name
        shutil.rmtree(folder)


def test_crash_before_anything_was_written(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]
) -> None:
    """The folder is known by run.json, which comes first: with no more than half of it there, it is still ours."""
    folder = tmp_path / "run"
    folder.mkdir()
    half_a_note(folder)
    assert content(written(folder, engine, samples).folder) == whole


@pytest.mark.skipif(not can_fork(), reason="no fork on this system")
def test_put_into_words_by_the_processes_that_write(tmp_path: Path, engine: Materium) -> None:
    """The same files and rows as from one process."""
    alone, together = (opened(tmp_path / name, engine) for name in ("alone", "together"))
    for run, workers in ((alone, 1), (together, 2)):
        for batch in engine.made(engine.plan(REQUEST), run.prepare, 0, BATCH, workers):
            run.append(batch)
        run.finish()
    assert content(tmp_path / "together") == content(tmp_path / "alone")


def test_a_run_of_before_a_field_was_known_goes_on(
    tmp_path: Path, engine: Materium, samples: list[Sample], whole: dict[str, Any]
) -> None:
    run = opened(tmp_path / "run", engine)
    add(run, samples[:5])
    run.pause()
    path = tmp_path / "run" / "run.json"
    facts = read_signed(path, "no run")
    for name in ADDED:
        del facts["request"][name]
    write_signed(path, facts)
    written(tmp_path / "run", engine, samples)
    assert content(tmp_path / "run") == whole


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
        ("_write_cifs", 8, "pass"),
        ("_append_frames", 3, "(self.folder / 'structures.extxyz').open('a').write('3\\nLat')"),
        ("finish", 1, "pass"),
        ("_write_run", 2, "pass"),
        ("_restore_texts", 1, "pass"),
        ("_append_frames", 4, "(self.folder / 'refined.extxyz').open('a').write('3\\nLat')"),
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


COMMAND = ["generate", "-n", "12", "--seed", "3", "--batch-size", "5", "--symmetrize", "0.1", "--quiet"]


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
        add(opened(folder, engine), samples[:5])
    for changes in ({"seed": 4}, {"n": 13}, {"conditions": {}}, {"top_p": 0.9}, {"symmetrize": None}):
        other = replace(REQUEST, **changes)
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
    with pytest.raises(DataError, match="choose another --out"):
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
