"""`materium score`: how likely the model holds given crystals."""

from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, ModelOption, OutOption, QuietOption
from materium.errors import DataError, MateriumError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.data.records import Row
    from materium.generate.engine import Materium

    Facts = dict[str, Any]
    """Columns of a row of the table."""

CHUNK = 256
"""Rows that are scored together."""


def score(
    sources: Annotated[list[Path], typer.Argument(help="Files, folders or tables of structures.")],
    out: OutOption,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Write the exact log-likelihood of every structure: rows.parquet and metrics.json.

    Example:

        materium score crystals.cif --out runs/score
    """
    from materium.generate.engine import load
    from materium.model.device import resolve_device

    if (out / "rows.parquet").exists():
        raise DataError(f"{out / 'rows.parquet'} is there already; choose another --out")
    engine = load(model, resolve_device(device))
    out.mkdir(parents=True, exist_ok=True)  # before the work: a folder that takes no files is seen at once
    with make_progress(quiet=quiet) as progress:
        rows = list(progress.track(_scored(engine, sources), description="scoring"))
    metrics = _write(out, rows)
    console = make_console(quiet=quiet)
    console.print(make_table(("", "result"), ((name, _short(value)) for name, value in metrics.items())))


def _short(value: object) -> str:
    return "none" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _scored(engine: "Materium", sources: list[Path]) -> "Iterator[Facts]":
    """Facts of every row of the sources; sentences are scored together, `CHUNK` rows at a time."""
    from materium.data.readers import read

    rows = ((source, row) for source in sources for row in read(source))
    while chunk := list(islice(rows, CHUNK)):
        facts = [_sentence(engine, source, row) for source, row in chunk]
        _score(engine, facts)
        yield from facts


def _sentence(engine: "Materium", source: Path, row: "Row") -> "Facts":
    """Facts of a row, with its sentence or the reason why it has none."""
    from materium.convert import formula
    from materium.generate.request import Request

    facts: dict[str, Any] = {"id": row.id, "source": str(source), "reason": row.reason}
    if row.crystal is None:
        return facts
    facts["formula"] = formula(row.crystal)
    try:
        facts["tokens"] = engine.sentence(row.crystal, Request())
        facts["num_sites"] = len(engine.tokenizer.parse(facts["tokens"]).species)
    except MateriumError as error:
        facts["reason"] = str(error)
    return facts


def _score(engine: "Materium", rows: "list[Facts]") -> None:
    """Put the figures into the rows that have a sentence; one that the grammar never writes gets a reason instead."""
    from materium.generate.request import Request

    written = [row for row in rows if "tokens" in row]
    figures = engine.score([row.pop("tokens") for row in written], Request())
    for row, figure in zip(written, figures, strict=True):
        if isfinite(figure["log_likelihood"]):
            row.update(figure, log_likelihood_per_atom=figure["log_likelihood"] / row["num_sites"])
        else:
            row["reason"] = "cell too flat: the model never writes one like it"


def _write(out: Path, rows: "list[Facts]") -> dict[str, float | None]:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    text, real = pa.string(), pa.float64()
    types = {"id": text, "source": text, "formula": text, "num_sites": pa.int64(), "log_likelihood": real}
    types |= {"log_likelihood_per_atom": real, "species": real, "coordinate": real, "lattice": real, "reason": text}
    scored = [row for row in rows if "log_likelihood" in row]
    metrics: dict[str, float | None] = {"structures": len(rows), "scored": len(scored)}
    for name in ("log_likelihood", "log_likelihood_per_atom", "species", "coordinate", "lattice"):
        metrics[f"mean_{name}"] = sum(row[name] for row in scored) / len(scored) if scored else None
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), out / "rows.parquet")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return metrics
