"""What sampling costs: against the machine's limits, against the plain decoder, and what extras add."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from materium.bench.limits import Peak, interleaved, number_types
from materium.bench.work import sampling_bytes, sampling_operations
from materium.generate.naive import write_sentence
from materium.generate.request import BATCH, Request
from materium.generate.writer import RunFolder, RunInfo
from materium.tokens.tokenizer import TOKENS_PER_SITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.generate.decoding import Sample
    from materium.generate.engine import Materium
    from materium.generate.plan import Plan

TOLD: dict[str, Any] = {"conditions": {"density": 4.0}}
EXTRAS: dict[str, tuple[str, dict[str, Any]]] = {
    "guidance": ("told", {**TOLD, "guidance": 2.0}),
    "hard constraints": ("plain", {"forbid": ("Pb", "Cd"), "neutral": True}),
}
"""What is asked for besides, and what its cost is compared with."""
PEAK_TIMES = 8
"""How often the products of a peak run when it is their turn."""
NO_SPACE_GROUPS = {"reading and writing": True, "reading, searching space groups, writing": False}
"""Runs that end on the disk, and what they ask for."""


def against_limits(engine: Materium, n: int, naive: int, repeats: int, copy: float) -> dict[str, Any]:
    """Return seconds, operations and their share of the peaks, and the ratio to the plain decoder.

    `n` crystals are written as `materium generate` writes them, `naive` of them by the plain decoder; the peaks of
    products are measured in turns with them. `copy` is what a copy moved before, in GB/s.
    """
    request = Request(n=n, seed=1)
    found: dict[str, list[Sample]] = {}

    def write(kind: str) -> None:
        found[kind] = written(engine, request, bfloat16=kind == "bfloat16")

    peaks = {kind: Peak(dtype) for kind, dtype in number_types().items()}
    tasks: dict[str, Callable[[], object]] = {kind: partial(write, kind) for kind in peaks}
    tasks |= {f"peak of {kind}": partial(peak, PEAK_TIMES) for kind, peak in peaks.items()}
    tasks["plain"] = lambda: [write_sentence(engine.model, engine.grammar, request, i) for i in range(naive)]
    seconds = interleaved(tasks, repeats)
    alone = 1000 * seconds["plain"] / naive
    result: dict[str, Any] = {"crystals": n, "plain_seconds_per_1000": alone}
    for kind in peaks:
        sites, each = sites_of(found[kind]), 1000 * seconds[kind] / n
        operations = sampling_operations(engine.grammar, engine.model.config, sites) / seconds[kind]
        moved = sampling_bytes(engine.model.config, sites, BATCH) / (1 if kind == "float32" else 2)
        result[kind] = {
            "seconds_per_1000": each,
            "mean_sites": float(np.mean(sites)),
            "gflops": operations / 1e9,
            **{f"share_of_{name}_peak": operations / 1e9 / peak.gflops for name, peak in peaks.items()},
            "gb_per_second": moved / seconds[kind] / 1e9,
            "share_of_copy": moved / seconds[kind] / 1e9 / copy,
            "times_the_plain_decoder": alone / each,
        }
    return result


def extras(engine: Materium, n: int, repeats: int, folder: Path) -> dict[str, float]:
    """Return what guidance, hard constraints, and writing to disk cost, with and without space groups: times a run.

    Per token, for what is asked for changes how long the crystals are. Likelihoods come with every sentence. The runs
    stay in `folder` until all is measured: ext4 passes over files that were deleted within minutes, one by one, and a
    new file then costs ten times as much.
    """
    asked = {"plain": {}, "told": TOLD} | {name: options for name, (_, options) in EXTRAS.items()}
    tokens: dict[str, int] = {}

    def write(name: str) -> None:
        tokens[name] = sum(len(s.tokens) for s in written(engine, Request(n=n, seed=1, **asked[name])))

    tasks: dict[str, Callable[[], object]] = {name: partial(write, name) for name in asked}
    for name, left_out in NO_SPACE_GROUPS.items():
        tasks[name] = partial(to_disk, engine, Request(n=n, seed=1), folder, no_space_groups=left_out)
    seconds = interleaved(tasks, repeats)
    each = {name: seconds[name] / tokens[name] for name in asked}
    ratios = {name: each[name] / each[base] for name, (base, _) in EXTRAS.items()}
    return {**ratios, **{name: seconds[name] / seconds["plain"] for name in NO_SPACE_GROUPS}}


def written(engine: Materium, request: Request, batch_size: int = BATCH, *, bfloat16: bool = False) -> list[Sample]:
    """Return the samples of a request, written as the command line writes them."""
    before, engine.bfloat16 = engine.bfloat16, bfloat16
    try:
        batches = engine.batches(engine.plan(request), 0, batch_size, engine.processes(request.total))
        return [sample for batch in batches for sample in batch]
    finally:
        engine.bfloat16 = before


def to_disk(engine: Materium, request: Request, folder: Path, *, no_space_groups: bool = False) -> None:
    """Write a run into a new folder within `folder`."""
    info = RunInfo(request, engine.fingerprint, {}, "bench", no_space_groups=no_space_groups)
    run = RunFolder(Path(tempfile.mkdtemp(dir=folder)), info, engine.read)
    for batch in engine.made(engine.plan(request), run.prepare, 0, BATCH, engine.processes(request.total)):
        run.append(batch)
    run.finish()


def sites_of(samples: list[Sample]) -> list[int]:
    """Return the sites of each sentence: all tokens but the marks and the lattice, four each."""
    return [len(sample.tokens) // TOKENS_PER_SITE - 2 for sample in samples]


def by_batch(engine: Materium, sizes: list[int], n: int, repeats: int) -> dict[int, float]:
    """Return the seconds per 1,000 crystals for each size of the batch, in one process."""
    plan = engine.plan(Request(n=n, seed=1))
    tasks = {str(size): partial(_drain, engine, plan, size) for size in sizes}
    return {int(size): 1000 * taken / n for size, taken in interleaved(tasks, repeats).items()}


def by_atoms(engine: Materium, atoms: list[int], n: int, repeats: int) -> dict[int, float]:
    """Return the seconds per 1,000 crystals of so many atoms each, in one process."""
    plans = {count: engine.plan(replace(Request(n=n, seed=1), conditions={"num_sites": count})) for count in atoms}
    tasks = {str(count): partial(_drain, engine, plan, n) for count, plan in plans.items()}
    return {int(count): 1000 * taken / n for count, taken in interleaved(tasks, repeats).items()}


def by_cores(engine: Materium, n: int, repeats: int) -> dict[str, float]:
    """Return the seconds per 1,000 crystals with one thread, with all in each product, and with a process for each."""
    threads, plan = torch.get_num_threads(), engine.plan(Request(n=n, seed=1))

    def threaded(count: int) -> None:
        torch.set_num_threads(count)
        _drain(engine, plan, n)
        torch.set_num_threads(threads)

    tasks: dict[str, Callable[[], object]] = {
        "one thread": partial(threaded, 1),
        f"{threads} threads": partial(threaded, threads),
        f"{threads} processes": lambda: [None for _ in engine.batches(plan, 0, n, threads)],
    }
    return {name: 1000 * taken / n for name, taken in interleaved(tasks, repeats).items()}


def _drain(engine: Materium, plan: Plan, size: int) -> None:
    for _ in engine.batches(plan, 0, size):
        pass
