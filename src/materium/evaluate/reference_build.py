"""From tables of crystals to a reference: energies of one potential, completed by what DFT labels imply.

A table holds a part of the known phases only, and a hull over a part is too high. Two labels tell of the rest: with the
formation energy E_f and the energy above hull E_h of DFT, the hull of DFT at a row's composition is E_f - E_h above the
elements. It becomes a point of this hull by adding the elements' energies in the potential, which are fitted so that
E - E_f is the sum over the elements, and which stand for elements of which the tables hold no crystal. A row with E_h
alone implies the point E - E_h, with the error that the potential makes for this row. A table may also hold
estimates of E_h, the column `e_hull_est`: rows that they put too far above the hull need no energy, and are known
crystals all the same.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import convert
from materium.data.readers import checked, digest, read
from materium.errors import CrystalError, DataError
from materium.evaluate.corrections import NONE, on_hull_scale
from materium.evaluate.fingerprint import ALIKE, NEIGHBOURS, Fingerprint, fingerprint
from materium.evaluate.hull import Entry, Envelope, fractions
from materium.evaluate.reference import AMD_STEP, Columns, Reference, Table, known_fingerprints
from materium.relax.relaxer import relax, single_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from materium.crystal import Crystal
    from materium.data.records import Row
    from materium.relax.potential import Potential

    Track = Callable[[Sequence[Any], str], Iterable[Any]]
    """Passes a sequence through and shows how far it is."""

COMPUTED, IMPLIED, TERMINAL = "computed", "implied", "terminal"
FORMATION, ABOVE = "formation_energy_per_atom", "energy_above_hull"
ESTIMATE = "e_hull_est"
"""Column with an estimate of the energy above the hull, eV/atom, from whatever was at hand."""
MAX_ABOVE = 0.2
"""eV/atom; a row further above the hull implies no point by its own energy, since there potentials err more."""
FEWEST_LABELS = 5
"""Rows with a formation energy that an element's fitted energy needs."""
FIT_STEPS, FIT_FLOOR = 30, 1e-3
"""Steps of reweighting, and the error in eV/atom below which rows count alike."""
SAMPLE, REPRODUCED = 50, 2e-3
"""Rows and eV/atom: a table's column of energies is used if the potential gives the same for a sample."""
CHUNK = 256
"""Crystals between two signs of progress."""
PARTS = 16
"""Of the work, for each of several processes."""
SEED = 0


@dataclass(frozen=True, eq=False)
class Options:
    """How a reference is built.

    Attributes
    ----------
    relaxed
        Relax each crystal first; otherwise its energy is that of the cell in the table.
    near
        Another reference: of rows without a formation energy only those on its hull are computed.
    fit_rows
        Rows for each element whose energies fit the elements'; None takes all rows with a formation energy.
    max_above
        eV/atom; rows without labels of DFT that the column `e_hull_est` puts higher above the hull give no energy.
    compute
        Compute energies that no column gives; otherwise rows without one give their fingerprints alone.
    processes
        For fingerprints and for finding the phases on the hull; more change nothing of what comes out.
    """

    relaxed: bool = False
    near: Reference | None = None
    fit_rows: int | None = None
    max_above: float | None = None
    compute: bool = True
    processes: int = 1


@dataclass(frozen=True, eq=False)
class Item:
    """A crystal of a table, its energy in eV/atom on the hull's scale where it is known, and its labels."""

    row: Row
    crystal: Crystal
    table: str
    formula: str
    name: Fingerprint | None = None
    energy: float | None = None
    labels: dict[str, float] = field(default_factory=dict)


def build(  # noqa: PLR0913, PLR0917 - what it is built from, by whom and how
    paths: Sequence[Path],
    potential: Potential,
    name: str,
    options: Options,
    track: Track = lambda items, _: items,
    crystals: Path | None = None,
) -> Reference:
    """Return the reference of these tables, the training set first.

    Where a table has the column `NAME_energy_per_atom` of the potential NAME, it saves the calculation.

    Parameters
    ----------
    name
        How results will call the reference.
    crystals
        File of crystals that another reference wrote of the same tables: their fingerprints are not computed again.

    Raises
    ------
    MateriumError
        If a table cannot be read, two have the same name, nothing has an energy, a column of energies is not what
        the potential gives, or `crystals` holds others.
    """
    items = measured(paths, potential, options, track)
    elements = fit_elements(items)
    entries = points(items, elements)
    if not any(entries):
        raise DataError("no crystal of the tables has an energy; another potential or table is needed")
    if crystals is not None and crystals.exists():
        names = known_fingerprints(crystals, [(item.table, item.row.id, item.formula) for item in items])
    else:
        names = [one for part in _in_parts(_fingerprints, items, options, track, "fingerprints") for one in part]
    items = [replace(item, name=one) for item, one in zip(items, names, strict=True)]
    tables = tuple(Table(p.stem, digest(p), sum(i.table == p.stem for i in items)) for p in paths)
    settings = _settings(items, elements, options)
    columns = _columns(items, entries, elements, options, track)
    return Reference(name, potential.name, potential.version, potential.scheme, tables, settings, columns)


