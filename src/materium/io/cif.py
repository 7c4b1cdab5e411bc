"""Crystals out of CIF: its grammar, its sites, and what it says about them by the core dictionary of the IUCr.

Names of items are read in lower case and with underscores for dots, so that those of the present dictionary (DDLm) and
those of the older one are the same. Which symmetry the sites have is for `cif_symmetry`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import ConversionError, unknown_element
from materium.io.cif_content import parse_formula
from materium.io.cif_items import NUMBER, Items, Sites
from materium.io.cif_symmetry import crystal_of
from materium.io.sites import is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping


TYPE = re.compile(r"([A-Za-z]+)(?:(\d+(?:\.\d+)?)?([+-])(\d+(?:\.\d+)?)?|\d+)?")
"""A symbol, with a charge before or after its sign, or a count that says nothing."""
MIXED = re.compile(r"(?:(?<=[/,;:&|+_-])|(?<=\d)(?=[A-Z](?:[a-z]|\d)))[A-Z][a-z]?")
"""Further symbols inside of a label, as in Si/Al or Na1K1."""
LENGTHS = (0.1, 1e5)
"""Å; of a cell's axes."""
ANGLES = (1.0, 179.0)
"""Degrees; outside of it a cell is flat."""
MAX_COORDINATE = 1e4
"""Cells away from the origin: beyond it digits are lost."""
RARE = frozenset(
    {
        "He",
        "Ne",
        "Ar",
        "Kr",
        "Xe",
        "Rn",
        "Ho",
        "Tc",
        "Pm",
        "Po",
        "At",
        "Fr",
        "Ra",
        "Ac",
        "Pa",
        "Np",
        "Am",
        "Cm",
        "Bk",
        "Cf",
    }
    | {
        "Es",
        "Fm",
        "Md",
        "No",
        "Lr",
        "Rf",
        "Db",
        "Sg",
        "Bh",
        "Hs",
        "Mt",
        "Ds",
        "Rg",
        "Cn",
        "Nh",
        "Fl",
        "Mc",
        "Lv",
        "Ts",
        "Og",
    }
)
"""Elements for which a label or a symbol stands less often than for a group (HO, NO), a ring's centre or a residue."""
MINUS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
BLANKS = dict.fromkeys(map(ord, "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f"), " ")
SUBSCRIPTS = {ord("\u2080") + digit: str(digit) for digit in range(10)}
FOREIGN = "~"
"""Stands for every other character that is not ASCII: no number and no symbol has it."""


def read(text: str) -> Crystal:
    """Return the crystal of a CIF with one structure, its sites in the order of the file, those of each one together.

    Raises
    ------
    ConversionError
        If the text is no CIF or is cut short, holds no structure or several, if a site is not one whole atom with
        coordinates, if the symmetry is not determined, or if two statements of the file contradict each other.
    CrystalError
        If the crystal is flat, not finite, or has atoms closer than 0.5 Å.
    """
    items = _structure_items(text)
    modulated = items.number("_cell_modulation_dimension")
    if modulated or any(name.startswith("_space_group_symop_ssg_") for name in items.columns):
        raise ConversionError(
            "CIF has a modulated structure, which has no cell; an approximant in a supercell is needed"
        )
    lattice = lattice_from_parameters(_cell(items))
    return crystal_of(items, _sites(items), lattice)


def _structure_items(text: str) -> Items:
    """The one data block with atom sites; published CIFs have others, with references and authors."""
    from gemmi import cif

    try:
        document = cif.read_string(_ascii(text).encode(), 0)
        document.check_for_missing_values()
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:160].removeprefix("string:")
        raise ConversionError(f"unreadable CIF: line {detail}; a whole and valid one is needed") from error
    blocks = [items for items in map(Items, document) if items.columns.get("_atom_site_fract_x")]
    if len(blocks) != 1:
        raise ConversionError(f"CIF has {len(blocks)} data blocks with atom sites; exactly one is needed")
    return blocks[0]


def _ascii(text: str) -> str:
    """The text without a byte-order mark, typographic signs replaced by those that they stand for."""
    text = text.lstrip("\ufeff").rstrip("\x1a\x00 ")
    if text.isascii():
        return text
    text = re.sub("(\\d)[\u0304\u0305]", r"-\1", text.translate(MINUS | BLANKS | SUBSCRIPTS))
    return re.sub(r"[^\x00-\x7f]", FOREIGN, text)


