"""Whether a crystal is known to a reference: by fingerprints, which are small enough to ship, or by full matching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from materium.data.readers import checked, read
from materium.errors import MateriumError
from materium.evaluate.fingerprint import Fingerprint, distance, fingerprint
from materium.evaluate.uniqueness import Reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from materium.crystal import Crystal

SAME = 0.06
"""Two crystals of one formula and one number of sites in the primitive cell are held for the same if their fingerprints
are at most this far apart; no unit. Against StructureMatcher, on pairs of training crystals of one formula (1,500 drawn
at random, 128 of them equal): precision 0.76, recall 0.79, same verdict on 96.1 %; on all 351 such pairs of `val` (47
equal) 0.77, 0.85 and 94.6 %. 0.05 gives 0.80 and 0.77 on both together, 0.07 gives 0.72 and 0.82.
"""


KNOWN, POLYMORPH, SUBSTITUTION, NEW = (
    "known",
    "known formula, new structure",
    "known prototype, new elements",
    "new",
)
"""Values of `novelty`: the crystal is in the reference; else its reduced formula is; else its space group with its
Wyckoff positions is; else none of these."""


class Known:
    """The crystals of a reference, grouped by formula.

    Parameters
    ----------
    ids
        Names of the reference's crystals, shape (n,).
    fingerprints
        Of the same crystals, shape (n,).
    structures
        The crystals themselves, shape (n,); without them fingerprints decide.

    Raises
    ------
    MateriumError
        If they differ in length.
    """

    def __init__(
        self, ids: Sequence[str], fingerprints: Sequence[Fingerprint], structures: Sequence[Crystal] | None = None
    ) -> None:
        if len(ids) != len(fingerprints) or (structures is not None and len(structures) != len(ids)):
            raise MateriumError(f"{len(ids)} ids came with {len(fingerprints)} fingerprints; one of each is needed")
        self.ids = list(ids)
        self._sites = np.array([one.num_sites for one in fingerprints], dtype=np.int64)
        self._amd = np.array([one.amd for one in fingerprints], dtype=np.float32)
        self._reduced = None if structures is None else [Reduced(crystal) for crystal in structures]
        self._groups: dict[str, list[int]] = {}
        self._types: dict[str, int] = {}
        for row, one in enumerate(fingerprints):
            self._groups.setdefault(one.formula, []).append(row)
            self._types.setdefault(one.structure_type, row)

    @classmethod
    def from_fingerprints(
        cls,
        ids: Sequence[str],
        formulas: Sequence[str],
        space_groups: Sequence[int],
        wyckoffs: Sequence[str],
        amds: NDArray[np.float32],
    ) -> Known:
        """Return the reference of these columns, one entry each for a crystal, `amds` of shape (n, 36)."""
        columns = zip(formulas, space_groups, wyckoffs, amds, strict=True)
        return cls(ids, [Fingerprint(str(f), int(g), str(w), np.asarray(a)) for f, g, w, a in columns])

    @classmethod
    def from_table(cls, path: str | Path, progress: Callable[[], None] | None = None) -> Known:
        """Return the reference of the readable rows of a table, folder or file, for full matching.

        Rows whose structure cannot be read or has overlapping atoms are left out, since nothing can equal them.

        Parameters
        ----------
        progress
            Called after each row; a row takes milliseconds.

        Raises
        ------
        MateriumError
            If the source cannot be read, or holds no crystal.
        """
        found = list(_readable(path, progress))
        if not found:
            raise MateriumError(f"{path} holds no readable crystal; a reference for novelty needs some")
        ids, crystals, fingerprints = zip(*found, strict=True)
        return cls(ids, fingerprints, crystals)

    def __len__(self) -> int:
        """Return the number of crystals in the reference."""
        return len(self.ids)

    @property
    def novel_means(self) -> str:
        """What novel means against this reference, its size to three digits: `not among 132,000 known crystals`."""
        return f"not among {float(f'{len(self):.3g}'):,.0f} known crystals"

    @property
    def matches_fully(self) -> bool:
        """Whether StructureMatcher decides; otherwise fingerprints do."""
        return self._reduced is not None

    def verdict(self, crystal: Crystal, known_as: Fingerprint | None = None) -> dict[str, Any]:
        """Return what is new about a crystal.

        Parameters
        ----------
        known_as
            The crystal's fingerprint where it is at hand.

        Returns
        -------
        dict
            `novel`: no crystal of the reference is the same. `novelty`: `KNOWN` where it is not novel, else
            `POLYMORPH`, `SUBSTITUTION` or `NEW`, the first that holds. `novel_formula`: none has its reduced formula.
            `novel_prototype`: none has its space group with its Wyckoff positions, whatever the elements; False where
            moyo finds no symmetry. `nearest_id` and `nearest_distance`: the crystal of the same formula that it equals,
            else the one whose geometry is closest (see `fingerprint.distance`), or None for a new formula.
            `prototype_id`: the first crystal of the same structure type, or None.
        """
        own = fingerprint(crystal) if known_as is None else known_as
        rows, distances = self._by_distance(own)
        same = self._same_by_fingerprint(own, rows, distances) if self._reduced is None else self._equal(crystal, rows)
        nearest = 0 if same is None else same
        template = self._types.get(own.structure_type) if own.structure_type else None
        novelty = POLYMORPH if rows else NEW if template is None else SUBSTITUTION
        return {
            "novel": same is None,
            "novelty": novelty if same is None else KNOWN,
            "novel_formula": not rows,
            "novel_prototype": template is None and bool(own.structure_type),
            "nearest_id": self.ids[rows[nearest]] if rows else None,
            "nearest_distance": float(distances[nearest]) if rows else None,
            "prototype_id": None if template is None else self.ids[template],
        }

    def _by_distance(self, own: Fingerprint) -> tuple[list[int], NDArray[np.float32]]:
        """The reference's rows of the same formula, nearest first, and how far they are."""
        group = np.array(self._groups.get(own.formula, []), dtype=np.int64)
        if not group.size:
            return [], np.zeros(0, dtype=np.float32)
        distances = np.abs(self._amd[group] - own.amd).max(axis=1)
        order = np.argsort(distances, kind="stable")
        return group[order].tolist(), distances[order]

    def _same_by_fingerprint(self, own: Fingerprint, rows: list[int], distances: NDArray[np.float32]) -> int | None:
        """The place in `rows` of the nearest that counts as the same; sites are not counted where no symmetry is."""
        near = (distances <= SAME) & as_many_sites(self._sites[rows], own.num_sites)
        return int(np.flatnonzero(near)[0]) if near.any() else None

    def _equal(self, crystal: Crystal, rows: list[int]) -> int | None:
        """The place in `rows` of the nearest that StructureMatcher calls equal."""
        own, reduced = Reduced(crystal), self._reduced or []
        return next((place for place, row in enumerate(rows) if reduced[row].equals(own)), None)


def as_many_sites(sites: NDArray[np.int64], own: int) -> NDArray[np.bool_]:
    """Tell which numbers of sites may be the own one, shape (n,); 0 is one that is not known."""
    return np.asarray((sites == own) | (sites == 0) | (own == 0))


def alike(one: Fingerprint, other: Fingerprint) -> bool:
    """Tell whether fingerprints hold two crystals for the same; see `SAME`."""
    sites = as_many_sites(np.array([one.num_sites]), other.num_sites)
    return one.formula == other.formula and bool(sites.all()) and distance(one, other) <= SAME


def _readable(path: str | Path, progress: Callable[[], None] | None) -> Iterator[tuple[str, Crystal, Fingerprint]]:
    for row in checked(read(path)):
        if row.crystal is not None:
            yield row.id, row.crystal, fingerprint(row.crystal)
        if progress is not None:
            progress()
