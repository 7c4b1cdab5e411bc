"""`materium complete`: fills in a partial structure."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.options import (
    DeviceOption,
    GeometryTemperatureOption,
    ModelOption,
    OutOption,
    QuietOption,
    SeedOption,
    TemperatureOption,
)
from materium.cli.runs import run_info, write_run
from materium.cli.threads import with_threads
from materium.errors import DataError
from materium.generate.request import BATCH, Request

if TYPE_CHECKING:
    from materium.crystal import Crystal

COUNT = 32
"""Structures by default."""


@with_threads
def complete(
    host: Annotated[Path, typer.Argument(help="File of the partial structure: CIF, POSCAR, extxyz …")],
    out: OutOption,
    add: Annotated[str, typer.Option(help="Atoms to add to this cell, as a formula such as Li2O.")],
    n: Annotated[int, typer.Option("-n", help="How many structures.")] = COUNT,
    seed: SeedOption = Request.seed,
    keep_lattice: Annotated[
        bool, typer.Option("--keep-lattice", help="The cell stays too; else the model writes it.")
    ] = False,
    temperature: TemperatureOption = Request.temperature,
    geometry_temperature: GeometryTemperatureOption = Request.geometry_temperature,
    batch_size: Annotated[int, typer.Option(min=1, help="Structures written together.")] = BATCH,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Write structures in which the host's atoms stay where they are, and the formula is put in.

    Example:

        materium complete host.cif --add Li2O -n 32 --keep-lattice --out runs/filled
    """
    from materium.generate.complete import Completion
    from materium.generate.engine import load
    from materium.generate.writer import RunFolder
    from materium.io.lock import hold_folder
    from materium.model.device import resolve_device

    crystal = _host(host)
    engine = load(model, resolve_device(device))
    completion = Completion(
        engine,
        crystal,
        add,
        n=n,
        seed=seed,
        keep_lattice=keep_lattice,
        temperature=temperature,
        geometry_temperature=geometry_temperature,
    )
    completion.plan.check()  # before the folder is made: what cannot be completed leaves none
    facts = {"file": host.name, "sha256": _digest(crystal), "add": add, "keep_lattice": keep_lattice}
    with hold_folder(out):
        run = RunFolder(out, run_info(completion.request, engine, facts), completion.crystal)
        write_run(run, lambda: map(run.prepare, completion.samples(run.done, batch_size)), quiet=quiet)


def _host(path: Path) -> "Crystal":
    """The one structure of a file."""
    from itertools import islice

    from materium.data.readers import read

    rows = list(islice(read(path), 2))
    if len(rows) != 1:
        raise DataError(f"{path} holds {'no structure' if not rows else 'several structures'}; a host is a single one")
    if rows[0].crystal is None:
        raise DataError(f"{path}: {rows[0].reason}")
    return rows[0].crystal


def _digest(crystal: "Crystal") -> str:
    arrays = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
