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
from typing import TYPE_CHECKING, Any

import numpy as np

from materium import oxidation
from materium.data.shard import Shard, write_shard
from materium.errors import DataError, MateriumError
from materium.io.atomic import damaged, digests, read_signed, write_signed
from materium.io.lock import hold_folder
from materium.processes import Pool
from materium.properties import scalar_names
from materium.symmetry import SYMPREC, distinct, settings
from materium.tokens.tokenizer import Parts, Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from materium.crystal import Crystal
    from materium.data.readers import Row

SPLITS = ("train", "val", "test")
FORMAT = 2
"""Version of the shard folder; a reader refuses others."""
CHUNK_ROWS = 256


@dataclass(frozen=True)
class PrepareConfig:
    """Filters and settings of `prepare`.

    Parameters
    ----------
    tokenizer
        `base` or `paper`.
    bins
        Grid steps; None leaves them to the tokenizer's preset.
    species_first
        Whether a species stands before its coordinates or after them.
    oxidation_states
        Whether species tokens carry oxidation states.
    max_sites
        Atoms in the primitive cell.
    max_length
        Å, longest lattice vector of the reduced cell.
    max_energy_above_hull
        eV/atom; rows without that label are kept.
    exclude_elements
        Symbols; a crystal with one of them is rejected.
    symprec
        Å, tolerance of the symmetry search.
    views
        How many ways to write each crystal (axes and origins) are kept; the first is the canonical one.
    val_fraction, test_fraction
        Shares that are split off, by reduced formula, when no table is given for the split.
    """

    tokenizer: str = "base"
    bins: int | None = None
    species_first: bool = True
    oxidation_states: bool = True
    max_sites: int = 20
    max_length: float = 30.0
    max_energy_above_hull: float = 0.5
    exclude_elements: tuple[str, ...] = ()
    symprec: float = SYMPREC
    views: int = 8
    val_fraction: float = 0.05
    test_fraction: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """One row on its way: a crystal in its canonical and other settings, or why it was rejected; labels not read."""

    id: str
    formula: oxidation.Formula = ()
    reason: str | None = None
    guess: str = ""
    species: tuple[tuple[int, int], ...] = ()
    frac_coords: NDArray[np.float64] | None = None
    parameters: NDArray[np.float64] | None = None
    properties: dict[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def prepare(
    sources: dict[str, Path],
    out: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Write the shards of `sources` (a path for `train`, and optionally for `val` and `test`) and return the manifest.

    A folder that these very sources and settings made before is left as it is.

    Raises
    ------
    DataError
        If a source cannot be read, no row is left, or `out` holds shards of other sources or settings.
    """
    identity = _identity(sources, config)
    with hold_folder(out):
        return _existing(out, identity) or _made(sources, out, config, identity, workers, progress)


def _made(  # noqa: PLR0913, PLR0917 - what `prepare` got
    sources: dict[str, Path],
    out: Path,
    config: PrepareConfig,
    identity: str,
    workers: int,
    progress: Callable[[int, int | None], None] | None,
) -> dict[str, Any]:
    """Read, filter and write everything; the manifest comes last."""
    rows = {split: list(_prepared(path, config, workers, progress)) for split, path in sources.items()}
    rows = _with_splits(rows, config)
    tokenizer = Tokenizer(_tokenizer_config(rows["train"], config))
    counts = {split: _write(out / split, rows[split], tokenizer) for split in SPLITS if split in rows}
    _require_some(counts["train"]["kept"], counts["train"]["rows"], counts["train"]["rejected"])
    manifest = {
        "format": FORMAT,
        "identity": identity,
        "sources": {split: path.name for split, path in sources.items()},
        "settings": asdict(config),
        "tokenizer": tokenizer.config.to_dict(),
        "fingerprint": tokenizer.config.fingerprint,
        "splits": counts,
    }
    write_signed(out / "manifest.json", {**manifest, "files": digests(out, counts)})
    return read_manifest(out)


def options_for(theirs: TokenizerConfig, ours: TokenizerConfig) -> str:
    """Return the options of `materium prepare` that make shards for `theirs`, where `ours` differs from it."""
    options = {
        "bins": f"--bins {theirs.bins}",
        "max_sites": f"--max-sites {theirs.max_sites}",
        "length_ranges": f"--max-length {max(high for _, high in theirs.length_ranges):g}",
        "species_first": "--species-first" if theirs.species_first else "--species-last",
        "length_spacing": f"--tokenizer {'base' if theirs.length_spacing == 'log' else 'paper'}",
        "species": f"its {len(theirs.species)} species (--tokenizer base or paper, --oxidation-states or not)",
    }
    return " ".join(text for name, text in options.items() if getattr(theirs, name) != getattr(ours, name))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of shards.

    Raises
    ------
    DataError
        If the folder is none that `prepare` wrote, or of another format.
    """
    path = folder / "manifest.json"
    if folder.is_file():
        shards = folder.with_name(f"{folder.name.partition('.')[0]}-shards")
        raise DataError(
            f"{folder} is a file, and a folder of shards is needed; make one with "
            f"'materium prepare {folder} --out {shards}', and train on that"
        )
    if not path.is_file():
        raise DataError(f"{folder} has no manifest.json; make shards with 'materium prepare TABLE --out {folder}'")
    try:
        manifest: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON's own and UTF-8's
        raise DataError(f"{path} is not JSON ({error}); remove {folder} and prepare anew") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path} is no manifest of format {FORMAT}; remove {folder} and prepare anew")
    return read_signed(path, "no shards", f"remove {folder} and prepare anew")


def check_shards(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise `DataError` if a file of the shards is missing, or another one than was written."""
    if lost := damaged(folder, manifest["files"]):
        raise DataError(f"{folder / lost[0]} is damaged or missing; the same 'materium prepare' makes it anew")


def prepare_row(row: Row, config: PrepareConfig) -> Prepared:
    """Return one row filtered, with oxidation states, in its canonical and other settings."""
    if row.crystal is None:
        return Prepared(row.id, reason=row.reason or "unreadable")
    reason = _filtered(row.crystal, row.properties, config)
    if reason:
        return Prepared(row.id, reason=reason)
    try:
        return _in_settings(row, row.crystal.check_distances(), config)
    except MateriumError as error:
        return Prepared(row.id, reason=str(error))


def _in_settings(row: Row, crystal: Crystal, config: PrepareConfig) -> Prepared:
    charged, how = oxidation.with_guess(crystal) if config.oxidation_states else (crystal, "off")
    ways = settings(charged, config.symprec)
    if len(ways.numbers) > config.max_sites:
        return Prepared(row.id, reason=f"more than {config.max_sites} sites")
    if ways.parameters[ways.best, :3].max() > config.max_length:
        return Prepared(row.id, reason=f"cell longer than {config.max_length:g} Å")
    keep = distinct(ways, config.views)
    states = ways.oxidation_states if ways.oxidation_states is not None else np.zeros_like(ways.numbers)
    species = tuple(zip(ways.numbers.tolist(), states.tolist(), strict=True))
    own = {"space_group": ways.space_group, "num_sites": len(ways.numbers), "density": charged.density}
    known = {k: float(v) for k, v in row.properties.items() if k in scalar_names()}
    frac = ways.frac_coords[keep]
    formula = oxidation.reduced_formula(crystal)
    properties = {**own, **known, "num_sites": own["num_sites"]}
    return Prepared(row.id, formula, None, how, species, frac, ways.parameters[keep], properties)


def _filtered(crystal: Crystal, properties: Mapping[str, float | int | str], config: PrepareConfig) -> str | None:
    from pymatgen.core import Element

    hull = properties.get("energy_above_hull")
    if isinstance(hull, int | float) and hull > config.max_energy_above_hull:
        return f"energy above hull over {config.max_energy_above_hull:g} eV/atom"
    for symbol in config.exclude_elements:
        if Element(symbol).Z in crystal.numbers:
            return f"contains {symbol}"
    return None


def _prepare_chunk(rows: tuple[Row, ...], config: PrepareConfig) -> list[Prepared]:
    return [replace(prepare_row(row, config), left_out=tuple(row.left_out)) for row in rows]


def _prepared(
    path: Path, config: PrepareConfig, workers: int, progress: Callable[[int, int | None], None] | None
) -> Iterator[Prepared]:
    from materium.data.readers import count, read

    total, done = count(path), 0
    for chunk in _mapped(_chunks(read(path)), config, workers):
        done += len(chunk)
        if progress:
            progress(done, total)
        yield from chunk


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
        split = _split_of(row.formula, wanted) if row.formula else "train"  # a rejected row stays where it was read
        parts[split].append(row)
    return {**rows, **parts}


def _split_of(formula: oxidation.Formula, wanted: dict[str, float]) -> str:
    position = int(hashlib.sha256(repr(formula).encode()).hexdigest()[:8], 16) / 16**8
    for split, share in wanted.items():
        if position < share:
            return split
        position -= share
    return "train"


def _tokenizer_config(rows: list[Prepared], config: PrepareConfig) -> TokenizerConfig:
    """The preset, with its lattice range taken from the rows where the preset leaves that open."""
    parameters = [row.parameters for row in rows if row.parameters is not None]
    _require_some(len(parameters), len(rows), Counter(_general(row.reason) for row in rows if row.reason))
    changes: dict[str, Any] = {"max_sites": config.max_sites, "species_first": config.species_first}
    if not config.oxidation_states:
        changes["species"] = _without_states()
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


def _without_states() -> tuple[tuple[int, int], ...]:
    from materium.tokens.vocab import known_species

    return known_species("none")


def _write(folder: Path, rows: list[Prepared], tokenizer: Tokenizer) -> dict[str, Any]:
    """Write one split and return its counts."""
    kept, views, rejected = [], [], []
    for row in rows:
        try:
            on_grid = _grid_views(row, tokenizer) if row.reason is None else row.reason
        except MateriumError as error:
            on_grid = str(error)
        if isinstance(on_grid, str):
            rejected.append((row.id, on_grid))
        else:
            kept.append(row)
            views.append(on_grid)
    shard = Shard.pack([r.id for r in kept], views, [r.properties for r in kept])
    write_shard(folder, shard, rejected)
    return {
        "rows": len(rows),
        "kept": len(kept),
        "rejected": dict(Counter(_general(reason) for _, reason in rejected).most_common()),
        "oxidation_states": dict(Counter(r.guess for r in kept).most_common()),
        "labels_left_out": dict(Counter(name for r in rows for name in r.left_out).most_common()),
    }


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


def _identity(sources: dict[str, Path], config: PrepareConfig) -> str:
    """A hash of what the shards follow from: the sources' bytes, and the settings."""
    from materium.data.readers import digest

    content = {split: digest(path) for split, path in sorted(sources.items())}
    text = json.dumps([FORMAT, content, asdict(config)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _existing(out: Path, identity: str) -> dict[str, Any] | None:
    if not (out / "manifest.json").exists():
        return None
    manifest = read_manifest(out)
    if manifest.get("identity") != identity:
        raise DataError(f"{out} holds shards of other sources or settings; choose another --out or remove it")
    return None if damaged(out, manifest["files"]) else manifest
