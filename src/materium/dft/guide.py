"""The README.md of a hand-over: what is needed, what to run in which order, and what to look at.

The prose is in `guides/`: one file for each program, and one for each program and task.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from materium.dft.plan import K_SPACING
from materium.dft.pseudopotentials import LIBRARY, sssp
from materium.dft.quantum_espresso import BAND_SPACING, DEGAUSS, PSEUDO_FOLDER, START_D, START_F, START_OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materium.dft.plan import Plan

    Facts = dict[str, Any]

GUIDE = "README.md"
LISTED = 100
"""Crystals and rejected rows that are named one by one; the table `rows.parquet` has all."""
TITLES = {"relax": "relaxation", "bands": "band structure", "magnetic": "spin-polarised run"}
NAMES = {"quantum-espresso": "Quantum ESPRESSO", "vasp": "VASP"}


def guide(plan: Plan, facts: Sequence[Facts]) -> str:
    """Return the text of the guide, in Markdown, for the rows of `materium.dft.folder.export`."""
    done = [row for row in facts if "folder" in row]
    rejected = [row for row in facts if "folder" not in row]
    parts = [
        f"# {len(done)} crystal{'s' * (len(done) > 1)} for {NAMES[plan.program]}: {TITLES[plan.task]}",
        "Made by `materium export`: a folder for each crystal, named by its id; `rows.parquet` lists all rows.",
        _prose(plan.program, plan),
        f"## Pseudopotentials\n\n{_pseudopotentials(plan, done)}",
        f"## What to run, and what to look at\n\n{_prose(f'{plan.program}-{plan.task}', plan)}",
        f"## Crystals\n\n{_table(('folder', 'formula', 'sites', 'note'), map(_crystal_line, done))}",
    ]
    if rejected:
        lines = ((row["id"], row["reason"]) for row in rejected)
        parts.append(f"## Left out: {len(rejected)} of {len(facts)} rows\n\n{_table(('id', 'reason'), lines)}")
    return "\n\n".join(parts) + "\n"


def _prose(name: str, plan: Plan) -> str:
    """A text of `guides/` with its numbers filled in; braces are left to the shell."""
    numbers = {"k_spacing": plan.k_spacing or K_SPACING, "band_spacing": BAND_SPACING, "degauss": DEGAUSS}
    numbers |= {"start_d": START_D, "start_f": START_F, "start_other": START_OTHER}
    text = files("materium.dft").joinpath("guides", f"{name}.md").read_text(encoding="utf-8").rstrip()
    for key, value in numbers.items():
        text = text.replace(f"{{{key}}}", f"{value:g}")
    return text


def _crystal_line(row: Facts) -> tuple[str, ...]:
    return f"`{row['folder']}`", row["formula"], str(row["num_sites"]), "; ".join(row["notes"])


def _pseudopotentials(plan: Plan, done: Sequence[Facts]) -> str:
    needed = dict(sorted({pair for row in done for pair in row["pseudos"]}))
    if plan.program == "vasp":
        return f"The POTCARs {', '.join(f'`{name}`' for name in needed.values())}; each `POTCAR.spec` has their order."
    known = plan.pseudos or sssp()
    source = "Your table names them" if plan.pseudos else f"They are those of {LIBRARY} (materialscloud.org)"
    lines = [(s, f"`{name}`", f"{known[s].cutoff_wfc:g}", f"{known[s].cutoff_rho:g}") for s, name in needed.items()]
    table = _table(("element", "file", "ecutwfc, Ry", "ecutrho, Ry"), lines, limit=len(lines))
    return f"{source}. The runs look for these files in `{PSEUDO_FOLDER}/` beside this page; a link will do.\n\n{table}"


def _table(headers: Sequence[str], lines: Iterable[Sequence[str]], limit: int = LISTED) -> str:
    rows = list(lines)
    written = [_line(headers), _line(["---"] * len(headers)), *(_line(row) for row in rows[:limit])]
    more = [] if len(rows) <= limit else ["", f"and {len(rows) - limit} more, in `rows.parquet`."]
    return "\n".join([*written, *more])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in cells)} |"
