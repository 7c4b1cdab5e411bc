"""Laws of legal headers: every one that can be completed, no other, and never a dead end."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations, product
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materium.core.completion import HeaderConstraints, RequiredPosition
from materium.core.header import HeaderMasks
from materium.core.occupancy import occupancy
from materium.core.space_groups import NUMBERS
from materium.errors import TokenError
from materium.tokens.orbit_header import HeaderRules
from materium.tokens.orbit_tokenizer import OrbitTokenizer, Order
from random_orbits import TOKENIZER, walk

SMALL = OrbitTokenizer(replace(TOKENIZER.config, species=((8, 0), (3, 0), (8, -2)), max_sites=6, max_components=2))


@cache
def headers(order: Order) -> set[tuple[tuple[int, int], ...]]:
    """Return all compositions of the small tokenizer, as pairs of a species and its count."""
    ranks, found = SMALL.ranks[order], set()
    for size in (1, 2):
        for species in permutations(range(3), size):
            ordered = order == "random" or [*ranks[list(species)]] == sorted(ranks[list(species)])
            for counts in product(range(1, 7), repeat=size):
                if ordered and sum(counts) <= 6 and gcd(*counts) == 1:
                    found.add(tuple(zip(species, counts, strict=True)))
    return found


@pytest.mark.parametrize("order", ["low", "random"])
def test_legal_species_and_counts_are_those_of_some_composition(order: Order) -> None:
    rules, known = HeaderRules(SMALL, order), headers(order)
    for header in {longer[:size] for longer in known for size in range(len(longer) + 1)}:
        species, counts = [one for one, _ in header], [count for _, count in header]
        following = {longer[len(header)] for longer in known if longer[: len(header)] == header and longer != header}
        legal = rules.components(species, counts)
        assert set(np.flatnonzero(legal[:3])) == {one for one, _ in following}
        assert legal[3:].any() == (header in known)
        for one in {one for one, _ in following}:
            numbers = np.flatnonzero(rules.counts([*species, one], counts)) + 1
            assert set(numbers) == {count for other, count in following if other == one}


@settings(max_examples=50)
@given(st.sampled_from(NUMBERS), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_legal_groups_and_units_are_those_that_hold_the_atoms(group: int, counts: list[int]) -> None:
    counts = [count // gcd(*counts) for count in counts]
    rules, species = HeaderRules(TOKENIZER, "high"), TOKENIZER.ranks["high"].argsort()[: len(counts)].tolist()
    units = np.flatnonzero(rules.units(species, counts, group)) + 1
    most = 52 // sum(counts)
    cells = {n: tuple(count * n for count in counts) for n in range(1, most + 1)}
    assert units.tolist() == [n for n, cell in cells.items() if occupancy(group).feasible(cell)]
    assert rules.components(species, counts)[len(TOKENIZER.config.species) + group - 1] == bool(len(units))


def constraints(order: Order, **given: object) -> HeaderMasks:
    species, direction = TOKENIZER.header_species[order], int(order != "random")
    return HeaderMasks(HeaderConstraints(species=species, direction=direction, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["low", "random"])
def test_walks_within_constraints_keep_them(order: Order) -> None:
    positions = (RequiredPosition("4a", 26), RequiredPosition("8d"))
    masks = constraints(order, sites=(1, 24), required=frozenset({8}), groups=frozenset({62, 63}), positions=positions)
    for seed in range(8):
        state = walk(order, np.random.default_rng(seed), masks)
        grid = state.grid()
        numbers = TOKENIZER.vocab.species_table[grid.species, 0].tolist()
        labels = [occupancy(grid.group).labels[index] for index in grid.positions]
        assert grid.group in {62, 63}
        assert 8 in numbers
        assert ("4a", 26) in zip(labels, numbers, strict=True)
        assert "8d" in labels
        assert sum(state.counts) <= 24


def test_a_formula_and_its_units_are_kept() -> None:
    masks = constraints("high", formula=((12, 1), (26, 2), (8, 4)), units=(2, 2), groups=frozenset({227}))
    state = walk("high", np.random.default_rng(1), masks)
    numbers = TOKENIZER.vocab.species_table[state.components, 0]
    totals = {z: sum(n for m, n in zip(numbers, state.counts, strict=True) if m == z) for z in (12, 26, 8)}
    assert totals == {12: 2, 26: 4, 8: 8}


@pytest.mark.parametrize(
    ("order", "masks", "message"),
    [
        ("low", constraints("high"), "other species than the order low has"),
        ("random", constraints("high"), "other species than the order random has"),
        (
            "high",
            constraints("high", sites=(1, 60)),
            "constraints allow 60 sites and 10 species; sequences hold 52",
        ),
    ],
)
def test_constraints_on_something_else_are_refused(order: Order, masks: HeaderMasks, message: str) -> None:
    with pytest.raises(TokenError, match=message):
        HeaderRules(TOKENIZER, order, masks)
