"""`materium discover`: crystals through a funnel, until enough of them are new and close to the hull."""

import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.conditions import with_targets
from materium.cli.console import make_console, make_progress, make_table
from materium.cli.generate import generate, given
from materium.cli.options import DeviceOption, FiguresOption, ModelOption, OutOption, QuietOption
from materium.cli.threads import with_threads
from materium.errors import RequestError
from materium.evaluate.funnel import BUDGET, CAP, ENOUGH, EXHAUSTED, Limits
from materium.evaluate.reference import DEFAULT
from materium.generate.request import ADDED, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from materium.evaluate.funnel import Count, Funnel, Judges, Made, Progress, Show
    from materium.generate.decoding import Sample
    from materium.generate.engine import Materium

    Facts = dict[str, Any]

SETTINGS, JOURNALS, METRICS, PAGE = "settings.json", "journal", "metrics.json", "report.html"
BATCH = 64
"""Crystals that are generated together; part of the settings, for a batch is what a stopped search goes on from."""
CAP_FACTOR = 200
"""Without a budget at most so many crystals are generated for each candidate that is wanted."""
MOST = BATCH * 2**20
"""Crystals of each combination of targets that a search could ask for; it is ended long before."""
NOT_ASKED = ("n", "conditions", "symmetrize")
"""Fields of a request that are no options here: the funnel counts, and relaxing does more than symmetrising."""
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
ENDED = {
    ENOUGH: "enough candidates were found",
    BUDGET: "the budget is used up; with a larger --budget the same command goes on",
    CAP: f"{CAP_FACTOR} crystals for each candidate wanted were generated; give a --budget to go on",
    EXHAUSTED: "no crystals came any more",
}


