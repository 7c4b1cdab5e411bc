"""`materium predict`: finds the crystals of a table again from the content of their cells."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import (
    DeviceOption,
    GeometryReachOption,
    GeometryTemperatureOption,
    ModelOption,
    OutOption,
    QuietOption,
    SeedOption,
    TemperatureOption,
)
from materium.cli.threads import with_threads
from materium.errors import DataError, MateriumError, RequestError
from materium.generate.request import ADDED, BATCH, Request

if TYPE_CHECKING:
    from materium.crystal import Crystal
    from materium.evaluate.inputs import Inputs
    from materium.evaluate.prediction import Match, Reference
    from materium.evaluate.stages import Journal
    from materium.generate.decoding import Sample
    from materium.generate.engine import Materium
    from materium.generate.targets import Target
    from materium.relax.potential import Potential

    Facts = dict[str, Any]
    """Columns of a row of a table."""

SETTINGS = "settings.json"
SAMPLES = 20
"""As many as the literature takes."""
MAX_SITES = 20
"""As many as the cells of MP-20 have at most."""
FORMULAS = 64
"""Formulas of one request; they are checked together before the first is written."""
RELAXED_ENOUGH = ("converged", "max_steps")
"""Outcomes of a relaxation whose energies are compared."""
TOO_LARGE, REFUSED = "too many sites", "refused"


@dataclass(frozen=True)
class Order:
    """A request with the crystals that it is for, in the order in which it writes them, `n` structures for each."""

    request: Request
    members: "list[Reference]"


@with_threads
def predict(
    table: Annotated[Path, typer.Argument(help="Table, folder or file of the real crystals; CSVs with a column cif.")],
    out: OutOption,
    n: Annotated[int, typer.Option("-n", min=1, help="Predictions for each crystal.")] = SAMPLES,
    seed: SeedOption = Request.seed,
    max_sites: Annotated[
        int,
        typer.Option(
            min=1, help="Crystals with more atoms in the primitive cell count as misses, without a prediction."
        ),
    ] = MAX_SITES,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first crystals of the table, so many.")] = None,
    relax: Annotated[
        str | None, typer.Option(help="Relax with this potential, such as chgnet, and rank by the energy too.")
    ] = None,
    temperature: TemperatureOption = Request.temperature,
    geometry_temperature: GeometryTemperatureOption = Request.geometry_temperature,
    geometry_reach: GeometryReachOption = Request.geometry_reach,
    workers: Annotated[int, typer.Option(min=1, help="Processes that compare crystals.")] = 1,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Predict the crystals of a table from the content of their primitive cells, and count how many are found again.

    Writes rows.parquet (a row for each prediction), crystals.parquet (a row for each crystal) and metrics.json: match
    rate and RMSE of the first, of any, and of the likeliest prediction, METRe and cRMSE. The same command goes on where
    it was stopped.

    Example:

        materium predict test.csv --out runs/predict

        materium predict test.csv -n 1 --limit 100 --out runs/quick

        materium predict test.csv --relax chgnet --out runs/relaxed
    """
    from materium.evaluate.prediction import matching
    from materium.generate.engine import load
    from materium.io.atomic import whole
    from materium.io.lock import hold_folder
    from materium.model.device import resolve_device

    asked = Request(
        n=n,
        seed=seed,
        temperature=temperature,
        geometry_temperature=geometry_temperature,
        geometry_reach=geometry_reach,
    )
    inputs = _read(table, limit, quiet=quiet)
    potential = None if relax is None else _potential(relax)
    engine = load(model, resolve_device(device))
    with hold_folder(out):
        journal = _open(out, _settings(asked, inputs, engine, potential, max_sites=max_sites, limit=limit))
        if not whole(out / "metrics.json"):
            references = _references(inputs, engine, asked, max_sites, quiet=quiet)
            orders = list(_orders(references, asked))
            with matching(workers) as match:
                _write(engine, orders, journal, match, potential, n, quiet=quiet)
                _finish(out, references, journal, match, max_sites=max_sites, relaxed=relax is not None, quiet=quiet)
        _show(out, quiet=quiet)


