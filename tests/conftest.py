"""What every test may use: the checkout, the data tables beside it, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
OFFLINE = ROOT / "tests" / "offline"

# The same examples in every run: a red run must be red again. No deadline: two busy cores are no bug.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it sends to the background deaf to Ctrl-C, and so would be the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder with train, val and test tables, or skip where they are not beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data tables in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def offline_environment() -> dict[str, str]:
    """Return the environment for programs that a test starts: this Python first in the path, and no network."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(OFFLINE), "PYTHONWARNINGS": "default"}


@pytest.fixture
def materium(tmp_path: Path, offline_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line in an empty folder and gives what came out of it."""

    def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "materium", *arguments],
            cwd=tmp_path,
            env=offline_environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let keys and values of tiny networks take several blocks: four positions of heads of 16 numbers."""
    monkeypatch.setattr("materium.model.attention.BLOCK_BYTES", 4 * 16 * 4)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random model; see `tiny.py`."""
    from tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def tiny_orbit_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards of orbits with 12 crystals to train on and 6 to validate on."""
    from tiny import make_orbit_shards

    return make_orbit_shards(tmp_path_factory.mktemp("orbits"))


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards with 24 crystals to train on and 6 to validate on."""
    from tiny import make_shards

    return make_shards(tmp_path_factory.mktemp("data"))
