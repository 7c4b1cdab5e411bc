"""A whole process: its memory is seen while it runs, and its failure is said."""

from __future__ import annotations

import os
import sys

import pytest

from materium.bench import process
from materium.errors import MateriumError


def test_seconds_and_memory() -> None:
    seconds, peak = process.run(["info"])  # longer than a pause between two looks
    assert seconds > 0
    if sys.platform == "linux":
        assert peak is not None
        assert 1e-3 < peak < 1


def test_failure_is_one_line() -> None:
    with pytest.raises(MateriumError, match="materium nothing ended with status 2"):
        process.run(["nothing"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_memory_of_a_process_that_runs_and_of_one_that_does_not() -> None:
    assert 0.01 < process.held(os.getpid()) < 10
    assert process.held(1_000_000_000) == 0
