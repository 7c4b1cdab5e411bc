"""Packages that only some predictors need: imported when they are, refused with one line where they are missing."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from materium.errors import MateriumError

if TYPE_CHECKING:
    from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Return the module, imported without its warnings and without the warning filters that it sets.

    Raises
    ------
    MateriumError
        If it cannot be imported; the line names the extra to install.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MateriumError(
            f"{package} is needed ({error}); install it with: pip install 'materium[{extra}]'"
        ) from error
