"""What preparing and training cost, on crystals that the model itself wrote."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.bench.limits import Peak, number_types
from materium.bench.work import training_operations
from materium.data.prepare import PrepareConfig, prepare
from materium.tokens.vocab import PAD
from materium.train.config import TrainConfig
from materium.train.loop import Report, Run
from materium.train.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.data.loader import Batch
    from materium.generate.engine import Materium


FULL = 0.9
"""Share of `max_tokens` from which a batch counts: in a table of some 10,000 crystals nearly all are as full, of few
crystals many are not, for rows of one length and one number of elements stand together."""
PEAK_EVERY = 4
"""Steps from one measurement of the peaks to the next."""
VALIDATED = 16
"""Crystals that a run validates on at its end, which is not measured."""


def preparing_and_training(engine: Materium, crystals: Sequence[Crystal], epochs: int, folder: Path) -> dict[str, Any]:
    """Return crystals prepared a second, on one core, and the operations of training with their share of the peaks.

    Their oxidation states are known, so none is guessed. What is written stands in `folder`.
    """
    keep_freed_memory()  # as `materium train` does
    if hasattr(os, "sync"):
        os.sync()  # what was measured before has left thousands of files to write
    parts = {"train": crystals, "val": crystals[:VALIDATED]}
    tables = {split: _table(folder / f"{split}.parquet", rows) for split, rows in parts.items()}
    rates = [_prepared_per_second(tables, folder / out) for out in ("shards", "again")]
    training = _training(engine, folder, epochs)
    return {"prepared_per_second_at_first": rates[0], "prepared_per_second": rates[1], "training": training}


def _prepared_per_second(tables: dict[str, Path], out: Path) -> float:
    """Crystals a second; the first time around, modules are loaded and each space group met for the first time."""
    begun = time.perf_counter()
    manifest = prepare(tables, out, PrepareConfig())
    rows = sum(int(split["rows"]) for split in manifest["splits"].values())
    return rows / (time.perf_counter() - begun)


def _training(engine: Materium, folder: Path, epochs: int) -> dict[str, Any]:
    config = TrainConfig(epochs=epochs, validate_epochs=epochs)
    run = Run(folder / "shards", folder / "run", replace(engine.model.config), config)
    batches = [batch for epoch in range(epochs) for batch in run.loader.epoch(epoch)]
    peaks = {kind: Peak(dtype) for kind, dtype in number_types().items()}
    ends: list[float] = []
    begins: list[float] = []

    def between_steps(_: Report) -> None:
        ends.append(time.perf_counter())
        if len(ends) % PEAK_EVERY == 1:
            for peak in peaks.values():
                peak()
        begins.append(time.perf_counter())

    run.fit(between_steps)
    seconds = np.subtract(ends[1:], begins[:-1])  # the first step, which is slower, stands before the first end
    timed = list(zip(batches[1:], seconds, strict=True))
    full = [one for one in timed if one[0].tokens.size >= FULL * config.max_tokens] or timed
    gflops = float(np.median([_operations(run, batch) / taken / 1e9 for batch, taken in full]))
    tokens = sum(int((batch.tokens != PAD).sum()) for batch, _ in full)
    kind = "bfloat16" if run.bfloat16 else "float32"
    return {
        "numbers": kind,
        "steps": len(batches),
        "full_steps": len(full),
        "tokens_per_second": tokens / sum(taken for _, taken in full),
        "padding": 1 - tokens / sum(batch.tokens.size for batch, _ in full),
        "gflops": gflops,
        "share_of_peak": gflops / peaks[kind].gflops,
        **{f"share_of_{name}_peak": gflops / peak.gflops for name, peak in peaks.items()},
    }


def _operations(run: Run, batch: Batch) -> float:
    lengths = (batch.tokens != PAD).sum(1) - 1  # nothing follows the last token
    return training_operations(run.model_config, lengths.tolist())


def _table(path: Path, crystals: Sequence[Crystal]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": [str(number) for number in range(len(crystals))],
        "cell": [crystal.lattice.ravel().tolist() for crystal in crystals],
        "atomic_numbers": [crystal.numbers.tolist() for crystal in crystals],
        "frac_coords": [crystal.frac_coords.ravel().tolist() for crystal in crystals],
        "oxidation_states": [
            None if crystal.oxidation_states is None else crystal.oxidation_states.tolist() for crystal in crystals
        ],
    }
    pq.write_table(pa.table(columns), path)
    return path
