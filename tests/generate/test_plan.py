"""Which structure answers which combination of targets: batches, drawn targets, and independence of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from materium.errors import RequestError
from materium.generate.request import Request
from tiny import tiny_engine

if TYPE_CHECKING:
    from materium.generate.engine import Materium


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


def test_lists_are_combined_each_with_each() -> None:
    request = Request(n=2, conditions={"density": [2.5, 5], "hhi": ["1250", 5000, "1..2"]})
    assert request.total == 12
    assert [(cell["density"], str(cell["hhi"])) for cell in request.cells[:4]] == [
        (2.5, "1250.0"),
        (2.5, "5000.0"),
        (2.5, "1..2"),
        (5.0, "1250.0"),
    ]


def test_rows_are_marked_with_their_request(engine: Materium) -> None:
    samples = list(engine.samples(Request(n=3, conditions={"density": [2.5, 5.0]})))
    assert [sample.index for sample in samples] == list(range(6))
    assert [(sample.request, sample.targets["density"]) for sample in samples] == [(0, 2.5)] * 3 + [(1, 5.0)] * 3


def test_a_combination_is_what_its_own_request_would_write(engine: Materium) -> None:
    together = list(engine.samples(Request(n=4, seed=3, conditions={"density": [2.5, 9.0], "num_sites": [2, 4]})))
    alone = list(engine.samples(Request(n=4, seed=3, conditions={"density": 9.0, "num_sites": 2})))
    for one, other in zip(together[8:12], alone, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)


def test_formulas_of_unequal_size_go_into_batches_of_their_own(engine: Materium) -> None:
    request = Request(n=3, conditions={"reduced_formula": ["NaCl", "SiO2", "CaTiO3", "Si"]})
    plan = engine.plan(request)
    assert [list(indices) for indices in plan.batches(1, 100)] == [[1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [list(indices) for indices in plan.batches(1, 2)][:3] == [[1, 2], [3, 4], [5]]
    mixed = engine.plan(Request(n=2, conditions={"reduced_formula": ["NaCl", "Si", "CaO"]}))
    assert [list(indices) for indices in mixed.batches(0, 100)] == [[0, 1], [2, 3], [4, 5]]
    together = list(engine.samples(request))
    for one, other in zip(together, engine.samples(request, batch_size=2), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)


def test_ranges_draw_a_target_for_each_structure(engine: Materium) -> None:
    plan = engine.plan(Request(n=200, seed=1, conditions={"density": "2..4", "space_group": "195..230"}))
    density = np.array([plan.targets(index)["density"] for index in range(200)], dtype=float)
    groups = {plan.targets(index)["space_group"] for index in range(200)}
    assert 2 <= density.min() < 2.2
    assert 3.8 < density.max() <= 4
    assert len(groups) > 25
    assert groups <= set(range(195, 231))
    scalars = plan.told([0]).scalars
    assert int(scalars.isnan().sum()) == scalars.numel() - 2


def test_open_ranges_end_where_training_did(engine: Materium) -> None:
    """The tiny model saw densities from 1 to 20."""
    plan = engine.plan(Request(n=300, conditions={"density": ">5"}))
    drawn = [float(plan.targets(index)["density"]) for index in range(300)]
    assert 5 <= min(drawn) < 5.5
    assert 19 < max(drawn) <= 20


def test_open_range_of_an_unseen_property_is_refused(engine: Materium) -> None:
    with pytest.raises(RequestError, match="hhi >5: training saw no hhi"):
        engine.plan(Request(conditions={"hhi": ">5"}))
    with pytest.raises(RequestError, match="density >50 holds nothing that training saw"):
        engine.plan(Request(conditions={"density": ">50"}))
    with pytest.raises(RequestError, match=r"space_group = 2\.2 is no label"):
        engine.plan(Request(conditions={"space_group": "2.2..2.8"}))


def test_range_of_atoms_is_kept_and_not_told(engine: Materium) -> None:
    plan = engine.plan(Request(n=8, conditions={"num_sites": "2..3"}))
    assert plan.told([0]).scalars.isnan().all()
    assert plan.targets(0) == {}
    assert {len(engine.tokenizer.decode(s.tokens)) for s in engine.samples(plan.request)} <= {2, 3}
    assert not engine.plan(Request(conditions={"num_sites": "2..3"}, soft=True)).told([0]).scalars.isnan().all()


def test_bounds_of_whole_numbers_are_strict_unless_they_say_otherwise(engine: Materium) -> None:
    def sizes(text: str) -> set[int]:
        request = Request(n=24, conditions={"num_sites": text}, temperature=2.0)
        return {len(engine.tokenizer.decode(sample.tokens)) for sample in engine.samples(request)}

    assert sizes("<3") == {1, 2}
    assert sizes("<=3") == {1, 2, 3}
    assert sizes(">4") == {5}
    assert sizes(">=5") == {5}
    once = Request(conditions={"num_sites": "<3"})
    assert Request(conditions=once.conditions).conditions == once.conditions


def test_ranges_tell_runs_apart_to_the_last_digit() -> None:
    one, other = (Request(conditions={"density": text}).to_dict() for text in ("1.2345678..2", "1.2345699..2"))
    assert one != other


def test_targets_outside_training_are_warned_of_once() -> None:
    from tiny import SEEN

    lines = Request(conditions={"density": [0.5, 3, 30], "num_sites": [2, 4]}).warnings(SEEN)
    assert lines == [
        "density = 0.5 g/cm³ lies outside training: 1 to 20 g/cm³",
        "density = 30.0 g/cm³ lies outside training: 1 to 20 g/cm³",
    ]
