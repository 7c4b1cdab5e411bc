"""The machine's limits, and tasks that take turns."""

from __future__ import annotations

from materium.bench.limits import interleaved, limits, machine


def test_tasks_take_turns() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, 3)  # type: ignore[misc]
    assert calls == ["a", "b"] * 3
    assert all(value >= 0 for value in seconds.values())


def test_peaks_are_numbers_of_this_machine() -> None:
    found = limits(1, size=32, copied=2**12)
    assert set(found) == {"float32_gflops", "bfloat16_gflops", "copy_gb_per_second"}
    assert all(value > 0 for value in found.values())
    assert machine()["cores"] >= 1
    assert machine()["processor"]
