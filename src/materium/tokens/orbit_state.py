"""What a sequence of orbits holds so far, token by token, and which tokens may come next.

Training replays known crystals through it, and sampling walks it, so that both see the same slots, facts and masks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import moyopy
import numpy as np

from materium.core.occupancy import occupancy
from materium.core.wyckoff import GRID, SpaceGroup, WyckoffPosition, space_group
from materium.crystal import MIN_DISTANCE, contragredient, lattice_from_parameters
from materium.errors import TokenError
from materium.tokens.orbit_contacts import Contacts, decided_images, fixed_points, nearest_distances, orbit_maps
from materium.tokens.orbit_header import HeaderRules
from materium.tokens.orbit_representatives import smallest
from materium.tokens.orbit_tokenizer import FLATTEST, GridOrbits, Order
from materium.tokens.orbit_vocab import ANGLES, COORDINATES, IMAGE, LENGTHS, SOS, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from materium.core.header import HeaderMasks
    from materium.core.occupancy import Required
    from materium.tokens.orbit_tokenizer import OrbitTokenizer

AXES = {"x": Role.X, "y": Role.Y, "z": Role.Z}
CUBIC, HEXAGONAL = 195, range(143, 195)
NOWHERE = (-1, -1, -1)
HEADER = frozenset({Role.COMPONENT, Role.COUNT, Role.UNITS})


class Slot(NamedTuple):
    """One place of a sequence, and what stands up to it.

    Attributes
    ----------
    token, role
        Token id, `IMAGE` for an image, and its role.
    point
        Grid point of the atom that the slot puts into the cell; negative where it puts none.
    site, current
        One plus the place of a species in the vocabulary, 0 for none: of that atom, and of the orbit that is to be
        continued or comes next.
    log_lengths, open_lengths
        Sum of ln(a b c / Å³) over the lengths that are known, and how many of the three are not.
    log_shape
        ln of the volume of the primitive cell over a b c, by what is known of group and angles.
    counts, lacking
        Atoms of each component in the formula, or in the primitive cell once its formula units are known, and those of
        them that have no orbit yet.
    """

    token: int
    role: Role
    point: tuple[int, int, int]
    site: int
    current: int
    log_lengths: float
    open_lengths: int
    log_shape: float
    counts: tuple[int, ...]
    lacking: tuple[int, ...]


class OrbitState:
    """A sequence under way; `role` is what has to be chosen next, None when the crystal is complete.

    Parameters
    ----------
    tokenizer, order
        Vocabulary and grids, and the order of species and orbits. Only in the orders `random` and `xyz` can orbits that
        are given come before others of any species.
    constraints
        What the header must keep, and which orbits must occur; see `HeaderRules`.

    Attributes
    ----------
    crowded
        Choices so far for which no legal token kept atoms `MIN_DISTANCE` apart.
    """

    def __init__(self, tokenizer: OrbitTokenizer, order: Order, constraints: HeaderMasks | None = None) -> None:
        """Start with [SOS]."""
        self.tokenizer, self.vocab, self.order = tokenizer, tokenizer.vocab, order
        self.header = HeaderRules(tokenizer, order, constraints)
        self.grouped = order not in {"random", "xyz"}
        """Whether the order leaves no choice of the species of an orbit."""
        self.role: Role | None = Role.COMPONENT
        self.components: list[int] = []
        self.counts: tuple[int, ...] = ()
        self.lacking: tuple[int, ...] = ()
        self.group: SpaceGroup | None = None
        self.units = 0
        self.required: Required = ()
        self.lattice: list[int] = []
        self.used = 0
        self.floor = 0
        self.crowded = 0
        self.species: list[int] = []
        self.positions: list[int] = []
        self.points: list[tuple[int, int, int]] = []
        self.component = -1
        self.position: WyckoffPosition | None = None
        self.free: list[int] = []
        self.places = np.zeros((0, 3))
        """Atoms so far, in terms of the reduced primitive cell."""
        self.sites: list[int] = []
        self._log_lengths, self._open_lengths, self._log_shape = 0.0, 3, 0.0
        self._roles: tuple[Role, ...] = ()
        self._cosines: list[float] = []
        self._blocked, self._measured = 0, -1
        self._crowding = False
        self.slots: list[Slot] = []
        self._put(SOS, Role.SOS)

    @property
    def next_role(self) -> Role:
        """Return the role of the next token.

        Raises
        ------
        TokenError
            If the sequence is complete.
        """
        if self.role is None:
            raise TokenError("the sequence is complete; no token comes next")
        return self.role

    def legal(self, *, spaced: bool = True) -> NDArray[np.bool_]:
        """Return which tokens of `span()` may come next.

        Header and positions leave at least one crystal possible. If `spaced`, positions without free coordinates are
        left out where atoms would come closer than `MIN_DISTANCE`, unless no others are legal, and so are coordinates
        that alone bring images of an orbit together. Its last coordinate has `legal_coordinates`. Coordinates are those
        of the smallest representative.
        """
        role = self.next_role
        if role in HEADER:
            return self._legal_header()
        if role == Role.GAMMA:
            return self.tokenizer.gammas(*self.lattice[3:])
        if role == Role.SPECIES:
            mask = np.zeros(len(self.vocab.species), dtype=bool)
            mask[[s for s, lacking in zip(self.components, self.lacking, strict=True) if lacking]] = True
            return mask
        if role == Role.POSITION:
            return self._legal_positions(spaced=spaced)
        if role in COORDINATES:
            return self.legal_coordinates(self._decided_contacts() if spaced else None)
        return np.ones(self.span().stop - self.span().start, dtype=bool)

    def span(self) -> slice:
        """Return the ids among which the next token is chosen."""
        if self.role == Role.POSITION:
            return self.vocab.positions_of(self._group.number)
        return self.vocab.spans[self.next_role]

    def advance(self, token: int) -> None:
        """Take a token, and add the slots that follow from it.

        Raises
        ------
        TokenError
            If the token has another role, or does not fit into what the composition still lacks.
        """
        role, span = self.next_role, self.span()
        if not span.start <= token < span.stop:
            raise TokenError(f"token {token} comes as {role.name}; one from {span.start} to {span.stop - 1} is needed")
        self.crowded += self._crowding
        self._crowding = False
        if role == Role.COMPONENT:
            self._take_component(token)
        elif role == Role.COUNT:
            self.counts += (token - span.start + 1,)
            self.role = Role.COMPONENT
            self._put(token, role)
        elif role == Role.UNITS:
            self.units = token - span.start + 1
            self.counts = self.lacking = tuple(count * self.units for count in self.counts)
            self.role = self._roles[0]
            self._put(token, role)
        elif role in LENGTHS or role in ANGLES:
            self._take_lattice(token)
        elif role == Role.SPECIES:
            self._take_species(token)
        elif role == Role.POSITION:
            self._take_position(token)
        else:
            self.free.append(token - span.start)
            self._continue_orbit(token)

    def contacts(self) -> Contacts | None:
        """Return what the next coordinate decides of distances, if it is the last of its orbit and meets any atom."""
        position = self.position
        if self.role not in COORDINATES or position is None or len(self.free) + 1 < position.freedom:
            return None
        return self._contacts(np.arange(1, len(position.coset)), others=True)

    def legal_coordinates(self, contacts: Contacts | None) -> NDArray[np.bool_]:
        """Return which points of a coordinate keep atoms `MIN_DISTANCE` apart, or else as far as they can be.

        Among those of the smallest representative; all of them without contacts.
        """
        bins, position = self.tokenizer.config.bins, self._position
        legal = smallest(position.number, self.free, bins)
        if contacts is None:
            return legal
        nearest = np.where(legal, contacts.distances(np.arange(bins), bins).min(axis=1), -1.0)
        self._crowding = bool(nearest.max() < MIN_DISTANCE)
        apart: NDArray[np.bool_] = nearest >= min(MIN_DISTANCE, nearest.max())
        return apart

    def grid(self) -> GridOrbits:
        """Return the crystal of a complete sequence, its orbits in the order in which they were written.

        Raises
        ------
        TokenError
            If the sequence is not complete.
        """
        if self.role is not None:
            raise TokenError(f"the sequence is not complete: {self.role.name} comes next")
        lattice, species = np.array(self.lattice), np.array(self.species)
        return GridOrbits(self._group.number, lattice, species, np.array(self.positions), np.array(self.points))

    @property
    def _group(self) -> SpaceGroup:
        if self.group is None:
            raise TokenError("the space group is not known yet; the composition comes first")
        return self.group

    @property
    def _position(self) -> WyckoffPosition:
        if self.position is None:
            raise TokenError("the position is not known yet; it comes before its coordinates")
        return self.position

    def _decided_contacts(self) -> Contacts | None:
        """What the next coordinate decides of distances within its orbit, if others are still to come."""
        return self._contacts(decided_images(self._position.number)[len(self.free)], others=False)

    def _contacts(self, images: NDArray[np.int64], *, others: bool) -> Contacts | None:
        places, sites = (self.places, self.sites) if others else (self.places[:0], [])
        size = len(sites)
        if not size + len(images):
            return None
        matrices, offsets = orbit_maps(self._position.number)
        known = matrices[:, :, : len(self.free)] @ np.array(self.free, dtype=np.int64)
        begin = (known / self.tokenizer.config.bins + offsets / GRID) @ self.reduction
        along = matrices[:, :, len(self.free)] @ self.reduction
        start, step = np.empty((2, size + len(images), 3))
        start[:size], start[size:] = begin[0] - places, begin[images] - begin[0]
        step[:size], step[size:] = along[0], along[images] - along[0]
        own = 1 + self.components[self.component]
        return Contacts(start, step, np.array(sites + [own] * len(images)), len(images), own, self.metric)

    def _legal_header(self) -> NDArray[np.bool_]:
        if self.role == Role.COMPONENT:
            return self.header.components(self.components, self.counts)
        if self.role == Role.COUNT:
            return self.header.counts(self.components, self.counts)
        return self.header.units(self.components, self.counts, self._group.number)

    def _legal_positions(self, *, spaced: bool) -> NDArray[np.bool_]:
        entry, floor = occupancy(self._group.number), self.floor if self.grouped else None
        blocked = self._blocked_positions() if spaced else 0
        self._crowding = False
        legal = entry.positions_allowed(self.lacking, self.component, self.used | blocked, self.required, floor)
        if blocked and not legal.any():
            self._crowding = True
            legal = entry.positions_allowed(self.lacking, self.component, self.used, self.required, floor)
        return legal

    def _blocked_positions(self) -> int:
        """Bit mask of the positions without free coordinates on which atoms would come too close."""
        indices, points, own = fixed_points(self._group.number)
        if self._measured < 0:
            self._measured = 0
            for index, images in zip(indices, own, strict=True):
                if len(images) and (nearest_distances(images @ self.reduction, self.metric) < MIN_DISTANCE).any():
                    self._blocked |= 1 << index
        if indices and self._measured < len(self.places):
            offsets = (points @ self.reduction)[:, None] - self.places[self._measured :]
            close = nearest_distances(offsets, self.metric).min(axis=1) < MIN_DISTANCE
            self._blocked |= sum(1 << indices[k] for k in np.flatnonzero(close).tolist())
            self._measured = len(self.places)
        return self._blocked

    def _take_component(self, token: int) -> None:
        place = token - self.vocab.species_ids.start
        if place < len(self.vocab.species):
            self.components.append(place)
            self.role = Role.COUNT
            self._put(token, Role.COMPONENT)
            return
        self.group = space_group(place - len(self.vocab.species) + 1)
        self.required = self.header.required(self.components, self.counts, self.group.number)
        self._roles = self.tokenizer.lattice_roles(self.group.number)
        self._log_shape = -math.log(len(self.group.centring))
        if self.group.number in HEXAGONAL:
            self._log_shape += math.log(math.sqrt(0.75))
        self.role = Role.UNITS
        self._put(token, Role.GROUP)

    def _take_lattice(self, token: int) -> None:
        role = self.next_role
        if role in LENGTHS:
            point = token - self.vocab.lengths.start
            # a stands for b too where b is not free, and for c in cubic groups
            shared = {Role.A: 3 if self._group.number >= CUBIC else 1 if Role.B in self._roles else 2}.get(role, 1)
            self._log_lengths += shared * self.tokenizer.log_lengths[point]
            self._open_lengths -= shared
        else:
            point = token - self.vocab.angles.start
            cosines = [*self._cosines, math.cos(math.radians(self.tokenizer.angles[role][point]))]
            square = 1 - sum(c * c for c in cosines)
            if len(cosines) == 3:
                square += 2 * math.prod(cosines)
            if square < FLATTEST**2 - 1e-9:
                raise TokenError(f"a cell with {role.name.lower()} at grid point {point} is flat; see `legal`")
            self._cosines = cosines
            self._log_shape = 0.5 * math.log(square) - math.log(len(self._group.centring))
        self.lattice.append(point)
        if len(self.lattice) < len(self._roles):
            self.role = self._roles[len(self.lattice)]
        else:
            self._reduce_cell()
            self._next_orbit()
        self._put(token, role)

    def _reduce_cell(self) -> None:
        """Find the reduced primitive cell, in which the nearest of all translations is found by rounding."""
        free = [
            math.exp(self.tokenizer.log_lengths[point]) if role in LENGTHS else self.tokenizer.angles[role][point]
            for role, point in zip(self._roles, self.lattice, strict=True)
        ]
        primitive = self._group.primitive @ lattice_from_parameters(self._group.cell(free))
        basis, transform = moyopy.niggli_reduce(primitive.tolist())
        self.reduction = np.linalg.inv(self._group.primitive) @ contragredient(transform)
        """Takes conventional fractional coordinates to those of the reduced primitive cell."""
        self.metric = np.array(basis) @ np.array(basis).T
        """Of the reduced primitive cell, Å²."""

    def _take_species(self, token: int) -> None:
        species = token - self.vocab.species_ids.start
        if species not in self.components or not self.lacking[self.components.index(species)]:
            number, state = self.vocab.species[species]
            raise TokenError(
                f"an orbit of element {number} in state {state:+d}, of which the composition lacks no atom"
            )
        self.component, self.role = self.components.index(species), Role.POSITION
        self._put(token, Role.SPECIES)

    def _take_position(self, token: int) -> None:
        position = self._group.positions[token - self.vocab.positions_of(self._group.number).start]
        size, lacking = len(position.coset), self.lacking[self.component]
        if size > lacking:
            raise TokenError(f"{position.label} has {size} atoms in the primitive cell; the formula lacks {lacking}")
        if not position.freedom and self.used >> position.index & 1:
            raise TokenError(f"{position.label} has no free coordinates and is occupied; give another position")
        self.position, self.free = position, []
        self._continue_orbit(token)

    def _continue_orbit(self, token: int) -> None:
        role, position = self.next_role, self._position
        if len(self.free) < position.freedom:
            self.role = AXES[position.free[len(self.free)]]
            self._put(token, role)
            return
        bins, site = self.tokenizer.config.bins, 1 + self.components[self.component]
        matrices, offsets = orbit_maps(position.number)
        images = (matrices @ np.array(self.free, dtype=np.int64) + offsets * (bins // GRID)) % bins
        points: list[tuple[int, int, int]] = [(x, y, z) for x, y, z in images.tolist()]
        self.species.append(site - 1)
        self.positions.append(position.index)
        self.points.append(points[0])
        self.places = np.concatenate([self.places, images / bins @ self.reduction])
        self.sites += [site] * len(points)
        if self.required:
            state = self.lacking, self.component, position.index, self.used, self.required
            self.required = occupancy(self._group.number).after(*state)[2]
        self.used |= 1 << position.index
        left = list(self.lacking)
        left[self.component] -= len(points)
        self.lacking, self.floor = tuple(left), position.index if left[self.component] else 0
        self._next_orbit()
        tokens = [(token, role)] + [(IMAGE, Role.IMAGE)] * (len(points) - 1)
        for (word, kind), point in zip(tokens, points, strict=True):
            self._put(word, kind, point, site)

    def _next_orbit(self) -> None:
        """Find whether the sequence is complete, and else whether the species of the next orbit is a choice."""
        open_ = [i for i, lacking in enumerate(self.lacking) if lacking]
        self.component, self.position = -1, None
        if not open_:
            self.role = None
        elif self.grouped or len(open_) == 1:
            self.component, self.role = open_[0], Role.POSITION
        else:
            self.role = Role.SPECIES

    def _put(self, token: int, role: Role, point: tuple[int, int, int] = NOWHERE, site: int = 0) -> None:
        current = 1 + self.components[self.component] if self.component >= 0 else 0
        cell = self._log_lengths, self._open_lengths, self._log_shape
        self.slots.append(Slot(token, role, point, site, current, *cell, self.counts, self.lacking))
