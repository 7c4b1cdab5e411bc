"""Known crystals as sequences: the slots that a model reads and the choices that it has to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materium.core.wyckoff import space_group
from materium.errors import TokenError
from materium.tokens.orbit_state import OrbitState
from materium.tokens.orbit_vocab import COORDINATES, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from materium.tokens.orbit_contacts import Contacts
    from materium.tokens.orbit_tokenizer import GridOrbits, OrbitTokenizer, Order


class Choice(NamedTuple):
    """A token that is chosen, not forced.

    Attributes
    ----------
    role
        Its role; the space group that ends a composition is chosen as a COMPONENT.
    slot
        The slot after which it is chosen.
    place
        Its place in the span of the role; of a position, in that of all positions.
    legal
        Which tokens of the state's own span were legal; None where all are.
    first
        Where `legal` begins in the span; above 0 for positions.
    contacts
        Of the last coordinate of an orbit, where it brings its atoms; None for other choices.
    """

    role: Role
    slot: int
    place: int
    legal: NDArray[np.bool_] | None
    first: int
    contacts: Contacts | None


MASKED = frozenset({Role.COMPONENT, Role.COUNT, Role.UNITS, Role.SPECIES, Role.POSITION})
"""Roles whose masks training sees: those of coordinates it learns by itself within an hour, to 0.1 nats a crystal."""


def choice(state: OrbitState, token: int, *, spaced: bool) -> Choice:
    """Return a token as the next choice of a sequence, which is left as it is.

    Raises
    ------
    TokenError
        If the token is not legal, or the sequence is complete.
    """
    role, span = state.next_role, state.span()
    contacts = state.contacts() if role in COORDINATES else None
    legal = None
    if spaced and contacts is not None:
        legal = state.legal_coordinates(contacts)
    elif spaced or role in MASKED:
        legal = state.legal(spaced=spaced)
    if legal is not None and not (span.start <= token < span.stop and legal[token - span.start]):
        group = f" in space group {state.group.number}" if state.group else ""
        raise TokenError(f"token {token} is not legal as {role.name}{group}; give a crystal on the grids")
    start = state.vocab.spans[role].start
    return Choice(role, len(state.slots) - 1, token - start, legal, span.start - start, contacts)


def replay(
    tokenizer: OrbitTokenizer,
    grid: GridOrbits,
    order: Order,
    rng: np.random.Generator | None = None,
    *,
    spaced: bool = False,
) -> tuple[OrbitState, list[Choice]]:
    """Return the final state and the choices of a crystal that is written in an order; `random` needs `rng`.

    If `spaced`, every choice has the mask of sampling, as the exact likelihood needs it: coordinates too are those of
    the smallest representative, and keep atoms apart. That takes several times as long.

    Raises
    ------
    TokenError
        If a token is not legal: the crystal is none that `OrbitTokenizer.grid` returns.
    """
    state, choices, vocab = OrbitState(tokenizer, order), list[Choice](), tokenizer.vocab

    def choose(token: int) -> None:
        choices.append(choice(state, token, spaced=spaced))
        state.advance(token)

    counts, units = tokenizer.composition(grid)
    for species in tokenizer.header_order(list(counts), order, rng):
        choose(vocab.species_ids.start + species)
        choose(vocab.counts.start + counts[species] - 1)
    choose(vocab.groups.start + grid.group - 1)
    choose(vocab.counts.start + units - 1)
    for role, point in zip(tokenizer.lattice_roles(grid.group), grid.lattice.tolist(), strict=True):
        choose(vocab.spans[role].start + point)
    positions, first = space_group(grid.group).positions, vocab.positions_of(grid.group).start
    for orbit in tokenizer.orbit_order(grid, order, rng).tolist():
        if state.role == Role.SPECIES:
            choose(vocab.species_ids.start + int(grid.species[orbit]))
        index = int(grid.positions[orbit])
        choose(first + index)
        if positions[index].freedom:
            for value in positions[index].free_values(grid.points[orbit], tokenizer.config.bins).tolist():
                choose(vocab.coordinates.start + value)
    return state, choices
