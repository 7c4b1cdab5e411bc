"""The references that ship hold the binary compounds that chemistry knows, or say that they cannot tell.

Which binaries are known is common knowledge of inorganic chemistry, as in N. N. Greenwood and A. Earnshaw, Chemistry of
the Elements (2nd edition, 1997); doubtful ones (high-pressure nitrides, OsI3, azides) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from materium import convert
from materium.crystal import Crystal
from materium.evaluate.hull import Hull, system_of
from materium.evaluate.reference import load, shipped

if TYPE_CHECKING:
    from materium.evaluate.reference import Reference


def _words(text: str) -> list[str]:
    return text.split()


METALS = _words(
    "Li Na K Rb Cs Be Mg Ca Sr Ba Al Ga In Tl Sn Pb Bi "
    "Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Pd Ag Cd Hf Ta W Pt Hg "
    "La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Th U"
)
NITRIDES = _words(
    "Li Na Be Mg Ca Sr Ba Al Ga In Sn Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Cd Hf Ta W "
    "La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Th U"
)
"""Of the metals above all but K, Rb, Cs, Tl, Pb, Bi, Pd, Ag, Pt, Hg; all metals have the other compounds."""
KNOWN = [(metal, anion) for anion in ("O", "F", "Cl", "Br", "I", "S") for metal in METALS]
KNOWN += [(metal, "N") for metal in NITRIDES]
MOST = 0.02
"""Share of these that may be missing."""


@pytest.fixture(scope="module", params=["chgnet", "sevennet"])
def reference(request: pytest.FixtureRequest) -> Reference:
    if request.param not in shipped():
        pytest.skip(f"the reference for {request.param} does not ship")
    return load(request.param)


def missing(reference: Reference) -> list[tuple[str, str]]:
    """Return the pairs of which the reference's hull has no compound."""
    held = {system for entry in reference.entries if len(system := system_of(entry.formula)) == 2}
    return [pair for pair in KNOWN if tuple(sorted(pair)) not in held]


def test_the_list_is_of_55_metals() -> None:
    assert len(METALS) == len(set(METALS)) == 55
    assert set(NITRIDES) < set(METALS)
    assert len(KNOWN) == 6 * 55 + 45


def test_known_binaries_are_in_the_reference(reference: Reference) -> None:
    lacking = missing(reference)
    assert len(lacking) <= MOST * len(KNOWN), " ".join("-".join(pair) for pair in lacking)


def test_what_is_missing_is_unsupported(reference: Reference) -> None:
    """A crystal of such elements, of a formula that nobody has listed, is called so whatever its energy."""
    hull = Hull(reference)
    for metal, anion in missing(reference):
        numbers = np.repeat(convert.atomic_numbers([metal, anion]), [5, 4])
        crystal = Crystal(12.0 * np.eye(3), np.arange(27).reshape(9, 3) / 27, numbers)
        assert hull.support(crystal) == 0
        assert (hull.unsupported(crystal) or "").startswith("unsupported: ")
        assert (hull.unsupported(crystal, -0.05) or "").startswith("unsupported: ")
