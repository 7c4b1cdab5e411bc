"""The evaluation from end to end, with the Lennard-Jones potential and a hull of a few crystals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import warnings
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystals import KNOWN, NACL, QUARTZ, RUTILE, SILICON
from materium import convert
from materium.crystal import Crystal
from materium.data import readers
from materium.data.records import Row
from materium.errors import MateriumError
from materium.evaluate.hull import Hull
from materium.evaluate.pipeline import Evaluation, Settings, evaluate, without_all_but
from materium.evaluate.reference import load
from materium.evaluate.reference_build import Options, build
from materium.relax.adapters import potential
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STAGES = ["check", "unique", "novel", "relax", "unique_relaxed", "novel_relaxed", "hull"]
CHEAP = Settings(skip=frozenset({"relax", "novel"}))


def cubic(number: int, length: float, count: int = 1) -> Crystal:
    """A chain of atoms in a tetragonal cell, for elements and for size."""
    frac = [[0, 0, place / count] for place in range(count)]
    return Crystal(np.diag([length, length, length * count]), np.array(frac), np.full(count, number), np.zeros(count))


def displaced(crystal: Crystal, size: float, seed: int = 0) -> Crystal:
    moves = np.random.default_rng(seed).normal(0, size, (len(crystal), 3))
    return Crystal(crystal.lattice, crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice), crystal.numbers)


ELEMENTS = [cubic(number, 2.8) for number in (8, 11, 14, 17)]
MADE: list[Crystal | Row] = [
    NACL,
    displaced(NACL, 0.02),
    SILICON,
    displaced(QUARTZ, 0.02),
    RUTILE,
    cubic(18, 2.9),
    cubic(11, 1.0),
    cubic(11, 9.0),
    Row("lost", None, {}, "the sentence has no end"),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hull of four elements and NaCl, as it knows no titanium and no argon."""
    folder = tmp_path_factory.mktemp("reference")
    write_table(folder / "train.parquet", [*ELEMENTS, NACL])
    build([folder / "train.parquet"], potential("lennard-jones"), "small", Options()).write(folder / "small.parquet")
    return str(folder / "small.parquet")


@pytest.fixture(scope="module")
def chosen(reference: str) -> Settings:
    return Settings(potential="lennard-jones", reference=reference, max_steps=60)


@pytest.fixture(scope="module")
def made(chosen: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    out = tmp_path_factory.mktemp("made") / "out"
    return evaluate(MADE, out, chosen), out


def test_every_row_has_its_verdicts_or_a_reason(made: tuple[Evaluation, Path]) -> None:
    rows = made[0].rows
    assert [row["id"] for row in rows] == [*map(str, range(8)), "lost"]
    assert [row["valid"] for row in rows] == [True] * 6 + [False] * 3
    assert all(row["reason"] for row in rows[6:])
    assert [row.get("unique") for row in rows] == [True, False, True, True, True, True, None, None, None]
    assert rows[1]["duplicate_of"] == "0"
    assert [row.get("novel") for row in rows[:6]] == [False, False, True, True, True, True]
    assert {row["relax_status"] for row in rows[:6]} <= {"converged", "max_steps", "exploded"}
    assert all(row.get("relax_status") is None for row in rows[6:])
    assert all(row["unique_final"] is False and row["sun"] is False for row in rows[6:])
    for row in rows[:6]:
        assert row["relax_status"] != "converged" or row["max_force"] <= 0.05


def test_missing_elements_are_no_reference(made: tuple[Evaluation, Path]) -> None:
    rows = made[0].rows
    for row in rows[4:6]:
        assert row.get("energy_above_hull") is None
        assert row["hull_reason"]
        assert row["metastable"] is False
    assert "no reference" in rows[5]["hull_reason"]
    assert isinstance(rows[0]["energy_above_hull"], float)


def test_metrics_count_every_row(made: tuple[Evaluation, Path], chosen: Settings) -> None:
    metrics = made[0].metrics
    assert metrics["n_asked"] == metrics["n_rows"] == 9
    for one in metrics["metrics"].values():
        assert one.get("denominator", 9) == 9
    assert metrics["metrics"]["parsed"]["numerator"] == 8
    assert metrics["metrics"]["valid"]["numerator"] == 6
    assert metrics["potential"]["name"] == chosen.potential
    assert len(metrics["reference"]["fingerprint"]) == 64
    assert "frac_novel_unique_stable_structures" in metrics["mattergen"]
    assert "halide" in metrics["groups"]["class"]


def test_folder_holds_what_was_returned(made: tuple[Evaluation, Path]) -> None:
    found, out = made
    table = pq.read_table(out / "rows.parquet").to_pylist()
    for row, written in zip(found.rows, table, strict=True):
        assert {name: value for name, value in written.items() if value is not None} == {
            name: value for name, value in row.items() if value is not None
        }
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(found.metrics))
    relaxed = list(convert.frames(out / "relaxed.extxyz"))
    assert len(relaxed) == sum(row.get("relaxed_cell") is not None for row in found.rows)
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.json", "lemat.csv", "metrics.json", "relaxed", "relaxed.extxyz", "rows.csv", "rows.parquet"
    ]  # fmt: skip


