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
    with Firsts(tmp_path / "file") as known:
        assert known.add(NACL, 0) is None
        assert known.add(LAYERED, 1) is None
        assert known.add(SHIFTED, 2) == 0
        assert known.add(LAYERED, 3) == 1
        assert len(known) == 2


def test_crystals_of_other_formulas_take_no_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Crystal] = []
    monkeypatch.setattr(firsts, "fingerprint", taken.append)
    with Firsts(tmp_path / "file") as known:
        assert [known.add(crystal, number) for number, crystal in enumerate(KNOWN.values())] == [None] * len(KNOWN)
    assert not taken


def test_what_is_restored_is_known_as_before(tmp_path: Path) -> None:
    """From the rows of a run that goes on, whatever its file has become."""
    (tmp_path / "file").write_bytes(b"SQLite format 3\0 and no more")
    with Firsts(tmp_path / "file") as again:
        again.restore(LAYERED, 0)
        again.restore(NACL, 1)
        assert again.add(LAYERED, 2) == 0
        assert again.add(SHIFTED, 3) == 1
        assert len(again) == 2
    with Firsts(tmp_path / "file") as fresh:
        assert len(fresh) == 0
