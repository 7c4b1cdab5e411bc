"""Settings survive JSON, and shapes that cannot be built are refused."""

from __future__ import annotations

import json

import pytest

from materium.errors import MateriumError
from materium.model.config import Seen
from materium.model.orbit_config import OrbitModelConfig
from orbit_rows import tokenizer


def test_settings_come_back_from_json() -> None:
    species = len(tokenizer().config.species)
    seen = {"density": Seen(1.0, 9.0, 4.0, 2.0, 7)}
    config = OrbitModelConfig.preset("tiny", tokenizer=tokenizer().config, seen=seen, volumes=(12.5,) * species)
    assert OrbitModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"width": 30, "heads": 4}, "heads must divide"),
        ({"layers": 0}, "at least 1"),
        ({"dropout": 1.0}, "no probability below 1"),
        ({"volumes": (1.0,)}, "1 volumes for"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], line: str) -> None:
    with pytest.raises(MateriumError, match=line):
        OrbitModelConfig(**changes)  # type: ignore[arg-type]