def _cell(items: Items) -> list[float]:
    names = [f"_cell_length_{axis}" for axis in "abc"] + [f"_cell_angle_{a}" for a in ("alpha", "beta", "gamma")]
    values = [items.number(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if value is None:
            raise ConversionError(f"unreadable CIF: {name} is missing; a whole and valid one is needed")
        low, high = LENGTHS if "length" in name else ANGLES
        if not low <= value <= high:
            raise ConversionError(f"unreadable CIF: {name} is {value:g}; {low:g} to {high:g} is needed")
    return [value for value in values if value is not None]


def _sites(items: Items) -> Sites:
    xyz = [items.columns.get(f"_atom_site_fract_{axis}", []) for axis in "xyz"]
    count = len(xyz[0])
    sites = {name: column for name, column in items.columns.items() if name.startswith("_atom_site_")}
    names = ("label", "type_symbol", "occupancy", "calc_flag", "attached_hydrogens", "disorder_group")
    columns = {name: sites.get(f"_atom_site_{name}", [None] * count) for name in names}
    columns |= {"multiplicity": _multiplicities(items, count), "order": sites.get("_atom_site_site_symmetry_order", [])}
    columns["order"] = columns["order"] or [None] * count
    if any(len(column) != count for column in (*xyz, *columns.values())):
        raise ConversionError("unreadable CIF: the items of its atom sites are not equally many; a whole one is needed")
    real = [i for i in range(count) if (columns["calc_flag"][i] or "").lower() != "dum"]
    if not real:
        raise ConversionError("CIF has 0 data blocks with atom sites that are no dummies; exactly one is needed")
    kept = {name: [column[i] for i in real] for name, column in columns.items()}
    _check_whole(kept)
    labels = [label or f"site {i}" for i, label in zip(real, kept["label"], strict=True)]
    numbers, charges = _elements(items, kept["type_symbol"], kept["label"])
    pairs = [
        [_coordinate(xyz[axis][i], "xyz"[axis], label) for axis in range(3)]
        for i, label in zip(real, labels, strict=True)
    ]
    array = np.array(pairs, dtype=np.float64)
    states = _states(items, kept["type_symbol"], charges)
    multiplicities, orders = ([_whole(v) for v in kept[name]] for name in ("multiplicity", "order"))
    return Sites(labels, np.array(numbers), states, array[:, :, 0], array[:, :, 1], multiplicities, orders)


def _multiplicities(items: Items, count: int) -> list[str | None]:
    """How many atoms a site stands for: by itself, or before the letter of its Wyckoff position."""
    stated = items.column("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity")
    if stated:
        return stated
    letters = items.column("_atom_site_wyckoff_symbol") or [None] * count
    return [match[0] if letter and (match := re.match(r"\d+(?=[a-zA-Z])", letter)) else None for letter in letters]


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,6}", text) else None


def _check_whole(columns: Mapping[str, list[str | None]]) -> None:
    """Refuse sites that are not one whole atom."""
    for label, text in zip(columns["label"], columns["occupancy"], strict=True):
        match = NUMBER.fullmatch(text or "1")
        if not match:
            raise ConversionError(f"unreadable CIF: occupancy {(text or '')[:40]!r} of {label}; a number is needed")
        if not is_whole(float(match[1])):
            held = f"{(label or 'a site')[:40]} {float(match[1]):g}"
            raise ConversionError(
                f"disordered site: it holds {held}; every site must be one whole atom, so order it first"
            )
    groups = {group for group in columns["disorder_group"] if group not in (None, "0")}
    if len(groups) > 1 or any(group.startswith("-") for group in groups if group):
        raise ConversionError(f"disordered sites: disorder groups {' and '.join(sorted(map(str, groups)))}; keep one")
    if any(text not in (None, "0") for text in columns["attached_hydrogens"]):
        raise ConversionError("CIF has implicit hydrogens: not all atoms have coordinates, and all are needed")


def _coordinate(text: str | None, axis: str, label: str) -> tuple[float, float]:
    """A coordinate and what it may be off: half its last digit, or its standard uncertainty."""
    if text is None:
        raise ConversionError(f"unreadable CIF: {label[:40]} has no coordinate {axis}; all atoms need three")
    match = NUMBER.fullmatch(text)
    if not match or abs(float(match[1])) > MAX_COORDINATE:
        raise ConversionError(f"unreadable CIF: coordinate {axis} of {label[:40]} is {text[:40]!r}; a number is needed")
    decimals = len(match[1].lower().partition("e")[0].partition(".")[2])
    unit = 10.0**-decimals if decimals > 1 else 0.0  # 0, 1 and 0.5 are exact
    return float(match[1]), unit * max(0.5, float(match[2] or 0))


# --- elements ---


def _elements(items: Items, types: list[str | None], labels: list[str | None]) -> tuple[list[int], list[float | None]]:
    """Atomic numbers and charges of the sites, from their type symbols or, where a file has none, their labels."""
    from ase.data import atomic_numbers

    formula = parse_formula(items.given("_chemical_formula_sum").get("_chemical_formula_sum", ""))
    known: dict[tuple[str, bool], tuple[str, float | None]] = {}
    by_label = "_atom_site_type_symbol" not in items.columns
    found = []
    for entry in labels if by_label else types:
        key = (entry or "?", by_label)
        if key not in known:
            known[key] = _element(*key, formula)
        found.append(known[key])
    return [atomic_numbers[symbol] for symbol, _ in found], [charge for _, charge in found]


def _element(entry: str, by_label: bool, formula: Mapping[str, float] | None) -> tuple[str, float | None]:  # noqa: FBT001 # of a key
    """The symbol and the charge that a type symbol or a label stands for; what may be two elements is refused."""
    match = re.fullmatch(r"([A-Za-z]+)(.*)", entry) if by_label else TYPE.fullmatch(entry)
    if not match:
        raise unknown_element(entry)
    letters, rest = match[1], entry[len(match[1]) :]
    symbol = letters.capitalize()
    if by_label:
        further = [token for token in MIXED.findall(rest) if _is_element(token)]
        if further and (formula is None or any(token in formula for token in further)):
            raise ConversionError(f"label {entry!r} names {symbol} and {further[0]}; a site must be one whole atom")
    rare, capitals = symbol in RARE, letters.isupper() and len(letters) == 2
    doubtful = (capitals or rare) if by_label else (capitals and (rare or rest.isdecimal()))
    doubtful = doubtful and _is_element(letters[0].upper())
    if len(letters) > 1 and (doubtful or (by_label and not _is_element(symbol) and formula)):
        readings = [name for name in {symbol, letters[0].upper()} if _is_element(name) and name in (formula or ())]
        if len(readings) != 1:
            if not _is_element(symbol):
                raise unknown_element(letters)
            what = "label" if by_label else "type symbol"
            raise ConversionError(
                f"{what} {entry!r} is {symbol} or an atom of {letters[0].upper()}: no formula tells; write type symbols"
            )
        symbol = readings[0]
    if not _is_element(symbol):
        raise unknown_element(letters if letters.capitalize() not in ("D", "T") else symbol)
    charge = None
    if not by_label and match[3]:
        size = float(match[2] or match[4] or 1)
        charge = -size if match[3] == "-" else size
    return symbol, charge


def _is_element(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return bool(atomic_numbers.get(symbol))  # ASE's dummy atom X has number 0


def _states(items: Items, types: list[str | None], charges: list[float | None]) -> list[float | None]:
    """Oxidation states: those of the table of types, else the charges of the symbols."""
    names, values = items.column("_atom_type_symbol"), items.column("_atom_type_oxidation_number")
    if not values or len(names) != len(values):
        return charges
    table = {}
    for name, text in zip(names, values, strict=True):
        match = NUMBER.fullmatch(text or "")
        table[name] = float(match[1]) if match else None
    states = [table.get(kind) for kind in types]
    for kind, state, charge in zip(types, states, charges, strict=True):
        if state is not None and charge is not None and abs(state - charge) > 1e-3:
            raise ConversionError(
                f"CIF contradicts itself: type symbol {kind!r}, but _atom_type_oxidation_number {state:g}; correct one"
            )
    return [charge if state is None else state for state, charge in zip(states, charges, strict=True)]
