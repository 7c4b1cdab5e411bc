"""`materium export`: from a run, a table or files to inputs, and each mistake in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.io.espresso import read_espresso_in

from crystals import NACL, QUARTZ, RUTILE, SILICON, assert_same
from materium import convert
from materium.cli.main import main
from materium.crystal import Crystal
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, to: str = "quantum-espresso", task: str = "relax") -> tuple[int, str, str]:
        status = main(["export", *arguments, "--to", to, "--task", task])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def plain(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


def assert_refused(result: tuple[int, str, str], said: str) -> None:
    status, out, err = result
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_table(export: Callable[..., Any], tmp_path: Path) -> None:
    crystals = [NACL, QUARTZ, SILICON]
    write_table(tmp_path / "in.parquet", crystals)
    status, out, err = export("in.parquet", "--out", "out", to="QE")  # as people call it
    assert (status, err) == (0, "")
    assert "out: inputs of 3 of 3 structures; see out/README.md" in out
    for index, crystal in enumerate(crystals):
        written = read_espresso_in(tmp_path / "out" / f"row-{index}" / "pw.in")
        assert_same(convert.from_atoms(written), plain(crystal), tolerance=1e-9)


def test_several_sources(export: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "salt.cif").write_text(convert.to_cif(NACL))
    (tmp_path / "POSCAR").write_text(convert.to_poscar(RUTILE))
    assert export("salt.cif", "POSCAR", "--out", "out", to="vasp", task="bands")[0] == 0
    for name, crystal in (("salt", NACL), ("POSCAR", RUTILE)):
        text = (tmp_path / "out" / name / "bands" / "POSCAR").read_text()
        assert_same(convert.from_poscar(text), plain(crystal), tolerance=1e-9)


def test_run_keeps_its_ids(export: Callable[..., Any], tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Also those of crystals that are left out: a random model's atoms overlap, and that is all that is wrong."""
    arguments = ["-n", "24", "--seed", "3", "--quiet", "--model", str(tiny_checkpoint), "--out", "run"]
    assert main(["generate", *arguments]) == 0
    run = pq.read_table(tmp_path / "run" / "structures.parquet").to_pylist()
    status, _, _ = export("run", "--out", "out", task="magnetic")
    assert status == 0
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()}
    assert list(rows) == [row["id"] for row in run]
    for row in run:
        folder = tmp_path / "out" / row["id"]
        assert folder.is_dir() is (rows[row["id"]]["reason"] is None)
        if folder.is_dir():
            atoms = read_espresso_in(folder / "pw.in")
            np.testing.assert_array_equal(atoms.numbers, row["atomic_numbers"])
            np.testing.assert_allclose(abs(atoms.cell.array), abs(np.array(row["cell"]).reshape(3, 3)), atol=1e-9)
        else:
            assert rows[row["id"]]["folder"] is None


def test_rows_that_cannot_go_are_listed_and_the_others_go_on(export: Callable[..., Any], tmp_path: Path) -> None:
    heavy = Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([110]), np.array([0]))
    write_table(tmp_path / "in.parquet", [NACL, heavy, SILICON])
    status, out, _ = export("in.parquet", "--out", "out")
    assert status == 0
    assert "inputs of 2 of 3 structures" in out
    assert "no pseudopotential for Ds" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["row-0", "row-2"]
    assert "| row-1 | no pseudopotential for Ds" in (tmp_path / "out" / "README.md").read_text()


def test_own_pseudopotentials(export: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"Si": {"filename": "mine.upf", "cutoff_wfc": 12, "cutoff_rho": 48}}')
    write_table(tmp_path / "in.parquet", [SILICON])
    assert export("in.parquet", "--out", "out", "--pseudos", "p.json", "--k-spacing", "0.5", "--quiet") == (0, "", "")
    assert "mine.upf" in (tmp_path / "out" / "row-0" / "pw.in").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"to": "abinit"}, "--to 'abinit' is unknown; there are quantum-espresso, vasp"),
        ({"task": "phonons"}, "--task 'phonons' is unknown; there are relax, bands, magnetic"),
    ],
)
def test_unknown_program_or_task(change: dict[str, str], said: str, export: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [SILICON])
    assert_refused(export("in.parquet", "--out", "out", **change), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in.parquet", "--out", "in.parquet"), "in.parquet"),
        (("nothing", "--out", "out"), "nothing does not exist"),
        (("in.parquet", "--out", "out", "--pseudos", "p.json"), "cannot open p.json"),
        (("in.parquet", "--out", "out", "--k-spacing", "-1"), "-1 Å⁻¹ is not positive"),
        (("in.parquet", "--out", "out", "--k-spacing", "fine"), "'fine'"),
        (("empty", "--out", "out"), "empty holds no CIF"),
        (("empty.parquet", "--out", "out"), "the input holds no structure"),
        (("in.parquet",), "missing option '--out'"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], said: str, export: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [SILICON])
    (tmp_path / "empty").mkdir()
    pq.write_table(pq.read_table(tmp_path / "in.parquet").slice(0, 0), tmp_path / "empty.parquet")
    assert_refused(export(*arguments), said)
    assert not (tmp_path / "out").exists()


def test_output_is_never_overwritten(export: Callable[..., Any], tmp_path: Path) -> None:
    write_table(tmp_path / "in.parquet", [SILICON])
    assert export("in.parquet", "--out", "out")[0] == 0
    before = (tmp_path / "out" / "row-0" / "pw.in").read_bytes()
    assert_refused(export("in.parquet", "--out", "out", task="magnetic"), "name another output")
    assert (tmp_path / "out" / "row-0" / "pw.in").read_bytes() == before


def test_columns_without_structures(export: Callable[..., Any], tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "colour": ["red"]}), tmp_path / "in.parquet")
    assert_refused(export("in.parquet", "--out", "out"), "no structure column")
