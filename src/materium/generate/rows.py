"""What a run's table holds of each crystal: the sentence that was written, and what was found on the structure."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.crystal import Crystal, fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from materium.generate.decoding import Sample
    from materium.generate.request import Request

TOLERANCES = {"space_group": 0.1, "space_group_fine": 0.01}
"""Å; columns of the table, with the tolerance of the symmetry search, the coarser one first."""


def make_row(written: Sample, crystal: Crystal, request: Request, *, space_groups: bool = True) -> dict[str, Any]:
    """Return the row of a sentence and the crystal that it says; see `schema` for the columns.

    Without `space_groups` their columns are null, as they are where atoms overlap or moyo finds none.
    """
    reason = fault(crystal)
    return {
        "id": identity(request.seed, written.index),
        "index": written.index,
        "seed": request.seed,
        "request": written.request,
        "targets": _as_json(written.targets),
        **_facts(crystal),
        **(_groups(crystal) if space_groups and reason is None else dict.fromkeys(TOLERANCES)),
        **_refinement(crystal, request.symmetrize),
        "log_likelihood": written.log_likelihood,
        "valid": reason is None,
        "reason": reason,
        "ended": "complete",
        "conditions": _as_json(request.told_as_text),
        "order": request.order,
        "tokens": written.tokens.tolist(),
        "copy_of": None,
    }


def identity(seed: int, index: int) -> str:
    """Return the id of structure `index` of a seed, the same in every file of a run."""
    return f"{seed}-{index:06d}"


def crystal_of(record: Mapping[str, Any]) -> Crystal:
    """Return the crystal of a row, or of what a row holds under `refined`."""
    states = None if record["oxidation_states"] is None else np.array(record["oxidation_states"])
    cell, frac = np.array(record["cell"]).reshape(3, 3), np.array(record["frac_coords"]).reshape(-1, 3)
    return Crystal(cell, frac, np.array(record["atomic_numbers"]), states)


def schema() -> pa.Schema:
    """Return the columns of `structures.parquet`, in their order.

    `symmetrized` is null where it was not asked for; `refined` holds the symmetrised crystal where there is one.
    `copy_of` is the id of the earlier crystal that this one repeats; null where there is none, or nobody looked.
    """
    import pyarrow as pa

    whole, real, text = pa.int64(), pa.float64(), pa.string()
    numbers, reals = pa.list_(pa.int64()), pa.list_(pa.float64())
    structure = {"cell": reals, "atomic_numbers": numbers, "frac_coords": reals, "oxidation_states": numbers}
    return pa.schema(
        {
            "id": text, "index": whole, "seed": whole, "request": whole, "targets": text,
            "formula": text, "num_sites": whole, "space_group": whole, "space_group_fine": whole,
            "density": real, "log_likelihood": real, "valid": pa.bool_(), "reason": text, "ended": text,
            "conditions": text, "order": text, **structure,
            "symmetrized": pa.bool_(), "symmetrize_reason": text, "space_group_refined": whole,
            "refined": pa.struct(structure), "tokens": numbers, "copy_of": text,
        }
    )  # fmt: skip


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows, one or more, as a table of `schema`.

    They go by JSON, in which floats keep every digit: given Python's objects, pyarrow imports pandas first, which takes
    half a second. What JSON cannot say, NaN and infinity, goes that way all the same.
    """
    import pyarrow as pa
    import pyarrow.json

    try:
        lines = "\n".join(json.dumps(row, allow_nan=False) for row in rows).encode()
    except ValueError:
        return pa.Table.from_pylist(list(rows), schema=schema())
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)  # one block: no line is cut in two
    parsing = pyarrow.json.ParseOptions(explicit_schema=schema(), unexpected_field_behavior="error")
    return pyarrow.json.read_json(BytesIO(lines), reading, parsing)


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def _facts(crystal: Crystal) -> dict[str, Any]:
    from materium.convert import formula

    counted = {"formula": formula(crystal), "num_sites": len(crystal), "density": crystal.density}
    return {**counted, **_structure(crystal)}


def _structure(crystal: Crystal) -> dict[str, Any]:
    states = crystal.oxidation_states
    return {
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "oxidation_states": None if states is None else states.tolist(),
    }


def _groups(crystal: Crystal) -> dict[str, int | None]:
    """Space groups at two tolerances."""
    from materium.symmetry import space_groups

    return dict(zip(TOLERANCES, space_groups(crystal, *TOLERANCES.values()), strict=True))


def _refinement(crystal: Crystal, symprec: float | None) -> dict[str, Any]:
    """What symmetrising made of the crystal: nulls where it was not asked for, the reason where it is refused."""
    from materium.refine import refine

    if symprec is None:
        return {"symmetrized": None, "symmetrize_reason": None, "space_group_refined": None, "refined": None}
    result = refine(crystal, symprec)
    return {
        "symmetrized": result.crystal is not None,
        "symmetrize_reason": result.reason or None,
        "space_group_refined": result.space_group,
        "refined": None if result.crystal is None else _structure(result.crystal),
    }
