"""The code of Markdown pages: what a reader would type, found and run, as README's and the documentation's tests do.

In a ```console block each line after `$ ` is a command and the lines that follow are its output; a ```bash block is one
command, and a ```text block right after it its output; a ```python block is a script. A ```text block that begins with
`$ ` shows a command that is refused. A block with a title is a file that later commands find. A line that ends in a
backslash goes on in the next. What is shown as output is held to what is printed; times are left out.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from math import isclose
from multiprocessing import get_context
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]

MADE = "materium generate -n 64 --seed 1 --out runs/first"
"""What `make generate` ends with."""
SUBSTITUTIONS = {
    # Setting up would set up the environment that runs this test: the target's steps are resolved, not run.
    "make generate": f"make --dry-run -C {ROOT} generate && {MADE}",
    "make test": f"make --dry-run -C {ROOT} test",
    "make serve": f"make --dry-run -C {ROOT} serve",
    "make docs": f"make --dry-run -C {ROOT} docs",
    # No network in tests: the package's metadata is built and its installation resolved, nothing is installed.
    "pip install .": f"python -m pip install --dry-run --no-deps --no-index --no-build-isolation {ROOT}",
}
"""All that is run otherwise than as it is written."""

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
    output: str = ""
    """What the page shows below it."""
    refused: bool = False
    """Whether the page shows how it is refused, with status 2."""

    @property
    def name(self) -> str:
        """Its name in the report of a test."""
        return f"file {self.file}" if self.file else self.text.splitlines()[0][:60]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, those within lists and notes too."""
    return [Block(f.start(), f[2], f[3], dedent(f[4])) for f in _BLOCK.finditer(page)]


def commands(page: str) -> list[Command]:
    """Return what a reader would do, in the page's order."""
    found = blocks(page)
    return [
        command for block, after in zip(found, [*found[1:], None], strict=False) for command in _of_block(block, after)
    ]


def _of_block(block: Block, after: Block | None) -> Iterator[Command]:
    if block.title:
        yield Command(block.text, file=block.title)
    elif block.language == "python":
        yield Command(block.text, script=True)
    elif block.language == "bash":
        shown = after.text if after is not None and after.language == "text" else ""
        yield Command(block.text.strip(), output=shown)
    elif block.language == "console" or block.text.startswith("$ "):
        for part in re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            yield Command(line, output=shown, refused=block.language == "text")


TIMED = re.compile(r"seconds|crystals per second")
"""Beginnings of lines whose numbers are of the machine."""
CLOSE = 0.02
"""Relative; last digits of a sum, and with them a crystal in thousands, differ among processors."""


def missing(shown: str, printed: str) -> list[str]:
    """Return the lines of a page's sample that a command did not print, in the order of the sample."""
    lines = iter([line.split() for line in printed.splitlines()])
    wanted = [line for line in shown.splitlines() if line.strip()]
    return [line for line in wanted if not any(_same(line.split(), found) for found in lines)]


def _same(shown: list[str], found: list[str]) -> bool:
    if TIMED.match(" ".join(shown)):
        return shown[:-1] == found[:-1]
    return len(shown) == len(found) and all(map(_same_word, shown, found))


def _same_word(one: str, other: str) -> bool:
    """Equal, or two decimals that are close."""
    try:
        numbers = [float(word) for word in (one, other) if "." in word]
    except ValueError:
        numbers = []
    return one == other or (len(numbers) == 2 and isclose(*numbers, rel_tol=CLOSE))


def skip_if_impossible(command: Command) -> None:
    """Skip what needs a GPU where there is none."""
    if NEEDS_CUDA.search(command.text):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")


def run(command: Command, folder: Path, environment: Mapping[str, str]) -> str:
    """Do what the page says in a process of its own, as a reader would, and return what it prints."""
    if command.file:
        (folder / command.file).write_text(command.text, encoding="utf-8")
        return ""
    written = SUBSTITUTIONS.get(command.text, command.text)
    program = [sys.executable, "-c", written] if command.script else ["bash", "-euo", "pipefail", "-c", written]
    done = subprocess.run(
        program,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return judged(command, done.returncode, done.stdout)


def judged(command: Command, status: int | None, printed: str) -> str:
    """Return what a command printed: its status and its output must be those of the page."""
    assert status == (2 if command.refused else 0), f"{command.text}\n{printed}"
    assert "Traceback" not in printed, printed
    lost = missing(command.output, printed)
    assert not lost, f"{command.text}\nthe page shows what is not printed:\n{lost}\n{printed}"
    return printed


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
    return judged(command, process.exitcode, said)


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
