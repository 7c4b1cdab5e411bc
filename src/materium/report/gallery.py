"""The list that `generate` and `complete` give back: in a notebook it shows its crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from materium.convert import formula
from materium.errors import OverlapError
from materium.evaluate import measure
from materium.report.html import escaped
from materium.report.picture import picture
from materium.symmetry import symbol

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped] # it ships no types

    from materium.convert import Structure
    from materium.crystal import Crystal

SHOWN = 48
"""Crystals in a gallery at most; a page of more is slow to draw and nobody looks through it."""
FRAME = (
    "--ink:currentColor;--muted:currentColor;display:grid;gap:.75rem;"
    "grid-template-columns:repeat(auto-fill,minmax(11rem,1fr))"
)
"""The colours of the pictures are those of the notebook's text, light or dark."""
CARD = "margin:0;padding:.5rem;border:1px solid #8888;border-radius:6px;text-align:center;font-size:.85rem"


class Crystals(list["Structure"]):
    """A list of pymatgen structures that a notebook shows as pictures, with formula, space group and density.

    Slices of it are galleries too; what has been sorted or filtered becomes one again by `Crystals(...)`.
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> Structure: ...
    @overload
    def __getitem__(self, index: slice) -> Crystals: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Structure | Crystals:
        """Return one structure, or for a slice a gallery of some."""
        found: Any = super().__getitem__(index)
        return Crystals(found) if isinstance(index, slice) else found

    def to_dataframe(self) -> DataFrame:
        """Return a table with a row for each: formula, sites, density, space group (symprec 0.1 Å), and `properties`.

        The space group is missing where atoms overlap or none is found.
        """
        from pandas import DataFrame

        return DataFrame([_row(structure) for structure in self])

    def _repr_html_(self) -> str:
        """Return the gallery: HTML that loads nothing and runs nothing."""
        cards = "".join(_card(structure) for structure in self[:SHOWN])
        left = len(self) - SHOWN
        note = f"<p>{left} more are not shown; take a slice to see them.</p>" if left > 0 else ""
        return f'<div style="{FRAME}">{cards}</div>{note}' if self else "<p>no crystals</p>"


def _row(structure: Structure) -> dict[str, Any]:
    """What is known of a crystal, its id first."""
    from materium.convert import from_structure

    known = dict(structure.properties)
    try:
        group = measure.space_group(from_structure(structure))
    except OverlapError:
        group = None
    counted = {"formula": structure.reduced_formula, "num_sites": len(structure), "density": float(structure.density)}
    return {"id": known.pop("id", None), **counted, "space_group": group, **known}


def _card(structure: Structure) -> str:
    """One crystal: its picture, and what it is."""
    from materium.convert import from_structure

    try:
        return _figure(structure, from_structure(structure), [])
    except OverlapError as error:
        return _figure(structure, error.crystal, [str(error)])


def _figure(structure: Structure, crystal: Crystal, facts: list[str]) -> str:
    likelihood = structure.properties.get("log_likelihood")
    told = [_group(crystal), f"{crystal.density:.2f} g/cm³, {len(crystal)} sites"]
    told += [] if likelihood is None else [f"ln p = {likelihood:.1f}"]
    lines = "".join(f"<br/>{escaped(fact)}" for fact in (*told, *facts))
    caption = f"<figcaption><b>{escaped(formula(crystal))}</b>{lines}</figcaption>"
    return f'<figure style="{CARD}">{picture(crystal)}{caption}</figure>'


def _group(crystal: Crystal) -> str:
    """The space group as symbol and number."""
    number = measure.space_group(crystal)
    if number is None:
        return "no space group found"
    return f"{symbol(number)} ({number})"
