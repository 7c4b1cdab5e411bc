"""The potentials that can be named, and any ASE calculator by its import path."""

from __future__ import annotations

from materium.relax.adapters.registry import potential, potentials

__all__ = ["potential", "potentials"]
