"""Tables that go into shards together, each with a weight and filters of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Sources = Mapping[str, "Path | InputTable | Sequence[Path | InputTable]"]
    """What each split is made of."""


@dataclass(frozen=True)
class InputTable:
    """A table, folder or file of crystals, and what is particular to it; None leaves it to `PrepareConfig`.

    Parameters
    ----------
    path
        Anything that `materium.data.readers.read` reads.
    weight
        How often each of its crystals is drawn in an epoch, on average; for training alone.
    max_energy_above_hull, keep_unlabelled, exclude_elements
        As in `PrepareConfig`.
    """

    path: Path
    weight: float = 1.0
    max_energy_above_hull: float | None = None
    keep_unlabelled: bool | None = None
    exclude_elements: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a weight by which nothing could be drawn."""
        if not 0 < self.weight < inf:
            raise DataError(f"weight {self.weight} of {self.path} is not possible; give a number above 0")


def input_tables(sources: Sources) -> dict[str, list[InputTable]]:
    """Return the tables of each split.

    Raises
    ------
    DataError
        If a split has no table or one of them twice, or a table has a weight that is not to train on.
    """
    splits = {}
    for split, given in sources.items():
        entries = given if isinstance(given, Sequence) else [given]
        splits[split] = tables = [one if isinstance(one, InputTable) else InputTable(one) for one in entries]
        paths = [table.path.resolve() for table in tables]
        twice = [str(table.path) for table, path in zip(tables, paths, strict=True) if paths.count(path) > 1]
        if twice or not tables:
            raise DataError(f"{split}: {twice[0]} is given twice" if twice else f"{split}: no table is given")
        for table in tables:
            if split != "train" and table.weight != 1:
                raise DataError(f"{table.path} has the weight {table.weight:g}; only tables to train on have weights")
    return splits


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its own, or its path where two have the same."""
    names = [path.name for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
