"""A whole process: its memory is seen while it runs, and its failure is said."""

from __future__ import annotations

import sys

import pytest

from materium.bench import process
from materium.errors import MateriumError


def test_seconds_and_memory() -> None:
    seconds, peak = process.run(["--version"])
    assert seconds > 0
    if sys.platform == "linux":
        assert peak is not None
        assert 1e-3 < peak < 1


def test_failure_is_one_line() -> None:
    with pytest.raises(MateriumError, match="materium nothing ended with status 2"):
        process.run(["nothing"])
