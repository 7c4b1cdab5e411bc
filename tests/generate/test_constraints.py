"""Hard constraints: every structure keeps them, at any temperature, and what contradicts itself is refused first."""

from __future__ import annotations

from collections import Counter
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materium.errors import RequestError
from materium.generate.naive import write_sentence
from materium.generate.request import Request
from materium.tokens.tokenizer import TokenizerConfig
from materium.tokens.vocab import known_species
from tiny import tiny_engine

if TYPE_CHECKING:
    from materium.crystal import Crystal
    from materium.generate.engine import Materium
    from materium.tokens.tokenizer import Order

SYMBOLS = ["H", "Li", "O", "Na", "Mg", "Al", "Si", "Cl", "Ti", "Fe", "Ba"]
TOKENIZER = TokenizerConfig(bins=24, species=known_species("common"), max_sites=10)
NUMBERS = dict(zip(SYMBOLS, (1, 3, 8, 11, 12, 13, 14, 17, 22, 26, 56), strict=True))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"), tokenizer=TOKENIZER)


def written(engine: Materium, request: Request) -> list[Crystal]:
    return [engine.tokenizer.decode(sample.tokens) for sample in engine.samples(request)]


def counts(crystal: Crystal) -> Counter[int]:
    return Counter(crystal.numbers.tolist())


