"""What a model was measured to write best with: applied where nothing was said, and never against what was said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import materium
from materium.errors import CheckpointError
from materium.generate.naive import write_sentence
from materium.generate.request import Request
from materium.generate.tuned import TUNED, Aim, Tuned, Warmth, read_tuned
from materium.properties import scalar_names, table
from tiny import tiny_engine

if TYPE_CHECKING:
    from pathlib import Path

    from materium.generate.engine import Materium

HINTS = {"density": 5.0}
AIM = Aim((0.0, 1.0, 8.0), (0.0, 2.0, 4.0))
TUNED_SO = Tuned(
    Warmth(0.9, 0.8, 0.03, 0.5),
    Warmth(0.7, 0.5),
    HINTS,
    {"density": 1.5, "band_gap": 1.2},
    {"band_gap": 0.4},
    {"band_gap": AIM},
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


def test_an_aim_undoes_what_the_model_makes_of_a_target() -> None:
    assert [AIM.told(came) for came in AIM.came] == list(AIM.heard)
    assert AIM.told(3.0) == pytest.approx(4.5)
    assert (AIM.told(-1.0), AIM.told(9.0)) == (0.0, 8.0)


@pytest.mark.parametrize("curve", [((), ()), ((1.0,), (1.0, 2.0)), ((1.0, 2.0), (2.0, 2.0))])
def test_curves_that_do_not_rise_are_refused(curve: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="rising"):
        Aim(*curve)


def test_what_was_given_stays() -> None:
    asked = Request(conditions={"band_gap": 3.0}, temperature=1.3, guidance=5.0)
    applied = TUNED_SO.apply(asked, {"temperature", "guidance"})
    assert (applied.temperature, applied.guidance, applied.geometry_temperature) == (1.3, 5.0, None)
    assert TUNED_SO.apply(Request(temperature=1.0), {"temperature"}).end_odds == 1.0
    cold = TUNED_SO.apply(Request(geometry_temperature=0.3), {"geometry_temperature"})
    assert (cold.temperature, cold.geometry_temperature, cold.geometry_reach) == (0.9, 0.3, None)
    near = TUNED_SO.apply(Request(geometry_reach=0.1), {"geometry_reach"})
    assert (near.geometry_temperature, near.geometry_reach) == (0.8, 0.1)
    assert TUNED_SO.apply(Request(end_odds=2.0), {"end_odds"}).end_odds == 2.0
    assert not applied.aims  # a weight of one's own is none that the aims were measured at


def test_of_several_conditions_the_least_weight_holds() -> None:
    applied = TUNED_SO.apply(Request(conditions={"density": 5.0, "band_gap": 3.0}), ())
    assert applied.guidance == 1.2
    assert set(applied.aims) == {"band_gap"}
    assert (applied.temperature, applied.geometry_temperature) == (0.4, 0.5)
    told = TUNED_SO.apply(Request(conditions={"density": 5.0}), ())
    assert (told.temperature, told.geometry_reach, told.end_odds) == (0.7, None, 1.0)
    assert TUNED_SO.apply(Request(conditions={"hhi": 5000}), ()).guidance == Request.guidance


def test_hints_are_for_those_who_ask_for_no_property() -> None:
    free = TUNED_SO.apply(Request(), ())
    assert (free.temperature, free.geometry_temperature, free.geometry_reach) == (0.9, 0.8, 0.03)
    assert (free.end_odds, free.guidance, free.hints) == (0.5, 1.5, HINTS)
    assert TUNED_SO.apply(Request(elements=("Na", "Cl"), neutral=True), ()).hints == HINTS
    assert not TUNED_SO.apply(Request(conditions={"density": 3.0}), ()).hints
    cell = TUNED_SO.apply(Request(cell_formula="NaCl"), ())
    assert (cell.hints, cell.conditions) == ({}, {"reduced_formula": "NaCl"})
    assert not TUNED_SO.apply(Request(guidance=2.0), {"guidance"}).hints


def test_hints_are_told_and_no_target(engine: Materium) -> None:
    plain, hinted = Request(n=8, seed=3), Request(n=8, seed=3, hints=HINTS)
    column = list(scalar_names()).index("density")
    assert engine.plan(hinted).told([0]).scalars[0, column].item() == table()["density"].encode(5.0)
    samples = list(engine.samples(hinted))
    assert all(one.targets == {} for one in samples)
    assert any(not np.array_equal(a.tokens, b.tokens) for a, b in zip(samples, engine.samples(plain), strict=True))
    for index in (0, 5):
        written = write_sentence(engine.model, engine.grammar, hinted, index)
        assert torch.equal(written, torch.tensor(samples[index].tokens))


def test_aims_change_what_is_told_and_not_what_was_asked(engine: Materium) -> None:
    asked = Request(n=2, conditions={"band_gap": 3.0}, aims={"band_gap": AIM})
    column = list(scalar_names()).index("band_gap")
    plan = engine.plan(asked)
    assert plan.targets(0) == {"band_gap": 3.0}
    assert plan.told([0]).scalars[0, column].item() == pytest.approx(table()["band_gap"].encode(4.5))


def test_settings_survive_the_file(tmp_path: Path) -> None:
    (tmp_path / TUNED).write_text(json.dumps(TUNED_SO.to_dict()))
    assert read_tuned(tmp_path) == TUNED_SO
    assert read_tuned(tmp_path / "elsewhere") == Tuned()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**TUNED_SO.to_dict(), "guidance": {"colour": 1.0}}),
        json.dumps({**TUNED_SO.to_dict(), "free": []}),
        json.dumps({**TUNED_SO.to_dict(), "free": [None, 0.5]}),
        json.dumps({**TUNED_SO.to_dict(), "told": [0.7, 0.5, 0.1, -3]}),
    ],
)
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / TUNED).write_text(text)
    with pytest.raises(CheckpointError, match="settings of sampling"):
        read_tuned(tmp_path)


def test_the_model_that_ships_has_settings_of_its_own() -> None:
    tuned = materium.load().tuned
    assert tuned != Tuned()
    assert set(tuned.aims) <= set(tuned.guidance)
