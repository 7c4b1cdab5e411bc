"""Materium writes crystals: a transformer over sentences of tokens, held to a grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.generate.engine import Materium

__all__ = ["Crystal", "__version__", "load"]

__version__ = "0.1.0"


def load(path: str | Path | None = None) -> Materium:
    """Return the model in the folder `path`, or the one that ships, ready to generate.

    The lists of crystals that it returns show themselves in a notebook; see `materium.report.gallery.Crystals`.

    Raises
    ------
    materium.errors.CheckpointError
        If the folder holds no model, or one that is cut short, altered or of another kind.
    """
    from materium.model.threads import wait_asleep

    wait_asleep()
    from materium.generate.engine import load as load_engine  # brings torch: seconds, not milliseconds
    from materium.report.gallery import Crystals

    return load_engine(path, gather=Crystals)


def __getattr__(name: str) -> type[Crystal]:
    """Import the class of crystals, and NumPy with it, when it is asked for: the command line often needs neither."""
    if name == "Crystal":
        from materium.crystal import Crystal

        return Crystal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
