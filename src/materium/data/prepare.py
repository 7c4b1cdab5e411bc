"""From rows of crystals to memory-mapped shards: filter, bring to canonical form, put on the grid, write.

A folder that `prepare` wrote holds `manifest.json` and one shard for each split. Nothing vanishes: every row is either
in a shard or in `rejected.parquet` with its reason, and the manifest has the counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from materium import oxidation
from materium.data.filters import HULL, SOURCE, Duplicates, on_hull, rejection, split_of
from materium.data.inputs import input_tables, short_names
from materium.data.manifest import FORMAT, read_manifest
from materium.data.orbit_rows import descriptions, form, orbit_tokenizer
from materium.data.orbit_shard import OrbitShard
from materium.data.shard import Shard, write_shard
from materium.data.side_labels import LabelSources, SideLabels
from materium.errors import DataError, MateriumError
from materium.io.atomic import damaged, digests, write_signed
from materium.io.lock import hold_folder
from materium.processes import Pool
from materium.properties import scalar_names
from materium.symmetry import SYMPREC, distinct, settings
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from materium.tokens.tokenizer import Parts, Tokenizer, TokenizerConfig
from materium.tokens.vocab import known_species

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from materium.crystal import Crystal
    from materium.data.inputs import InputTable, Sources
    from materium.data.readers import Row
    from materium.tokens.orbit_tokenizer import GridOrbits

SPLITS = ("train", "val", "test")
CHUNK_ROWS = 256
MAX_LENGTH, SUBGROUPS = 30.0, 2
"""What `PrepareConfig.max_length` of atoms and `subgroups` of orbits are by default."""
Representation = Literal["atoms", "orbits"]
PARTICULAR = ("max_energy_above_hull", "keep_unlabelled", "exclude_elements")
"""Settings that a table may have of its own."""


@dataclass(frozen=True)
class PrepareConfig:
    """Filters and settings of `prepare`.

    Parameters
    ----------
    representation
        `atoms` lists the sites of the reduced cell; `orbits` writes space group, free lattice parameters and orbits on
        Wyckoff positions (experimental).
    tokenizer
        `base` or `paper`; of orbits there is `base` alone.
    bins
        Grid steps; None leaves them to the tokenizer's preset.
    species_first
        Whether a species stands before its coordinates or after them; in orbits it always does.
    oxidation_states
        Whether species tokens carry oxidation states.
    max_sites
        Atoms in the primitive cell; None takes 20, and 52 for orbits.
    max_length
        Å, longest vector of the reduced cell, of the conventional one with orbits; None takes 30, with orbits any.
    max_energy_above_hull
        eV/atom; rows above it are rejected.
    keep_unlabelled
        Whether rows without an energy above hull are kept.
    exclude_elements
        Symbols; a crystal with one of them is rejected.
    symprec
        Å, tolerance of the symmetry search.
    views
        How many ways to write each crystal (axes and origins) are kept; the first is the canonical one.
    subgroups
        In how many translationengleiche subgroups orbits are described besides; None takes 2.
    val_fraction, test_fraction
        Shares that are split off, by reduced formula, when no table is given for the split.
    """

    representation: Representation = "atoms"
    tokenizer: str = "base"
    bins: int | None = None
    species_first: bool = True
    oxidation_states: bool = True
    max_sites: int | None = None
    max_length: float | None = None
    max_energy_above_hull: float = 0.5
    keep_unlabelled: bool = True
    exclude_elements: tuple[str, ...] = ()
    symprec: float = SYMPREC
    views: int = 8
    subgroups: int | None = None
    val_fraction: float = 0.05
    test_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what a representation does not have."""
        if self.representation not in get_args(Representation):
            known = " or ".join(get_args(Representation))
            raise DataError(f"unknown representation {self.representation!r}; choose {known}")
        if self.orbits and (self.tokenizer != "base" or not self.species_first):
            raise DataError("orbits have no --tokenizer paper and no --species-last; leave that out, or take atoms")
        if not self.orbits and self.subgroups is not None:
            raise DataError("atoms are not described in subgroups; leave --subgroups out, or take orbits")

    @property
    def orbits(self) -> bool:
        """Whether crystals are written as orbits."""
        return self.representation == "orbits"

    @property
    def site_limit(self) -> int:
        """Most atoms in the primitive cell."""
        preset = OrbitTokenizerConfig.max_sites if self.orbits else TokenizerConfig.max_sites
        return preset if self.max_sites is None else self.max_sites