def _read(table: Path, limit: int | None, *, quiet: bool) -> "Inputs":
    """The first rows of the table; CIFs take long to read, so that a bar shows how far it is."""
    from itertools import islice

    from materium.data.readers import open_source
    from materium.evaluate.inputs import read_inputs

    source = open_source(table)
    with make_progress(quiet=quiet) as progress:
        rows = list(progress.track(islice(source.rows, limit), total=limit or source.total, description="reading"))
    if not rows:
        raise DataError(f"{table} holds no rows; at least one crystal is needed")
    return read_inputs(rows)


def _potential(name: str) -> "Potential":
    from materium.relax.adapters import potential

    return potential(name)


# --- the folder ---


def _settings(
    asked: Request,
    inputs: "Inputs",
    engine: "Materium",
    potential: "Potential | None",
    *,
    max_sites: int,
    limit: int | None,
) -> "Facts":
    """All that decides the result: two runs with the same settings write the same."""
    names = ("n", "seed", "temperature", "geometry_temperature", "geometry_reach")
    told = {name: asked.to_dict()[name] for name in names}
    relaxing = None if potential is None else f"{potential.name} {potential.version}"
    where = {"table": inputs.digest, "limit": limit, "max_sites": max_sites}
    return {**told, **where, "model": engine.fingerprint, "relax": relaxing}


def _open(out: Path, settings: "Facts") -> "Journal":
    """The predictions of a run that was stopped, or of one that begins; another run's folder is refused."""
    from materium.evaluate.stages import Journal
    from materium.io.atomic import is_empty, write_signed

    path = out / SETTINGS
    if path.exists():
        _require_same(path, settings)
    elif not is_empty(out):
        raise RequestError(f"{out} is not empty and holds no predictions; choose another --out")
    else:
        write_signed(path, settings)
    return Journal(out / "predictions.jsonl")


def _require_same(path: Path, settings: "Facts") -> None:
    from materium.io.atomic import read_signed

    found = {**ADDED, **read_signed(path, "no predictions")}
    other = sorted(name for name in settings if found.get(name) != settings[name])
    if other:
        raise RequestError(f"{path.parent} was made with another {', '.join(other)}; choose another --out")


# --- what is asked ---


def _references(
    inputs: "Inputs", engine: "Materium", asked: Request, max_sites: int, *, quiet: bool
) -> "list[Reference]":
    """The crystals of the table, those that are not asked for with the reason."""
    from materium.evaluate.prediction import reference

    with make_progress(quiet=quiet) as progress:
        numbered = progress.track(enumerate(inputs.rows), total=len(inputs.rows), description="reducing cells")
        return [_judged(reference(number, row), engine, asked, max_sites) for number, row in numbered]


def _judged(one: "Reference", engine: "Materium", asked: Request, max_sites: int) -> "Reference":
    """The crystal, with the reason why it is not asked for if there is one."""
    if one.num_sites is None:
        return one
    most = min(max_sites, engine.tokenizer.config.max_sites)
    if one.num_sites > most:
        return replace(one, status=TOO_LARGE, reason=f"{one.num_sites} sites; at most {most} are asked for")
    try:
        engine.plan(_request(asked, [one.cell_formula], one.num_sites, 1))
    except MateriumError as error:  # an element that the model has no token for
        return replace(one, status=REFUSED, reason=str(error))
    return one


def _request(asked: Request, formulas: Sequence[str | None], num_sites: int, copies: int) -> Request:
    """What is told and kept: the formula and the number of atoms, which make the exact content of the cell."""
    told: dict[str, Target | Sequence[Target]] = {"reduced_formula": [*map(str, formulas)], "num_sites": num_sites}
    return replace(asked, n=asked.n * copies, conditions=told)


def _orders(references: "Iterable[Reference]", asked: Request) -> Iterator[Order]:
    """Requests for the crystals, many formulas in each; those of equally many atoms and elements share a batch.

    Several crystals with one content of the cell are polymorphs: each has predictions of its own, in the table's order.
    """
    from materium.evaluate.prediction import PREDICTED

    contents: dict[str, list[Reference]] = defaultdict(list)
    for one in references:
        if one.status == PREDICTED and one.cell_formula is not None:
            contents[one.cell_formula].append(one)
    alike: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for formula, members in contents.items():
        crystal = members[0].crystal
        if crystal is not None:
            alike[len(crystal), len(set(crystal.numbers.tolist())), len(members)].append(formula)
    for (sites, _, copies), formulas in sorted(alike.items()):
        for first in range(0, len(formulas), FORMULAS):
            some = formulas[first : first + FORMULAS]
            request = _request(asked, some, sites, copies)
            yield Order(request, [one for formula in some for one in contents[formula]])


