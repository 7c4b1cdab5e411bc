"""What the parsers of pymatgen and ASE raise, as one line."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from materium.errors import ConversionError, MateriumError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
    sqlite3.Error,
)
"""What the parsers of pymatgen and ASE raise on text that is cut short or mangled; they have no type of their own."""


@contextmanager
def parsing(what: str) -> Iterator[list[warnings.WarningMessage]]:
    """Collect a parser's warnings, and turn what it raises on a mangled text into one line."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    except MateriumError:
        raise
    except UNREADABLE as error:
        detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        detail = " ".join(detail.split()).removeprefix("No structure parsed for section 1 in CIF. ").rstrip(".")
        detail = detail[:160] or type(error).__name__
        raise ConversionError(f"unreadable {what}: {detail}; a whole and valid one is needed") from error
