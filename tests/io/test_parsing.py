"""What parsers raise becomes one line, and errors that are one already pass."""

from __future__ import annotations

import pytest

from materium.errors import ConversionError, CrystalError
from materium.io.parsing import parsing


@pytest.mark.parametrize("error", [ValueError("two\nlines"), KeyError("x"), SyntaxError("bad"), RecursionError()])
def test_one_line(error: Exception) -> None:
    with (
        pytest.raises(ConversionError, match=r"^unreadable POSCAR: [^\n]+; a whole and valid one is needed$"),
        parsing("POSCAR"),
    ):
        raise error


def test_ours_pass() -> None:
    with pytest.raises(CrystalError, match="flat"), parsing("POSCAR"):
        raise CrystalError("flat")
