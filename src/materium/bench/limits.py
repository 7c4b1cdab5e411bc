"""What this machine can do at most: products of matrices, and copies."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

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


@torch.inference_mode()
def limits(repeats: int, *, size: int = PEAK_SIZE, copied: int = COPY_BYTES) -> dict[str, float]:
    """Return the peaks of all threads together.

    Returns
    -------
    dict[str, float]
        GFLOP/s of products of square matrices in float32 and bfloat16, and GB/s read and written by a copy.
    """
    a, b, source = torch.randn(size, size), torch.randn(size, size), torch.zeros(copied // 4)
    half, other, target = a.bfloat16(), b.bfloat16(), torch.empty_like(source)
    product, rounded = torch.empty_like(a), torch.empty_like(half)
    target.copy_(source)  # the first one pays for the pages
    tasks: dict[str, Callable[[], object]] = {
        "float32": lambda: [torch.mm(a, b, out=product) for _ in range(PRODUCTS)],
        "bfloat16": lambda: [torch.mm(half, other, out=rounded) for _ in range(PRODUCTS)],
        "copy": lambda: target.copy_(source),
    }
    interleaved(tasks, 2)
    seconds = interleaved(tasks, repeats)
    operations, both_ways = PRODUCTS * 2 * size**3, 2 * source.nbytes
    return {
        "float32_gflops": operations / seconds["float32"] / 1e9,
        "bfloat16_gflops": operations / seconds["bfloat16"] / 1e9,
        "copy_gb_per_second": both_ways / seconds["copy"] / 1e9,
    }


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
