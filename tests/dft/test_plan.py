"""What can be asked of a hand-over, and that a choice without effect is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from materium.dft.plan import Plan
from materium.dft.pseudopotentials import sssp
from materium.errors import RequestError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("espresso", "relax"), "did you mean quantum-espresso?"),
        (("abinit", "relax"), "there are quantum-espresso, vasp"),
        (("vasp", "band"), "did you mean bands?"),
        (("vasp", "phonons"), "there are relax, bands, magnetic"),
        (("vasp", "relax", 0.1), "--k-spacing has no effect on vasp"),
        (("vasp", "relax", None, sssp()), "--pseudos has no effect on vasp"),
        (("quantum-espresso", "relax", 0.0), "0 Å⁻¹ is not positive"),
        (("quantum-espresso", "relax", -0.2), "-0.2 Å⁻¹ is not positive"),
        (("quantum-espresso", "relax", float("nan")), "nan Å⁻¹ is not positive"),
    ],
)
def test_wrong_choices_are_named(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(RequestError, match=re.escape(said)) as caught:
        Plan(*arguments)
    assert "\n" not in str(caught.value)
