from __future__ import annotations

from typing import Any

import pytest

from materium.generate.orbit_draw import DrawSettings
from materium.generate.orbit_reference import sample_sequence
from materium.generate.targets import Range
from tiny_orbits import TOKENIZER, decoded, plan_of, tiny_orbit_model, tokens

COLD = DrawSettings(0.8, 0.5, reach=0.03, position_temperature=0.9)


@pytest.mark.parametrize(
    "fields",
    [
        {"order": "high", "settings": COLD, "targets": {"density": Range(2.0, 6.0)}},
        {"order": "low", "settings": DrawSettings(guidance=2.0), "targets": {"density": 4.0}, "required": {8}},
        {"order": "xyz", "settings": DrawSettings(top_p=0.9, guidance=0.0), "num_elements": 2},
        {"order": "random", "description": "subgroup", "forbidden": {11}},
        {"order": "electronegativity", "settings": DrawSettings(0.7, 0.7)},
    ],
    ids=lambda fields: str(fields["order"]),
)
def test_the_batched_decoder_gives_what_the_reference_gives(fields: dict[str, Any]) -> None:
    """The slots of a batch have different numbers of images, and the caches refill while others run."""
    plan = plan_of(**fields)
    for rollout in decoded(plan, range(3), batch=2):
        reference = sample_sequence(tiny_orbit_model(), TOKENIZER, plan, rollout.index)
        assert tokens(rollout) == tokens(reference)
        assert rollout.log_likelihood == pytest.approx(reference.log_likelihood, abs=1e-4)
        assert rollout.state.crowded == reference.state.crowded
