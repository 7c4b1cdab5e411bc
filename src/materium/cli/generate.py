"""`materium generate`: writes crystals."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.conditions import with_conditions
from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, ModelOption, OutOption, QuietOption, SeedOption
from materium.generate.request import BATCH, Request

if TYPE_CHECKING:
    from materium.generate.engine import Materium
    from materium.generate.writer import RunFolder


@with_conditions
def generate(
    out: OutOption,
    n: Annotated[int, typer.Option("-n", help="How many crystals.")] = Request.n,
    seed: SeedOption = Request.seed,
    guidance: Annotated[
        float, typer.Option(help="How hard the targets are pressed: 0 not at all, 1 as learned.")
    ] = Request.guidance,
    order: Annotated[
        str, typer.Option(help="Site order: high, low, xyz, random or electronegativity.")
    ] = Request.order,
    lattice_first: Annotated[
        bool, typer.Option("--lattice-first", help="Write the lattice before the atoms.")
    ] = Request.lattice_first,
    temperature: Annotated[
        float, typer.Option(help="1 samples what the model believes, less is bolder.")
    ] = Request.temperature,
    geometry_temperature: Annotated[
        float | None, typer.Option(help="Temperature of coordinates and lattice, where it differs.")
    ] = Request.geometry_temperature,
    top_p: Annotated[float, typer.Option(help="Share of the probability that is kept at each token.")] = Request.top_p,
    batch_size: Annotated[int, typer.Option(min=1, help="Crystals written together; only the speed changes.")] = BATCH,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
    *,
    conditions: dict[str, float | str],
) -> None:
    """Write crystals into a run folder, and go on where an interrupted run stopped.

    Example:

        materium generate -n 1000 --seed 7 --out runs/k

        materium generate --formula LiFePO4 -n 8 --out runs/lfp
    """
    request = Request(
        n=n,
        seed=seed,
        conditions=conditions,
        order=order,  # type: ignore[arg-type]  # Request names the right ones if this is none
        lattice_first=lattice_first,
        temperature=temperature,
        geometry_temperature=geometry_temperature,
        top_p=top_p,
        guidance=guidance,
    )
    _run(request, out, model, device, batch_size=batch_size, quiet=quiet)


def _run(request: Request, out: Path, model: Path | None, device: str, *, batch_size: int, quiet: bool) -> None:
    from materium.generate.engine import load
    from materium.generate.writer import RunFolder, RunInfo
    from materium.model.device import resolve_device

    console = make_console(quiet=quiet)
    engine = load(model, resolve_device(device))
    for line in request.warnings(engine.model.config.seen):
        make_console(quiet=quiet, stderr=True).print(f"warning: {line}")
    info = RunInfo(request, engine.fingerprint, _versions(), shlex.join(["materium", *sys.argv[1:]]))
    run = RunFolder(out, info, engine.tokenizer)
    if run.finished:
        console.print(f"{out} is finished already; nothing was written")
    else:
        _write(engine, run, request, batch_size=batch_size, quiet=quiet)
    console.print(make_table(("", "result"), _facts(run.summary(), out)))


def _write(engine: "Materium", run: "RunFolder", request: Request, *, batch_size: int, quiet: bool) -> None:
    try:
        with make_progress(quiet=quiet) as progress:
            task = progress.add_task("generating", total=request.n, completed=run.done)
            waiting = []
            for written in engine.samples(request, start=run.done, batch_size=batch_size):
                waiting.append(written)
                if len(waiting) == min(batch_size, request.n - waiting[0].index):
                    run.add(waiting)
                    progress.advance(task, len(waiting))
                    waiting = []
        run.finish()
    finally:
        if not run.finished:
            run.pause()


def _facts(summary: dict[str, float], out: Path) -> list[tuple[str, str]]:
    count = int(summary["crystals"])

    def share(part: float) -> str:
        return f"{part:.0f} of {count} ({100 * part / count:.1f} %)"

    return [
        ("crystals", f"{count}, in {out}"),
        ("parsed", share(summary["parsed"])),
        ("structurally valid", share(summary["valid"])),
        ("distinct formulas", share(summary["distinct_formulas"])),
        ("mean sites", f"{summary['mean_sites']:.1f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("crystals per second", f"{summary['crystals_per_second']:.1f}"),
    ]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("materium", "torch", "numpy", "moyopy", "pymatgen-core", "ase")}
