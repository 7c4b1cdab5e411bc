from __future__ import annotations

import pytest
import torch

from materium.errors import RequestError
from materium.generate.orbit_plan import OrbitPlan
from materium.generate.targets import Range
from materium.model.config import Seen
from materium.model.orbit_conditions import OrbitConditions
from materium.properties import scalar_names, table

SEEN = {"density": Seen(1.0, 20.0, 5.0, 3.0, 9)}


def test_each_sequence_draws_its_own_target_from_a_range() -> None:
    plan = OrbitPlan(seed=1, targets={"density": Range(2.0, None), "band_gap": 1.5}, required=frozenset({8}))
    rows = plan.conditions_of(range(50), SEEN)
    column = [table()["density"].decode(value) for value in rows.scalars[:, scalar_names().index("density")].tolist()]
    assert len(set(column)) == 50
    assert min(column) >= 2.0
    assert max(column) <= 20.0
    later = plan.conditions_of([7], SEEN)
    assert torch.equal(later.scalars.nan_to_num(-1), rows.scalars[7:8].nan_to_num(-1)), "whoever else is asked for"
    assert rows.required.sum(1).eq(1).all()
    gaps = rows.scalars[:, scalar_names().index("band_gap")]
    assert len(set(gaps.tolist())) == 1


def test_each_sequence_may_have_conditions_of_its_own() -> None:
    given = OrbitConditions.none(9)
    given.num_elements[:] = torch.arange(9)
    plan = OrbitPlan(conditions=lambda indices: given[torch.tensor(indices)])
    assert plan.conditions_of([2, 5], {}).num_elements.tolist() == [2, 5]


def test_what_is_no_condition_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown condition 'densty'"):
        OrbitPlan(targets={"densty": 1.0})
    with pytest.raises(RequestError, match="open end is unknown"):
        OrbitPlan(targets={"density": Range(2.0, None)}).conditions_of([0], {})
