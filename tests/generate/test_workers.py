"""Processes side by side: the same batches in the same order, and an end when one of them dies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from materium.errors import MateriumError
from materium.generate.request import Request
from materium.generate.workers import can_fork, side_by_side
from tiny import tiny_engine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_fork(), reason="no fork on this system")


def test_structures_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    engine = tiny_engine(tmp_path)
    plan = engine.plan(Request(n=50, seed=4, forbid=("Cl",)))
    alone = [written for batch in engine.batches(plan, 3, 7) for written in batch]
    together = [written for batch in engine.batches(plan, 3, 7, workers=2) for written in batch]
    assert [written.index for written in together] == list(range(3, 50))
    for one, other in zip(alone, together, strict=True):
        assert one.log_likelihood == other.log_likelihood
        np.testing.assert_array_equal(one.tokens, other.tokens)


def test_few_batches_and_many_processes() -> None:
    def write(indices: range) -> list[int]:
        return list(indices)

    assert list(side_by_side(cast("Any", write), [range(2), range(2, 3)], 3)) == [[0, 1], [2]]
    assert list(side_by_side(cast("Any", write), [], 2)) == []


def test_a_process_that_dies_is_named() -> None:
    def write(indices: range) -> list[int]:
        if 2 in indices:
            os._exit(9)
        return list(indices)

    written: Any = side_by_side(cast("Any", write), (range(i, i + 1) for i in range(6)), 2)
    assert [next(written), next(written)] == [[0], [1]]
    with pytest.raises(MateriumError, match=r"died \(9\)"):
        next(written)


def test_a_process_ends_as_soon_as_there_is_nothing_left_for_it() -> None:
    def write(_: range) -> int:
        return os.getpid()

    written: Any = side_by_side(cast("Any", write), [range(1), range(1, 2)], 2)
    process = next(written)
    assert os.waitpid(process, 0)[0] == process  # it would wait for ever for one that goes on
    assert next(written) != process
    assert list(written) == []


def test_no_process_is_left_when_nobody_reads_on() -> None:
    def write(_: range) -> int:
        return os.getpid()

    written: Any = side_by_side(cast("Any", write), (range(i, i + 1) for i in range(100)), 2)
    process = next(written)
    written.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_processes_are_worth_it_for_many_structures_alone(tmp_path: Path) -> None:
    engine = tiny_engine(tmp_path)
    assert engine.processes(1) == 1
    assert engine.processes(10**6) >= 1
    engine.device = type(engine.device)("meta")
    assert engine.processes(10**6) == 1
