from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import torch

from materium.model import threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment and torch's threads after a test are those before it."""
    before = torch.get_num_threads()
    for name in (threads.VARIABLE, *threads.WAITING):
        monkeypatch.setenv(name, "")  # remembered, so that it comes back
        monkeypatch.delenv(name)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("free", "cores", "expected"), [(2.0, 2, 2), (1.8, 2, 2), (1.1, 2, 1), (0.0, 2, 1), (-3.0, 8, 1), (63.2, 64, 63)]
)
def test_threads_are_the_free_cores_and_at_least_one(free: float, cores: int, expected: int) -> None:
    assert threads.threads_for(free, cores) == expected


def test_busy_cores_cost_threads_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(threads, "free_cores", lambda: 1.1)
    note = threads.choose_threads(None)
    assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("1", 1)
    assert note is not None
    assert note.startswith("1 of 4 cores")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_what_the_user_says_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "free_cores", lambda: pytest.fail("nobody asked for the free cores"))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert threads.choose_threads(None) is None
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("3", "ACTIVE")
    assert threads.choose_threads(2) is None  # --threads goes before the variable
    assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("2", 2)


@pytest.mark.skipif(sys.platform != "linux", reason="no other system counts idle time")
def test_a_core_that_is_kept_busy_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the kernel is replaced: core 1 has been idle all the time, core 0 none of it, and 2 is not ours."""
    begun = time.monotonic()

    def read(path: Path) -> list[str]:
        passed = int(100 * (time.monotonic() - begun))
        return [f"cpu0 {passed} 0 0 7 0", f"cpu1 0 0 0 {passed} 0", f"cpu2 0 0 0 {passed} 0"] * (path.name == "stat")

    monkeypatch.setattr(threads, "_read", read)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threads.os, "sysconf", lambda _: 100)
    assert threads.free_cores(0.2) == pytest.approx(1, abs=0.2)


def test_a_control_group_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch system gives two and a half cores to the job's group, within one of the user's that may use all."""
    files = {
        "/proc/self/cgroup": ["0::/user/job"],
        "/sys/fs/cgroup/user/job/cpu.max": ["250000 100000"],
        "/sys/fs/cgroup/user/cpu.max": ["max 100000"],
    }
    monkeypatch.setattr(threads, "_read", lambda path: files.get(str(path), []))
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert len(threads.usable_cores()) == 3


def test_crystals_do_not_depend_on_the_threads() -> None:
    """In a process of its own, whose threads sleep while they wait; those of the tests may spin."""
    program = """
from materium import load
from materium.generate.request import Request
engine = load()  # says how threads wait before it imports torch
import torch
found = []
for count in (1, 2):
    torch.set_num_threads(count)
    found.append([one.tokens.tolist() for one in engine.samples(Request(n=4, seed=5))])
assert found[0] == found[1]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
