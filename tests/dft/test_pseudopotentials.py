"""The table that ships, and the tables that users bring."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from materium.convert import atomic_numbers
from materium.dft.pseudopotentials import Pseudo, choose, load, sssp
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = {"filename": "Si.upf", "cutoff_wfc": 30, "cutoff_rho": 240.0}


def test_table_covers_the_elements_up_to_lawrencium() -> None:
    assert sorted(atomic_numbers(list(sssp()))) == list(range(1, 104))


def test_entries_of_the_table() -> None:
    """A few that the library's page shows: one of each of its sources."""
    assert sssp()["Si"] == Pseudo("Si.pbe-n-rrkjus_psl.1.0.0.UPF", 30, 240)
    assert sssp()["Fe"] == Pseudo("Fe.pbe-spn-kjpaw_psl.0.2.1.UPF", 90, 1080)
    assert sssp()["Ag"] == Pseudo("Ag_ONCV_PBE-1.0.oncvpsp.upf", 50, 200)
    assert sssp()["Na"] == Pseudo("na_pbe_v1.5.uspp.F.UPF", 40, 320)


def test_every_file_name_belongs_to_its_element_and_every_dual_is_sane() -> None:
    """Densities need four times the cutoff of norm-conserving wave functions, eight and more of others."""
    for symbol, pseudo in sssp().items():
        letters = pseudo.filename.replace("_", ".").replace("-", ".").split(".")[0]
        assert letters.lower() == symbol.lower()
        assert pseudo.cutoff_rho / pseudo.cutoff_wfc in ((4,) if "ONCV" in pseudo.filename.upper() else (8, 12))


def test_table_of_the_library_is_read(tmp_path: Path) -> None:
    """As SSSP writes it, with more in each entry than is needed."""
    entry = {**GOOD, "md5": "0b0bb1205258b0d07b9f9672cf965d36", "pseudopotential": "100US"}
    (tmp_path / "SSSP.json").write_text(json.dumps({"Si": entry}))
    assert load(tmp_path / "SSSP.json") == {"Si": Pseudo("Si.upf", 30, 240)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no table of elements"),
        ("{}", "holds no table of elements"),
        (json.dumps({"Xx": GOOD}), "unknown element: 'Xx'"),
        (json.dumps({"Si": "Si.upf"}), "the entry of Si is no table"),
        (json.dumps({"Si": {**GOOD, "filename": "../Si.upf"}}), "filename of Si"),
        (json.dumps({"Si": {**GOOD, "filename": "my Si.upf"}}), "filename of Si"),
        (json.dumps({"Si": {**GOOD, "filename": None}}), "filename of Si is None"),
        (json.dumps({"Si": {**GOOD, "cutoff_wfc": "30"}}), "cutoff_wfc of Si is '30'"),
        (json.dumps({"Si": {**GOOD, "cutoff_rho": 0}}), "cutoff_rho of Si is 0"),
        (json.dumps({"Si": {**GOOD, "cutoff_rho": float("inf")}}), "cutoff_rho of Si is inf"),
        (json.dumps({"Si": {"filename": "Si.upf", "cutoff_wfc": 30}}), "cutoff_rho of Si is None"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(DataError, match=r"t\.json") as caught:
        load(tmp_path / "t.json")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe"), lambda _: None]
)
def test_files_that_cannot_be_read(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "t.json")
    with pytest.raises(DataError, match=r"t\.json (is a folder|is no JSON)|cannot open .*t\.json"):
        load(tmp_path / "t.json")


def test_all_missing_elements_are_named() -> None:
    with pytest.raises(DataError, match="no pseudopotential for Rf, Og; "):
        choose(["Si", "Rf", "Og"], sssp())
