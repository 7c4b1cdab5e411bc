"""`materium bench`: how fast this machine can be, how fast Materium is on it, and the ratio."""

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import materium
from materium.cli.console import make_console, make_table
from materium.cli.options import ModelOption, QuietOption
from materium.cli.threads import with_threads

if TYPE_CHECKING:
    from materium.generate.engine import Materium


@dataclass(frozen=True)
class Effort:
    """How much is measured: crystals (plain, of the extras, to train on), epochs, repeats, runs of whole processes."""

    crystals: int = 1000
    plain: int = 16
    extra: int = 512
    trained: int = 4000
    epochs: int = 1
    repeats: int = 3
    runs: tuple[int, ...] = (64, 1000, 10_000)
    limits: int = 20


QUICK = Effort(crystals=32, plain=1, extra=16, trained=32, epochs=2, repeats=1, runs=(4,), limits=3)
HEADERS = ("", "measured")


@with_threads
def bench(
    model: ModelOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smoke test; timings are not meaningful.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the figures, as JSON.", dir_okay=False)
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Measure speed and memory on this machine, beside what it can do at most. The last line is JSON.

    Other work on the machine makes every figure worse: let it rest meanwhile.

    Example:

        materium bench --quick

        materium bench --out benchmarks/results/here.json
    """
    from materium.generate.engine import load

    figures = measured(load(model), model, QUICK if quick else Effort())
    make_console(quiet=quiet).print(make_table(HEADERS, list(flat(figures))))
    line = json.dumps(figures)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n", encoding="utf-8")
    typer.echo(line)


def measured(engine: "Materium", model: Path | None, effort: Effort) -> dict[str, Any]:
    """Return every figure, the limits of the machine first."""
    from materium.bench.limits import limits, machine
    from materium.bench.sampling import against_limits, extras, written
    from materium.bench.training import preparing_and_training
    from materium.generate.request import Request

    peaks = limits(effort.limits)
    sampling = against_limits(engine, effort.crystals, effort.plain, effort.repeats, peaks["copy_gb_per_second"])
    crystals = [engine.read(sample) for sample in written(engine, Request(n=effort.trained, seed=2))]
    facts = {"command": shlex.join(["materium", *sys.argv[1:]]), "version": materium.__version__, "commit": _commit()}
    with tempfile.TemporaryDirectory() as name:  # deleted at the end; `extras` says why
        folder = Path(name)
        return {
            "machine": machine(),
            **facts,
            "model": engine.fingerprint,
            "limits": peaks,
            "sampling": sampling,
            "times_as_much": extras(engine, effort.extra, effort.repeats, folder),
            "generate": {str(n): _generate(n, model, folder) for n in effort.runs},
            **preparing_and_training(engine, crystals, effort.epochs, folder),
        }


def _generate(n: int, model: Path | None, folder: Path) -> dict[str, float | None]:
    """A whole run of the command line; files are warm, for this process has read them."""
    from materium.bench.process import run

    words = ["generate", "-n", str(n), "--out", str(folder / f"generated-{n}"), "--quiet"]
    seconds, memory = run([*words, *(["--model", str(model)] if model else [])])
    return {"seconds": seconds, "peak_gb": memory}


def flat(figures: dict[str, Any], before: str = "") -> "list[tuple[str, str]]":
    """Return name and value of every figure, names of those inside others after a comma."""
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += flat(value, f"{before}{name}, ")
        else:
            rows.append(
                (f"{before}{name}".replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
            )
    return rows


def _commit() -> str | None:
    """The commit of the checkout that this runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a constant
    except OSError:
        return None
    return found.stdout.strip() or None
