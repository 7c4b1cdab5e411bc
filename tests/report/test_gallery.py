"""The list of crystals that a notebook shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pymatgen.core import Structure

import materium
from crystals import KNOWN, NACL, RUTILE
from materium import convert
from materium.convert import to_structure
from materium.crystal import Crystal
from materium.report.gallery import SHOWN, Crystals

if TYPE_CHECKING:
    from pathlib import Path


def gallery(*crystals: Crystal) -> Crystals:
    return Crystals([to_structure(crystal) for crystal in crystals])


def text(crystals: Crystals) -> str:
    return " ".join("".join(ET.fromstring(f"<div>{crystals._repr_html_()}</div>").itertext()).split())  # noqa: S314 - ours


def test_it_is_a_list_and_its_slices_are_galleries() -> None:
    several = gallery(*KNOWN.values())
    assert isinstance(several, list)
    assert isinstance(several[1:], Crystals)
    assert isinstance(several[0], Structure)
    assert several[1:] == list(several)[1:]


def test_each_crystal_has_picture_formula_group_and_density() -> None:
    shown = gallery(*KNOWN.values())
    assert shown._repr_html_().count("<svg") == len(KNOWN)
    assert re.search(r"NaCl ?Fm-3m \(225\) ?2\.1\d g/cm³, 8 sites", text(gallery(NACL)))


def test_likelihood_is_told_where_it_is_known() -> None:
    shown = gallery(NACL)
    assert "ln p" not in text(shown)
    shown[0].properties = {"log_likelihood": -12.34}
    assert "ln p = -12.3" in text(shown)


def test_atoms_on_top_of_each_other_are_shown_and_named() -> None:
    shown = gallery(Crystal(NACL.lattice, [[0, 0, 0], [0.001, 0, 0]], [11, 17]))
    assert shown._repr_html_().count("<svg") == 1
    assert "overlapping atoms" in text(shown)


def test_it_loads_and_runs_nothing() -> None:
    page = gallery(*KNOWN.values())._repr_html_()
    assert not re.search(r"<script|<link|<img|<iframe|src=|href=|url\(|@import|\son\w+=", page)


def test_a_long_list_says_what_it_leaves_out() -> None:
    shown = Crystals([to_structure(NACL)] * (SHOWN + 3))
    assert shown._repr_html_().count("<svg") == SHOWN
    assert "3 more are not shown" in text(shown)
    assert "no crystals" in text(Crystals())


def test_what_a_model_writes_is_one(tiny_checkpoint: Path) -> None:
    model = materium.load(tiny_checkpoint)
    assert isinstance(model.generate(2, seed=1), Crystals)


def test_a_table_of_what_is_known() -> None:
    """Also of structures that somebody else made, and of atoms that overlap."""
    rutile = convert.to_structure(RUTILE)
    rutile.properties = {"log_likelihood": -30.0, "id": "1-000000"}
    close = convert.to_structure(Crystal(4 * np.eye(3), [[0, 0, 0], [0.05, 0, 0]], [11, 17]))
    first, second = Crystals([rutile, close]).to_dataframe().astype(object).to_dict("records")
    assert first["density"] == pytest.approx(RUTILE.density, rel=1e-3)
    assert {**first, "density": 0} == {
        "id": "1-000000", "formula": "TiO2", "num_sites": 6, "density": 0, "space_group": 136, "log_likelihood": -30.0
    }  # fmt: skip
    assert second["formula"] == "NaCl"
    assert second["space_group"] != second["space_group"] or second["space_group"] is None  # missing
    assert Crystals().to_dataframe().empty