# --- predictions ---


def _write(
    engine: "Materium",
    orders: Sequence[Order],
    journal: "Journal",
    match: "Match",
    potential: "Potential | None",
    n: int,
    *,
    quiet: bool,
) -> None:
    """Write and judge what the journal lacks, crystal by crystal."""
    total = sum(len(order.members) for order in orders)
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("predicting", total=total, completed=len(journal.columns))
        for order in orders:
            for together in _predicted(engine, order, journal, n):
                rows = [_rows(engine, one, samples) for one, samples in together]
                _compare([one for one, _ in together], rows, match)
                if potential is not None:
                    _relax([one for one, _ in together], rows, match, potential)
                journal.add({one.number: {"samples": found} for (one, _), found in zip(together, rows, strict=True)})
                progress.advance(task, len(together))


def _predicted(
    engine: "Materium", order: Order, journal: "Journal", n: int
) -> "Iterator[list[tuple[Reference, list[Sample]]]]":
    """Crystals with their predictions, as they become whole; those that the journal has are left out."""
    done = sum(one.number in journal.columns for one in order.members)
    if done == len(order.members):
        return
    members, held = iter(order.members[done:]), []
    for batch in engine.batches(engine.plan(order.request), done * n, max(1, BATCH // n) * n):
        held += batch
        whole = [held[first : first + n] for first in range(0, len(held) - n + 1, n)]
        held = held[len(whole) * n :]
        yield [(next(members), samples) for samples in whole]


def _rows(engine: "Materium", one: "Reference", samples: "list[Sample]") -> "list[Facts]":
    """Rows of the predictions of a crystal, not yet compared."""
    from materium.crystal import fault

    rows = []
    for number, sample in enumerate(samples):
        crystal = engine.read(sample)
        reason = fault(crystal)
        states = crystal.oxidation_states
        rows.append(
            {
                "id": f"{one.number:06d}-{number:03d}",
                "reference": one.number,
                "reference_id": one.id,
                "sample": number,
                "log_likelihood": sample.log_likelihood,
                "valid": reason is None,
                "reason": reason,
                **dict.fromkeys(("rms", "energy", "relaxation", "rms_relaxed")),
                "cell": crystal.lattice.ravel().tolist(),
                "atomic_numbers": crystal.numbers.tolist(),
                "frac_coords": crystal.frac_coords.ravel().tolist(),
                "oxidation_states": None if states is None else states.tolist(),
            }
        )
    return rows


def _crystals(rows: "Iterable[Facts]") -> "list[Crystal]":
    from materium.generate.rows import crystal_of

    return [crystal_of(row) for row in rows]


def _compare(references: "Sequence[Reference]", rows: "Sequence[list[Facts]]", match: "Match") -> None:
    """Put the distance from the real crystal into the rows that are valid."""
    valid = [[row for row in found if row["valid"]] for found in rows]
    tasks = [(one.crystal, _crystals(found)) for one, found in zip(references, valid, strict=True) if one.crystal]
    for found, distances in zip(valid, match(tasks), strict=True):
        for row, distance in zip(found, distances, strict=True):
            row["rms"] = distance


def _relax(
    references: "Sequence[Reference]", rows: "Sequence[list[Facts]]", match: "Match", potential: "Potential"
) -> None:
    """Put energy, outcome, and distance after relaxation into the rows that are valid."""
    from math import isfinite

    from materium.relax.relaxer import relax

    pairs = [(one, row) for one, found in zip(references, rows, strict=True) for row in found if row["valid"]]
    relaxed = relax(_crystals(row for _, row in pairs), potential)
    tasks = [(one.crystal, [each.crystal]) for (one, _), each in zip(pairs, relaxed, strict=True) if one.crystal]
    for (_, row), each, distances in zip(pairs, relaxed, match(tasks), strict=True):
        row["relaxation"] = each.status
        if each.status in RELAXED_ENOUGH and isfinite(each.energy):
            row["energy"], row["rms_relaxed"] = each.energy, distances[0]


# --- results ---


def _finish(
    out: Path,
    references: "Sequence[Reference]",
    journal: "Journal",
    match: "Match",
    *,
    max_sites: int,
    relaxed: bool,
    quiet: bool,
) -> None:
    """Write rows, crystals and figures; `metrics.json` comes last and says that all is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from materium.evaluate.prediction import (
        DEFINITIONS,
        FIGURES,
        RELAXED,
        crystals_schema,
        metrics,
        samples_schema,
        summary_rows,
    )
    from materium.io.atomic import digests, read_signed, replacing, write_signed

    samples = [row for number in sorted(journal.columns) for row in journal.columns[number]["samples"]]
    crystals = summary_rows(references, samples)
    too_many = _everything(references, samples, crystals, match, quiet=quiet)
    unknown = {*too_many, *(() if relaxed else RELAXED)}
    for name, rows, schema in (("rows", samples, samples_schema()), ("crystals", crystals, crystals_schema())):
        table = pa.Table.from_pylist(rows, schema=schema)
        with replacing(out / f"{name}.parquet") as part:
            pq.write_table(table, part)
    figures = metrics(crystals, [name for name in FIGURES if name not in unknown], max_sites)
    settings = read_signed(out / SETTINGS, "no predictions")
    facts = {**figures, "left_out": too_many, "definitions": dict(DEFINITIONS), "settings": settings}
    write_signed(out / "metrics.json", {**facts, "files": digests(out, ("rows.parquet", "crystals.parquet"))})


def _everything(
    references: "Sequence[Reference]",
    samples: "Sequence[Facts]",
    crystals: "Sequence[Facts]",
    match: "Match",
    *,
    quiet: bool,
) -> list[str]:
    """Put METRe's distances into the rows of the crystals, and return the names of what would take too long."""
    from materium.evaluate.prediction import MAX_COMPARISONS, comparisons, everything

    left_out = []
    for name, chosen in (("first", [row for row in samples if row["sample"] == 0]), ("any", samples)):
        predictions: dict[int, list[Crystal]] = defaultdict(list)
        for row in chosen:
            if row["valid"]:
                predictions[row["reference"]] += _crystals([row])
        count, needed = comparisons(references, predictions)
        if needed > MAX_COMPARISONS:
            left_out.append(f"metre_{name}")
            continue
        others = everything(references, predictions, match)
        with make_progress(quiet=quiet) as progress:
            least = dict(progress.track(others, total=count, description="matching polymorphs"))
        for row in crystals:
            both = (row[f"rms_{name}"], least.get(row["number"]))
            row[f"rms_metre_{name}"] = min((one for one in both if one is not None), default=None)
    return left_out


def _show(out: Path, *, quiet: bool) -> None:
    from materium.evaluate.prediction import FIGURES

    found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    console = make_console(quiet=quiet)
    for name, part in found.items():
        if "statuses" in part:
            statuses = ", ".join(f"{count} {status}" for status, count in part["statuses"].items())
            console.print(f"{name.replace('_', ' ')}: {part['crystals']} crystals ({statuses or 'none'})")
            rows = [_line(each, figure) for each, figure in part.items() if each in FIGURES]
            console.print(make_table(("", "matched", "95 %", "RMSE", "cRMSE"), rows))
            meanings = {name.replace("_", " "): one["definition"] for name, one in part.items() if name in FIGURES}
    console.print(make_table(("", "meaning"), meanings.items()))
    console.print(f"RMSE: {found['definitions']['rmse']}; cRMSE: {found['definitions']['crmse']}")
    for name in found["left_out"]:
        console.print(f"{name.replace('_', ' ')} is left out: too many crystals of one formula to compare")


def _line(name: str, figure: "Facts") -> tuple[str, ...]:
    low, high = figure["interval"]
    share = f"{figure['numerator']} of {figure['denominator']} ({100 * figure['match_rate']:.1f} %)"
    rmse = "none" if figure["rmse"] is None else f"{figure['rmse']:.3f}"
    return name.replace("_", " "), share, f"{100 * low:.1f} to {100 * high:.1f} %", rmse, f"{figure['crmse']:.3f}"
