"""`materium score`: how likely the model holds given crystals."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.conditions import with_conditions
from materium.cli.console import count_rows, make_console, make_progress, make_table
from materium.cli.options import DeviceOption, ModelOption, OutOption, QuietOption, SeedOption
from materium.cli.threads import with_threads
from materium.errors import DataError, MateriumError
from materium.generate.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from materium.data.records import Row
    from materium.generate.engine import Materium

    Facts = dict[str, Any]
    """Columns of a row of the table."""

CHUNK = 256
"""Rows that are scored together."""
FIGURES = ("log_likelihood", "log_likelihood_per_atom", "species", "coordinate", "lattice")
SUMS = ("any_order_log_likelihood", "any_order_error", "any_order_spread")
"""Written where draws are asked for."""


@with_threads
@with_conditions
def score(
    sources: Annotated[list[Path], typer.Argument(help="Files, folders or tables of structures.")],
    out: OutOption,
    order: Annotated[
        str, typer.Option(help="Site order of the sequences: high, low, xyz or electronegativity.")
    ] = Request.order,
    lattice_first: Annotated[
        bool, typer.Option("--lattice-first", help="Score sequences with the lattice before the atoms.")
    ] = Request.lattice_first,
    draws: Annotated[
        int | None,
        typer.Option(help="Sum p over all site orders too, from so many drawn ones; exactly where there are no more."),
    ] = None,
    seed: SeedOption = Request.seed,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
    *,
    conditions: dict[str, Any],
) -> None:
    """Write the exact log-likelihood of every structure, per atom and by token type: rows.parquet and metrics.json.

    Example:

        materium score crystals.cif --out runs/score

        materium score runs/k/cif --density 3.5 --draws 100 --out runs/dense
    """
    from materium.generate.engine import load
    from materium.generate.scoring import check
    from materium.io.lock import hold_folder
    from materium.model.device import resolve_device

    request = Request(
        seed=seed,
        conditions=conditions,
        order=order,  # type: ignore[arg-type]  # Request names the right ones if this is none
        lattice_first=lattice_first,
    )
    check(request, draws)
    with hold_folder(out):  # before the work: a folder that takes no files is seen at once
        if (out / "rows.parquet").exists():
            raise DataError(f"{out / 'rows.parquet'} is there already; choose another --out")
        engine = load(model, resolve_device(device))
        for line in request.warnings(engine.model.config.seen):
            make_console(quiet=quiet, stderr=True).print(f"warning: {line}")
        with make_progress(quiet=quiet) as progress:
            scored = _scored(engine, sources, request, draws)
            rows = list(progress.track(scored, total=count_rows(sources), description="scoring"))
        metrics = _metrics(rows, draws)
        _write(out, rows, metrics, request)
    console = make_console(quiet=quiet)
    console.print(make_table(("", "result"), ((name, _short(value)) for name, value in metrics.items())))


def _short(value: object) -> str:
    return "none" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _scored(engine: "Materium", sources: list[Path], request: Request, draws: int | None) -> "Iterator[Facts]":
    """Facts of every row of the sources; sentences are scored together, `CHUNK` rows at a time."""
    from materium.data.readers import read

    rows = ((source, row) for source in sources for row in read(source))
    while chunk := list(islice(rows, CHUNK)):
        facts = [_sentence(engine, source, row, request) for source, row in chunk]
        _score(engine, facts, request, draws)
        yield from facts


def _sentence(engine: "Materium", source: Path, row: "Row", request: Request) -> "Facts":
    """Facts of a row, with its sentence or the reason why it has none."""
    from materium.convert import formula

    facts: dict[str, Any] = {"id": row.id, "source": str(source), "reason": row.reason}
    if row.crystal is None:
        return facts
    facts["formula"] = formula(row.crystal)
    try:
        facts["tokens"] = engine.sentence(row.crystal, request)
    except MateriumError as error:
        facts["reason"] = str(error)
    return facts


def _score(engine: "Materium", rows: "list[Facts]", request: Request, draws: int | None) -> None:
    """Put the figures into the rows that have a sentence; one that the grammar never writes gets a reason instead."""
    from materium.generate.scoring import never_written

    written = [row for row in rows if "tokens" in row]
    for row, figures in zip(written, engine.score([row["tokens"] for row in written], request), strict=True):
        row["reason"] = never_written(figures)
        if row["reason"] is None:
            row.update(figures, **_canonical(engine, row["tokens"]))
    legal = [row for row in written if row["reason"] is None]
    if draws is not None:
        sums = engine.score_over_orders([row["tokens"] for row in legal], request, draws)
        for row, summed in zip(legal, sums, strict=True):
            row.update(summed)
    for row in written:
        del row["tokens"]


def _canonical(engine: "Materium", tokens: Any) -> "Facts":  # noqa: ANN401 - an array, which would load NumPy here
    """The crystal as the sentence writes it, in columns that every command reads as a structure."""
    crystal = engine.tokenizer.decode(tokens)
    return {
        "num_sites": len(crystal),
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "oxidation_states": None if crystal.oxidation_states is None else crystal.oxidation_states.tolist(),
    }


def _metrics(rows: "list[Facts]", draws: int | None) -> dict[str, float | None]:
    scored = [row for row in rows if "log_likelihood" in row]
    metrics: dict[str, float | None] = {"structures": len(rows), "scored": len(scored)}
    for name in FIGURES + (() if draws is None else SUMS):
        metrics[f"mean_{name}"] = sum(row[name] for row in scored) / len(scored) if scored else None
    return metrics


def _write(out: Path, rows: "list[Facts]", metrics: dict[str, float | None], request: Request) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    from materium.io.atomic import replacing, write_bytes

    asked = {name: request.to_dict()[name] for name in ("conditions", "order", "lattice_first", "seed")}
    write_bytes(out / "metrics.json", (json.dumps({**metrics, **asked}, indent=1) + "\n").encode())
    with replacing(out / "rows.parquet") as part:  # last: it says that all is there
        pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), part)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    types = {"id": text, "source": text, "formula": text, "num_sites": whole}
    types |= dict.fromkeys((*FIGURES, *SUMS), real) | {"any_order_draws": whole}
    types |= {"site_log_likelihoods": pa.list_(real), "cell": pa.list_(real), "atomic_numbers": pa.list_(whole)}
    types |= {"frac_coords": pa.list_(real), "oxidation_states": pa.list_(whole), "reason": text}
    return pa.schema(types)
