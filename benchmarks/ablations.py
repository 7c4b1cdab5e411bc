"""Train a small network in variants, one after the other, for equally many epochs, and compare them on `val`.

    python benchmarks/ablations.py DATA OUT [--only base,batch_1024] [--epochs 1] [--network small]

DATA is a folder of shards that `materium prepare` wrote. One line of JSON for each variant, in nats a crystal; a
variant is validated in the layout that it is trained on.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from materium.data.loader import Mix
from materium.model.checkpoint import load_checkpoint
from materium.model.config import ModelConfig
from materium.tokens.grammar import Grammar
from materium.train.atoms import validate
from materium.train.config import TrainConfig
from materium.train.loop import Run
from materium.train.memory import keep_freed_memory

NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"width": 96, "layers": 2, "heads": 2, "kv_heads": 2, "hidden": 256},
    "middle": {"width": 192, "layers": 3, "heads": 3, "kv_heads": 3, "hidden": 512},
}
"""`middle` is large enough to overfit a few thousand crystals, which is what its variants are about."""
RATES = {"learning_rate": 4e-3, "muon_learning_rate": 4e-3, "max_tokens": 2048, "ema": 0.99}
PLAIN = {"orders": {"high": 1.0}, "lattice_first": 0.0, "other_setting": 0.0, "conditional": 0.3}
SHIPPED: dict[str, Any] = {f.name: getattr(Mix(), f.name) for f in fields(Mix)}

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "base": ({}, {}, {}),
    "adamw": ({}, {"optimiser": "adamw"}, {}),
    "rate_2e-3": ({}, {"learning_rate": 2e-3, "muon_learning_rate": 2e-3}, {}),
    "rate_8e-3": ({}, {"learning_rate": 8e-3, "muon_learning_rate": 8e-3}, {}),
    "batch_1024": ({}, {"max_tokens": 1024}, {}),
    "batch_4096": ({}, {"max_tokens": 4096}, {}),
    "ema_0.9": ({}, {"ema": 0.9}, {}),
    "ema_0.999": ({}, {"ema": 0.999}, {}),
    "no_fourier": ({"fourier": False}, {}, {}),
    "blockwise": ({"positions": "blockwise"}, {}, {}),
    "separate_prefix": ({"prefix": "separate"}, {}, {}),
    "deeper": ({"width": 64, "layers": 4, "hidden": 192}, {}, {}),
    "wider": ({"width": 128, "layers": 1, "hidden": 384}, {}, {}),
    "dropout": ({"dropout": 0.1}, {}, {}),
    "told_nothing": ({}, {}, {"conditional": 0.0}),
    "lattice_first": ({}, {}, {"lattice_first": 1.0}),
    "settings": ({}, {}, {"other_setting": 0.5}),
    "orders": ({}, {}, {"orders": dict(Mix().orders)}),
    "low": ({}, {}, {"orders": {"low": 1.0}}),
    "xyz": ({}, {}, {"orders": {"xyz": 1.0}}),
    "random": ({}, {}, {"orders": {"random": 1.0}}),
    "electronegativity": ({}, {}, {"orders": {"electronegativity": 1.0}}),
    "mix": ({}, {}, SHIPPED),
    "mix_dropout": ({"dropout": 0.1}, {}, SHIPPED),
    "mix_weight_decay_0.4": ({}, {"weight_decay": 0.4}, SHIPPED),
    "mix_settings_0.5": ({}, {}, {**SHIPPED, "other_setting": 0.5}),
    "mix_random_0.4": ({}, {}, {**SHIPPED, "orders": {**SHIPPED["orders"], "high": 0.4, "random": 0.4}}),
    "mix_conditional_0.7": ({}, {}, {**SHIPPED, "conditional": 0.7}),
    "mix_ema_0.998": ({}, {"ema": 0.998}, SHIPPED),
    "mix_ema_0.9": ({}, {"ema": 0.9}, SHIPPED),
    "mix_batch_1024": ({}, {"max_tokens": 1024}, SHIPPED),
}
"""Name to changes of network, training and mix; grids and oxidation states are compared on shards of their own."""


def measure(name: str, network: str, data: Path, out: Path, epochs: int) -> dict[str, Any]:
    """Train a variant and return its figures."""
    model, train, mix = VARIANTS[name]
    own = Mix(**{**PLAIN, **mix})
    config = TrainConfig(epochs=epochs, validate_epochs=1, mix=own, **{**RATES, **train})
    run = Run(data, out / name, ModelConfig(**{**NETWORKS[network], **model}), config)
    last = run.fit()
    network, _ = load_checkpoint(out / name)
    settled = own.orders if len(own.orders) == 1 else PLAIN["orders"]
    judged = Mix(orders=settled, lattice_first=own.lattice_first, other_setting=0.0, conditional=0.0)
    figures = validate(network, Grammar(run.loader.tokenizer), run.val, judged)
    nats = {key: round(value, 2) for key, value in figures.items() if "per_token" not in key}
    nats["nats_per_crystal_at_the_end"] = round(last["nats_per_crystal"], 2)
    size = {"parameters": run.model.num_parameters(), "steps": run.progress.step}
    return {"name": name, **size, "seconds": round(run.progress.seconds), **nats}


def main() -> None:
    """Measure the variants that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--network", choices=list(NETWORKS), default="small")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    for name in options.only.split(","):
        print(json.dumps(measure(name, options.network, options.data, options.out, options.epochs)), flush=True)


if __name__ == "__main__":
    main()
