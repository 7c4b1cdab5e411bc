"""A crystal described in its space group: the conventional cell, and one site of each orbit on its Wyckoff position.

The same crystal can be described from other origins, along other axes, and by other sites of its orbits.
`canonical_orbits` takes the smallest of all descriptions that the Euclidean normaliser of the group allows, with
coordinates on a grid that holds all special positions and on which every operation is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.core.normalizer import Normalizer, normalizer, projector
from materium.core.wyckoff import FINE_GRID, GRID, SpaceGroup, space_group
from materium.crystal import Crystal, lattice_from_parameters, lengths_angles
from materium.errors import CrystalError
from materium.symmetry import OFF_CENTRE, SYMPREC, dataset_of, decode_species

if TYPE_CHECKING:
    import moyopy
    from numpy.typing import NDArray

SAME_SITE = 1e-4
"""Fractional; images of a site that moyo has moved onto the symmetry agree within it."""
_STRIDES = np.array([FINE_GRID**2, FINE_GRID, 1])
MARKER = 1 << 16
"""Above the integers of all species; sites that only hold a crystal to a subgroup have such numbers."""
_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
_POINTS = FINE_GRID**3
_POSITIONS = 32
"""More than any group has."""


@dataclass(frozen=True, eq=False)
class Orbits:
    """A crystal in the conventional cell of a space group, one row for each orbit.

    Rows are ordered by species, the heaviest (atomic number, then oxidation state) first, then by position and point.

    Parameters
    ----------
    group
        International number.
    parameters
        a, b, c in Å and α, β, γ in degrees of the conventional cell, shape (6,).
    numbers, oxidation_states
        Of each orbit, shape (n,); oxidation states are None where the crystal has none.
    positions
        Indices of Wyckoff positions among those of the group, shape (n,).
    points
        Representatives on the grid of 1008 steps along the conventional axes, shape (n, 3).
    """

    group: int
    parameters: NDArray[np.float64]
    numbers: NDArray[np.int64]
    oxidation_states: NDArray[np.int64] | None
    positions: NDArray[np.int64]
    points: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of orbits."""
        return len(self.numbers)

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """Sites of each orbit in the primitive cell, shape (n,)."""
        positions = space_group(self.group).positions
        return np.array([len(positions[index].coset) for index in self.positions])

    @property
    def num_sites(self) -> int:
        """Sites in the primitive cell."""
        return int(self.multiplicities.sum())

    @property
    def composition(self) -> dict[tuple[int, int], int]:
        """Sites in the primitive cell of each species (atomic number, oxidation state or 0), the heaviest first."""
        states = np.zeros_like(self.numbers) if self.oxidation_states is None else self.oxidation_states
        counts: dict[tuple[int, int], int] = {}
        for number, state, sites in zip(
            *(x.tolist() for x in (self.numbers, states, self.multiplicities)), strict=True
        ):
            counts[number, state] = counts.get((number, state), 0) + sites
        return counts

    def to_crystal(self, *, primitive: bool = True) -> Crystal:
        """Return all sites, orbit by orbit, in the primitive cell or the conventional one.

        The coordinates are multiples of 1/1008 in both.
        """
        group = space_group(self.group)
        images = [
            group.positions[index].images(point) for index, point in zip(self.positions, self.points, strict=True)
        ]
        lattice = lattice_from_parameters(self.parameters)
        if primitive:
            inverse = np.rint(np.linalg.inv(group.primitive)).astype(np.int64)
            places = np.concatenate(images) @ inverse % FINE_GRID
            counts, lattice = self.multiplicities, group.primitive @ lattice
        else:
            centring = group.centring * (FINE_GRID // GRID)
            places = np.concatenate([(one[:, None] + centring).reshape(-1, 3) for one in images]) % FINE_GRID
            counts = self.multiplicities * len(centring)
        states = None if self.oxidation_states is None else np.repeat(self.oxidation_states, counts)
        return Crystal(lattice, places / FINE_GRID, np.repeat(self.numbers, counts), states)


def canonical_orbits(crystal: Crystal, symprec: float = SYMPREC) -> Orbits:
    """Return the description in its space group that all descriptions of the crystal have in common.

    Sites are moved onto the symmetry that is found within `symprec` (Å), and onto the grid.

    Raises
    ------
    CrystalError
        If no symmetry is found, or one that is ambiguous; see `materium.symmetry.dataset_of`.
    """
    return all_settings(crystal, symprec, limit=1)[0]


def all_settings(crystal: Crystal, symprec: float = SYMPREC, limit: int | None = None) -> list[Orbits]:
    """Return the different descriptions of the crystal in its group, the canonical one first, at most `limit`.

    Along polar axes the origin is at an orbit of the heaviest species.

    Raises
    ------
    CrystalError
        As `canonical_orbits`.
    """
    dataset = dataset_of(crystal, symprec)
    return settings_of(dataset, known=crystal.oxidation_states is not None, limit=limit)


def settings_of(dataset: moyopy.MoyoDataset, *, known: bool, limit: int | None = None) -> list[Orbits]:
    """Return the descriptions in the group that moyo found, as `all_settings` does.

    Sites whose number is `MARKER` or higher are left out; oxidation states are None unless `known`.
    """
    group, lattice = space_group(dataset.number), np.array(dataset.std_cell.basis)
    settings = normalizer(dataset, lattice @ lattice.T)
    species, positions, points = _orbits(dataset)
    kinds = np.cumsum(np.diff(species, prepend=species[:1]) != 0)
    rounded = _descriptions(settings, kinds, positions, points * FINE_GRID)
    smallest = rounded[np.lexsort(rounded.T[::-1])[0]]
    # Rounding does not commute with all motions: of the crystal on the grid the smallest is found anew, now exactly.
    exact = np.unique(_descriptions(settings, kinds, *_decode(smallest)), axis=0)
    numbers, states = decode_species(species, known=known)
    # Motions of the normaliser are held to leave the cell as it is, so that it is the standard one in every setting.
    cell = lengths_angles(lattice)[[_NAMES.index(name) for name in group.lattice_parameters]]
    return [Orbits(group.number, group.cell(cell), numbers, states, *_decode(row)) for row in exact[:limit]]


def _descriptions(
    settings: Normalizer, kinds: NDArray[np.int64], positions: NDArray[np.int64], points: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the orbits in each setting, and from each origin on the polar axes, as rows that compare as descriptions.

    Points are in steps of the grid, shape (n, 3): integers are moved exactly, others are rounded. Of the images of an
    orbit the smallest stands for it. Rows of shape (k, n).
    """
    exact, polar = np.issubdtype(points.dtype, np.integer), settings.polar
    groups = [(settings.forms(index), np.flatnonzero(positions == index)) for index in np.unique(positions)]
    images = [
        (forms.rotations[:, None] @ points[rows][:, None, :, None])[..., 0] + forms.translations[:, None]
        for forms, rows in groups
    ]
    sources, shifts = np.arange(len(settings.rotations)), np.zeros((len(settings.rotations), 3), points.dtype)
    if polar.any():
        heaviest = [(f.targets, y[:, kinds[rows] == 0]) for (f, rows), y in zip(groups, images, strict=True)]
        lowest = np.min([targets for targets, y in heaviest if y.shape[1]], axis=0)
        pins = [
            (*np.nonzero((targets == lowest)[:, None, None] & np.ones(y.shape[:3], bool)), y) for targets, y in heaviest
        ]
        sources = np.concatenate([pin[0] for pin in pins])
        shifts = np.concatenate([y[i, r, j] for i, r, j, y in pins]) * polar
    table = np.empty((len(sources), len(points)), dtype=np.int64)
    for (forms, rows), y in zip(groups, images, strict=True):
        moved = y[sources] - shifts[:, None, None]
        if not exact:
            offsets = forms.offsets[sources, None, None]
            moved = np.rint(moved + OFF_CENTRE).astype(np.int64) - offsets
            moved = (forms.projectors[sources, None, None] @ moved[..., None])[..., 0] + offsets
        codes = (moved % FINE_GRID @ _STRIDES).min(2)
        table[:, rows] = codes + (forms.targets[sources, None] + kinds[rows] * _POSITIONS) * _POINTS
    table.sort(axis=1)
    return table


def _decode(row: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions and points of a row of `_descriptions`, shapes (n,) and (n, 3)."""
    positions, places = np.divmod(row % (_POSITIONS * _POINTS), _POINTS)
    return positions, places[:, None] // _STRIDES % FINE_GRID


def _orbits(dataset: moyopy.MoyoDataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return species, position and representative of each orbit, the heaviest first; shapes (n,), (n,) and (n, 3)."""
    cell, group = dataset.prim_std_cell, space_group(dataset.number)
    species, sites = np.array(cell.numbers), np.array(cell.positions)
    rotations, translations = primitive_operations(dataset.number)
    left = np.argsort(-species, kind="stable")
    left = left[species[left] < MARKER]
    found: list[tuple[int, int, NDArray[np.float64]]] = []
    while len(left):
        site = left[0]
        images = rotations @ sites[site] + translations
        apart = images[:, None] - sites[left]
        same = (np.abs(apart - np.rint(apart)) < SAME_SITE).all(2).any(0) & (species[left] == species[site])
        found.append((int(species[site]), *_representative(group, int(same.sum()), images @ group.primitive)))
        left = left[~same]
    kinds, positions, points = zip(*found, strict=True)
    return np.array(kinds), np.array(positions), np.array(points, dtype=np.float64)


@cache
def primitive_operations(number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rotations and translations in the primitive basis, shapes (m, 3, 3) and (m, 3)."""
    group = space_group(number)
    inverse = np.linalg.inv(group.primitive)
    rotations = np.rint(inverse.T @ group.rotations @ group.primitive.T).astype(np.int64)
    return rotations, group.translations / GRID @ inverse


def _representative(group: SpaceGroup, size: int, images: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Return the position of an orbit of `size` sites, and one of its images that has the representative's form."""
    indices, projectors, offsets = _positions_of_size(group.number, size)
    if len(indices):
        points = (images[:, None] + group.centring / GRID).reshape(-1, 1, 3) - offsets
        off = points - np.einsum("pij,npj->npi", projectors, points)
        fits = np.argwhere((np.abs(off - np.rint(off)) < SAME_SITE).all(2))
        if len(fits):
            image, place = fits[0]
            return int(indices[place]), projectors[place] @ points[image, place] + offsets[place]
    raise CrystalError(
        f"symmetry is ambiguous: {size} equivalent sites are on no Wyckoff position of group {group.number}; "
        "use another symprec"
    )


@cache
def _positions_of_size(number: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return indices, projectors and offsets of the positions with that many sites in the primitive cell."""
    chosen = [position for position in space_group(number).positions if len(position.coset) == size]
    indices = np.array([position.index for position in chosen])
    projectors = np.array([projector(position) for position in chosen]).reshape(-1, 3, 3)
    return indices, projectors, np.array([position.offset for position in chosen]).reshape(-1, 3) / GRID
