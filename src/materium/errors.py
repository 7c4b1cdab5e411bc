"""The errors that are a user's to mend; each message is one line: what came, what is needed, what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class MateriumError(ValueError):
    """Base of every error that wrong input raises; the command line prints it and exits with status 2."""


class CrystalError(MateriumError):
    """A crystal that breaks a convention of `materium.crystal.Crystal`."""


class OverlapError(CrystalError):
    """A crystal with two atoms too close; `crystal` is that one, for those who judge crystals instead of using them."""

    crystal: Any = None


class ConversionError(MateriumError):
    """A structure that cannot become a `Crystal`: disordered, unreadable, truncated."""


class TokenError(MateriumError):
    """A crystal that the tokenizer's settings cannot write, or a sentence that is not legal."""


class DataError(MateriumError):
    """A table, folder or shard that cannot be read, or that does not fit the settings."""


class CheckpointError(MateriumError):
    """A checkpoint that is cut short, altered, of another kind, or of other settings."""


class RequestError(MateriumError):
    """A request for crystals that contradicts itself or names something unknown."""


class TrainingError(MateriumError):
    """A training run that cannot start or go on."""


def unknown_element(name: str) -> ConversionError:
    """Return the error for a symbol that is none of an element from hydrogen to oganesson."""
    advice = "write hydrogen's isotopes as H" if name in ("D", "T") else "an element's symbol from H to Og is needed"
    return ConversionError(f"unknown element: {name!r}; {advice}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the one that was meant, or all there are."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
