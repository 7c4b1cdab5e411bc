"""Run folders at the command line: what is noted of a run, its progress bar, and the table at its end."""

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from materium.cli.console import make_console, make_progress, make_table

if TYPE_CHECKING:
    from materium.generate.engine import Materium
    from materium.generate.request import Request
    from materium.generate.writer import Prepared, RunFolder, RunInfo

PACKAGES = ("materium", "torch", "numpy", "moyopy", "pymatgen-core", "ase")
"""Their versions are noted in every run."""


def run_info(
    request: "Request",
    engine: "Materium",
    host: dict[str, Any] | None = None,
    output: Mapping[str, bool] = MappingProxyType({}),
) -> "RunInfo":
    """Return what is noted of a run of this command line; `output` are the flags of `RunInfo` that are set."""
    from importlib.metadata import version

    from materium.generate.writer import RunInfo
    from materium.model.loops import compiled

    versions = {name: version(name) for name in PACKAGES}
    versions["loops"] = "C" if compiled() is not None else "PyTorch"  # last digits follow from it
    return RunInfo(request, engine.fingerprint, versions, shlex.join(["materium", *sys.argv[1:]]), host or {}, **output)


def write_run(run: "RunFolder", batches: Callable[[], "Iterable[list[Prepared]]"], *, quiet: bool) -> None:
    """Write a run to its end, from where it stands, and print what it holds; a finished one is only printed."""
    console = make_console(quiet=quiet)
    for line in run.repaired:
        make_console(stderr=True).print(f"warning: {line}", soft_wrap=True)
    if run.finished:
        console.print(f"{run.folder} is finished already; nothing was written")
    else:
        _write(run, batches(), quiet=quiet)
    console.print(make_table(("", "result"), _facts(run.summary(), run.folder)))


def _write(run: "RunFolder", batches: "Iterable[list[Prepared]]", *, quiet: bool) -> None:
    try:
        with make_progress(quiet=quiet) as progress:
            task = progress.add_task("generating", total=run.info.request.total, completed=run.done)
            for batch in batches:
                run.append(batch)
                progress.advance(task, len(batch))
        run.finish()
    finally:
        if not run.finished:
            run.pause()


def _facts(summary: dict[str, float], out: Path) -> list[tuple[str, str]]:
    count = int(summary["crystals"])

    def share(part: float) -> str:
        return f"{part:.0f} of {count} ({100 * part / count:.1f} %)"

    more = [(name, share(summary[name])) for name in ("unique", "symmetrized") if name in summary]
    return [
        ("crystals", f"{count}, in {out}"),
        ("parsed", share(summary["parsed"])),
        ("structurally valid", share(summary["valid"])),
        *more,
        ("distinct formulas", share(summary["distinct_formulas"])),
        ("mean sites", f"{summary['mean_sites']:.1f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("crystals per second", f"{summary['crystals_per_second']:.1f}"),
    ]
