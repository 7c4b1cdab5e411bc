"""Errors name what was meant."""

from __future__ import annotations

import pytest

from materium import errors


@pytest.mark.parametrize(
    ("name", "said"),
    [("temprature", "did you mean temperature?"), ("xyz", "there are temperature, density")],
)
def test_nearest_name(name: str, said: str) -> None:
    assert errors.nearest(name, iter(["temperature", "density"])) == said


def test_every_error_is_a_user_s_to_mend() -> None:
    """The command line prints them and ends with status 2; whoever catches ValueError catches them too."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 5
    assert all(issubclass(kind, errors.MateriumError) and issubclass(kind, ValueError) for kind in kinds)
