"""Signals, once and many times: one line, the status of shells, within seconds, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from materium.cli.interrupts import STOPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
LINE = f"materium: {STOPPED}\n"
PROGRAM = """
import hashlib, os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever starts the tests with nohup has it ignored, and it is inherited
from materium.__main__ import main
from materium.cli.main import COMMANDS
from materium.processes import Pool
from workers import nap

def ready():
    print("ready", flush=True)

def sleep():
    ready()
    time.sleep(60)

def compute():
    "Deep in a library that looks at no signal."
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def clean_up():
    try:
        sleep()
    finally:
        time.sleep(0.5)

def load():
    "An extension that makes imports, and aborts where one of them is interrupted."
    import fragile

def pool():
    with Pool(2) as workers:
        found = [workers.submit(nap, 60) for _ in range(6)]
        time.sleep(0.3)
        ready()
        found[0].result()

if __name__ == "__main__":
    sys.argv = ["materium", "try"]
    COMMANDS["try"] = ("__main__", os.environ["TRY"])
    sys.exit(main())
"""

FRAGILE = """
import os, time
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    os.abort()
"""

Start = "Callable[[str], subprocess.Popen[str]]"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a command in a process group of its own, and waits until it works."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "fragile.py").write_text(FRAGILE)
    begun: list[subprocess.Popen[str]] = []

    def run(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "program.py")],
            env={**os.environ, "TRY": name, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_gone(group: int) -> bool:
    """Whether a process group is empty, at once or within seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("sleep", [signal.SIGINT]),
        ("sleep", [signal.SIGHUP]),
        ("compute", [signal.SIGINT] * 6),
        ("clean_up", [signal.SIGTERM, signal.SIGINT]),
        ("load", [signal.SIGTERM]),
        ("pool", [signal.SIGINT] * 6),
        ("pool", [signal.SIGTERM]),
    ],
)
def test_one_line_however_often_it_comes(start: Start, name: str, numbers: list[signal.Signals]) -> None:
    process = start(name)
    for number in numbers:
        os.killpg(process.pid, number)
        time.sleep(0.02)
    _, said = process.communicate(timeout=20)
    assert said == LINE
    assert process.returncode == 128 + numbers[0]
    assert is_gone(process.pid)


def test_workers_of_a_killed_process_end(start: Start) -> None:
    process = start("pool")
    process.kill()
    process.wait()
    assert is_gone(process.pid)


def test_closed_streams_are_no_files(tmp_path: Path) -> None:
    """The table that is written first would else be taken for standard output, and the other way round."""
    code = f"from materium.__main__ import main; import os, sys; sys.argv = ['materium', 'data', '--help']; \
s = main(); os.write(1, b'lost'); open({str(tmp_path / 'file')!r}, 'w').write('kept'); sys.exit(s)"
    line = f'exec "{sys.executable}" -c "$CODE" <&- >&- 2>&-'
    done = subprocess.run(["/bin/sh", "-c", line], env={**os.environ, "CODE": code}, check=False)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "kept"
