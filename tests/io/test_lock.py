"""One process to a folder, whatever the command; who was killed blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import NACL
from materium import convert
from materium.cli.main import main
from materium.crystal import Crystal
from materium.errors import DataError
from materium.evaluate.reference_build import Options, build
from materium.io import lock
from materium.io.lock import hold_folder, hold_target, new_target
from materium.relax.adapters.lennard_jones import LennardJones
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Iterator

SODIUM = Crystal(3.5 * np.eye(3), np.zeros((1, 3)), [11])
HOLD = """
import sys, time
from pathlib import Path
from materium.io.lock import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_elsewhere(path: Path, *, target: bool = False) -> Iterator[None]:
    """Hold a folder in another thread, which is refused as another process is."""
    held, done = Event(), Event()

    def hold() -> None:
        with hold_target(path) if target else hold_folder(path):
            held.set()
            done.wait(60)

    thread = Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_the_kernel_releases_what_a_killed_process_held(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        said = rf"run is in use by process {process.pid} on host \S+ since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d; "
        with pytest.raises(DataError, match=said), hold_folder(folder):
            pass
        process.send_signal(signal.SIGKILL)
    assert (folder / ".lock").exists()
    with hold_folder(folder), hold_folder(folder):
        (folder / "written").touch()
    assert [file.name for file in folder.iterdir()] == ["written"]


def test_a_copy_of_the_process_holds_nothing(tmp_path: Path) -> None:
    """A worker that outlives its killed parent must not keep the folder from the next run."""
    with hold_folder(tmp_path):
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with hold_folder(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_in_which_nothing_was_written_goes(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_no_locks_on_this_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_folder(tmp_path / "run"):
        pass
    monkeypatch.setattr(lock, "HAS_LOCKS", False)
    with hold_folder(tmp_path / "run"):
        pass
    assert [record.getMessage().partition("; ")[2][:23] for record in caplog.records] == ["start no second process"] * 2


def test_what_is_not_finished_does_not_appear(tmp_path: Path) -> None:
    def fail() -> None:
        with new_target(tmp_path / "a.csv") as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())
    with new_target(tmp_path / "a.csv") as part:
        part.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    "line",
    [
        "generate -n 1 --model {model} --out out",
        "complete host.cif --add Cl -n 1 --model {model} --out out",
        "score host.cif --model {model} --out out",
        "predict host.cif -n 1 --model {model} --out out",
        "evaluate host.cif --skip novel,relax --out out",
        "discover --model {model} --potential lennard-jones --reference small.parquet --out out",
        "prepare in.parquet --out out",
        "train {shards} --preset tiny --out out",
        "report out",
        "export host.cif --to vasp --task relax --out out",
        "data convert in.parquet out",
        "reference build in.parquet --potential lennard-jones --out out.parquet",
    ],
)
def test_every_command_that_writes_a_folder_refuses_one_in_use(  # noqa: PLR0913, PLR0917 - fixtures
    line: str,
    tmp_path: Path,
    tiny_checkpoint: Path,
    tiny_shards: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("host.cif").write_text(convert.to_cif(SODIUM))
    write_table(Path("in.parquet"), [NACL])
    if "small" in line:
        build([Path("in.parquet")], LennardJones(), "small", Options()).write("small.parquet")
    arguments = line.format(model=tiny_checkpoint, shards=tiny_shards).split()
    is_target = arguments[0] in {"export", "data", "reference"}
    with held_elsewhere(Path(arguments[-1]), target=is_target):
        before = sorted(tmp_path.rglob("*"))
        assert main(arguments) == 2
        assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"materium: {arguments[-1]} is in use by process {os.getpid()} on host ")
    assert all(words.startswith("warning: ") for words in said[:-1])
