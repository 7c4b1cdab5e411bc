"""The page that says what to run: every file it names is there, and nothing is left to fill in."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from crystals import NACL, SILICON
from materium.data.records import Row
from materium.dft.folder import export
from materium.dft.guide import LISTED, guide
from materium.dft.plan import PROGRAMS, TASKS, Plan
from materium.dft.pseudopotentials import Pseudo

if TYPE_CHECKING:
    from pathlib import Path

    from materium.dft.plan import Program, Task

INPUTS = {"relax": ["pw.in"], "bands": ["scf.in", "bands.in", "bandsx.in"], "magnetic": ["pw.in"]}


def page(tmp_path: Path, plan: Plan) -> str:
    rows = [("in", Row("salt", NACL)), ("in", Row("bad|row", None, {}, "cut\nshort")), ("in", Row("si", SILICON))]
    export(iter(rows), tmp_path / "out", plan)
    return (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("task", TASKS)
def test_page_is_filled_in(program: Program, task: Task, tmp_path: Path) -> None:
    text = page(tmp_path, Plan(program, task))
    assert not re.search(r"\{\w+\}", text)
    assert text.startswith("# 2 crystals for ")
    assert "| `salt` | NaCl | 8 |" in text
    assert "Left out: 1 of 3 rows" in text
    assert "| bad/row | cut short |" in text


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("task", TASKS)
def test_shell_lines_are_shell(program: Program, task: Task, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", page(tmp_path, Plan(program, task)), re.DOTALL)
    assert blocks
    for block in blocks:
        assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0


@pytest.mark.parametrize("task", TASKS)
def test_shell_lines_run_every_input(task: Task, tmp_path: Path) -> None:
    """With programs that only say what they were given, in place of Quantum ESPRESSO's."""
    text = page(tmp_path, Plan("quantum-espresso", task))
    run = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0]
    stub = 'mpirun() { echo "$1 $(basename "$PWD")/$3" >> ../log; test -s "$3"; }\n'
    done = subprocess.run(["bash", "-c", stub + run], cwd=tmp_path / "out", check=False)
    assert done.returncode == 0
    programs = {"bandsx.in": "bands.x"}
    expected = [f"{programs.get(name, 'pw.x')} {crystal}/{name}" for crystal in ("salt", "si") for name in INPUTS[task]]
    assert (tmp_path / "out" / "log").read_text().splitlines() == expected


@pytest.mark.parametrize("task", TASKS)
def test_shell_lines_build_every_potcar(task: Task, tmp_path: Path) -> None:
    run = re.findall(r"```bash\n(.*?)```", page(tmp_path, Plan("vasp", task)), re.DOTALL)[0]
    for name in ("Na_pv", "Cl", "Si"):
        (tmp_path / "potcars" / name).mkdir(parents=True)
        (tmp_path / "potcars" / name / "POTCAR").write_text(f"{name}\n")
    log = tmp_path / "log"
    stub = f'mpirun() {{ echo "$1 ${{PWD#*/out/}} $(cat POTCAR | xargs)" >> {log}; touch CHGCAR; }}\n'
    script = f"export POTCARS={tmp_path / 'potcars'}\n{stub}{run}"
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path / "out", check=False).returncode == 0
    ends = ["/scf", "/bands"] if task == "bands" else [""]
    expected = [f"vasp_std salt{end} Na_pv Cl" for end in ends] + [f"vasp_std si{end} Si" for end in ends]
    assert log.read_text().splitlines() == expected


def test_pseudopotentials_and_their_cutoffs_are_listed(tmp_path: Path) -> None:
    text = page(tmp_path, Plan("quantum-espresso", "relax"))
    assert "SSSP PBE efficiency 1.3.0" in text
    assert "| Si | `Si.pbe-n-rrkjus_psl.1.0.0.UPF` | 30 | 240 |" in text


def test_own_pseudopotentials_are_listed(tmp_path: Path) -> None:
    table = {"Si": Pseudo("mine.upf", 12.5, 48)}
    text = page(tmp_path, Plan("quantum-espresso", "relax", 0.35, table))
    assert "SSSP" not in text
    assert "| Si | `mine.upf` | 12.5 | 48 |" in text
    assert "at most 0.35 Å⁻¹ apart" in text
    assert "Left out: 2 of 3 rows" in text


def test_long_lists_are_cut() -> None:
    row = {"formula": "Si", "num_sites": 2, "notes": [], "pseudos": [("Si", "Si")]}
    text = guide(Plan("vasp", "relax"), [{**row, "folder": f"c{i}"} for i in range(LISTED + 7)])
    assert "and 7 more, in `rows.parquet`." in text