@st.composite
def element_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Allowed, required and forbidden elements, atoms and neutrality that do not contradict each other."""
    allowed = draw(st.lists(st.sampled_from(SYMBOLS), min_size=2, unique=True))
    require = draw(st.lists(st.sampled_from(allowed), max_size=3, unique=True))
    free = [symbol for symbol in SYMBOLS if symbol not in require]
    forbid = draw(st.lists(st.sampled_from(free), max_size=2, unique=True)) if draw(st.booleans()) else []
    low = draw(st.integers(max(1, len(require)), 6))
    options: dict[str, Any] = {"require": require, "forbid": forbid if set(allowed) - set(forbid) else []}
    if draw(st.booleans()):
        options["elements"] = allowed
    if draw(st.booleans()):
        options["conditions"] = {"num_sites": f"{low}..{draw(st.integers(low + 1, 11))}"}
    return {**options, "neutral": draw(st.booleans()), "order": draw(st.sampled_from(["high", "low", "random", "xyz"]))}


def assert_kept(crystal: Crystal, options: dict[str, Any]) -> None:
    inside = set(crystal.numbers.tolist())
    assert {NUMBERS[s] for s in options["require"]} <= inside
    assert not {NUMBERS[s] for s in options["forbid"]} & inside
    if "elements" in options:
        assert inside <= {NUMBERS[s] for s in options["elements"]}
    if "conditions" in options:
        low, high = map(int, options["conditions"]["num_sites"].split(".."))
        assert low <= len(crystal) <= high
    if options["neutral"]:
        assert crystal.oxidation_states is not None
        assert crystal.oxidation_states.sum() == 0


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(element_requests(), st.integers(0, 1000))
def test_elements_atoms_and_charge_are_kept(engine: Materium, options: dict[str, Any], seed: int) -> None:
    for crystal in written(engine, Request(n=8, seed=seed, temperature=3.0, **options)):
        assert_kept(crystal, options)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 3), min_size=1, max_size=3),
    z=st.none() | st.tuples(st.integers(1, 2), st.integers(2, 4)),
    order=st.sampled_from(["high", "low", "electronegativity", "random"]),
    neutral=st.booleans(),
)
def test_formula_and_units_are_kept(
    engine: Materium, amounts: dict[str, int], z: tuple[int, int] | None, order: Order, neutral: bool
) -> None:
    formula = "".join(f"{symbol}{count}" for symbol, count in amounts.items())
    divisor = gcd(*amounts.values())
    expected = {NUMBERS[symbol]: count // divisor for symbol, count in amounts.items()}
    request = Request(n=8, temperature=3.0, conditions={"reduced_formula": formula}, z=z, order=order, neutral=neutral)
    for crystal in written(engine, request):
        found = counts(crystal)
        units = gcd(*found.values())
        assert {number: count // units for number, count in found.items()} == expected
        assert z is None or z[0] <= units <= z[1]
        assert not neutral or crystal.oxidation_states.sum() == 0  # type: ignore[union-attr]


def test_cell_formula_is_exact(engine: Materium) -> None:
    for crystal in written(engine, Request(n=32, temperature=2.0, cell_formula="Li2Fe2O4")):
        assert counts(crystal) == {3: 2, 26: 2, 8: 4}


def test_elements_stand_in_the_asked_order(engine: Materium) -> None:
    """In the order `high`, no element comes back after a lighter one: it would be unlike all that was learned."""
    request = Request(n=32, temperature=2.0, elements=("O", "Fe", "Li"), require=("Fe",))
    for sample in engine.samples(request):
        species = engine.tokenizer.parse(sample.tokens).species - engine.tokenizer.vocab.first_species
        numbers = engine.tokenizer.vocab.species_table[species, 0]
        assert (np.diff(numbers) <= 0).all()


def test_chemical_system_is_exact(engine: Materium) -> None:
    for crystal in written(engine, Request(n=32, conditions={"chemical_system": "Li-Fe-O"}, temperature=2.0)):
        assert set(crystal.numbers.tolist()) == {3, 8, 26}


def test_soft_conditions_are_told_only(engine: Materium) -> None:
    request = Request(n=32, conditions={"reduced_formula": "NaCl"}, soft=True, temperature=2.0)
    assert {frozenset(counts(crystal)) for crystal in written(engine, request)} != {frozenset({11, 17})}


def test_constraints_do_not_count_in_the_likelihood(engine: Materium) -> None:
    request = Request(n=16, conditions={"reduced_formula": "NaCl"})
    samples = list(engine.samples(request))
    figures = engine.score([sample.tokens for sample in samples], request)
    found = [figure["log_likelihood"] for figure in figures]
    np.testing.assert_allclose(found, [sample.log_likelihood for sample in samples], rtol=1e-4, atol=1e-4)


def test_plain_decoder_keeps_the_same(engine: Materium) -> None:
    request = Request(n=8, conditions={"reduced_formula": ["NaCl", "MgAl2O4"]}, neutral=True, z=(1, 2))
    for sample in engine.samples(request):
        expected = write_sentence(engine.model, engine.grammar, request, sample.index)
        np.testing.assert_array_equal(sample.tokens, expected.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": {"reduced_formula": "NaCl"}, "forbid": "Cl"}, "Cl is in the formula and in --forbid"),
        ({"conditions": {"reduced_formula": "NaCl"}, "elements": "Na,O"}, "Cl is in the formula, and not among"),
        ({"conditions": {"reduced_formula": "NaCl"}, "require": "Fe"}, "Fe must occur, and is not in the formula"),
        ({"conditions": {"reduced_formula": "TiO2", "num_sites": 8}}, "8 atoms do not go with the formula; .* 3, 6, 9"),
        (
            {"conditions": {"reduced_formula": "Y3Al5O12"}, "z": 2},
            "40 atoms are asked for; this model writes at most 10",
        ),
        ({"conditions": {"reduced_formula": "NaCl"}, "z": 30}, "60 atoms are asked for"),
        ({"conditions": {"chemical_system": "Na-Cl"}, "elements": "Na,O"}, "Cl must occur and must not"),
        ({"elements": "Li,O", "require": "Fe"}, "Fe must occur and must not"),
        ({"require": "Fe", "forbid": "Fe"}, "Fe is in --require and in --forbid"),
        ({"require": "Li,Fe,O", "conditions": {"num_sites": 2}}, "3 elements must occur in at most 2 atoms"),
        ({"elements": "Na", "forbid": "Na"}, "no element is left"),
        ({"conditions": {"num_sites": 40}}, "more than the 10 atoms"),
    ],
)
def test_contradictions_are_named_before_sampling(engine: Materium, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        next(engine.samples(Request(n=1, **options)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elements": "Xx"}, "'Xx' is no element"),
        ({"z": "4..1", "conditions": {"reduced_formula": "NaCl"}}, "z = 4..1 is not possible"),
        ({"z": "two", "conditions": {"reduced_formula": "NaCl"}}, "z = two is no whole number"),
        ({"z": "²", "conditions": {"reduced_formula": "NaCl"}}, "z = ² is no whole number"),
        ({"conditions": {"chemical_system": "Na2Cl"}}, "'Na2Cl' has counts"),
        ({"conditions": {"reduced_formula": "Na0Cl"}}, "'Na0Cl' needs whole numbers"),
        ({"temperature": 1e-40}, "temperature = 1e-40"),
        ({"z": 2}, "z counts formula units"),
        ({"cell_formula": "NaCl", "conditions": {"reduced_formula": "NaCl"}}, "not both"),
        ({"conditions": {"density": "3..1"}}, "range 3..1 is empty"),
        ({"conditions": {"density": ".."}}, "is no range"),
        ({"conditions": {"density": ">x"}}, "is no range"),
        ({"conditions": {"density": []}}, "density has no target"),
        ({"conditions": {"space_group": 231}}, "space_group = 231"),
        ({"conditions": {"space_group": "200..231"}}, "space_group = 231"),
    ],
)
def test_wrong_requests_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Request(n=1, **options)
