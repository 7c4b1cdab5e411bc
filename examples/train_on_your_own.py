"""From a CSV with a `cif` column to a model of one's own: a few crystals and a tiny network, to see the path.

python examples/train_on_your_own.py
"""

import csv
from pathlib import Path

import materium
from materium.data.prepare import PrepareConfig, prepare
from materium.model.config import ModelConfig
from materium.train.config import TrainConfig
from materium.train.loop import Run

with Path("mine.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["material_id", "cif", "band_gap"])
    for number, crystal in enumerate(materium.load().generate(40, seed=1)):
        table.writerow([f"mine-{number}", crystal.to(fmt="cif"), 1.0 if number % 2 else ""])

manifest = prepare({"train": Path("mine.csv")}, Path("shards"), PrepareConfig(val_fraction=0.2))
print({split: counts["kept"] for split, counts in manifest["splits"].items()})

run = Run(Path("shards"), Path("model"), ModelConfig.preset("tiny"), TrainConfig(epochs=2, max_tokens=512))
print(f"{run.fit()['nats_per_crystal']:.0f} nats a crystal after two epochs")
print(materium.load("model").generate(1, seed=0)[0].reduced_formula)
