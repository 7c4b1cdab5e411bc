"""The code of Markdown pages: what a reader would type, found and run, as README's and the documentation's tests do.

In a ```console block each line after `$ ` is a command and the rest is its output; a ```bash block is one command, a
```python block a script. A block with a title is a file that later commands find. A line that ends in a backslash goes
on in the next.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"

SUBSTITUTIONS = {
    # Setting up would set up the environment that runs this test: the target's steps are resolved, not run.
    "make generate": f"make --dry-run -C {ROOT} generate",
    "make test": f"make --dry-run -C {ROOT} test",
    "make serve": f"make --dry-run -C {ROOT} serve",
    "make docs": f"make --dry-run -C {ROOT} docs",
    # No network in tests: the package's metadata is built and its installation resolved, nothing is installed.
    "pip install .": f"python -m pip install --dry-run --no-deps --no-index --no-build-isolation {ROOT}",
}
"""All that is run otherwise than as it is written; `data/` in a page stands for the reader's own tables."""

NEEDS_DATA = re.compile(r"(^|\s|\")(data/|shards\b|runs/tiny\b)")  # and what is made of them
NEEDS_CUDA = re.compile(r"\bcuda\b")
TIMEOUT_SECONDS = 240
PRELOADED = [
    "materium.cli.evaluate",
    "materium.cli.generate",
    "materium.evaluate.pipeline",
    "materium.generate.engine",
    "materium.generate.writer",
    "materium.relax.adapters.chgnet",
    "ase.io.extxyz",
    "chgnet.model",
    "pymatgen.io.cif",
    "pymatgen.io.vasp.sets",
    "smact",
]
"""What most commands import, once for all of them; what is not installed is left out."""

SHOWN = {"text", "json"}
"""Languages of blocks that are output or drawings, and not run."""
_BLOCK = re.compile(r"^( *)```(\w*)(?: +title=\"([^\"]+)\")?[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_PLAIN = re.compile(r"(?:[A-Z]+=\S+ )*materium [^|&;<>$`]*")
"""A command that needs no shell, with variables of its environment before it."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, the file that it is (if it has a title), its text."""

    at: int
    language: str
    title: str | None
    text: str


@dataclass(frozen=True)
class Command:
    """What a reader does: types a line, runs a script, or saves a file."""

    text: str
    script: bool = False
    file: str | None = None

    @property
    def name(self) -> str:
        """Its name in the report of a test."""
        return f"file {self.file}" if self.file else self.text.splitlines()[0][:60]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, those within lists and notes too."""
    return [Block(f.start(), f[2], f[3], dedent(f[4])) for f in _BLOCK.finditer(page)]


def commands(page: str) -> list[Command]:
    """Return what a reader would do, in the page's order."""
    return [command for block in blocks(page) for command in _of_block(block)]


def _of_block(block: Block) -> Iterator[Command]:
    if block.title:
        yield Command(block.text, file=block.title)
    elif block.language == "python":
        yield Command(block.text, script=True)
    elif block.language == "bash":
        yield Command(block.text.strip())
    elif block.language == "console":
        lines = block.text.replace("\\\n", " ").splitlines()
        yield from (Command(line[2:]) for line in lines if line.startswith("$ "))


def marks(command: Command) -> list[pytest.MarkDecorator]:
    """Return the mark of those that need the tables."""
    return [pytest.mark.shared_data] if NEEDS_DATA.search(command.text) else []


def skip_if_impossible(command: Command) -> None:
    """Skip what needs the tables where there are none, and what needs a GPU where there is none."""
    if NEEDS_DATA.search(command.text) and not DATA.is_dir():
        pytest.skip(f"no data tables in {DATA}")
    if NEEDS_CUDA.search(command.text):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")


def make_folder(path: Path) -> Path:
    """Return an empty folder in which a page is followed from top to bottom, with the tables where there are any."""
    path.mkdir(parents=True)
    if DATA.is_dir():
        (path / "data").symlink_to(DATA)
    return path


def run(command: Command, folder: Path, environment: Mapping[str, str]) -> str:
    """Do what the page says in a process of its own, as a reader would, which must succeed, and return its errors."""
    if command.file:
        (folder / command.file).write_text(command.text, encoding="utf-8")
        return ""
    written = SUBSTITUTIONS.get(command.text, command.text)
    program = [sys.executable, "-c", written] if command.script else ["bash", "-euo", "pipefail", "-c", written]
    done = subprocess.run(
        program, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, f"{written}\n{done.stdout}\n{done.stderr}"
    return done.stderr


def start(command: Command, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command that does not end by itself, its output in a file; whoever started it ends it."""
    with folder.with_suffix(".server.log").open("wb") as log:
        program = [sys.executable, "-m", *shlex.split(command.text)]
        return subprocess.Popen(program, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def run_preloaded(command: Command, folder: Path, environment: Mapping[str, str]) -> str:
    """Do the same in a copy of a process that has imported the packages: seconds less for each command.

    A command that needs a shell is run as a reader would.
    """
    if command.file or not (command.script or _PLAIN.fullmatch(command.text)):
        return run(command, folder, environment)
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    log = folder.with_suffix(".log")
    process = context.Process(target=follow, args=(command, folder, log))
    process.start()
    process.join(TIMEOUT_SECONDS)
    late = process.is_alive()
    process.kill()
    process.join()
    said = log.read_text(encoding="utf-8", errors="replace")
    assert not late, f"{command.text}\ntook more than {TIMEOUT_SECONDS} s\n{said}"
    assert process.exitcode == 0, f"{command.text}\n{said}"
    return said


def follow(command: Command, folder: Path, log: Path) -> None:
    """Be the process of a command: in its folder, without a network, all output in `log`."""
    with log.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    runpy.run_path(str(ROOT / "tests" / "offline" / "sitecustomize.py"))
    sys.path.insert(0, "")
    if command.script:
        exec(compile(command.text, "<page>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the page's own code
        return
    from materium.cli.main import main

    words = shlex.split(command.text)
    program = words.index("materium")
    os.environ.update(word.split("=", 1) for word in words[:program])
    sys.argv = words[program:]
    raise SystemExit(main(sys.argv[1:]))