def measured(
    paths: Sequence[Path], potential: Potential, options: Options, track: Track = lambda items, _: items
) -> list[Item]:
    """Return the crystals of the tables with the energies that a reference needs; raises as `build`."""
    stems = [path.stem for path in paths]
    if len(set(stems)) != len(stems):
        raise DataError(f"two tables have the same name: {', '.join(stems)}; rows are told apart by it, so rename one")
    items = [item for path in paths for item in _read(path, potential, track)]
    return _with_energies(items, potential, options, track)


def _read(path: Path, potential: Potential, track: Track) -> list[Item]:
    """Items of the rows that can be read; labels are of no use to a potential whose energies are no estimate of DFT."""
    rows = track([row for row in checked(read(path)) if row.crystal is not None], f"reading {path.name}")
    wanted = (ESTIMATE,) if potential.scheme == NONE else (FORMATION, ABOVE, ESTIMATE)
    return [
        Item(
            row,
            row.crystal,
            path.stem,
            convert.formula(row.crystal),
            labels={label: float(row.properties[label]) for label in wanted if label in row.properties},
        )
        for row in rows
    ]


# --- energies ---


def _with_energies(items: Sequence[Item], potential: Potential, options: Options, track: Track) -> list[Item]:
    column = None if options.relaxed else f"{potential.name}_energy_per_atom"
    known = [item.row.properties.get(column) if column else None for item in items]
    given = [
        None if value is None or _too_high(item, options) else float(value)
        for item, value in zip(items, known, strict=True)
    ]
    check_column([(item.row, value) for item, value in zip(items, given, strict=True) if value is not None], potential)
    needed = [i for i in _needed(items, options) if given[i] is None and not _too_high(items[i], options)]
    needed = needed if options.compute else []
    for start in track(range(0, len(needed), CHUNK), "energies"):
        part = needed[start : start + CHUNK]
        found = _energies([items[i].crystal for i in part], potential, relaxed=options.relaxed)
        for index, value in zip(part, found, strict=True):
            given[index] = value
    return [_on_scale(item, value, potential.scheme) for item, value in zip(items, given, strict=True)]


def _too_high(item: Item, options: Options) -> bool:
    """Whether a row is so far above the hull that it has no part in it; labels of DFT say more than estimates."""
    if options.max_above is None or FORMATION in item.labels or ABOVE in item.labels:
        return False
    return item.labels.get(ESTIMATE, 0.0) > options.max_above


def _on_scale(item: Item, value: float | None, scheme: str) -> Item:
    return item if value is None else replace(item, energy=on_hull_scale(item.crystal, value, scheme))


def _energies(crystals: Sequence[Crystal], potential: Potential, *, relaxed: bool) -> list[float | None]:
    if not relaxed:
        return single_points(crystals, potential)
    results = relax(crystals, potential)
    return [r.energy if r.status in ("converged", "max_steps") else None for r in results]


def check_column(pairs: Sequence[tuple[Row, float]], potential: Potential) -> None:
    """Refuse a column of energies that the potential does not give: of another version, say, or of relaxed cells.

    A sample of the rows is computed. Cells of absurd volume, which have no energy here, say nothing of a column.

    Parameters
    ----------
    pairs
        Rows with a crystal, and their energies in eV/atom as the column has them.

    Raises
    ------
    DataError
        If an energy differs by more than 2 meV/atom.
    """
    if not pairs:
        return
    chosen = np.random.default_rng(SEED).choice(len(pairs), min(SAMPLE, len(pairs)), replace=False)
    found = single_points([crystal for i in chosen if (crystal := pairs[i][0].crystal) is not None], potential)
    for index, energy in zip(chosen, found, strict=True):
        row, value = pairs[index]
        if energy is not None and abs(energy - value) > REPRODUCED:
            raise DataError(
                f"row {row.id} has {value:.4f} eV/atom in {potential.name}_energy_per_atom and "
                f"{potential.name} {potential.version} gives {energy}; they must agree, so remove the column"
            )