@dataclass(frozen=True)
class Prepared:
    """One row on its way: a crystal in its canonical and other settings, or why it was rejected; labels not read.

    `hull` says whose the energy above hull is, `table` and `weight` are those of the table that the row is from. As
    orbits, it has descriptions on the grids with their kinds in place of species, coordinates and cells.
    """

    id: str
    formula: oxidation.Formula = ()
    reason: str | None = None
    guess: str = ""
    species: tuple[tuple[int, int], ...] = ()
    frac_coords: NDArray[np.float64] | None = None
    parameters: NDArray[np.float64] | None = None
    grids: tuple[tuple[int, GridOrbits], ...] = ()
    properties: dict[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    hull: str = "none"
    table: str = ""
    weight: float = 1.0


def prepare(  # noqa: PLR0913 - what it reads, where it writes, and its settings
    sources: Sources,
    out: Path,
    config: PrepareConfig,
    *,
    labels: LabelSources | None = None,
    workers: int = 1,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Write the shards of `sources` (for `train`, and optionally for `val` and `test`) and return the manifest.

    A split is a path, an `InputTable` or several of them. Of the same crystal in two tables of a split the first stays:
    rows of equal canonical form, or of equal id and formula. Within a table nothing is dropped. A folder that these
    very sources and settings made before is left as it is.

    Raises
    ------
    DataError
        If a source cannot be read, no row is left, or `out` holds shards of other sources or settings.
    """
    tables = input_tables(sources)
    beside = labels or LabelSources()
    identity = _identity(tables, config, beside)
    with hold_folder(out):
        found = _existing(out, identity)
        if found is None:
            _make(tables, out, config, SideLabels(beside), identity, workers, progress)
        return found or read_manifest(out)


def _make(  # noqa: PLR0913, PLR0917 - what `prepare` got
    tables: dict[str, list[InputTable]],
    out: Path,
    config: PrepareConfig,
    labels: SideLabels,
    identity: str,
    workers: int,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Read, filter and write everything; the manifest comes last."""
    rows = {split: list(_prepared(given, config, labels, workers, progress)) for split, given in tables.items()}
    rows = _with_splits(rows, config)
    tokenizer = _orbit_tokenizer(config) if config.orbits else Tokenizer(_tokenizer_config(rows["train"], config))
    kept = Duplicates()
    counts = {split: _write(out / split, rows[split], tokenizer, kept) for split in SPLITS if split in rows}
    _require_some(counts["train"]["kept"], counts["train"]["rows"], counts["train"]["rejected"])
    manifest = {
        "format": FORMAT,
        "representation": config.representation,
        "identity": identity,
        "sources": {split: _facts(given) for split, given in tables.items()},
        "settings": asdict(config),
        "labels": labels.facts(),
        "tokenizer": tokenizer.config.to_dict(),
        "fingerprint": tokenizer.config.fingerprint,
        "splits": counts,
    }
    write_signed(out / "manifest.json", {**manifest, "files": digests(out, counts)})


def _facts(tables: Sequence[InputTable]) -> dict[str, dict[str, Any]]:
    """What is particular to each table, by its name."""
    own = [{k: v for k, v in asdict(table).items() if k != "path" and v is not None} for table in tables]
    return dict(zip(short_names([table.path for table in tables]), own, strict=True))


def prepare_row(row: Row, config: PrepareConfig) -> Prepared:
    """Return one row filtered, with oxidation states, in its canonical and other settings."""
    if row.crystal is None:
        return Prepared(row.id, reason=row.reason or "unreadable")
    reason = rejection(row.crystal, row.properties, **{name: getattr(config, name) for name in PARTICULAR})
    if reason:
        return Prepared(row.id, reason=reason)
    try:
        crystal = row.crystal.check_distances()
        return _as_orbits(row, crystal, config) if config.orbits else _in_settings(row, crystal, config)
    except MateriumError as error:
        return Prepared(row.id, reason=str(error))


def _in_settings(row: Row, crystal: Crystal, config: PrepareConfig) -> Prepared:
    charged, how = oxidation.with_guess(crystal) if config.oxidation_states else (crystal, "off")
    ways = settings(charged, config.symprec)
    if len(ways.numbers) > config.site_limit:
        return Prepared(row.id, reason=f"more than {config.site_limit} sites")
    longest = MAX_LENGTH if config.max_length is None else config.max_length
    if ways.parameters[ways.best, :3].max() > longest:
        return Prepared(row.id, reason=f"cell longer than {longest:g} Å")
    keep = distinct(ways, config.views)
    states = ways.oxidation_states if ways.oxidation_states is not None else np.zeros_like(ways.numbers)
    species = tuple(zip(ways.numbers.tolist(), states.tolist(), strict=True))
    found = _labelled(row, crystal, how, ways.space_group, len(ways.numbers))
    return replace(found, species=species, frac_coords=ways.frac_coords[keep], parameters=ways.parameters[keep])


def _as_orbits(row: Row, crystal: Crystal, config: PrepareConfig) -> Prepared:
    charged, how = oxidation.with_guess(crystal) if config.oxidation_states else (crystal, "off")
    tokenizer = _orbit_tokenizer(config)
    lower = SUBGROUPS if config.subgroups is None else config.subgroups
    wanted: dict[str, Any] = {"symprec": config.symprec, "settings": config.views, "in_subgroups": lower}
    grids = descriptions(charged, tokenizer, name=row.id, **wanted)
    if config.max_length is not None and tokenizer.orbits(grids[0][1]).parameters[:3].max() > config.max_length:
        return Prepared(row.id, reason=f"cell longer than {config.max_length:g} Å")
    counts, units = tokenizer.composition(grids[0][1])
    found = _labelled(row, crystal, how, grids[0][1].group, units * sum(counts.values()))
    properties = {**found.properties, "space_group": float(grids[0][1].group)}  # the group that the sequence has
    return replace(found, grids=tuple(grids), properties=properties)


def _orbit_tokenizer(config: PrepareConfig) -> OrbitTokenizer:
    return orbit_tokenizer(config.bins, config.site_limit, oxidation_states=config.oxidation_states)


def _labelled(row: Row, crystal: Crystal, how: str, group: int, sites: int) -> Prepared:
    """A row that is kept, with its labels; of space group, sites and density those of the crystal, where not given."""
    own = {"space_group": group, "density": crystal.density}
    known = {k: float(v) for k, v in row.properties.items() if k in scalar_names()}
    hull = str(row.properties.get(SOURCE, "given")) if HULL in known else "none"
    properties = {**own, **known, "num_sites": sites}
    return Prepared(row.id, oxidation.reduced_formula(crystal), None, how, properties=properties, hull=hull)


def _prepare_chunk(rows: tuple[Row, ...], config: PrepareConfig) -> list[Prepared]:
    return [replace(prepare_row(row, config), left_out=tuple(row.left_out)) for row in map(on_hull, rows)]


def _prepared(
    tables: Sequence[InputTable],
    config: PrepareConfig,
    labels: SideLabels,
    workers: int,
    progress: Callable[[int, int | None], None] | None,
) -> Iterator[Prepared]:
    from materium.data.readers import count, read

    totals = [count(table.path) for table in tables]
    total = None if None in totals else sum(number or 0 for number in totals)
    done = 0
    for table, name in zip(tables, short_names([table.path for table in tables]), strict=True):
        rows = (labels.apply(row) for row in read(table.path))
        own = {name: value for name in PARTICULAR if (value := getattr(table, name)) is not None}
        for chunk in _mapped(_chunks(rows), replace(config, **own), workers):
            done += len(chunk)
            if progress:
                progress(done, total)
            yield from (replace(row, table=name, weight=table.weight) for row in chunk)


def _chunks(rows: Iterator[Row]) -> Iterator[tuple[Row, ...]]:
    while chunk := tuple(islice(rows, CHUNK_ROWS)):
        yield chunk


def _mapped(chunks: Iterable[tuple[Row, ...]], config: PrepareConfig, workers: int) -> Iterator[list[Prepared]]:
    """Chunks in their order; each worker has at most two waiting, so that a table never sits in memory whole."""
    if workers <= 1:
        yield from (_prepare_chunk(chunk, config) for chunk in chunks)
        return
    with Pool(workers) as pool:
        waiting = []
        for chunk in chunks:
            waiting.append(pool.submit(_prepare_chunk, chunk, config))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _with_splits(rows: dict[str, list[Prepared]], config: PrepareConfig) -> dict[str, list[Prepared]]:
    """Split `val` and `test` off by reduced formula where no table was given for them."""
    fractions = {"val": config.val_fraction, "test": config.test_fraction}
    wanted = {split: share for split, share in fractions.items() if split not in rows and share > 0}
    if not wanted:
        return rows
    parts: dict[str, list[Prepared]] = {split: [] for split in ("train", *wanted)}
    for row in rows["train"]:
        split = split_of(row.formula, wanted) if row.formula else "train"  # a rejected row stays where it was read
        parts[split].append(row)
    return {**rows, **parts}


def _tokenizer_config(rows: list[Prepared], config: PrepareConfig) -> TokenizerConfig:
    """The preset, with its lattice range taken from the rows where the preset leaves that open."""
    parameters = [row.parameters for row in rows if row.parameters is not None]
    _require_some(len(parameters), len(rows), Counter(_general(row.reason) for row in rows if row.reason))
    changes: dict[str, Any] = {"max_sites": config.site_limit, "species_first": config.species_first}
    if not config.oxidation_states:
        changes["species"] = known_species("none")
    if config.bins is not None:
        changes["bins"] = config.bins
    preset = TokenizerConfig.preset(config.tokenizer, **changes)
    if config.tokenizer == "paper":
        return preset
    lengths = np.concatenate(parameters)[:, :3]
    span = (floor(lengths.min() * 0.95 * 10) / 10, ceil(lengths.max() * 1.05 * 10) / 10)
    return replace(preset, length_ranges=(span, span, span))


def _require_some(kept: int, rows: int, reasons: Mapping[str, int]) -> None:
    if kept == 0:
        most = ", ".join(f"{reason} ({count})" for reason, count in Counter(reasons).most_common(3))
        raise DataError(f"no crystal is left of {rows} rows; the reasons: {most or 'the table is empty'}")


def _write(
    folder: Path, rows: list[Prepared], tokenizer: Tokenizer | OrbitTokenizer, train: Duplicates
) -> dict[str, Any]:
    """Write one split and return its counts, of all its rows and by table; `train` has what is trained on."""
    kept, rejected = [], []
    views: list[Any] = []
    trained, overlap = folder.name == "train", 0
    others = train if trained else Duplicates()
    for row in rows:
        try:
            on_grid = row.reason or (_grid_views(row, tokenizer) if isinstance(tokenizer, Tokenizer) else row.grids)
        except MateriumError as error:
            on_grid = str(error)
        if not isinstance(on_grid, str):
            on_grid = others.add(row.table, row.id, row.formula, _form(on_grid[0])) or on_grid
        if isinstance(on_grid, str):
            rejected.append((row, on_grid))
        else:
            kept.append(row)
            views.append(on_grid)
            overlap += not trained and bool(train.matches(row.id, row.formula, _form(on_grid[0])))
    weights = [row.weight if trained else 1.0 for row in kept]
    ids, labels, reasons = [r.id for r in kept], [r.properties for r in kept], [(r.id, why) for r, why in rejected]
    if isinstance(tokenizer, Tokenizer):
        write_shard(folder, Shard.pack(ids, views, labels, weights), reasons)
    else:
        OrbitShard.pack(ids, labels, views, weights).save(folder, reasons)
    tables = {name: _counts(rows, kept, rejected, name) for name in dict.fromkeys(row.table for row in rows)}
    return {**_counts(rows, kept, rejected), "tables": tables, "also_in_train": overlap}


def _counts(
    rows: list[Prepared], kept: list[Prepared], rejected: list[tuple[Prepared, str]], table: str | None = None
) -> dict[str, Any]:
    """The counts of a split, or of what came from one table."""
    if table is not None:
        rows, kept = ([row for row in part if row.table == table] for part in (rows, kept))
        rejected = [(row, reason) for row, reason in rejected if row.table == table]
    return {
        "rows": len(rows),
        "kept": len(kept),
        "rejected": dict(Counter(_general(reason) for _, reason in rejected).most_common()),
        "oxidation_states": dict(Counter(r.guess for r in kept).most_common()),
        "energy_above_hull": dict(Counter(r.hull for r in kept).most_common()),
        "labels_left_out": dict(Counter(name for r in rows for name in r.left_out).most_common()),
    }


def _form(parts: Parts | tuple[int, GridOrbits]) -> bytes:
    """The canonical form on the grid, short enough to keep of every crystal."""
    if not isinstance(parts, Parts):
        return form(parts[1])
    return hashlib.sha256(b"".join(array.tobytes() for array in (parts.species, parts.points, parts.lattice))).digest()


def _general(reason: str) -> str:
    """The reason without its numbers, to count by."""
    return reason.split(":", maxsplit=1)[0] if ":" in reason else reason


def _grid_views(row: Prepared, tokenizer: Tokenizer) -> list[Parts]:
    if row.frac_coords is None or row.parameters is None:
        return []
    species = np.array([tokenizer.vocab.species_id(*pair) for pair in row.species])
    points = np.round(row.frac_coords * tokenizer.config.bins).astype(np.int64) % tokenizer.config.bins
    lattices, fits = tokenizer.nearest_points(row.parameters)
    if not fits[0].all():
        tokenizer.lattice_points(row.parameters[0])  # raises, and says what sticks out
    inside = np.flatnonzero(fits.all(axis=1))  # another setting may stick out by a hair where the canonical one fits
    return [Parts(species, points[i], lattices[i]) for i in inside]


def _identity(tables: dict[str, list[InputTable]], config: PrepareConfig, labels: LabelSources) -> str:
    """A hash of what the shards follow from: the sources' bytes, and the settings."""
    from materium.data.readers import digest

    content = {
        split: [(digest(table.path), facts) for table, facts in zip(given, _facts(given).values(), strict=True)]
        for split, given in sorted(tables.items())
    }
    beside = [[digest(path) for path in labels.tables], dict(labels.columns)]
    text = json.dumps([FORMAT, content, beside, asdict(config)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _existing(out: Path, identity: str) -> dict[str, Any] | None:
    if not (out / "manifest.json").exists():
        return None
    manifest = read_manifest(out)
    if manifest.get("identity") != identity:
        raise DataError(f"{out} holds shards of other sources or settings; choose another --out or remove it")
    return None if damaged(out, manifest["files"]) else manifest
