"""`materium report`: what came of a run, measured against what was asked for, on one page."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress
from materium.cli.options import FiguresOption, QuietOption
from materium.cli.threads import with_threads
from materium.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress

    from materium.crystal import Crystal


@with_threads
def report(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    predict: Annotated[
        bool, typer.Option("--predict", help="Also predict what does not follow from the structure; needs extras.")
    ] = False,
    figures: FiguresOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write report.html into a run folder: every target beside what was measured, no failure hidden.

    Example:

        materium report runs/wide --predict
    """
    from materium.io.lock import hold_folder

    with hold_folder(run) if run.is_dir() else nullcontext():
        facts, records = _read(run)
        names = _names(records, predict=predict)
        with make_progress(quiet=quiet) as progress:
            rows = _rows(records, names, progress)
            progress.add_task("drawing", total=None)
            _write(run, facts, records, rows, names, figures=figures)
    make_console(quiet=quiet).print(f"{run / 'report.html'} shows {len(rows)} crystals")


def _write(
    run: Path,
    facts: dict[str, str],
    records: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    names: list[str],
    *,
    figures: bool,
) -> None:
    """Write the page, with the errors of the predictors and what was not measured."""
    from materium.evaluate.predictors import error_of
    from materium.report.page import write_report

    errors = {name: error_of(name) for name in names if error_of(name) > 0}
    skipped = sorted({name for row in records for name in row["targets"]} - set(names))
    notes = [f"{', '.join(skipped)}: asked for, and not measured; --predict tells them"] if skipped else []
    folder = run / "figures" if figures else None
    write_report(run / "report.html", f"Run {run.name}", facts, rows, errors, notes, crystals=records, figures=folder)


def _read(run: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Facts and rows of a run, the targets read."""
    import pyarrow.parquet as pq

    from materium.io.atomic import damaged, read_signed

    table = run / "structures.parquet"
    if not table.exists():
        raise DataError(f"{run} holds no finished run ({table.name} is missing); let 'materium generate' end first")
    noted = read_signed(run / "run.json", "no run")
    if not noted["finished"]:
        raise DataError(f"{run} holds no finished run; let 'materium generate' end first")
    if damaged(run, {table.name: noted["files"][table.name]}):
        raise DataError(f"{table} is damaged; remove {run} and run the command in its run.json again")
    records = pq.read_table(table).to_pylist()
    for record in records:
        record["targets"] = json.loads(record["targets"])
    facts = {"command": noted["command"], "model": noted["model"], "seed": str(noted["request"]["seed"])}
    return {**facts, "guidance": str(noted["request"]["guidance"])}, records


def _names(records: list[dict[str, Any]], *, predict: bool) -> list[str]:
    """The properties to measure: those asked for, as far as they follow from the structure or may be predicted."""
    from materium.evaluate.measure import MEASURES
    from materium.evaluate.predictors import predictors

    predicted = {entry.predicts for entry in predictors().values()} if predict else set()
    asked = sorted({name for record in records for name in record["targets"]})
    return [name for name in asked if name in MEASURES or name in predicted]


def _rows(records: list[dict[str, Any]], names: list[str], progress: "Progress") -> list[dict[str, Any]]:
    """The rows of the page; invalid crystals have nothing measured."""
    from materium.evaluate.predictors import values_of

    good = [record for record in records if record["valid"]]
    crystals = [_crystal(record) for record in good]
    columns = {}
    for name in progress.track(names, description="measuring"):
        columns[name] = values_of(crystals, name)
    values = {r["id"]: {name: column[i] for name, column in columns.items()} for i, r in enumerate(good)}
    return [
        {
            "id": record["id"],
            "request": record["request"],
            "targets": {name: value for name, value in record["targets"].items() if name in names},
            "measured": values.get(record["id"], dict.fromkeys(names)),
            "valid": record["valid"],
            "reason": record["reason"] or "",
        }
        for record in records
    ]


def _crystal(record: dict[str, Any]) -> "Crystal":
    from materium.generate.rows import crystal_of

    return crystal_of(record)