def test_folder_holds_plain_files_too(made: tuple[Evaluation, Path]) -> None:
    """A CSV of the verdicts, and a CIF with symmetry of each relaxed crystal, which are not read twice."""
    found, out = made
    with (out / "rows.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["id"] for line in lines] == [row["id"] for row in found.rows]
    assert "frac_coords" not in lines[0]
    relaxed = [row for row in found.rows if row.get("relaxed_cell") is not None]
    cifs = [convert.read_file(path) for path in (out / "relaxed").iterdir()]
    assert sorted(convert.formula(crystal) for (crystal,) in cifs) == sorted(row["formula"] for row in relaxed)
    assert len(list(readers.read(out))) == len(relaxed)


def test_rows_are_a_table_of_structures(made: tuple[Evaluation, Path]) -> None:
    again = evaluate(made[1] / "rows.parquet", settings=CHEAP)
    assert [row["valid"] for row in again.rows] == [row["valid"] for row in made[0].rows]


def test_finished_is_given_back(made: tuple[Evaluation, Path], chosen: Settings) -> None:
    found, out = made
    before = (out / "rows.parquet").stat().st_mtime_ns
    again = evaluate(MADE, out, chosen)
    assert again.reused
    assert again.metrics == json.loads(json.dumps(found.metrics))
    assert (out / "rows.parquet").stat().st_mtime_ns == before


def test_other_input_or_settings_are_refused(made: tuple[Evaluation, Path], chosen: Settings) -> None:
    with pytest.raises(MateriumError, match="another input"):
        evaluate(MADE[::-1], made[1], chosen)
    with pytest.raises(MateriumError, match="another skip"):
        evaluate(MADE, made[1], Settings(**{**vars(chosen), "skip": frozenset({"hull"})}))


def test_killed_in_every_stage_goes_on(chosen: Settings, made: tuple[Evaluation, Path], tmp_path: Path) -> None:
    """Killed by the system after each chunk that is saved, and its next line torn: the same rows in the end."""
    out = tmp_path / "out"
    for _ in range(2 * len(STAGES)):
        if _forked(lambda: evaluate(MADE, out, chosen, stop=lambda: os.kill(os.getpid(), signal.SIGKILL))) == 0:
            break
        newest = max((out / "parts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        with newest.open("a") as file:
            file.write('{"0": {"va')
    found = evaluate(MADE, out, chosen)
    assert found.reused
    assert found.metrics == json.loads(json.dumps(made[0].metrics))
    for file in ("rows.parquet", "relaxed.extxyz", "lemat.csv"):
        assert (out / file).read_bytes() == (made[1] / file).read_bytes()


DEADLY = """
import os, signal, sys
from pathlib import Path
from materium.evaluate.pipeline import Settings, evaluate

evaluate(Path(sys.argv[1]), sys.argv[2], Settings(max_steps=4), stop=lambda: os.kill(os.getpid(), signal.SIGKILL))
"""
"""An evaluation with the settings of the command line but for its steps, that dies of each chunk it has saved."""


def test_killed_in_every_stage_with_chgnet_goes_on(tmp_path: Path, offline_environment: dict[str, str]) -> None:
    pytest.importorskip("chgnet", reason="materium[chgnet] is not installed", exc_type=ImportError)
    table, out = write_table(tmp_path / "made.parquet", [NACL, ELEMENTS[0], NACL]), tmp_path / "out"
    call = [sys.executable, "-W", "ignore", "-c", DEADLY, str(table), str(out)]
    ends, stages = [], []
    for _ in range(2 * len(STAGES)):
        ends.append(subprocess.run(call, env=offline_environment, check=False, timeout=250).returncode)
        if ends[-1] == 0:
            break
        stages.append(max((out / "parts").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns).stem)
    assert ends == [*[-signal.SIGKILL] * len(STAGES), 0]
    assert stages == STAGES
    evaluate(table, tmp_path / "whole", Settings(max_steps=4))
    for file in ("rows.parquet", "relaxed.extxyz", "lemat.csv"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def _forked(work: Callable[[], object]) -> int:
    """The status of a process that does the work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forks of processes with threads may hang; this one has none that work
        child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("max_steps", [0, 2])
def test_why_there_is_no_energy_is_told(max_steps: int) -> None:
    chosen = Settings(potential="ase.calculators.emt:EMT", max_steps=max_steps, skip=frozenset({"novel", "hull"}))
    (row,) = evaluate([cubic(92, 3.0)], settings=chosen).rows
    assert row["relax_status"] == "error"
    assert row["relax_reason"] == "ase.calculators.emt:EMT failed: No EMT-potential for U"


def test_one_s_own_calculator_has_its_own_hull(tmp_path: Path) -> None:
    """Labels of DFT are of no use to it, and no other hull takes it."""
    calculator = "ase.calculators.lj:LennardJones"
    train = write_table(tmp_path / "train.parquet", [*ELEMENTS, NACL], energy_above_hull=[0.05] * 5)
    hull = build([train], potential(calculator), "own", Options())
    assert {entry.kind for entry in hull.entries} == {"computed"}
    hull.write(tmp_path / "own.parquet")
    chosen = Settings(potential=calculator, reference=str(tmp_path / "own.parquet"), max_steps=0)
    (row,) = evaluate(ELEMENTS[1:2], settings=chosen).rows
    assert row["energy_above_hull"] == pytest.approx(0, abs=1e-5)
    assert row["stable"]
    with pytest.raises(MateriumError, match="is a hull of chgnet"):
        evaluate([NACL], settings=Settings(potential=calculator, reference="chgnet", max_steps=0))


def test_potential_of_another_hull_is_refused_before_work(reference: str, tmp_path: Path) -> None:
    class Other(type(potential("lennard-jones"))):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.name = "other"

    with pytest.raises(MateriumError, match="other"):
        evaluate(MADE, tmp_path / "out", Settings(potential=Other(), reference=reference))
    assert not (tmp_path / "out").exists()


def test_novelty_needs_no_reference_of_the_potential() -> None:
    calculator = "ase.calculators.lj:LennardJones"
    found = evaluate([NACL], settings=Settings(potential=calculator, max_steps=0, skip=frozenset({"unique", "hull"})))
    assert isinstance(found.rows[0]["novel"], bool)
    assert found.metrics["reference"]["name"] == "chgnet"
    with pytest.raises(MateriumError, match="--reference chgnet --skip hull"):
        evaluate([NACL], settings=Settings(potential=calculator))


def test_overlapping_atoms_of_a_run_are_read_and_judged(tmp_path: Path) -> None:
    write_table(
        tmp_path / "structures.parquet",
        [NACL, Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([11, 17]), np.array([1, -1]))],
    )
    (tmp_path / "structures.extxyz").write_text("")
    (tmp_path / "run.json").write_text('{"finished": true}')
    found = evaluate(tmp_path, settings=CHEAP)
    assert found.metrics["metrics"]["parsed"]["numerator"] == 2
    assert [row["valid"] for row in found.rows] == [True, False]
    assert "apart" in found.rows[1]["reason"]
    assert found.metrics["groups"]["class"]["halide"]["valid"]["denominator"] == 2


def test_unfinished_run_needs_its_denominator(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write_table(tmp_path / "parts" / "000000000-1.parquet", [NACL])
    (tmp_path / "structures.extxyz").write_text("")
    (tmp_path / "run.json").write_text('{"finished": false}')
    with pytest.raises(MateriumError, match="unfinished run; finish it, or give --n-asked"):
        evaluate(tmp_path, settings=CHEAP)
    found = evaluate(tmp_path, settings=Settings(skip=CHEAP.skip, n_asked=4))
    assert found.metrics["metrics"]["valid"]["denominator"] == 4
    assert [row["id"] for row in found.rows] == ["row-0"]


def test_evaluation_is_read_once(made: tuple[Evaluation, Path]) -> None:
    again = evaluate(made[1], settings=CHEAP)
    assert [row["id"] for row in again.rows] == [row["id"] for row in made[0].rows]


def test_energies_as_made(chosen: Settings) -> None:
    found = evaluate(MADE, settings=Settings(**{**vars(chosen), "max_steps": 0}))
    assert [row["relax_status"] for row in found.rows[:6]] == ["single_point"] * 6
    assert found.rows[0]["energy"] == found.rows[0]["energy_as_made"]
    assert chosen.reference is not None
    height = Hull(load(chosen.reference)).energy_above_hull(NACL, found.rows[0]["energy"])
    assert found.rows[0]["energy_above_hull"] == height
    assert "unique_relaxed" not in found.rows[0]
    assert not {"converged", "matched", "relax_steps"} & set(found.metrics["metrics"])
    assert found.metrics["metrics"]["relaxed"]["numerator"] == 6


def test_known_table_decides_novelty(tmp_path: Path) -> None:
    write_table(tmp_path / "known.parquet", [RUTILE])
    chosen = Settings(known=str(tmp_path / "known.parquet"), skip=frozenset({"relax"}))
    found = evaluate([RUTILE, NACL], settings=chosen)
    assert [row["novel"] for row in found.rows] == [False, True]
    assert found.rows[0]["nearest_id"] == "row-0"


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_change_nothing(processes: int) -> None:
    crystals = [displaced(crystal, 0.01, seed) for crystal in KNOWN.values() for seed in range(14)]
    found = evaluate(crystals, settings=CHEAP, processes=processes)
    assert found.metrics["metrics"]["unique"]["numerator"] == len(KNOWN)


def test_order_of_rows_changes_no_verdict() -> None:
    one, other = (evaluate(crystals, settings=CHEAP) for crystals in (MADE, MADE[::-1]))
    for name in ("valid", "unique", "smact_valid", "neutral"):
        assert one.metrics["metrics"][name]["value"] == other.metrics["metrics"][name]["value"]


def test_asked_is_in_every_denominator() -> None:
    found = evaluate([NACL, SILICON], settings=Settings(skip=CHEAP.skip, n_asked=10))
    assert {one["denominator"] for one in found.metrics["metrics"].values() if "denominator" in one} == {10}


def test_out_in_the_folder_that_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(convert.to_cif(NACL))
    with pytest.raises(MateriumError, match="beside it"):
        evaluate(tmp_path, tmp_path / "out", CHEAP)


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MateriumError, match="choose another"):
        evaluate([NACL], tmp_path, CHEAP)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "wrong", [{"skip": frozenset({"hul"})}, {"fmax": 0.0}, {"fmax": nan}, {"fmax": inf}, {"max_steps": -1}]
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(MateriumError):
        Settings(**wrong)


def test_only_brings_what_is_needed() -> None:
    assert without_all_but(["hull"]) == {"unique", "novel"}
    assert without_all_but(["check"]) == {"unique", "novel", "relax", "hull"}
    with pytest.raises(MateriumError, match="hul"):
        without_all_but(["hul"])


ODD = {
    "one atom": cubic(26, 2.5),
    "noble gas": cubic(2, 3.0),
    "200 atoms": cubic(29, 2.4, 200),
    "huge cell": cubic(11, 5e4),
    "flat cell": Crystal(np.diag([50.0, 50.0, 0.05]), np.zeros((1, 3)), np.array([11])),
    "needle": Crystal(np.diag([2e4, 0.6, 0.6]), np.zeros((1, 3)), np.array([11])),
    "coincident": Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([11, 17])),
    "superheavy": cubic(118, 3.0),
    "skewed": Crystal(np.array([[3.0, 0, 0], [900.0, 3, 0], [0, 0, 3]]), np.zeros((1, 3)), np.array([14])),
}


def test_odd_crystals_are_rows(chosen: Settings) -> None:
    found = evaluate(list(ODD.values()), settings=Settings(**{**vars(chosen), "max_steps": 3}))
    assert len(found.rows) == len(ODD)
    for name, row in zip(ODD, found.rows, strict=True):
        assert row["valid"] or row["reason"], name


TEXTS = {
    "cif": convert.to_cif(RUTILE),
    "vasp": convert.to_poscar(RUTILE),
    "extxyz": "8\n"
    'Lattice="5.64 0 0 0 5.64 0 0 0 5.64" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
    + "".join(f"{'Na' if k < 4 else 'Cl'} {k % 2 * 2.8} {k // 2 % 2 * 2.8} {k // 4 * 2.8}\n" for k in range(8)),
}


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, str]:
    """A structure's text, cut short, with a number replaced, a line dropped or a letter changed."""
    kind = draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[kind]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text) - 1)) if text else 0
        way = draw(st.sampled_from(["cut", "number", "letter", "line"]))
        if way == "cut":
            text = text[:place]
        elif way == "letter":
            text = text[:place] + draw(st.characters(codec="utf-8")) + text[place + 1 :]
        elif way == "line":
            lines = text.splitlines(keepends=True)
            text = "".join(line for number, line in enumerate(lines) if number != place % max(1, len(lines)))
        else:
            words = text.split(" ")
            words[place % len(words)] = draw(st.sampled_from(["nan", "inf", "-1", "0", "1e9", "1e-9", "Xx", "?", ""]))
            text = " ".join(words)
    return kind, text


@given(st.lists(broken(), min_size=5, max_size=5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_files_are_rows(tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str]]) -> None:
    """Forty folders of five files: 200 broken inputs, each a row that is judged or has its reason."""
    folder = tmp_path_factory.mktemp("broken")
    for number, (kind, text) in enumerate(files):
        (folder / f"ß {number}.{kind}").write_text(text, encoding="utf-8")
    found = evaluate(folder, settings=CHEAP)
    assert len(found.rows) >= len(files)
    for row in found.rows:
        assert row["valid"] or row["reason"]
    assert found.metrics["metrics"]["valid"]["denominator"] == len(found.rows)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9),
    st.lists(st.floats(allow_nan=True), min_size=6, max_size=6),
    st.lists(st.integers(-3, 130), min_size=2, max_size=2),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_numbers_are_rows(
    tmp_path_factory: pytest.TempPathFactory, cell: list[float], frac: list[float], numbers: list[int]
) -> None:
    import pyarrow as pa

    path = tmp_path_factory.mktemp("broken") / "a.parquet"
    pq.write_table(pa.table({"cell": [cell], "frac_coords": [frac], "atomic_numbers": [numbers]}), path)
    (row,) = evaluate(path, settings=CHEAP).rows
    assert row["valid"] or row["reason"]