def _needed(items: Sequence[Item], options: Options) -> list[int]:
    """Rows whose energies are wanted: those without a formation energy, and those that the elements are fitted to."""
    near = None if options.near is None else {(entry.id, entry.formula) for entry in options.near.entries}
    alone = [i for i, item in enumerate(items) if FORMATION not in item.labels]
    kept = alone if near is None else [i for i in alone if (items[i].row.id, items[i].formula) in near]
    return sorted(kept + _fit_sample(items, options.fit_rows))


def _fit_sample(items: Sequence[Item], rows: int | None) -> list[int]:
    """Rows with a formation energy, at random, each of which has an element with fewer than `rows` rows so far."""
    labelled = [i for i, item in enumerate(items) if FORMATION in item.labels]
    if rows is None:
        return labelled
    seen: dict[str, int] = {}
    chosen = []
    for place in np.random.default_rng(SEED).permutation(len(labelled)):
        symbols = fractions(items[labelled[place]].formula)
        if min(seen.get(symbol, 0) for symbol in symbols) < rows:
            chosen.append(labelled[place])
            seen |= {symbol: seen.get(symbol, 0) + 1 for symbol in symbols}
    return chosen


# --- elements and points of the hull ---


def fit_elements(items: Sequence[Item]) -> dict[str, float]:
    """Return the elements' energies in eV/atom by symbol: those with which E - E_f is a sum over the elements.

    The sum of absolute errors is made smallest, so that a few rows on which the potential fails move nothing. Elements
    on fewer than `FEWEST_LABELS` rows are left out.
    """
    labelled = [item for item in items if item.energy is not None and FORMATION in item.labels]
    while True:
        counts: dict[str, int] = {}
        for symbol in (symbol for item in labelled for symbol in fractions(item.formula)):
            counts[symbol] = counts.get(symbol, 0) + 1
        rare = {symbol for symbol, count in counts.items() if count < FEWEST_LABELS}
        if not rare:
            break
        labelled = [item for item in labelled if not rare & fractions(item.formula).keys()]
    symbols = sorted(counts)
    shares = np.array([[fractions(item.formula).get(s, 0.0) for s in symbols] for item in labelled])
    values = np.array([(item.energy or 0.0) - item.labels[FORMATION] for item in labelled])
    return dict(zip(symbols, _least_absolute(shares, values).tolist(), strict=True)) if labelled else {}


