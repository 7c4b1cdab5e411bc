"""`materium generate`: generates crystals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.conditions import with_targets
from materium.cli.console import make_console
from materium.cli.options import (
    DeviceOption,
    ModelOption,
    OutOption,
    QuietOption,
    SeedOption,
    TunedEndOddsOption,
    TunedGeometryReachOption,
    TunedGeometryTemperatureOption,
    TunedTemperatureOption,
)
from materium.cli.runs import run_info, write_run
from materium.cli.threads import with_threads
from materium.generate.request import BATCH, Request
from materium.refine import REFINE_SYMPREC

if TYPE_CHECKING:
    from materium.evaluate.firsts import Firsts


@with_threads
@with_targets
def generate(
    out: OutOption,
    n: Annotated[int, typer.Option("-n", help="Number of crystals, for each combination of targets.")] = Request.n,
    seed: SeedOption = Request.seed,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Classifier-free guidance scale (0 = unconditional, 1 = conditional). Default: tuned per condition."
        ),
    ] = None,
    order: Annotated[
        str, typer.Option(help="Site order: high, low, xyz, random or electronegativity.")
    ] = Request.order,
    lattice_first: Annotated[
        bool, typer.Option("--lattice-first", help="Generate the lattice before the atoms.")
    ] = Request.lattice_first,
    temperature: TunedTemperatureOption = None,
    geometry_temperature: TunedGeometryTemperatureOption = None,
    geometry_reach: TunedGeometryReachOption = None,
    end_odds: TunedEndOddsOption = None,
    top_p: Annotated[
        float, typer.Option(help="Nucleus sampling: cumulative probability that is kept at each token.")
    ] = Request.top_p,
    elements: Annotated[str, typer.Option(help="Elements that may occur, such as Li,Fe,P,O.")] = "",
    require: Annotated[str, typer.Option(help="Elements that must occur.")] = "",
    forbid: Annotated[str, typer.Option(help="Elements that must not occur.")] = "",
    z: Annotated[
        str | None,
        typer.Option(help="Formula units in the primitive cell, such as 2 or 1..4. Default: the model chooses."),
    ] = None,
    cell_formula: Annotated[
        str | None, typer.Option(help="Exact content of the primitive cell, such as Li4Fe4P4O16.")
    ] = Request.cell_formula,
    neutral: Annotated[bool, typer.Option("--neutral", help="Oxidation states sum to zero.")] = Request.neutral,
    soft: Annotated[
        bool,
        typer.Option(
            "--soft",
            help="Formula, chemical system and number of atoms condition the model only; no mask enforces them.",
        ),
    ] = Request.soft,
    symmetrize: Annotated[
        float | None,
        typer.Option(
            metavar="[<float>]",
            help=f"Also refine the structures to their symmetry within this tolerance in Å (default {REFINE_SYMPREC}).",
        ),
    ] = Request.symmetrize,
    unique: Annotated[
        bool,
        typer.Option(
            "--unique", help="Mark duplicates of earlier crystals in the table; only the first of each gets files."
        ),
    ] = False,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Write structures.parquet, and no CIF or extxyz: for large runs.")
    ] = False,
    no_space_groups: Annotated[
        bool, typer.Option("--no-space-groups", help="Skip the space-group columns: faster.")
    ] = False,
    p1: Annotated[
        bool, typer.Option("--p1", help="CIFs in P1: all atoms of the cell as generated, without its space group.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Crystals generated together; changes speed and memory only.")
    ] = BATCH,
    bfloat16: Annotated[
        bool,
        typer.Option(
            "--bfloat16",
            help="Compute in bfloat16: faster where the CPU supports it; samples other crystals than float32.",
        ),
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
    *,
    conditions: dict[str, list[str]],
) -> None:
    """Generate crystals into a run folder, and resume an interrupted run.

    Example:

        materium generate -n 1000 --seed 7 --out runs/k

        materium generate --formula LiFePO4 --z 1..4 -n 8 --out runs/lfp

        materium generate --density 2.5 5 7.5 --band-gap 1..2 --forbid Pb,Cd --out runs/wide
    """
    chosen = given(
        temperature=temperature,
        geometry_temperature=geometry_temperature,
        geometry_reach=geometry_reach,
        end_odds=end_odds,
        guidance=guidance,
    )
    request = Request(
        n=n,
        seed=seed,
        conditions=conditions,
        order=order,  # type: ignore[arg-type]  # Request names the right ones if this is none
        lattice_first=lattice_first,
        top_p=top_p,
        elements=elements,  # type: ignore[arg-type]  # Request reads the text of these four
        require=require,  # type: ignore[arg-type]
        forbid=forbid,  # type: ignore[arg-type]
        z=z,  # type: ignore[arg-type]
        cell_formula=cell_formula,
        neutral=neutral,
        soft=soft,
        symmetrize=symmetrize,
        **chosen,
    )
    output = {"unique": unique, "table_only": table_only, "no_space_groups": no_space_groups, "p1": p1}
    _run((request, chosen), out, model, device, output, batch_size=batch_size, bfloat16=bfloat16, quiet=quiet)


def given(**options: float | None) -> dict[str, Any]:
    """Return the options that were given; the others are left to what was measured on the model."""
    return {name: value for name, value in options.items() if value is not None}


def _run(
    asked: tuple[Request, dict[str, Any]],
    out: Path,
    model: Path | None,
    device: str,
    output: dict[str, bool],
    *,
    batch_size: int,
    bfloat16: bool,
    quiet: bool,
) -> None:
    from materium.generate.engine import load
    from materium.generate.writer import RunFolder
    from materium.io.lock import hold_folder
    from materium.model.device import resolve_device

    engine = load(model, resolve_device(device))
    engine.bfloat16 = bfloat16
    request = engine.tuned.apply(*asked)
    plan = engine.plan(request)  # first of all: what contradicts itself needs no warnings
    for line in request.warnings(engine.model.config.seen):
        make_console(quiet=quiet, stderr=True).print(f"warning: {line}")
    with hold_folder(out):
        run = RunFolder(out, run_info(request, engine, output=output), engine.read, _firsts)
        workers = engine.processes(request.total - run.done)
        write_run(run, lambda: engine.made(plan, run.prepare, run.done, batch_size, workers), quiet=quiet)


def _firsts(path: Path) -> "Firsts":
    """What tells copies; loaded by runs that ask for it alone."""
    from materium.evaluate.firsts import Firsts

    return Firsts(path)
