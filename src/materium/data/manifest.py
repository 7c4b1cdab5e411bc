"""The manifest of a folder of shards: what `prepare` wrote, and whether the files are still what it wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from materium.errors import DataError
from materium.io.atomic import damaged, read_signed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from materium.tokens.tokenizer import TokenizerConfig

FORMAT = 3
"""Version of the shard folder; a reader refuses others."""


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
