"""Crystals to tokens and back: `[SOS] [ATOMS] species x y z … [LATTICE] a b c α β γ [EOS]`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import TokenError
from materium.tokens.vocab import ATOMS, EOS, LATTICE, SOS, Role, Species, Vocabulary, known_species

if TYPE_CHECKING:
    from numpy.typing import NDArray

Order = Literal["high", "low", "xyz", "random", "electronegativity"]
ORDERS: tuple[Order, ...] = get_args(Order)
TOKENS_PER_SITE = 4
LATTICE_TOKENS = 6
FRAME_TOKENS = 4
"""[SOS], [ATOMS], [LATTICE] and [EOS]."""

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class TokenizerConfig:
    """All that decides which sentence a crystal becomes.

    Parameters
    ----------
    bins
        Grid steps; with a multiple of 24 the special positions 0, 1/8, 1/6, 1/4, 1/3 … are grid points.
    length_ranges
        Å, lowest and highest a, b and c. Equal ranges keep a = b = c through the round trip.
    length_spacing
        `log` gives every length the same relative error, `linear` the same error in Å (paper).
    angle_range
        Degrees; the Niggli-reduced cell stays within 60 to 120.
    species
        The species that have a token.
    species_first
        Whether a species stands before its coordinates or after them.
    max_sites
        Atoms that a sentence may hold.
    """

    bins: int = 1008
    length_ranges: tuple[Range, Range, Range] = ((1.5, 40.0), (1.5, 40.0), (1.5, 40.0))
    length_spacing: Literal["log", "linear"] = "log"
    angle_range: Range = (60.0, 120.0)
    species: tuple[Species, ...] = ()
    species_first: bool = True
    max_sites: int = 20

    @classmethod
    def preset(cls, name: str, **changes: Any) -> TokenizerConfig:
        """Return the settings called `base` (special positions exact) or `paper` (the published numbers)."""
        presets = {
            "base": cls(species=known_species("icsd")),
            "paper": cls(
                bins=1024,
                length_ranges=((2.0, 10.0), (2.0, 12.5), (2.0, 20.0)),
                length_spacing="linear",
                species=known_species("common"),
            ),
        }
        if name not in presets:
            raise TokenError(f"unknown tokenizer preset {name!r}; choose {' or '.join(presets)}")
        return replace(presets[name], **changes)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TokenizerConfig:
        """Return the settings that `to_dict` wrote."""
        ranges = tuple((float(low), float(high)) for low, high in data["length_ranges"])
        species = tuple((int(z), int(state)) for z, state in data["species"])
        angle_range = tuple(data["angle_range"])
        return cls(**{**data, "length_ranges": ranges, "species": species, "angle_range": angle_range})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def require(self, fingerprint: str, owner: str) -> None:
        """Raise `TokenError` unless `owner` was made with these very settings."""
        if fingerprint != self.fingerprint:
            message = f"{owner} has tokenizer {fingerprint}, the model has {self.fingerprint}; prepare the data anew"
            raise TokenError(message)


@dataclass(frozen=True)
class Parts:
    """A crystal on the grid, before its sites are put in an order.

    Parameters
    ----------
    species
        Token ids, shape (n,).
    points
        Grid points of the fractional coordinates, shape (n, 3).
    lattice
        Grid points of a, b, c, α, β, γ, shape (6,).
    """

    species: NDArray[np.int64]
    points: NDArray[np.int64]
    lattice: NDArray[np.int64]


class Tokenizer:
    """Writes crystals as sentences and reads sentences as crystals, by a `TokenizerConfig`."""

    def __init__(self, config: TokenizerConfig) -> None:
        """Keep the settings; the vocabulary follows from them."""
        self.config = config
        self.vocab = Vocabulary(config.species, config.bins)

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest sentence."""
        return FRAME_TOKENS + LATTICE_TOKENS + TOKENS_PER_SITE * self.config.max_sites

    def encode(self, crystal: Crystal, order: Order = "high", *, lattice_first: bool = False) -> NDArray[np.int64]:
        """Return the sentence of the crystal as it stands (see `materium.symmetry.canonical`), shape (tokens,).

        Raises
        ------
        TokenError
            If the crystal has too many sites, an element without a token, or a cell outside the grid.
        """
        return self.sentence(self.parts(crystal), order, lattice_first=lattice_first)

    def decode(self, tokens: NDArray[np.int64]) -> Crystal:
        """Return the crystal of a sentence.

        Raises
        ------
        TokenError
            If the sentence is not legal.
        CrystalError
            If no cell has its angles.
        """
        return self.crystal(self.parse(tokens))

    def parts(self, crystal: Crystal) -> Parts:
        """Return the crystal on the grid; errors as in `encode`."""
        if len(crystal) > self.config.max_sites:
            raise TokenError(f"crystal has {len(crystal)} sites; at most {self.config.max_sites} are written")
        states = np.zeros(len(crystal), np.int64) if crystal.oxidation_states is None else crystal.oxidation_states
        species = [self.vocab.species_id(int(z), int(s)) for z, s in zip(crystal.numbers, states, strict=True)]
        points = np.round(crystal.frac_coords * self.config.bins).astype(np.int64) % self.config.bins
        return Parts(np.array(species), points, self.lattice_points(crystal.lengths_angles))

    def crystal(self, parts: Parts) -> Crystal:
        """Return the crystal at the grid points of `parts`."""
        numbers, states = self.vocab.species_table[parts.species - self.vocab.first_species].T
        lattice = lattice_from_parameters(self.lattice_values(parts.lattice))
        return Crystal(lattice, parts.points / self.config.bins, numbers, states)

    def lattice_points(self, parameters: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the nearest grid points of a, b, c (Å), α, β, γ (degrees); nothing is clipped.

        Raises
        ------
        TokenError
            If a parameter lies outside the grid by more than half a step.
        """
        points, fits = self.nearest_points(parameters)
        if not fits.all():
            raise TokenError(self._outside(int(np.argmin(fits)), parameters))
        return points

    def nearest_points(self, parameters: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the points of `lattice_points` for cells, shape (..., 6), and which of them the grid holds."""
        low, high = self._bounds
        points = np.round((self._warp(parameters) - low) / (high - low) * self.config.bins).astype(np.int64)
        return points, (points >= 0) & (points <= self.config.bins)

    def lattice_values(self, points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a, b, c (Å), α, β, γ (degrees) at grid points, shape (..., 6)."""
        low, high = self._bounds
        values = low + (high - low) * points / self.config.bins
        if self.config.length_spacing == "log":
            values[..., :3] = np.exp(values[..., :3])
        return values

    def sentence(
        self,
        parts: Parts,
        order: Order = "high",
        *,
        lattice_first: bool = False,
        rng: np.random.Generator | None = None,
    ) -> NDArray[np.int64]:
        """Return the tokens of `parts`; the order `random` needs `rng`."""
        sites = self.site_order(parts, order, rng)
        species, points = parts.species[sites, None], parts.points[sites] + self.vocab.first_number
        columns = (species, points) if self.config.species_first else (points, species)
        atoms = [ATOMS, *np.concatenate(columns, axis=1).ravel()]
        lattice = [LATTICE, *(parts.lattice + self.vocab.first_number)]
        body = lattice + atoms if lattice_first else atoms + lattice
        return np.array([SOS, *body, EOS], dtype=np.int64)

    def roles(self, sites: int, *, lattice_first: bool = False) -> NDArray[np.int64]:
        """Return the role of every token of a sentence with that many sites, shape (tokens,)."""
        site = [Role.SPECIES, Role.X, Role.Y, Role.Z]
        site = site if self.config.species_first else site[1:] + site[:1]
        atoms = [Role.ATOMS, *site * sites]
        lattice = [Role.LATTICE, Role.A, Role.B, Role.C, Role.ALPHA, Role.BETA, Role.GAMMA]
        body = lattice + atoms if lattice_first else atoms + lattice
        return np.array([Role.SOS, *body, Role.EOS], dtype=np.int64)

    def parse(self, tokens: NDArray[np.int64]) -> Parts:
        """Return the parts of a sentence in the order in which it names them; errors as in `decode`."""
        words = np.asarray(tokens, dtype=np.int64)
        marks = np.flatnonzero((words == ATOMS) | (words == LATTICE))
        if len(marks) != 2 or words[0] != SOS or words[-1] != EOS or marks[0] != 1:
            raise TokenError("sentence must be [SOS], [ATOMS] and [LATTICE] in either order, [EOS]")
        first, second = words[2 : marks[1]], words[marks[1] + 1 : -1]
        lattice, atoms = (first, second) if words[1] == LATTICE else (second, first)
        if len(lattice) != LATTICE_TOKENS or len(atoms) == 0 or len(atoms) % TOKENS_PER_SITE:
            raise TokenError(f"sentence has {len(lattice)} lattice and {len(atoms)} atom tokens; 6 and 4 n are needed")
        sites = atoms.reshape(-1, TOKENS_PER_SITE)
        species, points = (sites[:, 0], sites[:, 1:]) if self.config.species_first else (sites[:, 3], sites[:, :3])
        return self._checked(Parts(species, points - self.vocab.first_number, lattice - self.vocab.first_number))

    def site_order(self, parts: Parts, order: Order, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Return the permutation that puts the sites in `order`; ties go by oxidation state, then coordinates."""
        if order == "random":
            if rng is None:
                raise TokenError("the order random needs a random generator")
            return rng.permutation(len(parts.species))
        numbers, states = self.vocab.species_table[parts.species - self.vocab.first_species].T
        x, y, z = parts.points.T
        first = {
            "high": -numbers,
            "low": numbers,
            "xyz": np.zeros_like(numbers),
            "electronegativity": electronegativities()[numbers],
        }
        if order not in first:
            raise TokenError(f"unknown order {order!r}; choose one of {', '.join(ORDERS)}")
        last = (states, numbers, z, y, x) if order == "xyz" else (z, y, x, -states, first[order])
        return np.lexsort(last)

    def _checked(self, parts: Parts) -> Parts:
        species = parts.species - self.vocab.first_species
        if ((species < 0) | (species >= len(self.vocab.species))).any():
            raise TokenError("sentence has another token where a species is needed")
        if ((parts.points < 0) | (parts.points >= self.config.bins)).any():
            raise TokenError("sentence has another token where a coordinate is needed")
        if ((parts.lattice < 0) | (parts.lattice > self.config.bins)).any():
            raise TokenError("sentence has another token where a lattice parameter is needed")
        return parts

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ranges = np.array([*self.config.length_ranges, *[self.config.angle_range] * 3])
        low, high = self._warp(ranges.T)
        return low, high

    def _warp(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        warped = np.array(parameters, dtype=np.float64)
        if self.config.length_spacing == "log":
            warped[..., :3] = np.log(warped[..., :3])
        return warped

    def _outside(self, index: int, parameters: NDArray[np.float64]) -> str:
        name = ("a", "b", "c", "alpha", "beta", "gamma")[index]
        unit = "Å" if index < 3 else "degrees"
        low, high = ([*self.config.length_ranges, *[self.config.angle_range] * 3])[index]
        return f"cell too unusual: {name} = {parameters[index]:.3f} {unit}, the grid holds {low:g} to {high:g}"


@cache
def electronegativities() -> NDArray[np.float64]:
    """Return Pauling's electronegativity by atomic number, shape (119,); 0 for elements that have none."""
    from pymatgen.core import Element

    return np.array([0.0, *(float(Element.from_Z(z).data.get("X") or 0) for z in range(1, 119))])
