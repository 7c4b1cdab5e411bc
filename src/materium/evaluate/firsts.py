"""Which crystals of a run are copies of earlier ones, told from a file: memory does not grow with the run.

Two crystals are held for the same as novelty holds them: one formula, one number of sites in the primitive cell, and
fingerprints that are close. A run repeats few of its formulas, and a fingerprint costs more than all else that is done
to a crystal that was written, so it is taken only once a formula comes again.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from materium.convert import formula
from materium.crystal import Crystal
from materium.errors import CrystalError, DataError
from materium.evaluate.fingerprint import Fingerprint, fingerprint
from materium.evaluate.novelty import alike

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = (
    "CREATE TABLE IF NOT EXISTS firsts"
    " (number INTEGER PRIMARY KEY, formula TEXT, lattice BLOB, frac BLOB, numbers BLOB, wyckoff TEXT, amd BLOB)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS by_formula ON firsts (formula)"


class Firsts:
    """The crystals of a run that are the first of their kind, in an SQLite file.

    Parameters
    ----------
    path
        The file; what stands there is replaced. It lasts as long as this object: a run that goes on restores it from
        its rows, for a database that was damaged says nothing of it.

    Raises
    ------
    DataError
        From every method, if the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path, self._file = path, sqlite3.connect(path, isolation_level=None)
        for line in ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", _TABLE, _INDEX):
            self._run(line)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __len__(self) -> int:
        """Return the number of crystals that are the first of their kind."""
        return int(self._run("SELECT COUNT(*) FROM firsts")[0][0])

    def add(self, crystal: Crystal, number: int) -> int | None:
        """Return the number of the first crystal that this one is a copy of, or None if it is the first itself.

        Numbers only grow. A crystal whose neighbours cannot be listed has no fingerprint, and is the first of its kind.
        """
        name = formula(crystal)
        earlier = self._earlier(name)
        own = _fingerprint(crystal) if earlier else None
        for first, other in earlier:
            if own and other and alike(own, other):
                return first
        self._keep(crystal, number, name, own)
        return None

    def restore(self, crystal: Crystal, number: int) -> None:
        """Take a crystal that is known to be the first of its kind."""
        self._keep(crystal, number, formula(crystal), None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _earlier(self, name: str) -> list[tuple[int, Fingerprint | None]]:
        """The first crystals of a formula with their fingerprints, in their order; None where there can be none."""
        asked = "SELECT number, lattice, frac, numbers, wyckoff, amd FROM firsts WHERE formula = ? ORDER BY number"
        return [(row[0], self._known(name, *row)) for row in self._run(asked, (name,))]

    def _known(  # noqa: PLR0913, PLR0917 - the columns of the table
        self, name: str, number: int, lattice: bytes, frac: bytes, numbers: bytes, wyckoff: str | None, amd: bytes
    ) -> Fingerprint | None:
        if wyckoff is not None:
            space_group, _, letters = wyckoff.partition(" ")
            return Fingerprint(name, int(space_group), letters, np.frombuffer(amd, dtype=np.float32))
        cell, sites = np.frombuffer(lattice).reshape(3, 3), np.frombuffer(frac).reshape(-1, 3)
        found = _fingerprint(Crystal(cell, sites, np.frombuffer(numbers, dtype=np.int64)))
        if found:
            self._run("UPDATE firsts SET wyckoff = ?, amd = ? WHERE number = ?", (*_columns(found), number))
        return found

    def _keep(self, crystal: Crystal, number: int, name: str, own: Fingerprint | None) -> None:
        structure = (crystal.lattice.tobytes(), crystal.frac_coords.tobytes(), crystal.numbers.tobytes())
        row = (number, name, *structure, *(_columns(own) if own else (None, None)))
        self._run("INSERT INTO firsts VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _run(self, line: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._file.execute(line, values).fetchall()
        except sqlite3.OperationalError as error:
            raise DataError(f"{self._path}: {error}; free some space, and run the same command again") from error


def _fingerprint(crystal: Crystal) -> Fingerprint | None:
    try:
        return fingerprint(crystal)
    except CrystalError:
        return None


def _columns(found: Fingerprint) -> tuple[str, bytes]:
    return f"{found.space_group} {found.wyckoff}", found.amd.tobytes()
