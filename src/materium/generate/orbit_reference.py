"""The decoder in its plainest form: one sequence, no cache, the whole prefix again for every token.

It defines what the batched decoder must give: the same sequences for the same seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from materium.data.orbit_batch import pack_contacts, pack_slots
from materium.generate import sample
from materium.generate.orbit_rollout import HEAD_OF, Rollout, advance
from materium.model.orbit_tensors import DistanceTensors, SlotTensors

if TYPE_CHECKING:
    from materium.generate.orbit_plan import OrbitPlan
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.tokens.orbit_tokenizer import OrbitTokenizer


@torch.inference_mode()
def sample_sequence(model: OrbitTransformer, tokenizer: OrbitTokenizer, plan: OrbitPlan, index: int) -> Rollout:
    """Return sequence `index` of a plan."""
    rollout, scale = Rollout(tokenizer, plan, index), plan.settings.guidance
    conditional = plan.conditions_of([index], model.config.seen)
    unconditional = conditional.none(1)
    unconditional.layout[:] = conditional.layout
    while not rollout.is_done:
        state = rollout.state
        slots = SlotTensors.of(pack_slots([state.slots], [state.components or [0]]))
        head, contacts = HEAD_OF[state.next_role], state.contacts()
        packed = None if contacts is None else DistanceTensors.of(pack_contacts([0], [contacts]))
        at = torch.tensor([0]), torch.tensor([len(state.slots) - 1])
        logits = [model.logits(head, model(slots, given), at, packed) for given in (unconditional, conditional)]
        apart = {} if contacts is None else {0: state.legal_coordinates(contacts)}
        advance([rollout], head, sample.guide(logits[1], logits[0], scale), apart)
    return rollout
