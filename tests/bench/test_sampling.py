"""What is measured of sampling: every size is run as often as asked, and the machine is left as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from materium.bench import sampling
from materium.bench.sampling import by_atoms, by_batch, by_cores, sites_of, written
from materium.generate.request import Request
from tiny import tiny_engine

if TYPE_CHECKING:
    from materium.generate.engine import Materium
    from materium.generate.plan import Plan


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


@pytest.fixture
def calls(engine: Materium, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int, int]]:
    """The conditions, the batch size and the number of processes of each run, which makes nothing."""
    made: list[tuple[dict[str, Any], int, int]] = []

    def batches(plan: Plan, _start: int, size: int, workers: int = 1) -> list[Any]:
        made.append((dict(plan.request.conditions), size, workers))
        return []

    monkeypatch.setattr(engine, "batches", batches)
    monkeypatch.setattr(
        sampling,
        "interleaved",
        lambda tasks, repeats: {k: [task() for _ in range(repeats)] and 2.0 for k, task in tasks.items()},
    )
    return made


def test_by_batch_runs_every_size(engine: Materium, calls: list[tuple[dict[str, Any], int, int]]) -> None:
    assert by_batch(engine, [1, 4], n=8, repeats=3) == {1: 250.0, 4: 250.0}  # s per 1,000 crystals
    assert calls == [({}, 1, 1)] * 3 + [({}, 4, 1)] * 3


def test_by_atoms_asks_for_every_count(engine: Materium, calls: list[tuple[dict[str, Any], int, int]]) -> None:
    assert by_atoms(engine, [2, 5], n=4, repeats=1) == {2: 500.0, 5: 500.0}
    assert calls == [({"num_sites": 2}, 4, 1), ({"num_sites": 5}, 4, 1)]


def test_by_cores_leaves_the_threads_as_they_were(
    engine: Materium, calls: list[tuple[dict[str, Any], int, int]]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(by_cores(engine, n=4, repeats=1)) == ["one thread", "2 threads", "2 processes"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert calls == [({}, 4, 1), ({}, 4, 1), ({}, 4, 2)]


def test_by_batch_counts_what_it_writes(engine: Materium) -> None:
    assert by_batch(engine, [2, 3], n=3, repeats=1).keys() == {2, 3}
    samples = written(engine, Request(n=3, seed=1, conditions={"num_sites": 2}))
    assert sites_of(samples) == [2, 2, 2]
