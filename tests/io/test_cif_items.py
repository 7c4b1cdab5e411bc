"""Items of a data block: names in any spelling, unknown values, numbers with their uncertainty."""

import pytest
from gemmi import cif

from materium.errors import ConversionError
from materium.io.cif_content import parse_formula
from materium.io.cif_items import Items


def items(text: str) -> Items:
    return Items(cif.read_string(f"data_x\n{text}").sole_block())


def test_names_of_both_dictionaries_are_one() -> None:
    found = items("_Cell.Length_a 4.20(3)\nloop_\n_atom_site.label\n_atom_site.adp_type\nNa1 ?\nCl1 .\n")
    assert found.number("_cell_length_a") == 4.2
    assert found.column("_atom_site_label") == ["Na1", "Cl1"]
    assert found.column("_atom_site_adp_type") == []


def test_an_item_given_twice_must_agree() -> None:
    assert items("_cell_length_a 4.2\n_cell.length_a 4.2\n").number("_cell_length_a") == 4.2
    with pytest.raises(ConversionError, match=r"_cell\.length_a twice"):
        items("_cell_length_a 4.2\n_cell.length_a 4.3\n")


def test_a_number_is_needed() -> None:
    assert items("_cell_length_a ?\n").number("_cell_length_a") is None
    with pytest.raises(ConversionError, match="_cell_length_a is 'four'; a number is needed"):
        items("_cell_length_a four\n").number("_cell_length_a")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("KF", {"K": 1, "F": 1}),
        ("BN", {"B": 1, "N": 1}),
        ("NA4 CL4", {"Na": 4, "Cl": 4}),
        ("NaCl", {"Na": 1, "Cl": 1}),
        ("Co", {"Co": 1}),
        ("C O", {"C": 1, "O": 1}),
        ("CO", None),  # cobalt, or carbon and oxygen
        ("NA", {"Na": 1}),
        ("C60", {"C": 60}),
        ("(NH4)2", None),
    ],
)
def test_formulas(text: str, counts: dict[str, float] | None) -> None:
    assert parse_formula(text) == counts
