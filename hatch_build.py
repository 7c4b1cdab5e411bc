"""Compiles the loops in C where there is a C compiler; without one, PyTorch does their work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

MODEL = Path("src", "materium", "model")
FLAGS = ["-O3", "-std=gnu11", "-fPIC", "-shared"]
SUMS = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-ffinite-math-only"]
"""Sums may be taken in any order, which makes loops wide. -ffast-math would say the same, and switch off the smallest
numbers for the whole process."""
CHOICES = (["-DVERSIONS"], [])
"""Versions for several generations of x86 in one file, where the compiler can do that."""


class CompileHook(BuildHookInterface[Any]):
    """Puts the library beside its source, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile; a failure is told and is no error."""
        source, library = (Path(self.root, MODEL, name) for name in ("loops.c", "_loops.so"))
        if not compiled(source, library):
            self.app.display_warning("no C compiler that works: PyTorch does the work of loops.c, which is slower")
            return
        build_data["artifacts"].append(f"/{library.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(platform_tags())}"  # it knows nothing of Python


def compiled(source: Path, library: Path) -> bool:
    """Return whether some compiler made the library; an older one stays until then, for others may be using it."""
    part = library.with_suffix(f".{os.getpid()}.part")
    known = [f"-DSOURCE={zlib.crc32(source.read_bytes())}u", str(source), "-o", str(part), "-lm"]
    try:
        for command in compilers():
            for choice in CHOICES:
                if succeeds([*command, *FLAGS, *SUMS, *choice, *known]):
                    part.replace(library)
                    return True
    except OSError:  # a checkout that cannot be written to
        return False
    finally:
        part.unlink(missing_ok=True)
    return False


def compilers() -> list[list[str]]:
    """Return the commands to try: the one that CC names, then the usual ones."""
    named = os.environ.get("CC", "").split()
    usual = [[name] for name in ("cc", "gcc", "clang") if shutil.which(name)]
    return [] if sys.platform == "win32" else [*([named] if named else []), *usual]


def succeeds(command: list[str]) -> bool:
    """Return whether a command ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - a compiler
    except OSError:
        return False
