"""The folder of a hand-over: a sub-folder of inputs for each crystal, the table of all rows, and a guide.

It gets its name only when it is whole; what stops on the way leaves nothing behind.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from materium.dft.guide import GUIDE, guide
from materium.dft.quantum_espresso import PSEUDO_FOLDER
from materium.errors import DataError, MateriumError
from materium.io.lock import new_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.data.records import Row
    from materium.dft.plan import Inputs, Plan, Program

    Facts = dict[str, Any]
    """Columns of a row of the table."""

TABLE = "rows.parquet"
RESERVED = (GUIDE, TABLE, PSEUDO_FOLDER)
MAX_NAME = 120
"""Characters of an id that go into the name of its folder."""
SUFFIX = re.compile(r"\.(cif|vasp|poscar|extxyz|xyz)$", re.IGNORECASE)
"""What the id of a row that is a whole file ends with."""


def export(rows: Iterable[tuple[str, Row]], out: Path, plan: Plan) -> list[Facts]:
    """Write the inputs of every crystal into `out`, and return a row of facts for each, with the reason if rejected.

    Parameters
    ----------
    rows
        Name of the source and row, as they are read.
    out
        A folder that does not exist yet.
    plan
        Program, task and choices.

    Raises
    ------
    DataError
        If `out` exists, there are no rows, or none of them can be handed over.
    """
    with new_target(out) as folder:
        folder.mkdir()
        taken = Counter(RESERVED)
        facts = [_export_row(source, row, folder, plan, taken) for source, row in rows]
        _check(facts)
        _write_table(facts, folder / TABLE)
        (folder / GUIDE).write_text(guide(plan, facts), encoding="utf-8")
    return facts


def writer(program: Program) -> Callable[[Crystal, Plan], Inputs]:
    """Return the function that makes the inputs of one crystal; it raises `MateriumError` where it cannot."""
    if program == "vasp":
        from materium.dft.vasp import inputs  # brings pymatgen's input sets: seconds
    else:
        from materium.dft.quantum_espresso import inputs
    return inputs


def folder_name(name: str, taken: Counter[str]) -> str:
    """Return an id with what file names cannot hold replaced, and numbered where that makes it one of `taken`."""
    plain = re.sub(r"[^\w.+-]+", "_", SUFFIX.sub("", name)).lstrip(".-")[:MAX_NAME] or "crystal"
    taken[plain] += 1
    return plain if taken[plain] == 1 else folder_name(f"{plain}-{taken[plain]}", taken)


def _export_row(source: str, row: Row, folder: Path, plan: Plan, taken: Counter[str]) -> Facts:
    facts: Facts = {"id": row.id, "source": source, "reason": row.reason}
    if row.crystal is None:
        return facts
    facts |= _crystal_facts(row.crystal)
    try:
        inputs = writer(plan.program)(row.crystal, plan)
    except MateriumError as error:
        return facts | {"reason": str(error)}
    name = folder_name(row.id, taken)
    for path, text in inputs.files.items():
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return facts | {"folder": name, "notes": list(inputs.notes), "pseudos": list(inputs.pseudos.items())}


def _crystal_facts(crystal: Crystal) -> Facts:
    from materium.convert import formula

    return {"formula": formula(crystal), "num_sites": len(crystal), "volume": crystal.volume}


def _check(facts: list[Facts]) -> None:
    if not facts:
        raise DataError("nothing to hand over: the input holds no structure; give a run folder, a table or files")
    if not any("folder" in row for row in facts):
        first = f"{facts[0]['id']}: {facts[0]['reason']}"
        raise DataError(f"none of {len(facts)} structures can be handed over; the first is {first}")


def _write_table(facts: list[Facts], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    types = {"id": text, "source": text, "folder": text, "formula": text, "num_sites": pa.int64()}
    types |= {"volume": pa.float64(), "pseudos": pa.map_(text, text), "notes": pa.list_(text), "reason": text}
    pq.write_table(pa.Table.from_pylist(facts, schema=pa.schema(types)), path)
