"""Materium generates inorganic crystals: an autoregressive transformer over tokens, with a grammar of legal ones."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from materium.crystal import Crystal
    from materium.evaluate import EvaluatePackage
    from materium.generate.engine import Materium

    evaluate: EvaluatePackage

__all__ = ["Crystal", "__version__", "evaluate", "load"]

__version__ = "0.1.0"


def load(path: str | Path | None = None, device: str = "cpu") -> Materium:
    """Return the model in the folder `path`, or the one that ships, ready to generate.

    The lists of crystals that it returns show themselves in a notebook; see `materium.report.gallery.Crystals`.

    Parameters
    ----------
    device
        `"cpu"`, `"cuda"`, `"cuda:1"`, or `"auto"` for the fastest there is.

    Raises
    ------
    materium.errors.MateriumError
        If the folder holds no model, or one that is cut short, altered or of another kind, or there is no such device.
    """
    from materium.model.threads import wait_asleep

    wait_asleep()
    from materium.generate.engine import load as load_engine  # brings torch: seconds, not milliseconds
    from materium.report.gallery import Crystals

    return load_engine(path, device, gather=Crystals)


def __getattr__(name: str) -> object:
    """Import the class of crystals, and NumPy with it, or `evaluate`, which can be called, when it is asked for."""
    if name == "Crystal":
        from materium.crystal import Crystal

        return Crystal
    if name == "evaluate":
        return import_module("materium.evaluate")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
