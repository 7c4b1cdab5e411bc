"""The machine's limits, and tasks that take turns."""

from __future__ import annotations

import pytest
import torch

from materium.bench.limits import Peak, interleaved, limits, machine, number_types


def test_tasks_take_turns() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, 3)  # type: ignore[misc]
    assert calls == ["a", "b"] * 3
    assert all(value >= 0 for value in seconds.values())


def test_a_peak_is_the_median_of_its_turns() -> None:
    peak = Peak(torch.float32, size=16)
    for _ in range(3):
        peak()
    assert len(peak.seconds) == 3
    assert torch.allclose(peak.product, peak.first @ peak.second, atol=1e-4)
    peak.seconds = [3.0, 1.0, 2.0]
    assert peak.gflops == pytest.approx(8 * 2 * 16**3 / 2.0 / 1e9)


@pytest.mark.parametrize("able", [True, False])
def test_emulated_numbers_are_no_peak(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without instructions for bfloat16 a product takes a hundred times as long, and says nothing."""
    monkeypatch.setattr("materium.bench.limits.has_bfloat16", lambda _: able)
    assert set(number_types()) == ({"float32", "bfloat16"} if able else {"float32"})


def test_peaks_are_numbers_of_this_machine() -> None:
    found = limits(1, size=32, copied=2**12)
    assert set(found) == {*(f"{name}_gflops" for name in number_types()), "copy_gb_per_second"}
    assert all(value > 0 for value in found.values())
    assert machine()["cores"] >= 1
    assert machine()["processor"]
