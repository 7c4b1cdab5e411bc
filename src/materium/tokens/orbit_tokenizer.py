"""Grids of orbit sequences, and the orders in which a sequence names species and orbits.

`[SOS] (species count)… group Z free-lattice-parameters (species position free-coordinates)…`: the reduced composition
comes first, then the space group, the formula units Z in the primitive cell, and the conventional standard cell. What
follows from what stands before is not written: a species where the order or the composition leaves only one, and the
end, which is reached when every species has its atoms.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from math import gcd
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from materium.core.orbits import Orbits
from materium.core.wyckoff import FINE_GRID, GRID, WyckoffPosition, space_group
from materium.errors import TokenError
from materium.tokens.orbit_vocab import LENGTHS, OrbitVocabulary, Role
from materium.tokens.tokenizer import electronegativities
from materium.tokens.vocab import Species, known_species

if TYPE_CHECKING:
    from numpy.typing import NDArray

Order = Literal["high", "low", "xyz", "random", "electronegativity"]
ORDERS: tuple[Order, ...] = get_args(Order)
ROLE_OF = {"a": Role.A, "b": Role.B, "c": Role.C, "alpha": Role.ALPHA, "beta": Role.BETA, "gamma": Role.GAMMA}
TRICLINIC = 2
"""Largest number of a triclinic space group."""
FLATTEST = 0.5
"""Least volume over a b c of a triclinic cell; a reduced one has at least 0.707 (C. F. Gauss, 1831)."""


@dataclass(frozen=True)
class OrbitTokenizerConfig:
    """All that decides which sequence a crystal becomes.

    Parameters
    ----------
    bins
        Grid steps of coordinates, lengths and angles; with a multiple of 24 all special positions are grid points.
    length_range
        Å, lowest and highest a, b and c of the conventional cell, on a logarithmic grid.
    triclinic_angles, monoclinic_angles
        Degrees; α, β, γ of the reduced triclinic cell, and β of the monoclinic one.
    species
        The species that have a token.
    max_sites
        Atoms in the primitive cell.
    max_components
        Different species in a crystal.
    """

    bins: int = 1008
    length_range: tuple[float, float] = (1.8, 90.0)
    triclinic_angles: tuple[float, float] = (60.0, 120.0)
    monoclinic_angles: tuple[float, float] = (90.0, 150.0)
    species: tuple[Species, ...] = field(default_factory=lambda: known_species("none"))
    max_sites: int = 52
    max_components: int = 12

    def __post_init__(self) -> None:
        """Refuse settings that no crystal fits."""
        if self.bins < GRID or self.bins % GRID:
            raise TokenError(f"a grid of {self.bins} steps has not every special position; give a multiple of {GRID}")
        if min(self.max_sites, self.max_components, len(self.species)) < 1:
            raise TokenError("max_sites, max_components and the number of species must be at least 1")
        if not 0 < self.length_range[0] < self.length_range[1]:
            raise TokenError(f"lengths from {self.length_range[0]:g} to {self.length_range[1]:g} Å are no range")
        for low, high in (self.triclinic_angles, self.monoclinic_angles):
            if not 0 < low < high < 180:
                raise TokenError(f"angles from {low:g} to {high:g}° are no range within 0 to 180°")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OrbitTokenizerConfig:
        """Return the settings that `to_dict` wrote.

        Raises
        ------
        TokenError
            If they are not those of this version.
        """
        names = {field.name for field in fields(cls)}
        if data.keys() != names:
            raise TokenError(
                f"settings of another version: {', '.join(sorted(data.keys() ^ names))}; prepare the data anew"
            )
        pairs = {name: tuple(data[name]) for name in ("length_range", "triclinic_angles", "monoclinic_angles")}
        return cls(**{**data, **pairs, "species": tuple((int(z), int(state)) for z, state in data["species"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def require(self, fingerprint: str, owner: str) -> None:
        """Raise `TokenError` unless `owner` was made with these very settings."""
        if fingerprint != self.fingerprint:
            raise TokenError(f"{owner} has tokenizer {fingerprint}, not {self.fingerprint}; prepare the data anew")


@dataclass(frozen=True)
class GridOrbits:
    """A crystal in a space group on the grids of a tokenizer, its orbits in canonical order.

    Parameters
    ----------
    group
        International number.
    lattice
        Grid points of the free parameters of the conventional cell, shape (p,).
    species
        Places in the vocabulary's species, shape (n,).
    positions
        Places among the positions of the group, shape (n,).
    points
        Representatives on the coordinate grid, shape (n, 3).
    """

    group: int
    lattice: NDArray[np.int64]
    species: NDArray[np.int64]
    positions: NDArray[np.int64]
    points: NDArray[np.int64]


class OrbitTokenizer:
    """Grids, vocabulary and orders of an `OrbitTokenizerConfig`."""

    def __init__(self, config: OrbitTokenizerConfig) -> None:
        """Keep the settings; the vocabulary follows from them."""
        self.config = config
        self.vocab = OrbitVocabulary(config.species, config.bins, config.max_sites)
        low, high = np.log(config.length_range)
        points = np.arange(config.bins + 1) / config.bins
        self.log_lengths: list[float] = (low + (high - low) * points).tolist()
        """ln of the length in Å at each grid point."""
        self.angles = {
            role: (bounds[0] + (bounds[1] - bounds[0]) * points).tolist()
            for bounds, roles in (
                (config.triclinic_angles, (Role.ALPHA, Role.BETA, Role.GAMMA)),
                (config.monoclinic_angles, (Role.MONOCLINIC_BETA,)),
            )
            for role in roles
        }
        """Degrees at each grid point, for each angle."""

    @cached_property
    def ranks(self) -> dict[Order, NDArray[np.int64]]:
        """For each order, the rank of each species in a composition; of an element the highest state comes first.

        `xyz` names species as `high` does, and of `random` it is the place in the vocabulary.
        """
        numbers, states = self.vocab.species_table.T
        high = _ranks(-states, -numbers)
        return {
            "high": high,
            "low": _ranks(-states, numbers),
            "xyz": high,
            "random": np.arange(len(numbers)),
            "electronegativity": _ranks(-states, numbers, electronegativities()[numbers]),
        }

    @cached_property
    def header_species(self) -> dict[Order, tuple[Species, ...]]:
        """For each order, the species by ascending rank."""
        places = {order: np.argsort(ranks).tolist() for order, ranks in self.ranks.items()}
        return {order: tuple(self.config.species[place] for place in places[order]) for order in places}

    def lattice_roles(self, group: int) -> tuple[Role, ...]:
        """Return the roles of the free lattice parameters of a space group."""
        roles = tuple(ROLE_OF[name] for name in space_group(group).lattice_parameters)
        return roles if group <= TRICLINIC else tuple(Role.MONOCLINIC_BETA if r == Role.BETA else r for r in roles)

    def grid(self, orbits: Orbits) -> GridOrbits:
        """Return a crystal on the grids.

        Raises
        ------
        TokenError
            If the crystal has too many sites or species, an element without a token, a cell outside the grids, or an
            orbit that is not on its position.
        """
        if not len(orbits.numbers):
            raise TokenError("crystal has no orbits; at least one is needed")
        points = self._points(orbits, FINE_GRID, self.config.bins, check=True)
        if orbits.num_sites > self.config.max_sites:
            raise TokenError(f"crystal has {orbits.num_sites} sites; at most {self.config.max_sites} are written")
        states = np.zeros_like(orbits.numbers) if orbits.oxidation_states is None else orbits.oxidation_states
        pairs = zip(orbits.numbers.tolist(), states.tolist(), strict=True)
        species = np.array([self.vocab.species_index(*pair) for pair in pairs])
        kinds = len(set(species.tolist()))
        if kinds > self.config.max_components:
            raise TokenError(f"crystal has {kinds} species; at most {self.config.max_components} are written")
        values = orbits.parameters[[list(ROLE_OF).index(n) for n in space_group(orbits.group).lattice_parameters]]
        lattice = [self._lattice_point(r, v) for r, v in zip(self.lattice_roles(orbits.group), values, strict=True)]
        if orbits.group <= TRICLINIC and not self.gammas(*lattice[3:5])[lattice[5]]:
            raise TokenError(
                f"cell too flat: α, β, γ = {', '.join(f'{v:.1f}' for v in values[3:])}°; give a reduced cell"
            )
        return GridOrbits(orbits.group, np.array(lattice), species, np.asarray(orbits.positions), points)

    def orbits(self, grid: GridOrbits) -> Orbits:
        """Return the crystal at grid points."""
        free = [
            float(np.exp(self.log_lengths[point])) if role in LENGTHS else self.angles[role][point]
            for role, point in zip(self.lattice_roles(grid.group), grid.lattice.tolist(), strict=True)
        ]
        numbers, states = self.vocab.species_table[grid.species].T
        parameters = np.array(space_group(grid.group).cell(free), dtype=np.float64)
        found = Orbits(grid.group, parameters, numbers, states, grid.positions, grid.points)
        return replace(found, points=self._points(found, self.config.bins, FINE_GRID, check=False))

    def gammas(self, alpha: int, beta: int) -> NDArray[np.bool_]:
        """Return which γ, with α and β at these grid points, leave a cell that is not flat, shape (bins + 1,)."""
        a, b = (np.cos(np.radians(self.angles[r][p])) for r, p in ((Role.ALPHA, alpha), (Role.BETA, beta)))
        c = np.cos(np.radians(self.angles[Role.GAMMA]))
        legal: NDArray[np.bool_] = 1 - a * a - b * b - c * c + 2 * a * b * c >= FLATTEST**2
        return legal

    def composition(self, grid: GridOrbits) -> tuple[dict[int, int], int]:
        """Return the count of each species in the reduced formula, and the formula units in the primitive cell."""
        positions = space_group(grid.group).positions
        counts: dict[int, int] = {}
        for species, position in zip(grid.species.tolist(), grid.positions.tolist(), strict=True):
            counts[species] = counts.get(species, 0) + len(positions[position].coset)
        units = gcd(*counts.values())
        return {species: count // units for species, count in counts.items()}, units

    def header_order(self, species: list[int], order: Order, rng: np.random.Generator | None = None) -> list[int]:
        """Return species in the order in which the composition names them; `random` needs `rng`."""
        if order == "random":
            if rng is None:
                raise TokenError("the order random needs a random generator")
            return [species[i] for i in rng.permutation(len(species))]
        return sorted(species, key=self.ranks[order].__getitem__)

    def orbit_order(self, grid: GridOrbits, order: Order, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Return the permutation that puts orbits in an order; ties go by position, then by coordinates."""
        if order == "random":
            if rng is None:
                raise TokenError("the order random needs a random generator")
            return rng.permutation(len(grid.species))
        x, y, z = grid.points.T
        if order == "xyz":
            return np.lexsort((grid.species, grid.positions, z, y, x))
        return np.lexsort((z, y, x, grid.positions, self.ranks[order][grid.species]))

    def _points(self, orbits: Orbits, source: int, target: int, *, check: bool) -> NDArray[np.int64]:
        """Return the smallest representatives on another grid, each still of its position's form, shape (n, 3)."""
        positions, points = space_group(orbits.group).positions, []
        for index, point in zip(orbits.positions.tolist(), orbits.points, strict=True):
            if not 0 <= index < len(positions):
                raise TokenError(
                    f"space group {orbits.group} has {len(positions)} Wyckoff positions, no number {index}"
                )
            free = positions[index].free_values(point, source)
            points.append(positions[index].point(np.rint(free * target / source).astype(np.int64), target))
            form = positions[index].point(free, source)
            if check and ((form != point).any() or _coincide(positions[index], points[-1], target)):
                place = f"({', '.join(f'{value}/{source}' for value in point.tolist())})"
                raise TokenError(
                    f"an orbit at {place} is not on {positions[index].label} of space group {orbits.group}"
                )
        return np.array(points)

    def _lattice_point(self, role: Role, value: float) -> int:
        if role in LENGTHS:
            low, high = self.log_lengths[0], self.log_lengths[-1]
            point = round((float(np.log(value)) - low) / (high - low) * self.config.bins)
        else:
            low, high = self.angles[role][0], self.angles[role][-1]
            point = round((value - low) / (high - low) * self.config.bins)
        if not 0 <= point <= self.config.bins:
            unit, bounds = ("Å", self.config.length_range) if role in LENGTHS else ("°", (low, high))
            name = role.name.lower().removeprefix("monoclinic_")
            raise TokenError(
                f"cell too unusual: {name} = {value:.3f} {unit}, the grid holds {bounds[0]:g} to {bounds[1]:g}"
            )
        return point


def _ranks(*keys: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
    """The rank of each species by keys of which the last counts most."""
    ranks: NDArray[np.int64] = np.argsort(np.lexsort(keys))
    return ranks


def _coincide(position: WyckoffPosition, point: NDArray[np.int64], grid: int) -> bool:
    """Whether two atoms of an orbit are one, so that it is on a more special position."""
    apart = position.images(point, grid)[1:] - point
    centring = space_group(position.group).centring * (grid // GRID)
    return bool(((apart[:, None] - centring) % grid == 0).all(2).any())
