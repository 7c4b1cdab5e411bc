"""`materium score`: how likely the model holds given crystals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, ModelOption, OutOption, QuietOption
from materium.errors import DataError, MateriumError


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
    with make_progress(quiet=quiet) as progress:
        rows = list(progress.track(_scored(engine, sources), description="scoring"))
    metrics = _write(out, rows)
    console = make_console(quiet=quiet)
    console.print(make_table(("", "result"), ((name, _short(value)) for name, value in metrics.items())))


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _scored(engine: Any, sources: list[Path]) -> Iterator[dict[str, Any]]:
    from materium.convert import formula
    from materium.data.readers import read

    for source in sources:
        for row in read(source):
            facts: dict[str, Any] = {"id": row.id, "source": str(source), "reason": row.reason}
            if row.crystal is not None:
                facts |= {"formula": formula(row.crystal), "num_sites": len(row.crystal)}
                try:
                    facts |= engine.log_likelihoods([row.crystal])[0]
                except MateriumError as error:
                    facts["reason"] = str(error)
            yield facts


def _write(out: Path, rows: list[dict[str, Any]]) -> dict[str, float | None]:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    text, real = pa.string(), pa.float64()
    types = {"id": text, "source": text, "formula": text, "num_sites": pa.int64(), "log_likelihood": real}
    types |= {"log_likelihood_per_atom": real, "species": real, "coordinate": real, "lattice": real, "reason": text}
    for row in rows:
        if row.get("log_likelihood") is not None:
            row["log_likelihood_per_atom"] = row["log_likelihood"] / row["num_sites"]
    scored = [row for row in rows if row.get("log_likelihood") is not None]
    metrics: dict[str, float | None] = {"structures": len(rows), "scored": len(scored)}
    for name in ("log_likelihood", "log_likelihood_per_atom", "species", "coordinate", "lattice"):
        metrics[f"mean_{name}"] = sum(row[name] for row in scored) / len(scored) if scored else None
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), out / "rows.parquet")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return metrics
