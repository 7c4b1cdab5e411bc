"""`materium doctor`: what works on this machine, and what does not."""

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from materium.cli.console import make_console, make_table
from materium.cli.options import DeviceOption, QuietOption
from materium.errors import MateriumError
from materium.extras import install_command

if TYPE_CHECKING:
    import torch

MIN_FREE_GB = 1.0
MATMUL_SIZE = 512
MAX_BF16_ERROR = 0.02
"""Relative to the largest entry of the product; bfloat16 keeps eight bits, so a right one stays under 0.01."""


TOOLS = {"test", "docs", "dev"}
"""The extras that only those who change Materium need."""


@dataclass(frozen=True)
class Check:
    """One line of the table; `needed` ones decide the exit status."""

    name: str
    passed: bool
    detail: str
    needed: bool = True

    @property
    def verdict(self) -> str:
        """What the table says."""
        return "ok" if self.passed else "FAILS" if self.needed else "not there"


def doctor(device: DeviceOption = "auto", quiet: QuietOption = False) -> None:
    """Check Python, the packages, the device, the model that ships, and the disk.

    The exit status is 0 if all that is needed works, and 1 otherwise.

    Example:

        materium doctor --device cpu
    """
    checks = [*_python(), *_packages(), *_guarded("torch", partial(_torch, device)), *_guarded("model", _model)]
    checks += [*_loops(), *_guarded("temporary folder", _temporary_folder), *_disk()]
    rows = [(check.name, check.verdict, check.detail) for check in checks]
    make_console(quiet=quiet).print(make_table(("check", "verdict", "what was found"), rows))
    if not all(check.passed for check in checks if check.needed):
        raise typer.Exit(1)


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    """Run a check; the failures that a sick machine shows become a line, so that the other checks still run."""
    try:
        return list(check())
    except (ImportError, OSError, RuntimeError, AssertionError, MateriumError) as error:
        return [Check(name, passed=False, detail=" ".join(str(error).split()) or type(error).__name__)]


def _python() -> Iterator[Check]:
    needed = metadata.metadata("materium")["Requires-Python"]
    found = platform.python_version()
    yield Check("Python", SpecifierSet(needed).contains(found), f"{found} on {platform.platform()}, needed {needed}")


def _packages() -> Iterator[Check]:
    for line in metadata.requires("materium") or []:
        requirement = Requirement(line)
        extra = str(requirement.marker).partition("extra == ")[2].strip("\"'") if requirement.marker else ""
        if extra not in TOOLS:
            yield from _guarded(requirement.name, partial(_package, requirement, extra))


def _package(wanted: Requirement, extra: str) -> Iterator[Check]:
    """Look a package up; one that only an extra needs may be missing."""
    name = f"{wanted.name} [{extra}]" if extra else wanted.name
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        hint = f": {install_command(extra)}" if extra else ""
        yield Check(name, passed=False, detail=f"needed {wanted.specifier}{hint}", needed=not extra)
        return
    fits = wanted.specifier.contains(found, prereleases=True)
    yield Check(name, fits, f"{found}, needed {wanted.specifier}", needed=not extra)


def _torch(device: str) -> Iterator[Check]:
    import torch

    name = _fastest_device() if device == "auto" else device
    threads = f", {torch.get_num_threads()} threads" if name == "cpu" else ""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(MATMUL_SIZE, MATMUL_SIZE, generator=generator).to(name) for _ in range(2))
    single, seconds = _timed_product(a, b)
    yield Check("device", passed=True, detail=f"{name}{threads}; float32 product {1e3 * seconds:.2g} ms")
    half, seconds = _timed_product(a.bfloat16(), b.bfloat16())
    error = float((half.float() - single).abs().max() / single.abs().max())
    detail = f"product {1e3 * seconds:.2g} ms, relative error {error:.2g}, at most {MAX_BF16_ERROR} is right"
    yield Check("bfloat16", error <= MAX_BF16_ERROR, detail)


def _fastest_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"  # MPS holds no float64, see `resolve_device`


def _timed_product(a: "torch.Tensor", b: "torch.Tensor") -> tuple["torch.Tensor", float]:
    """Multiply twice and time the second, which has no set-up in it; `.cpu()` waits for the device."""
    (a @ b).cpu()
    start = time.perf_counter()
    product = (a @ b).cpu()
    return product, time.perf_counter() - start


def _model() -> Iterator[Check]:
    from materium.model.checkpoint import load_checkpoint

    model, config = load_checkpoint()  # holds the file to its checksum and the settings to their fingerprint
    parameters = sum(parameter.numel() for parameter in model.parameters())
    digest, fingerprint = config["weights_sha256"][:12], config["tokenizer_fingerprint"][:12]
    detail = f"loads; {parameters / 1e6:.1f} million parameters, weights {digest}, tokenizer {fingerprint}"
    yield Check("model", passed=True, detail=detail)


def _loops() -> Iterator[Check]:
    from materium.model.loops import compiled

    known = compiled() is not None
    detail = (
        "compiled" if known else "PyTorch does their work, slower; with a C compiler (not on Windows), install again"
    )
    yield Check("loops in C", known, detail, needed=False)


def _temporary_folder() -> Iterator[Check]:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
    yield Check("temporary folder", passed=True, detail=f"{tempfile.gettempdir()} takes files")


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Check("disk", free >= MIN_FREE_GB, f"{free:.1f} GB free here, {MIN_FREE_GB:g} GB needed")
