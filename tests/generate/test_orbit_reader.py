from __future__ import annotations

import numpy as np
import pytest
import torch

from materium.data.orbit_batch import pack_slots
from materium.generate import orbit_reader
from materium.generate.orbit_decoding import slots_at
from materium.generate.orbit_reader import ROW_STEP, SlotReader
from materium.model.orbit_conditions import OrbitConditions
from materium.model.orbit_tensors import SlotTensors
from materium.tokens.orbit_sequence import replay
from random_orbits import random_grid
from tiny_orbits import TOKENIZER, tiny_orbit_model


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("compiled", [True, False], ids=["in C", "in PyTorch"])
def test_slots_read_in_any_portions_are_those_of_a_whole_sequence(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequences of different lengths, read some slots at a time, each attending to its own past."""
    if not compiled:
        monkeypatch.setattr(orbit_reader, "compiled", lambda: None)
    model, rng = tiny_orbit_model(), np.random.default_rng(0)
    states = [replay(TOKENIZER, random_grid(group, rng, TOKENIZER), "high")[0] for group in (2, 62, 136, 225)]
    slots = SlotTensors.of(pack_slots([s.slots for s in states], [s.components for s in states]))
    conditions = OrbitConditions.none(4)
    conditions.num_elements[:] = torch.arange(4)
    with torch.inference_mode():
        whole = model(slots, conditions)
        reader = SlotReader(model, 5, 128)
        reader.begin([2, 0, 3, 1], conditions)
        read, places = [0] * 4, [2, 0, 3, 1]
        while any(done < len(state.slots) for done, state in zip(read, states, strict=True)):
            more = [(read[i] + j, i) for i in range(4) for j in range(int(rng.integers(4)))]
            more = sorted((t, i) for t, i in more if t < len(states[i].slots))
            if not more:
                continue
            pads = [(0, 0)] * (-len(more) % ROW_STEP)
            at = torch.tensor([4] * len(pads) + [places[i] for _, i in more])
            flat = torch.tensor([i * slots.tokens.shape[1] + t for t, i in pads + more])
            every = {name: part.flatten(0, 1)[:, None] for name, part in vars(slots).items() if name != "components"}
            repeated = slots.components.repeat_interleave(slots.tokens.shape[1], 0)
            own = slots_at(SlotTensors(**every, components=repeated), flat)
            outlook = reader.read(at, torch.tensor([t for t, _ in pads + more]), own)
            for row, (t, i) in enumerate(more, len(pads)):
                assert torch.allclose(outlook.hidden[row, 0], whole.hidden[i, t], atol=1e-4)
                assert torch.allclose(outlook.room[row, 0], whole.room[i, t], equal_nan=True)
                read[i] = max(read[i], t + 1)
