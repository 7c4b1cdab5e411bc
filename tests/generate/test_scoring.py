"""Likelihood of given crystals: what sampling reports, the same for every description, exact over all site orders."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import materium
from crystals import NACL, QUARTZ, RUTILE, SILICON
from materium import convert
from materium.crystal import Crystal
from materium.errors import CrystalError, MateriumError, RequestError
from materium.generate.decoding import FREE, write_batch
from materium.generate.request import Request
from materium.generate.scoring import Figures, as_crystals, never_written
from materium.model.likelihood import exact_nll
from materium.tokens.vocab import Role
from tiny import tiny_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from materium.generate.engine import Materium

LAYOUTS = [{}, {"lattice_first": True, "order": "low"}]
TOLD: list[dict[str, Any]] = [
    {"order": "random"},
    {"lattice_first": True, "conditions": {"density": 3.5}},
    {"conditions": {"reduced_formula": "TiO2", "band_gap": 2.0}, "soft": True},
    {"conditions": {"reduced_formula": "TiO2"}, "order": "random", "lattice_first": True},
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


def written(engine: Materium, request: Request, sites: int) -> NDArray[np.int64]:
    """Return the first sentence of a request that has so many sites."""
    many = replace(request, n=512)
    return next(s.tokens for s in engine.samples(many) if len(engine.tokenizer.parse(s.tokens).species) == sites)


def nats(engine: Materium, tokens: NDArray[np.int64], request: Request) -> list[float]:
    """Nats of each token but the first, one sentence at a time."""
    words = torch.from_numpy(tokens)[None]
    roles = engine.grammar.roles(words, torch.tensor([request.lattice_first]))
    with torch.inference_mode():
        costs, _ = exact_nll(engine.model, engine.grammar, words, roles, request.told(1))
    return [-cost for cost in costs[0].tolist()]


@pytest.mark.parametrize("options", TOLD)
def test_figure_is_what_sampling_reports(engine: Materium, options: dict[str, Any]) -> None:
    """Hard constraints change what is written and not what the model believes: neither side counts them."""
    request = Request(n=16, seed=2, **options)
    samples = list(engine.samples(request))
    found = [figures["log_likelihood"] for figures in engine.score([s.tokens for s in samples], request)]
    np.testing.assert_allclose(found, [s.log_likelihood for s in samples], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_figures_are_sums_over_their_tokens(engine: Materium, layout: dict[str, Any]) -> None:
    request = Request(n=32, **layout)
    tokens = written(engine, request, 3)
    each = nats(engine, tokens, request)
    roles = engine.tokenizer.roles(3, lattice_first=request.lattice_first)[1:].tolist()
    atoms = [cost for cost, role in zip(each, roles, strict=True) if Role.SPECIES <= role <= Role.Z]
    (figures,) = engine.score([tokens], request)
    assert figures["log_likelihood"] == pytest.approx(sum(each))
    assert figures["log_likelihood_per_atom"] == pytest.approx(sum(each) / 3)
    assert figures["site_log_likelihoods"] == pytest.approx([sum(atoms[i : i + 4]) for i in (0, 4, 8)])
    assert figures["species"] + figures["coordinate"] + figures["lattice"] == pytest.approx(sum(each))
    end = figures["species"] + figures["coordinate"] - sum(figures["site_log_likelihoods"])
    assert end == pytest.approx(each[-1 if request.lattice_first else 1 + 12])


@pytest.mark.parametrize("lattice_first", [False, True])
@pytest.mark.parametrize("conditions", [{}, {"density": 4.0}])
def test_all_orders_are_the_brute_force_sum(
    engine: Materium, lattice_first: bool, conditions: dict[str, float]
) -> None:
    """3! = 6 sentences, each scored alone, token by token."""
    request = Request(n=32, lattice_first=lattice_first, conditions=conditions)
    tokens = written(engine, request, 3)
    shuffled = Request(order="random", lattice_first=lattice_first, conditions=conditions)
    atoms = slice(2 + 7, -1) if lattice_first else slice(2, -8)
    total = 0.0
    for order in permutations(range(3)):
        permuted = tokens.copy()
        permuted[atoms] = tokens[atoms].reshape(3, 4)[list(order)].ravel()
        total += np.exp(sum(nats(engine, permuted, shuffled)))
    for draws in (6, 1000):
        (found,) = engine.score_over_orders([tokens], request, draws)
        assert found["any_order_log_likelihood"] == pytest.approx(np.log(total), rel=1e-5)
        assert (found["any_order_draws"], found["any_order_error"]) == (6, 0.0)
        assert found["any_order_spread"] > 0


def test_drawn_orders_are_unbiased(engine: Materium) -> None:
    """The mean of 40 estimates of p, from 5 of 6 orders each, lies within 4 of its standard errors of the sum."""
    tokens = written(engine, Request(n=32), 3)
    exact = engine.score_over_orders([tokens], Request(), 6)[0]["any_order_log_likelihood"]
    drawn = [engine.score_over_orders([tokens], Request(seed=seed), 5)[0] for seed in range(40)]
    assert {figures["any_order_draws"] for figures in drawn} == {5}
    ratios = np.exp(np.array([figures["any_order_log_likelihood"] for figures in drawn]) - exact)
    assert ratios.std() > 0
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / np.sqrt(len(ratios))
    stated = [figures["any_order_error"] for figures in drawn]
    assert 0.5 < np.mean(stated) / ratios.std() < 2


def test_equal_sites_are_one_sentence(engine: Materium) -> None:
    """On a grid so coarse that two sites fall together, three sites have 3 sentences and not 6."""
    request = Request(n=64)
    tokens = written(engine, request, 3)
    tokens[6:10] = tokens[2:6]
    sites = tokens[2:14].reshape(3, 4)
    different = {tuple(sites[list(order)].ravel().tolist()) for order in permutations(range(3))}
    total = 0.0
    for body in different:
        permuted = tokens.copy()
        permuted[2:14] = body
        total += np.exp(sum(nats(engine, permuted, Request(order="random"))))
    (found,) = engine.score_over_orders([tokens], request, 6)
    assert found["any_order_draws"] == len(different) == 3
    assert found["any_order_log_likelihood"] == pytest.approx(np.log(total), rel=1e-5)


def test_orders_do_not_depend_on_company(engine: Materium) -> None:
    request = Request(n=32, seed=3)
    one, other = written(engine, request, 4), written(engine, request, 5)
    together = engine.score_over_orders([other, one], request, 8)
    (alone,) = engine.score_over_orders([one], request, 8)
    assert together[1] == pytest.approx(alone, rel=1e-5)
    assert engine.score_over_orders([one], Request(seed=4), 8)[0] != alone


def rotated(crystal: Crystal) -> Crystal:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    return Crystal(crystal.lattice @ turn, crystal.frac_coords, crystal.numbers, crystal.oxidation_states)


def supercell(crystal: Crystal) -> Crystal:
    return convert.from_structure(convert.to_structure(crystal) * (2, 1, 3))


def permuted(crystal: Crystal) -> Crystal:
    return crystal.select(np.random.default_rng(1).permutation(len(crystal)))


@pytest.mark.parametrize("crystal", [NACL, SILICON])
@pytest.mark.parametrize("description", [rotated, supercell, permuted, convert.to_structure, convert.to_atoms])
def test_every_description_has_the_same_figures(
    engine: Materium, crystal: Crystal, description: Callable[[Crystal], Any]
) -> None:
    options: dict[str, Any] = {"draws": 5, "seed": 1, "density": 3.0}
    (expected,) = engine.log_likelihood(crystal, **options)
    (found,) = engine.log_likelihood([description(crystal)], **options)
    assert found.pop("structure").matches(expected.pop("structure"))
    sites = found.pop("site_log_likelihoods")
    assert sites == pytest.approx(expected.pop("site_log_likelihoods"), rel=1e-5)
    assert found == pytest.approx(expected, rel=1e-5)
    assert len(sites) == 2


def test_options_of_the_python_interface(engine: Materium) -> None:
    (plain,) = engine.log_likelihood(NACL)
    assert set(plain) == {*Figures.__annotations__, "structure"}
    assert [site.specie.symbol for site in plain["structure"]] == ["Cl", "Na"]
    told: list[dict[str, Any]] = [{"formula": "NaCl"}, {"density": 2.0}, {"lattice_first": True}, {"order": "low"}]
    figures = [plain, *(engine.log_likelihood([NACL], **options)[0] for options in told)]
    assert len({row["log_likelihood"] for row in figures}) == 5
    assert figures[4]["structure"][0].specie.symbol == "Na"
    by_name = engine.log_likelihood(NACL, reduced_formula="NaCl")[0]["log_likelihood"]
    assert by_name == figures[1]["log_likelihood"]
    assert engine.log_likelihood([]) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": "random"}, "no canonical sentence"),
        ({"order": "hihg"}, "unknown order"),
        ({"draws": 1}, "draws = 1"),
        ({"densty": 3.0}, "did you mean density"),
        ({"temperature": 2.0}, "unknown option 'temperature'"),
        ({"density": "1..2"}, "one value of each"),
        ({"density": [1.0, 2.0]}, "one value of each"),
        ({"formula": "Xx2"}, "no formula"),
        ({"space_group": 231}, "runs from 1 to 230"),
    ],
)
def test_options_that_are_refused(engine: Materium, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        engine.log_likelihood(NACL, **options)


def test_wrong_structures_are_named_by_their_place(engine: Materium) -> None:
    with pytest.raises(RequestError, match="structure 1: str is no structure"):
        as_crystals([NACL, "salt.cif"])  # type: ignore[list-item]
    with pytest.raises(RequestError, match="int is no structure"):
        as_crystals(3)  # type: ignore[arg-type]
    close = convert.to_structure(NACL)
    close.translate_sites([0], -close[0].frac_coords + close[1].frac_coords + 0.001)
    with pytest.raises(CrystalError, match="structure 1: overlapping atoms"):
        as_crystals([NACL, close])
    with pytest.raises(MateriumError, match="9 sites; at most 5"):
        engine.log_likelihood([QUARTZ])


@pytest.mark.parametrize(
    ("part", "said"), [("lattice", "too flat"), ("coordinate", "too close"), ("species", "not allowed")]
)
def test_why_a_sentence_is_never_written(part: str, said: str) -> None:
    figures: Any = {"log_likelihood": -3.0, "species": -1.0, "coordinate": -1.0, "lattice": -1.0}
    assert never_written(figures) is None
    assert said in str(never_written({**figures, part: -inf, "log_likelihood": -inf}))


def test_flat_cells_have_no_probability(engine: Materium) -> None:
    """120°, 120°, 120° span nothing; summed over orders it stays nothing."""
    request = Request(n=32)
    tokens = written(engine, request, 2)
    tokens[-4:-1] = engine.tokenizer.vocab.first_number + engine.tokenizer.config.bins
    (figures,) = engine.score([tokens], request)
    assert figures["log_likelihood"] == -inf
    assert "too flat" in str(never_written(figures))
    (summed,) = engine.score_over_orders([tokens], request, 2)
    assert summed["any_order_log_likelihood"] == -inf
    assert summed["any_order_error"] == 0


@pytest.mark.parametrize("options", [{}, {"lattice_first": True, "conditions": {"density": 4.2}}])
def test_model_that_ships_would_write_rutile_with_this_likelihood(options: dict[str, Any]) -> None:
    """The sampler is made to write the canonical sentence, and reports what it costs."""
    engine, request = materium.load(), Request(n=1, **options)
    tokens = engine.sentence(RUTILE, request)
    given = torch.full((1, engine.tokenizer.max_tokens), FREE)
    given[0, : len(tokens)] = torch.from_numpy(tokens)
    (sample,) = write_batch(engine.model, engine.grammar, engine.plan(request), range(1), given)
    layout = {"lattice_first": request.lattice_first, **request.conditions}
    (figures,) = engine.log_likelihood(convert.to_atoms(RUTILE), **layout)
    assert sample.tokens.tolist() == tokens.tolist()
    assert figures["log_likelihood"] == pytest.approx(sample.log_likelihood, rel=1e-4)