def _least_absolute(table: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x, shape (k,), with the smallest sum of |table @ x - values|, by reweighted least squares."""
    weights = np.ones(len(values))
    for _ in range(FIT_STEPS):
        weighted = table * weights[:, None]
        found = np.linalg.lstsq(table.T @ weighted, weighted.T @ values)[0]
        weights = 1 / np.maximum(np.abs(values - table @ found), FIT_FLOOR)
    return np.asarray(found)


def points(items: Sequence[Item], elements: dict[str, float]) -> list[Entry | None]:
    """Return the point of the hull that each item gives, None where it gives none, shape (n,)."""
    return [_entry(item, elements) for item in items]


def _entry(item: Item, elements: dict[str, float]) -> Entry | None:
    shares = fractions(item.formula)
    above = item.labels.get(ABOVE, 0.0)
    if FORMATION in item.labels and shares.keys() <= elements.keys():
        base = sum(share * elements[symbol] for symbol, share in shares.items())
        return _point(item, base + item.labels[FORMATION] - above, IMPLIED)
    if item.energy is None:
        return None
    if ABOVE in item.labels and above <= MAX_ABOVE:
        return _point(item, item.energy - above, IMPLIED)
    return _point(item, item.energy, COMPUTED)


def _point(item: Item, energy: float, kind: str) -> Entry:
    return Entry(item.row.id, item.formula, float(np.float32(energy)), kind)


def terminals(elements: dict[str, float]) -> list[Entry]:
    """Return the elements' fitted energies as phases."""
    return [Entry(f"terminal {s}", _pure(s), float(np.float32(e)), TERMINAL) for s, e in elements.items()]


def _pure(symbol: str) -> str:
    """The reduced formula of an element in pymatgen's spelling: `Fe`, `O2`."""
    from pymatgen.core import Composition

    return Composition(symbol).reduced_formula


# --- the rows of the reference ---


def _settings(items: Sequence[Item], elements: dict[str, float], options: Options) -> dict[str, Any]:
    fitted = [item for item in items if item.energy is not None and FORMATION in item.labels]
    fitted = [item for item in fitted if fractions(item.formula).keys() <= elements.keys()]
    errors = [
        (item.energy or 0.0)
        - item.labels[FORMATION]
        - sum(share * elements[s] for s, share in fractions(item.formula).items())
        for item in fitted
    ]
    return {
        "relaxed": options.relaxed,
        "near": None if options.near is None else options.near.fingerprint,
        "fit_rows": options.fit_rows,
        "fitted_to": len(fitted),
        "fit_mae": round(float(np.abs(errors).mean()), 5) if errors else None,
        "fit_median_error": round(float(np.median(np.abs(errors))), 5) if errors else None,
        "max_above": options.max_above,
        "above": sum(_too_high(item, options) for item in items),
        "computed": sum(item.energy is not None for item in items),
    }


def _in_parts(
    work: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any], options: Options, track: Track, text: str
) -> Iterator[list[Any]]:
    """What the work makes of the items, part by part, in this process or in several.

    The work goes to a process with every part, and a hull is megabytes: of these there are few.
    """
    size = CHUNK if options.processes == 1 else max(CHUNK, len(items) // (PARTS * options.processes))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    if options.processes == 1:
        yield from map(work, track(parts, text))
        return
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        futures = [pool.submit(work, part) for part in parts]
        for future in track(futures, text):
            yield future.result()


def _fingerprints(items: Sequence[Item]) -> list[Fingerprint]:
    return [_fingerprint(item) for item in items]


def _on_hull(envelope: Envelope, entries: Sequence[Entry]) -> list[bool]:
    return [envelope.is_vertex(entry) for entry in entries]


def _fingerprint(item: Item) -> Fingerprint:
    """A crystal's fingerprint, or one that nothing equals where the cell is too thin to list its neighbours."""
    try:
        return fingerprint(item.crystal)
    except CrystalError:
        return _blank(item.formula)


def _blank(formula: str) -> Fingerprint:
    return Fingerprint(formula, 0, "", np.zeros(NEIGHBOURS + ALIKE, dtype=np.float32))


def _columns(
    items: Sequence[Item], entries: Sequence[Entry | None], elements: dict[str, float], options: Options, track: Track
) -> Columns:
    """All crystals and the elements' fitted energies, these only on the hull; energies of the hull's vertices only."""
    pure = terminals(elements)
    envelope = Envelope([*(entry for entry in entries if entry is not None), *pure])  # of equals a crystal
    asked = envelope.entries
    found = _in_parts(partial(_on_hull, envelope), asked, options, track, "hull")
    vertices = {entry for entry, vertex in zip(asked, chain.from_iterable(found), strict=True) if vertex}
    kept = [entry if entry in vertices else None for entry in entries]
    extra = [entry for entry in pure if entry in vertices]
    names = [item.name for item in items if item.name is not None]
    blank = _blank("")
    prints = [*names, *[blank] * len(extra)]
    phases = [*kept, *extra]
    count = len(extra)
    return Columns(
        ids=np.array([*(item.row.id for item in items), *(entry.id for entry in extra)]),
        formulas=np.array([*(item.formula for item in items), *(entry.formula for entry in extra)]),
        tables=np.array([*(item.table for item in items), *[""] * count]),
        kinds=np.array(["" if entry is None else entry.kind for entry in phases]),
        energies=np.array([np.nan if entry is None else entry.energy for entry in phases], dtype=np.float32),
        space_groups=np.array([one.space_group for one in prints], dtype=np.int16),
        wyckoffs=np.array([one.wyckoff for one in prints]),
        amds=(np.rint(np.array([one.amd for one in prints]) / AMD_STEP) * AMD_STEP).astype(np.float32),
        num_sites=np.array([*(len(item.crystal) for item in items), *[0] * count], dtype=np.int16),
        volumes=np.array(
            [*(item.crystal.volume / len(item.crystal) for item in items), *[np.nan] * count], dtype=np.float16
        ),
    )
