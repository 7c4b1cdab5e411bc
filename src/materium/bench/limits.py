"""What this machine can do at most: products of matrices, and copies."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from materium.model.device import has_bfloat16

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PEAK_SIZE = 1024
"""Side of the square matrices; larger ones were not faster."""
PRODUCTS = 8
"""In a row, each time: the first one after a copy finds its matrices in memory, not in a cache."""
COPY_BYTES = 2**28
"""More than any cache holds."""


def interleaved(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each task; they take turns, so that a busy minute hits them all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            begun = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


class Peak:
    """Products of square matrices in one type of numbers, to be run in turns with what is measured against them.

    A machine that others share can slow down by half within minutes: only a peak of the same minute tells a share.
    """

    def __init__(self, dtype: torch.dtype, size: int = PEAK_SIZE) -> None:
        """Make the matrices, and multiply them for the first time."""
        self.first, self.second = (torch.randn(size, size).to(dtype) for _ in range(2))
        self.product = torch.empty_like(self.first)
        self.operations = PRODUCTS * 2 * size**3
        self.seconds: list[float] = []
        self()
        self.seconds.clear()  # the first products are compiled, and pay for the pages

    def __call__(self, times: int = 1) -> None:
        """Run the products so many times."""
        for _ in range(times):
            begun = time.perf_counter()
            for _ in range(PRODUCTS):
                torch.mm(self.first, self.second, out=self.product)
            self.seconds.append(time.perf_counter() - begun)

    @property
    def gflops(self) -> float:
        """GFLOP/s of all threads together, the median over all times so far."""
        return self.operations / statistics.median(self.seconds) / 1e9


def number_types() -> dict[str, torch.dtype]:
    """Return the types of numbers that this processor multiplies by instructions of its own, by name."""
    half = {"bfloat16": torch.bfloat16} if has_bfloat16(torch.device("cpu")) else {}
    return {"float32": torch.float32, **half}


def limits(repeats: int, *, size: int = PEAK_SIZE, copied: int = COPY_BYTES) -> dict[str, float]:
    """Return the peaks of all threads together.

    Returns
    -------
    dict[str, float]
        GFLOP/s of products of square matrices in float32, and in bfloat16 where the processor has it, and GB/s read
        and written by a copy.
    """
    source = torch.zeros(copied // 4)
    target = torch.empty_like(source)
    target.copy_(source)  # the first one pays for the pages
    peaks = {name: Peak(dtype, size) for name, dtype in number_types().items()}
    seconds = interleaved({**peaks, "copy": lambda: target.copy_(source)}, repeats)
    found = {f"{name}_gflops": peak.gflops for name, peak in peaks.items()}
    return {**found, "copy_gb_per_second": 2 * source.nbytes / seconds["copy"] / 1e9}


def machine() -> dict[str, Any]:
    """Return what was measured on: processor, cores that this process may use, threads, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "system": platform.system(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "busy": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
