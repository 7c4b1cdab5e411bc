"""Masses and production of the elements."""

from __future__ import annotations

import numpy as np
import pytest

from materium.elements import masses, production


def test_masses_are_the_standard_ones() -> None:
    """Atomic weights of IUPAC, in u."""
    found = masses()
    assert [found[z] for z in (1, 8, 26, 92)] == pytest.approx([1.008, 15.999, 55.845, 238.029], abs=2e-3)
    assert found.shape == (119,)
    assert (found[1:] > 0).all()


def test_production_is_an_index_where_there_is_one() -> None:
    found = production()
    known = found[np.isfinite(found)]
    assert found.shape == (119,)
    assert np.isnan(found[0])
    assert len(known) > 60
    assert ((known > 0) & (known <= 10_000)).all()  # the sum of squared shares in percent
    assert found[14] == 4700  # silicon; Gaultois et al., Chem. Mater. 25, 2911 (2013)