def _with_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `materium generate` that make a request, and pass that on as `request`."""
    theirs = inspect.signature(generate).parameters
    names = [name for name in Request.__dataclass_fields__ if name in theirs and name not in NOT_ASKED]

    @wraps(command)
    def wrapped(*, conditions: dict[str, list[str]], **arguments: Any) -> None:
        told = given(**{name: arguments.pop(name) for name in names})
        command(**arguments, request=Request(n=MOST, conditions=conditions, **told), chosen=told)

    out, *own = [p for p in inspect.signature(command).parameters.values() if p.name not in {"request", "chosen"}]
    told = inspect.Parameter("conditions", inspect.Parameter.KEYWORD_ONLY)
    asked = [theirs[name] for name in names]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (out, *asked, *own)]
    wrapped.__signature__ = inspect.Signature([*parameters, told])  # type: ignore[attr-defined]  # `with_targets` reads it
    return wrapped


@with_threads
@with_targets
@_with_request
def discover(
    out: OutOption,
    keep: Annotated[
        int, typer.Option(help="Candidates that end the search; the last step may bring more.")
    ] = Limits.keep,
    max_hull: Annotated[
        float, typer.Option(help="eV/atom above the hull that a candidate may have.")
    ] = Limits.max_hull,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time that ends the search too, such as 30s, 90m or 2h, from when model and potential are loaded."
        ),
    ] = None,
    potential: Annotated[str, typer.Option(help="Relaxes, and gives energies: chgnet, sevennet, …")] = DEFAULT,
    reference: Annotated[
        str | None, typer.Option(help="Name or file of the reference; by default the potential's.")
    ] = None,
    fmax: Annotated[float, typer.Option(help="eV/Å; bound of forces and stress when relaxed.")] = Limits.fmax,
    max_steps: Annotated[int, typer.Option(help="Step cap of a relaxation.")] = Limits.max_steps,
    screen: Annotated[
        float, typer.Option(help="eV/atom above the hull, unrelaxed, beyond which a crystal is not relaxed.")
    ] = Limits.screen,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    figures: FiguresOption = False,
    quiet: QuietOption = False,
    *,
    request: Request,
    chosen: "Facts",
) -> None:
    """Generate until enough new crystals are found close to the hull, and rank them.

    Batches go through a funnel: check, unique, novel, hull support, single-point screen, relaxation, hull, still unique
    and novel.
    Ends in candidates.parquet, candidates.csv, candidates.extxyz, cif/ and report.html; rows.parquet tells of every
    crystal where it ended and why. The same command goes on where it was stopped, and with a larger budget from there.

    Example:

        materium discover --elements Li,Fe,P,O --keep 20 --out runs/li

        materium discover --space-group 225 --density 5 --budget 2h --out runs/cubic
    """
    from materium.evaluate.funnel import Judges
    from materium.generate.engine import load
    from materium.io.lock import hold_folder
    from materium.model.device import resolve_device

    limits = Limits(keep, max_hull, screen, fmax, max_steps)
    bounds = {
        "budget": None if budget is None else _seconds(budget),
        "cap": CAP_FACTOR * keep if budget is None else None,
    }
    engine = load(model, resolve_device(device))
    request = engine.tuned.apply(request, chosen)
    batches = _Batches(engine, request)  # first of all: what contradicts itself needs no potential
    for line in request.warnings(engine.model.config.seen):
        make_console(quiet=quiet, stderr=True).print(f"warning: {line}")
    judges = Judges.open(potential, reference)
    settings = _settings(request, limits, judges, engine)
    with hold_folder(out):
        _open(out, settings)
        _search(out, judges, limits, batches, bounds, settings, quiet=quiet)
        _report(out, figures=figures)
        _print(out, make_console(quiet=quiet))


def _seconds(text: str) -> float:
    """Seconds of a text such as `30s`, `90m`, `2h` or `1h30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    total = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or total <= 0:
        raise RequestError(f"budget = {text} is no time; write it like 30s, 90m or 2h")
    return total


# --- where the crystals come from ---


class _Batches:
    """Batches of a request, of one combination of targets after the other in turn: batch k depends on k alone."""

    def __init__(self, engine: "Materium", request: Request) -> None:
        self._engine, self._plan, self._request = engine, engine.plan(request), request

    def __call__(self, first: int) -> "Iterator[Sequence[Made]]":
        cells = len(self._plan.cells)
        for number in range(first, cells * (MOST // BATCH)):
            start = number % cells * MOST + number // cells * BATCH
            samples = next(self._engine.batches(self._plan, start, BATCH))
            yield [self._made(one) for one in samples]

    def _made(self, one: "Sample") -> "Made":
        from materium.evaluate.funnel import Made

        cell = f"-{one.request}" if len(self._plan.cells) > 1 else ""
        name = f"{self._request.seed}{cell}-{one.index % MOST:06d}"
        return Made(name, self._engine.read(one), one.log_likelihood, one.targets)


# --- the folder ---


def _settings(request: Request, limits: Limits, judges: "Judges", engine: "Materium") -> "Facts":
    """All that decides the candidates; the budget decides when the search ends alone."""
    told = {name: value for name, value in request.to_dict().items() if name not in ("n", "symmetrize")}
    return {**told, **asdict(limits), **judges.facts(), "model": engine.fingerprint, "batch": BATCH}


def _open(out: Path, settings: "Facts") -> None:
    """Make the folder, or take one up that the same settings left; anything else is refused."""
    from materium.io.atomic import is_empty, write_signed

    path = out / SETTINGS
    if path.exists():
        _require_same(path, settings)
    elif not is_empty(out):
        raise RequestError(f"{out} is not empty and holds no search; choose another --out")
    else:
        write_signed(path, settings)
    (out / JOURNALS).mkdir(exist_ok=True)


def _require_same(path: Path, settings: "Facts") -> None:
    from materium.io.atomic import read_signed

    found = {**ADDED, **read_signed(path, "no search")}
    other = sorted(name for name in settings if found.get(name) != settings[name])
    if other:
        raise RequestError(f"{path.parent} was made with another {', '.join(other)}; choose another --out")


# --- the search ---


def _search(
    out: Path,
    judges: "Judges",
    limits: Limits,
    batches: _Batches,
    bounds: "Facts",
    settings: "Facts",
    *,
    quiet: bool,
) -> None:
    """Go on from where the folder stands; one that is finished is only shown."""
    from materium.evaluate.funnel import Funnel
    from materium.io.atomic import whole

    console = make_console(quiet=quiet)
    with _live(quiet=quiet) as (show, tell):
        funnel = Funnel(judges, limits, out / JOURNALS, show, tell)
        finished = whole(out / METRICS) and funnel.ended(**bounds) is not None
        if not finished:
            (out / METRICS).unlink(missing_ok=True)  # of a search whose budget was smaller
            ended = funnel.run(batches, **bounds)
    if finished:
        console.print(f"{out} is finished already; nothing was written")
    else:
        _finish(out, funnel, ended, {"command": shlex.join(["materium", *sys.argv[1:]]), "settings": settings})


@contextmanager
def _live(*, quiet: bool) -> "Iterator[tuple[Show, Progress]]":
    """A table of the stages that is drawn anew after every step, and a bar of what is under way, gone at the end."""
    with make_progress(quiet=quiet) as bars:
        task = bars.add_task("generate", total=None)

        def show(found: "Sequence[Count]") -> None:
            bars.above = _stages(found)

        def tell(what: str, done: int, total: int) -> None:
            bars.reset(task, total=total or None, completed=done, description=what)

        yield show, tell


def _stages(found: "Sequence[Count]") -> "Table":
    return make_table(("stage", "in", "out", "dropped", "left"), found)


def _finish(out: Path, funnel: "Funnel", ended: str, facts: "Facts") -> None:
    from materium.evaluate.candidates import candidates, metrics, write

    rows = funnel.rows
    found = candidates(rows, funnel.judges, funnel.limits)
    (out / PAGE).unlink(missing_ok=True)  # it is made from what is written now
    write(out, rows, found, {**metrics(funnel, found, ended), "ended_because": ENDED[ended], **facts})


def _report(out: Path, *, figures: bool) -> None:
    """The page, unless it is there: it comes from the tables, so that the same command makes up for a lost one."""
    import pyarrow.parquet as pq

    from materium.report.discovery import write_discovery

    if figures or not (out / PAGE).exists():
        found, rows = (pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("candidates", "rows"))
        metrics = json.loads((out / METRICS).read_text(encoding="utf-8"))
        write_discovery(out / PAGE, f"Search {out.name}", found, metrics, rows, out / "figures" if figures else None)


def _print(out: Path, console: "Console") -> None:
    import pyarrow.parquet as pq

    facts = json.loads((out / METRICS).read_text(encoding="utf-8"))
    console.print(make_table(("stage", "in", "out", "dropped", "left"), [one.values() for one in facts["stages"]]))
    if facts["no_reference"]:
        console.print(f"{facts['no_reference']} crystals have an element that the reference lacks")
    if facts.get("unsupported"):
        console.print(
            f"{facts['unsupported']} crystals are unsupported: the reference lacks compounds to compete with them"
        )
    if facts.get("novel_means"):
        console.print(f"novel: {facts['novel_means']}")
    names = ["rank", "formula", "energy_above_hull", "space_group_relaxed", "log_likelihood", "decomposition"]
    found = pq.read_table(out / "candidates.parquet", columns=names).to_pylist()[:10]
    if found:
        body = [[f"{cell:.3f}" if isinstance(cell, float) else cell for cell in one.values()] for one in found]
        console.print(make_table(("", "formula", "eV/atom above hull", "space group", "ln p", "competes with"), body))
    console.print(f"{facts['candidates']} candidates in {out}: {facts['ended_because']}")
