"""The grammar: its masks are those of a slow one, it lets real sentences pass, and all that it lets pass is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crystals import KNOWN
from materium.symmetry import canonical
from materium.tokens.grammar import MIN_CELL_FACTOR, Grammar, State, coincidence_reach
from materium.tokens.tokenizer import ORDERS, Order, Tokenizer, TokenizerConfig
from materium.tokens.vocab import ATOMS, EOS, LATTICE, PAD, SOS, Role

LAYOUTS = [(species_first, lattice_first) for species_first in (True, False) for lattice_first in (False, True)]


def small(*, species_first: bool = True, **changes: Any) -> Tokenizer:
    """A tokenizer of so few tokens that its sentences can be looked at one by one."""
    settings = {"bins": 24, "max_sites": 3, "species": ((8, -2), (8, 0), (26, 0), (26, 3)), **changes}
    return Tokenizer(TokenizerConfig(species_first=species_first, **settings))


def base(*, species_first: bool = True, max_sites: int = 20) -> Tokenizer:
    return Tokenizer(TokenizerConfig.preset("base", species_first=species_first, max_sites=max_sites))


def cell_factor(tokenizer: Tokenizer, points: list[int]) -> float:
    """Volume over a b c at these grid points of the angles; 0 for a cell that does not exist."""
    a, b, c = np.cos(np.radians(tokenizer.lattice_values(np.array([0, 0, 0, *points]))[3:]))
    return float(np.sqrt(max(0.0, 1 - a**2 - b**2 - c**2 + 2 * a * b * c)))


def slow_legal(tokenizer: Tokenizer, written: list[int], *, lattice_first: bool) -> set[int]:
    """The tokens that may follow what is written, by reading it from the start: the definition of the grammar."""
    vocab, most = tokenizer.vocab, tokenizer.config.max_sites
    species = set(range(vocab.first_species, vocab.first_number))
    coordinates = set(range(vocab.first_number, vocab.first_number + vocab.bins))
    lengths = coordinates | {vocab.first_number + vocab.bins}
    site = [species] + [coordinates] * 3 if tokenizer.config.species_first else [coordinates] * 3 + [species]
    if len(written) < 2:
        return {LATTICE if lattice_first else ATOMS} if written else {SOS}
    last_mark = max(i for i, token in enumerate(written) if token in (ATOMS, LATTICE))
    since = written[last_mark + 1 :]
    if EOS in written:
        legal = {PAD}
    elif written[last_mark] == ATOMS and len(since) % 4:
        legal = site[len(since) % 4]
        if (len(since) % 4) == (3 if tokenizer.config.species_first else 2):
            legal = legal - slow_taken(tokenizer, since)
    elif written[last_mark] == ATOMS:
        end = {EOS if lattice_first else LATTICE}
        legal = (site[0] if len(since) < 4 * most else set()) | (end if since else set())
    elif len(since) == 6:
        legal = {ATOMS if lattice_first else EOS}
    elif len(since) < 5:
        legal = lengths
    else:
        angles = [token - vocab.first_number for token in since[3:]]
        points = range(vocab.bins + 1)
        open_cells = [point for point in points if cell_factor(tokenizer, [*angles, point]) > MIN_CELL_FACTOR]
        legal = {vocab.first_number + point for point in open_cells}
    return legal


def slow_taken(tokenizer: Tokenizer, since: list[int]) -> set[int]:
    """The z at which the site that is being written would coincide with an earlier one."""
    bins, reach, first = tokenizer.config.bins, coincidence_reach(tokenizer.config), tokenizer.vocab.first_number
    numbers = [[t - first for t in since[i : i + 4] if t >= first] for i in range(0, len(since), 4)]
    *earlier, (x, y) = numbers
    within = lambda one, other: min((one - other) % bins, (other - one) % bins) <= reach  # noqa: E731
    blocking = [site[2] for site in earlier if within(site[0], x) and within(site[1], y)]
    return {first + z for z in range(bins) if any(within(z, other) for other in blocking)}


def walk(grammar: Grammar, lattice_first: torch.Tensor, seed: int, end: float) -> tuple[torch.Tensor, list[State]]:
    """Random sentences under the mask, which take the end of the atoms with probability `end` where they may."""
    generator = torch.Generator().manual_seed(seed)
    state = grammar.start(lattice_first)
    columns, states = [], []
    for _ in range(grammar.tokenizer.max_tokens):
        mask = grammar.mask(state)
        weights = mask.double()
        rows = (state.role == grammar.first_of_site)[:, None] & (torch.arange(mask.shape[1]) < 5)
        weights = torch.where(rows & mask, end / (1 - end) * weights.sum(1, keepdim=True), weights)
        states.append(state)
        columns.append(torch.multinomial(weights, 1, generator=generator)[:, 0])
        state = grammar.advance(state, columns[-1])
    return torch.stack(columns, dim=1), states


def test_reach_of_coincidence() -> None:
    """4 steps of 1/1008 in a cell of three times 31.5 Å are 0.375 Å, with a step for rounding 0.469; coarse: none."""
    ranges = ((1.5, 31.5), (1.5, 31.5), (1.5, 31.5))
    assert coincidence_reach(TokenizerConfig(length_ranges=ranges)) == 4
    assert coincidence_reach(small().config) < 0


@pytest.mark.parametrize("longest", [40.0, 2.0])
@pytest.mark.parametrize(("species_first", "lattice_first"), LAYOUTS)
def test_masks_are_those_of_the_slow_grammar(*, species_first: bool, lattice_first: bool, longest: float) -> None:
    """With cells of at most 2 Å, 24 steps are fine enough for sites to be told to coincide within one of them."""
    tokenizer = small(species_first=species_first, length_ranges=((1.5, longest),) * 3)
    grammar = Grammar(tokenizer)
    tokens, states = walk(grammar, torch.full((40,), lattice_first), seed=1, end=0.3)
    for step, state in enumerate(states):
        masks = grammar.mask(state)
        for row, mask in enumerate(masks):
            legal = slow_legal(tokenizer, tokens[row, :step].tolist(), lattice_first=lattice_first)
            assert set(mask.nonzero()[:, 0].tolist()) == legal
        for role in state.role.unique().tolist():
            rows, span = state.role == role, grammar.spans[role]
            found = grammar.mask_at(Role(role), state.keep(rows))
            assert torch.equal(found.expand(int(rows.sum()), -1), masks[rows][:, span])
            assert int(masks[rows][:, span].sum()) == int(masks[rows].sum()), "nothing legal lies outside"


@pytest.mark.parametrize(("species_first", "lattice_first"), LAYOUTS)
@pytest.mark.parametrize("order", ORDERS)
def test_real_sentences_are_legal(order: Order, *, species_first: bool, lattice_first: bool) -> None:
    tokenizer = base(species_first=species_first)
    grammar = Grammar(tokenizer)
    rng = np.random.default_rng(0)
    for crystal in KNOWN.values():
        parts = tokenizer.parts(canonical(crystal))
        sentence = tokenizer.sentence(parts, order, lattice_first=lattice_first, rng=rng)
        state = grammar.start(torch.tensor([lattice_first]))
        for token in sentence.tolist():
            assert grammar.mask(state)[0, token]
            state = grammar.advance(state, torch.tensor([token]))
        assert state.role.tolist() == [Role.PAD]


@pytest.mark.parametrize("species_first", [True, False])
@examples(max_examples=12)
@given(seed=st.integers(0, 2**31), end=st.floats(0.02, 0.9))
def test_whatever_is_sampled_is_read(species_first: bool, seed: int, end: float) -> None:
    """16 sentences with both places of the lattice, twelve times: each one is a crystal, and its own sentence."""
    tokenizer = base(species_first=species_first, max_sites=5)
    lattice_first = torch.arange(16) % 2 == 0
    tokens, _ = walk(Grammar(tokenizer), lattice_first, seed, end)
    for row, first in zip(tokens.numpy(), lattice_first.tolist(), strict=True):
        sentence = row[row != PAD]
        parts = tokenizer.parse(sentence)
        crystal = tokenizer.decode(sentence)
        assert 1 <= len(crystal) <= 5
        assert crystal.volume > 0.99 * MIN_CELL_FACTOR * np.prod(crystal.lengths_angles[:3])
        again = tokenizer.parts(crystal)
        np.testing.assert_array_equal(again.points, parts.points)
        np.testing.assert_array_equal(again.lattice, parts.lattice)
        assert (sentence[1] == LATTICE) == first


@pytest.mark.parametrize(("species_first", "lattice_first"), LAYOUTS)
def test_the_limit_of_sites_is_kept(*, species_first: bool, lattice_first: bool) -> None:
    """Walks that hardly want to end fill all sites, and no more: 64 walks of 3 sites, (1 - 0.97²) to end early."""
    tokenizer = small(species_first=species_first)
    tokens, _ = walk(Grammar(tokenizer), torch.full((64,), lattice_first), seed=2, end=0.03)
    sites = [len(tokenizer.decode(row[row != PAD])) for row in tokens.numpy()]
    assert max(sites) == 3
    assert sites.count(3) > 40


@pytest.mark.parametrize("lattice_first", [False, True])
def test_no_angle_leads_to_a_dead_end(*, lattice_first: bool) -> None:
    """Beside every α and β there is a γ that leaves a cell, on the whole grid of the base preset."""
    tokenizer = base()
    grammar = Grammar(tokenizer)
    points = torch.arange(0, tokenizer.config.bins + 1)
    for alpha in points[::21]:
        angles = torch.stack([alpha.expand(len(points)), points], dim=1)
        size = len(points)
        start = grammar.start(torch.full((size,), lattice_first))
        state = replace(start, role=torch.full((size,), int(Role.GAMMA)), angles=angles)
        assert grammar.mask(state).any(dim=1).all()


@pytest.mark.parametrize("angles", [[60, 60, 120], [60, 120, 60], [120, 120, 120], [120, 60, 60]])
def test_flat_cells_are_not_legal(angles: list[float]) -> None:
    tokenizer = base()
    grammar = Grammar(tokenizer)
    points = [round((angle - 60) / 60 * 1008) for angle in angles]
    assert cell_factor(tokenizer, points) < 1e-6
    start = grammar.start(torch.tensor([False]))
    state = replace(start, role=torch.tensor([int(Role.GAMMA)]), angles=torch.tensor([points[:2]]))
    assert not grammar.mask(state)[0, tokenizer.vocab.first_number + points[2]]


@pytest.mark.parametrize("species_first", [True, False])
def test_roles_are_those_of_the_tokenizer(*, species_first: bool) -> None:
    tokenizer = base(species_first=species_first)
    grammar = Grammar(tokenizer)
    crystals = [canonical(crystal) for crystal in KNOWN.values()]
    for lattice_first in (False, True):
        sentences = [tokenizer.encode(crystal, lattice_first=lattice_first) for crystal in crystals]
        tokens = torch.full((len(sentences), tokenizer.max_tokens), PAD)
        expected = torch.full_like(tokens, Role.PAD)
        for i, (crystal, sentence) in enumerate(zip(crystals, sentences, strict=True)):
            tokens[i, : len(sentence)] = torch.from_numpy(sentence)
            roles = tokenizer.roles(len(crystal), lattice_first=lattice_first)
            expected[i, : len(roles)] = torch.from_numpy(roles)
        assert torch.equal(grammar.roles(tokens, torch.full((len(sentences),), lattice_first)), expected)


def test_sentences_of_both_layouts_walk_side_by_side() -> None:
    """A row's masks hang on that row alone."""
    grammar = Grammar(small())
    mixed = torch.tensor([False, True, False, True])
    tokens, states = walk(grammar, mixed, seed=3, end=0.3)
    for row in range(4):
        state = grammar.start(mixed[row : row + 1])
        for step, beside in enumerate(states):
            assert torch.equal(grammar.mask(state)[0], grammar.mask(beside)[row])
            state = grammar.advance(state, tokens[row : row + 1, step])


def test_advance_leaves_the_old_state_alone() -> None:
    grammar = Grammar(small())
    state = grammar.start(torch.tensor([False]))
    grammar.mask(state)
    grammar.advance(state, torch.tensor([SOS]))
    assert (state.role.tolist(), state.sites.tolist(), state.angles.tolist()) == ([0], [0], [[0, 0]])


def test_new_sites_keep_nearly_the_separation_of_training() -> None:
    """0.9 of 43 steps are 38: nothing within 37 is legal, and the next step is."""
    tokenizer = base()
    grammar = Grammar(tokenizer, site_separation=43)
    assert grammar.reach == 37
    first, species = tokenizer.vocab.first_number, tokenizer.vocab.first_species
    state = grammar.start(torch.tensor([False]))
    for token in (SOS, ATOMS, species, first, first, first, species, first + 30, first + 1000):
        state = grammar.advance(state, torch.tensor([token]))
    legal = grammar.mask(state)[0, first : first + 1008].nonzero()[:, 0].tolist()
    assert legal == list(range(38, 1008 - 37))
