"""Compiles the decoder's loops where there is a C compiler; without one, PyTorch does their work."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

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
        source, library = (Path(self.root, MODEL, name) for name in ("decode.c", "_decode.so"))
        library.unlink(missing_ok=True)
        if not compiled(source, library):
            self.app.display_warning("no C compiler that works: crystals are written by PyTorch alone, which is slower")
            return
        build_data["artifacts"].append(f"/{library.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compiled(source: Path, library: Path) -> bool:
    """Return whether some compiler made the library."""
    named = os.environ.get("CC")
    command = shlex.split(named) if named else next(([c] for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if command is None or sys.platform == "win32":
        return False
    calls = [[*command, *FLAGS, *SUMS, *choice, str(source), "-o", str(library), "-lm"] for choice in CHOICES]
    return any(subprocess.run(call, capture_output=True, check=False).returncode == 0 for call in calls)  # noqa: S603
