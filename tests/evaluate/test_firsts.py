"""Copies told from a file: as novelty tells them, and the same after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystals import KNOWN, NACL
from materium.crystal import Crystal
from materium.evaluate import firsts
from materium.evaluate.firsts import Firsts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHIFTED = Crystal(NACL.lattice, (NACL.frac_coords + 0.25) % 1, NACL.numbers)
LAYERED = Crystal(np.diag([3.0, 3.0, 9.0]), [[0, 0, 0], [0.5, 0.5, 0.3]], [11, 17])
"""The formula of rock salt, another structure."""


def test_the_first_of_equals_is_named(tmp_path: Path) -> None:
    with Firsts(tmp_path / "file", 0) as known:
        assert known.add(NACL, 0) is None
        assert known.add(LAYERED, 1) is None
        assert known.add(SHIFTED, 2) == 0
        assert known.add(LAYERED, 3) == 1
        assert len(known) == 2


def test_crystals_of_other_formulas_take_no_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Crystal] = []
    monkeypatch.setattr(firsts, "fingerprint", taken.append)
    with Firsts(tmp_path / "file", 0) as known:
        assert [known.add(crystal, number) for number, crystal in enumerate(KNOWN.values())] == [None] * len(KNOWN)
    assert not taken


def test_what_came_after_the_last_safe_row_is_forgotten(tmp_path: Path) -> None:
    with Firsts(tmp_path / "file", 0) as known:
        known.add(LAYERED, 0)
        known.add(NACL, 1)
        known.save()
    with Firsts(tmp_path / "file", 1) as again:
        assert len(again) == 1
        assert again.add(SHIFTED, 1) is None
        assert again.add(LAYERED, 2) == 0
        assert again.add(NACL, 3) == 1


def test_what_was_not_saved_is_lost(tmp_path: Path) -> None:
    with Firsts(tmp_path / "file", 0) as known:
        known.add(NACL, 0)
    with Firsts(tmp_path / "file", 0) as again:
        assert len(again) == 0
