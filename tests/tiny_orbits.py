"""A tiny random model of orbit sequences, for tests that need no trained network."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from materium.generate.orbit_decoding import BatchedDecoder
from materium.generate.orbit_plan import OrbitPlan
from materium.model.orbit_config import OrbitModelConfig
from materium.model.orbit_transformer import OrbitTransformer
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig

if TYPE_CHECKING:
    from materium.generate.orbit_rollout import Rollout

SPECIES = ((8, -2), (8, 0), (11, 0), (11, 1), (14, 0), (14, 4), (17, -1), (17, 0), (20, 0), (20, 2), (22, 0), (22, 4))
TOKENIZER = OrbitTokenizer(OrbitTokenizerConfig(species=SPECIES, max_sites=12))
WEIGHT_STD = 0.2
"""Large enough that every condition and every token moves the logits visibly."""
SUM_STD = 0.08
"""Of the weights behind running totals, which reach hundreds and would drown the rest."""


@cache
def tiny_orbit_model(seed: int = 0) -> OrbitTransformer:
    """Return a random network of width 32 whose weights are far from zero; callers leave it as it is."""
    model = OrbitTransformer(OrbitModelConfig.preset("tiny", tokenizer=TOKENIZER.config)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                std = SUM_STD if "features" in name or "scores" in name else WEIGHT_STD
                weight.normal_(std=std, generator=generator)
    return model


def decoded(plan: OrbitPlan, indices: range, batch: int = 8) -> list[Rollout]:
    """Return sequences of a plan from the batched decoder."""
    return list(BatchedDecoder(tiny_orbit_model(), TOKENIZER, plan, batch).run(indices))


def tokens(rollout: Rollout) -> list[int]:
    """Return all tokens of a sequence, those of images too."""
    return [slot.token for slot in rollout.state.slots]


def plan_of(**fields: Any) -> OrbitPlan:
    """Return a plan with a seed of its own."""
    return OrbitPlan(**{"seed": 3, **fields})
