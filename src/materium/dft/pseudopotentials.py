"""Pseudopotentials of Quantum ESPRESSO: file name and plane-wave cutoffs for every element.

The table that ships is SSSP PBE efficiency 1.3.0 (Prandini et al., npj Computational Materials 4, 72, 2018; the library
is on materialscloud.org), 103 elements. It holds names and cutoffs; the files themselves are the library's to give.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from materium.convert import atomic_numbers
from materium.errors import DataError, MateriumError
from materium.io.files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LIBRARY = "SSSP PBE efficiency 1.3.0"
ADVICE = "give a file with {'Si': {'filename': …, 'cutoff_wfc': …, 'cutoff_rho': …}, …}, as SSSP distributes it"


class Pseudo(NamedTuple):
    """File name of a pseudopotential, and cutoffs of wave functions and charge density in Ry."""

    filename: str
    cutoff_wfc: float
    cutoff_rho: float


@cache
def sssp() -> Mapping[str, Pseudo]:
    """Return the table that ships, by element."""
    text = files("materium.dft").joinpath("sssp_efficiency.json").read_text(encoding="utf-8")
    return parse(text, LIBRARY)


def load(path: Path) -> Mapping[str, Pseudo]:
    """Return the table of a JSON file such as the `SSSP_1.3.0_PBE_efficiency.json` that comes with the library.

    Raises
    ------
    DataError
        If it cannot be read, or an entry lacks a file name or a positive cutoff.
    """
    try:
        return parse(read_text(path), str(path))
    except RecursionError as error:
        raise DataError(f"cannot read {path}: its brackets are nested too deeply; {ADVICE}") from error


def parse(text: str, where: str) -> Mapping[str, Pseudo]:
    """Return the table of a JSON text; raises as `load`, with `where` in the message."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); {ADVICE}") from error
    if not isinstance(data, dict) or not data:
        raise DataError(f"{where} holds no table of elements; {ADVICE}")
    try:
        return {symbol: _entry(symbol, entry) for symbol, entry in data.items()}
    except MateriumError as error:
        raise DataError(f"{where}: {error}") from error


def choose(symbols: Iterable[str], table: Mapping[str, Pseudo]) -> dict[str, Pseudo]:
    """Return the pseudopotential of each element; raises `DataError` that names the elements without one."""
    wanted = list(dict.fromkeys(symbols))
    missing = [symbol for symbol in wanted if symbol not in table]
    if missing:
        raise DataError(f"no pseudopotential for {', '.join(missing)}; name one in a file for --pseudos")
    return {symbol: table[symbol] for symbol in wanted}


def _entry(symbol: str, entry: Any) -> Pseudo:  # noqa: ANN401 - JSON holds anything
    atomic_numbers([symbol])
    if not isinstance(entry, dict):
        raise DataError(f"the entry of {symbol} is no table; {ADVICE}")
    name = entry.get("filename")
    if not isinstance(name, str) or not name or set(name) & set("/ \t\n'\""):
        raise DataError(f"filename of {symbol} is {name!r}; a plain file name without spaces or folders is needed")
    return Pseudo(name, *(_cutoff(symbol, key, entry.get(key)) for key in ("cutoff_wfc", "cutoff_rho")))


def _cutoff(symbol: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise DataError(f"{key} of {symbol} is {value!r}; a positive number of Ry is needed")
    return float(value)
