"""One row for training on orbits: the crystal in its own group, in other settings, and in subgroups, on the grids."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from materium.core.orbits import settings_of
from materium.core.subgroups import in_subgroup, num_orbits, subgroups
from materium.errors import CrystalError, MateriumError
from materium.symmetry import dataset_of
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from materium.tokens.vocab import known_species

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.core.orbits import Orbits
    from materium.crystal import Crystal
    from materium.tokens.orbit_tokenizer import GridOrbits

CANONICAL, SETTING, SUBGROUP = range(3)
"""Kinds of description, in the order of `materium.model.orbit_conditions.DESCRIPTIONS`."""
MAX_ORBITS = 24
"""In a subgroup; with more of them, sequences grow beyond 128 tokens or so."""
P1_SHARE = 0.25
"""Probability that P1 comes first among the subgroups that are drawn: crystals without known symmetry are in it."""


@cache
def orbit_tokenizer(bins: int | None, max_sites: int, *, oxidation_states: bool) -> OrbitTokenizer:
    """Return the tokenizer of shards; its grids are the same whatever the rows, so that models can go on with others.

    Parameters
    ----------
    bins
        Grid steps; None leaves them to the preset.
    max_sites
        Atoms in the primitive cell.
    oxidation_states
        Whether species have oxidation states, those of the ICSD, or are elements.
    """
    species = known_species("icsd" if oxidation_states else "none")
    bins = OrbitTokenizerConfig.bins if bins is None else bins
    return OrbitTokenizer(OrbitTokenizerConfig(bins=bins, max_sites=max_sites, species=species))


def descriptions(  # noqa: PLR0913 - a crystal, and how much of it is wanted
    crystal: Crystal, tokenizer: OrbitTokenizer, *, name: str, symprec: float, settings: int, in_subgroups: int
) -> list[tuple[int, GridOrbits]]:
    """Return descriptions of a crystal with their kinds, the canonical one first.

    What is drawn follows from the name. Descriptions that the grids do not hold are left out, save the canonical one.

    Parameters
    ----------
    name
        Id of the row.
    symprec
        Å, tolerance of the symmetry search.
    settings
        How many settings to return at most, the canonical one included.
    in_subgroups
        How many translationengleiche subgroups to describe it in at most.

    Raises
    ------
    MateriumError
        If the crystal has too many sites, no unambiguous symmetry, or does not fit the grids.
    """
    dataset = dataset_of(crystal, symprec)
    if len(dataset.prim_std_cell.numbers) > tokenizer.config.max_sites:
        raise CrystalError(f"more than {tokenizer.config.max_sites} sites")
    first, *others = settings_of(dataset, known=crystal.oxidation_states is not None)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    drawn = [others[place] for place in rng.permutation(len(others))[: settings - 1]]
    found = [(CANONICAL, tokenizer.grid(first))]
    lower = _in_subgroups(first, in_subgroups, rng)
    for kind, orbits in [*((SETTING, one) for one in drawn), *((SUBGROUP, one) for one in lower)]:
        try:
            found.append((kind, tokenizer.grid(orbits)))
        except MateriumError:
            continue  # another cell may stick out of the grids where the canonical one fits
    return found


def form(grid: GridOrbits) -> bytes:
    """Return the description on the grids, short enough to keep of every crystal."""
    arrays = (grid.lattice, grid.species, grid.positions, grid.points)
    return hashlib.sha256(bytes([grid.group]) + b"".join(array.tobytes() for array in arrays)).digest()


def _in_subgroups(orbits: Orbits, count: int, rng: np.random.Generator) -> Iterator[Orbits]:
    """Descriptions in different subgroups, as likely one as the other but for P1."""
    known = subgroups(orbits.group)[1:]
    order = rng.permutation(len(known)).tolist()
    if known and rng.random() < P1_SHARE:  # subgroups come by ascending index: P1 is the last one
        order = [len(known) - 1, *(place for place in order if place != len(known) - 1)]
    left = count
    for place in order:
        if not left:
            return
        if num_orbits(orbits, known[place]) <= MAX_ORBITS:
            try:
                found = in_subgroup(orbits, known[place])
            except CrystalError:
                continue  # moyo does not find every subgroup again
            left -= 1
            yield found
