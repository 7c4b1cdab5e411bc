"""Tiny random models, and shards of a few crystals, for tests that need no trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from crystals import KNOWN, MAGNETITE_LIKE
from materium.crystal import Crystal
from materium.data.prepare import PrepareConfig, prepare
from materium.generate.engine import Materium
from materium.generate.request import Request
from materium.model.checkpoint import load_checkpoint, save_model
from materium.model.conditions import Conditions, layout_id
from materium.model.config import ModelConfig, Seen
from materium.model.transformer import Transformer
from materium.tokens.grammar import Grammar
from materium.tokens.tokenizer import Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

SPECIES = ((8, -2), (8, 0), (11, 0), (11, 1), (14, 0), (14, 4), (17, -1), (17, 0), (20, 0), (20, 2), (22, 0), (22, 4))
TOKENIZER = TokenizerConfig(bins=24, species=SPECIES, max_sites=5)
SEEN = {"density": Seen(1.0, 20.0, 5.0, 3.0, 9), "num_sites": Seen(1, 20, 8.0, 4.0, 9)}
WEIGHT_STD = 0.35
"""Large enough that every condition and every token moves the logits visibly."""
TALLY_STD = 0.03
"""Of the weights behind the sums, which reach hundreds and would drown the rest."""


def tiny_model(seed: int = 0, tokenizer: TokenizerConfig = TOKENIZER, **changes: Any) -> Transformer:
    """Return a random model of width 32 that believes in something: its weights are far from zero."""
    settings: dict[str, Any] = {"seen": SEEN, **changes}
    model = Transformer(ModelConfig.preset("tiny", tokenizer=tokenizer, **settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                std = TALLY_STD if name.startswith("tally.") else WEIGHT_STD
                weight.normal_(std=std, generator=generator)
    return model


def save_tiny(folder: Path, **changes: Any) -> Path:
    """Write a tiny model as a checkpoint, and return its folder."""
    save_model(tiny_model(**changes), folder, {"epochs": 1, "steps": 2, "validation": {"nats_per_crystal": 3.5}})
    return folder


def tiny_engine(folder: Path, **changes: Any) -> Materium:
    """Return a tiny model behind the Python interface, by way of its checkpoint."""
    return Materium(*load_checkpoint(save_tiny(folder, **changes)))


def sentences(grammar: Grammar, count: int = 6, *, lattice_first: bool = False, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return tokens and roles of random legal sentences, (B, tokens), padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    state = grammar.start(torch.full((count,), lattice_first))
    tokens, roles = [], []
    for _ in range(grammar.tokenizer.max_tokens):
        mask = grammar.mask(state).float()
        token = torch.multinomial(mask, 1, generator=generator)[:, 0]
        tokens.append(token)
        roles.append(grammar.role_of(state, token))
        state = grammar.advance(state, token)
    return torch.stack(tokens, dim=1), torch.stack(roles, dim=1)


def grammar_of(tokenizer: TokenizerConfig = TOKENIZER) -> Grammar:
    return Grammar(Tokenizer(tokenizer))


def told(batch: int, *, lattice_first: bool = False) -> Conditions:
    """Return conditions that differ from row to row: a density, a number of sites or nothing, and a formula."""
    layout = layout_id("high", lattice_first=lattice_first)
    one = Request(conditions={"density": 3.5, "num_sites": 4, "reduced_formula": "TiO2"}).told(batch)
    scalars = one.scalars.clone()
    scalars[1::2] = torch.nan
    return Conditions(scalars, one.elements, one.counts, torch.full((batch,), layout))


def strained(strains: Iterable[float]) -> list[Crystal]:
    """Return the known crystals, each at several sizes."""
    crystals = [*KNOWN.values(), MAGNETITE_LIKE]
    return [
        Crystal(c.lattice * (1 + strain), c.frac_coords, c.numbers, c.oxidation_states)
        for strain in strains
        for c in crystals
    ]


def write_table(path: Path, crystals: list[Crystal], **columns: list[Any]) -> Path:
    """Write crystals as a table in the schema of the shared data."""
    table = {
        "id": [f"row-{index}" for index in range(len(crystals))],
        "cell": [c.lattice.ravel().tolist() for c in crystals],
        "atomic_numbers": [c.numbers.tolist() for c in crystals],
        "frac_coords": [c.frac_coords.ravel().tolist() for c in crystals],
        "oxidation_states": [c.oxidation_states.tolist() for c in crystals],
        **columns,
    }
    pq.write_table(pa.table(table), path)
    return path


def make_shards(folder: Path) -> Path:
    """Prepare 24 crystals to train on and 6 to validate on, and return the folder of the shards."""
    folder.mkdir(parents=True, exist_ok=True)
    train = strained([0, 0.01, 0.02, 0.03])
    gaps = [float(i % 5) if i % 3 else None for i in range(len(train))]
    sources = {
        "train": write_table(folder / "train.parquet", train, band_gap=gaps),
        "val": write_table(folder / "val.parquet", strained([0.015])),
    }
    prepare(sources, folder / "shards", PrepareConfig(views=2))
    return folder / "shards"


def make_orbit_shards(folder: Path) -> Path:
    """Prepare 12 crystals as orbits to train on and 6 to validate on, and return the folder of the shards."""
    train = write_table(folder / "train.parquet", strained([0, 0.01]), energy_above_hull=[0.0, 0.1] * 6)
    val = write_table(folder / "val.parquet", strained([0.015]))
    config = PrepareConfig(representation="orbits", views=2, subgroups=1)
    prepare({"train": train, "val": val}, folder / "shards", config)
    return folder / "shards"
