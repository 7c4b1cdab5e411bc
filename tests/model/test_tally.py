"""The tally: what stands up to each token, and what the formula, the density and the index still leave open."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from crystals import KNOWN
from materium.convert import formula
from materium.crystal import GRAMS_PER_CM3
from materium.elements import masses
from materium.evaluate.measure import hhi
from materium.generate.request import Request
from materium.model.candidates import BROKEN, Told, open_formula
from materium.model.conditions import Conditions
from materium.model.config import WAVES, ModelConfig
from materium.model.tally import ATOMS, COSINES, LENGTHS, MASS, SUMS, Tally, TallyEncoder
from materium.model.transformer import Transformer
from materium.tokens.tokenizer import Tokenizer, TokenizerConfig
from materium.tokens.vocab import known_species
from tiny import grammar_of, sentences, tiny_model, told

if TYPE_CHECKING:
    from materium.crystal import Crystal
    from materium.tokens.tokenizer import Order

TOKENIZER = Tokenizer(TokenizerConfig(bins=1008, species=known_species("common"), max_sites=20))
PLAIN = 5
"""Features that need no condition stand first; then whether there is an index, and the distance from it."""
GRID = 6e-3
"""Half a step of the logarithm of each length, and what the angles add."""


@pytest.fixture(scope="module")
def encoder() -> TallyEncoder:
    model = tiny_model(tokenizer=TOKENIZER.config)
    assert model.tally is not None
    return model.tally


def written(crystal: Crystal, *, lattice_first: bool = False) -> tuple[Tensor, Tensor]:
    tokens = TOKENIZER.encode(crystal, lattice_first=lattice_first)
    roles = TOKENIZER.roles(len(crystal), lattice_first=lattice_first)
    return torch.from_numpy(tokens)[None], torch.from_numpy(roles)[None]


def tally_of(encoder: TallyEncoder, **conditions: float | str) -> Tally:
    return Tally(Request(conditions=conditions).told(1), torch.zeros(1, encoder.told.in_features))


@pytest.mark.parametrize("lattice_first", [False, True])
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_sums_are_those_of_the_crystal(encoder: TallyEncoder, name: str, lattice_first: bool) -> None:
    crystal = KNOWN[name]
    sums = encoder._sums(*written(crystal, lattice_first=lattice_first), tally_of(encoder))[0, -1]
    assert float(sums[ATOMS]) == len(crystal)
    assert float(sums[MASS]) == pytest.approx(masses()[crystal.numbers].sum())
    cosines = sums[COSINES:SUMS]
    volume = sums[LENGTHS].exp() * (1 - cosines.square().sum() + 2 * cosines.prod()).sqrt()
    assert float(volume) == pytest.approx(crystal.volume, rel=2 * GRID)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_nothing_is_left_open_where_the_crystal_has_what_was_told(encoder: TallyEncoder, name: str) -> None:
    """Told its own density and index, a whole sentence leaves no room and no distance; told others, it does.

    Masses enter as ln(1 + m), which is 0 where nothing stands yet: a few thousandths of the volume.
    """
    crystal, tokens = KNOWN[name], written(KNOWN[name])
    index = hhi(crystal)
    assert index is not None
    extra = 1 / masses()[crystal.numbers].sum()
    own = open_of(encoder, tokens, density=crystal.density, hhi=index)
    assert own == pytest.approx((extra, 0.0), abs=GRID)
    other = open_of(encoder, tokens, density=2 * crystal.density, hhi=index + 1000)
    assert other == pytest.approx((extra - math.log(2), -1.0), abs=GRID)


def open_of(encoder: TallyEncoder, tokens: tuple[Tensor, Tensor], **conditions: float) -> tuple[float, float]:
    """Return what the features say of room (ln volume) and index (thousands) after the last token."""
    tally = tally_of(encoder, **conditions)
    sums = encoder._sums(*tokens, tally)
    features = encoder._features(encoder._named(sums, encoder._volume_of()), tally.targets)[0, -1]
    return float(features[-1 - 2 * WAVES]), float(features[PLAIN + 1])


def test_formula_is_lacking_until_its_units_are_whole(encoder: TallyEncoder) -> None:
    tally = tally_of(encoder, reduced_formula="TiO2")
    titanium, oxygen = (TOKENIZER.vocab.species_ids[pair] for pair in ((22, 4), (8, -2)))
    with torch.no_grad():
        encoder.lacking.weight.zero_()
        encoder.amount.weight.zero_()
        encoder.units.weight.copy_(torch.arange(len(encoder.units.weight))[:, None].expand_as(encoder.units.weight))
        seen = []
        for token in (titanium, oxygen, oxygen, titanium, oxygen, oxygen):
            sums = encoder._sums(torch.tensor([[token]]), torch.tensor([[2]]), tally)
            tally.sums = sums[:, -1]
            seen.append(int(encoder._formula(sums[..., SUMS:], tally.conditions)[0, 0, 0]))
    assert seen == [1, 1, 2, 3, 3, 4], "odd while something lacks, even when one and when two units are whole"


def test_token_by_token_equals_all_at_once() -> None:
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)
    conditions = told(len(tokens))
    assert model.tally is not None
    head = torch.randn(len(tokens), model.config.width)
    with torch.no_grad():
        at_once = model.tally(tokens, roles, Tally(conditions, head))
        tally = Tally(conditions, head)
        steps = [model.tally(tokens[:, i : i + 1], roles[:, i : i + 1], tally) for i in range(tokens.shape[1])]
    for part in ("before", "after", "seen"):
        together = torch.cat([getattr(step, part) for step in steps], dim=1)
        torch.testing.assert_close(together, getattr(at_once, part), rtol=1e-5, atol=1e-5)


def test_a_fresh_tally_says_nothing() -> None:
    """So a trained network that gets one goes on as it was."""
    torch.manual_seed(0)
    config = ModelConfig.preset("tiny", tokenizer=TOKENIZER.config)
    encoder = Transformer(config).tally
    assert encoder is not None
    tokens, roles = written(next(iter(KNOWN.values())))
    margin = encoder(tokens, roles, tally_of(encoder, density=3.0, reduced_formula="TiO2"))
    hidden = torch.randn(1, tokens.shape[1], config.width)
    assert not margin.before.any()
    torch.testing.assert_close(encoder.note(hidden, margin), hidden)
    scores = encoder.candidates(hidden, roles, margin.told)
    assert not scores[(scores != 0).logical_and(scores > BROKEN)].any()


def test_volumes_of_species_come_from_cells(encoder: TallyEncoder) -> None:
    """Cells made of 20 Å³ a sodium and 10 Å³ a chlorine give these back; what never occurred stays at the mean."""
    sodium, chlorine, iron = (TOKENIZER.vocab.species_ids[pair] for pair in ((11, 1), (17, -1), (26, 2)))
    amounts = torch.randint(1, 5, (4000, 2), generator=torch.Generator().manual_seed(0))
    counts = torch.zeros(4000, len(TOKENIZER.vocab))
    counts[:, [sodium, chlorine]] = amounts.float()
    encoder.measure(counts, (counts[:, sodium] * 20 + counts[:, chlorine] * 10).double())
    assert float(encoder.volume[sodium]) == pytest.approx(20, rel=0.01)
    assert float(encoder.volume[chlorine]) == pytest.approx(10, rel=0.01)
    assert float(encoder.volume[iron]) == pytest.approx(15, rel=0.05)
    assert not encoder.volume[: TOKENIZER.vocab.first_species].any()


def test_settings_of_before_the_tally_have_none() -> None:
    settings = replace(ModelConfig.preset("tiny"), tokenizer=TOKENIZER.config).to_dict()
    assert ModelConfig.from_dict(settings).tally
    del settings["tally"]
    assert not ModelConfig.from_dict(settings).tally


def test_candidates_are_asked_what_the_formula_lacks(encoder: TallyEncoder) -> None:
    """After one titanium of TiO2: oxygen is lacking twice, titanium is named and whole, sodium is not named."""
    tally = tally_of(encoder, reduced_formula="TiO2")
    token = torch.tensor([[TOKENIZER.vocab.species_ids[22, 4]]])
    sums = encoder._named(encoder._sums(token, torch.tensor([[2]]), tally), encoder._volume_of())
    questions = torch.stack(
        encoder.candidates._formula(open_formula(sums.written, tally.conditions), tally.conditions)
    )[:, 0, 0]
    assert questions[:, 8].tolist() == pytest.approx([0, 1, math.log(3), 0, 0])
    assert questions[:, 22].tolist() == [0, 0, 0, 1, 0]
    assert questions[:, 11].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["density", "hhi"])
def test_candidates_are_asked_how_near_they_lead(encoder: TallyEncoder, name: str) -> None:
    """The next atom that gains most is lead where 11 g/cm³ are told, and where the index of lead is."""
    tally = tally_of(encoder, **{name: {"density": 11.0, "hhi": 2800.0}[name]})
    token = torch.tensor([[TOKENIZER.vocab.species_ids[8, -2]]])
    encoder.measure(*_cells())
    sums = encoder._named(encoder._sums(token, torch.tensor([[2]]), tally), encoder._volume_of())
    questions = torch.stack(encoder.candidates._numbers(sums, tally.targets))[:, 0, 0]
    first = {"hhi": 0, "density": 4}[name]
    given, off, distance, gained = questions[first : first + 4]
    assert (given == 1).all()
    torch.testing.assert_close(off.abs(), distance)
    assert float(gained[82]) < min(0.0, float(gained[8]))
    assert not questions[4 - first : 8 - first].any()


def _cells() -> tuple[Tensor, Tensor]:
    """Crystals of lead and oxygen, 30 and 10 Å³ an atom."""
    counts = torch.zeros(100, len(TOKENIZER.vocab))
    counts[:, TOKENIZER.vocab.species_ids[82, 2]] = torch.arange(100) % 3 + 1.0
    counts[:, TOKENIZER.vocab.species_ids[8, -2]] = torch.arange(100) % 5 + 1.0
    volumes = 30 * counts[:, TOKENIZER.vocab.species_ids[82, 2]] + 10 * counts[:, TOKENIZER.vocab.species_ids[8, -2]]
    return counts, volumes.double()


def test_a_length_that_fills_the_room_scores_best(encoder: TallyEncoder) -> None:
    """With one wave of each order turned on, the best c is the one that gives the density that was told."""
    crystal = KNOWN["NaCl"]
    tokens, roles = (part[:, :-4] for part in written(crystal))
    tally = tally_of(encoder, density=crystal.density)
    sums = encoder._named(encoder._sums(tokens, roles, tally), encoder._volume_of())
    with torch.no_grad():
        encoder.candidates.bump.weight[:, : encoder.candidates.waves] = 1.0
        encoder.candidates.bump.weight[:, encoder.candidates.waves :] = 0.0
        hidden = torch.zeros(*tokens.shape, encoder.told.in_features)
        encoder.candidates.bump_here.weight.zero_()
        scores = encoder.candidates._lengths(hidden, roles, Told(sums, tally.conditions, tally.targets))[0, -2]
    columns = encoder.candidates.columns[TOKENIZER.vocab.first_number :, encoder.candidates.elements :]
    best = int((columns @ scores).argmax())
    right_angled = math.exp(float(sums.mass[0, -1].log()) - math.log(crystal.density / GRAMS_PER_CM3)) / math.exp(
        float(sums.volume[0, -2])
    )
    assert float(TOKENIZER.lattice_values(np.full((1, 6), best))[0, 2]) == pytest.approx(right_angled, rel=0.01)


def broken(encoder: TallyEncoder, written: list[tuple[int, int]], **conditions: float | str) -> Tensor:
    """Return which rules each element would break after these species, (elements, rules)."""
    tally = tally_of(encoder, **conditions)
    tokens = torch.tensor([[TOKENIZER.vocab.species_ids[pair] for pair in written]])
    sums = encoder._named(encoder._sums(tokens, torch.full_like(tokens, 2), tally), encoder._volume_of())
    found = open_formula(sums.written, tally.conditions)
    return torch.stack(encoder.candidates._broken(found, sums, tally.conditions), dim=-1)[0, -1]


def test_rules_of_a_formula(encoder: TallyEncoder) -> None:
    """Heaviest first: oxygen waits for the second calcium of CaTiO3; a fifth unit of five sites has no room in 20."""
    rules = broken(encoder, [(22, 4), (22, 4), (20, 2)], reduced_formula="CaTiO3")
    assert rules[[20, 8], 1].tolist() == [0, 1]
    assert not rules[:, 0].any()
    rules = broken(encoder, [(22, 4)] * 4, reduced_formula="CaTiO3")
    assert rules[[22, 20], 0].tolist() == [1, 0]


def test_rule_of_the_number_of_sites(encoder: TallyEncoder) -> None:
    assert not broken(encoder, [(22, 4)], num_sites=2).any()
    assert broken(encoder, [(22, 4), (8, -2)], num_sites=2)[:, 2].all()


@pytest.mark.parametrize("order", ["high", "low", "electronegativity", "xyz", "random"])
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_real_crystals_break_no_rule(encoder: TallyEncoder, name: str, order: Order) -> None:
    crystal = KNOWN[name]
    tokens = TOKENIZER.sentence(TOKENIZER.parts(crystal), order, rng=np.random.default_rng(0))
    roles = torch.from_numpy(TOKENIZER.roles(len(crystal)))[None]
    request = Request(conditions={"reduced_formula": formula(crystal), "num_sites": len(crystal)}, order=order)
    tally = Tally(request.told(1), torch.zeros(1, encoder.told.in_features))
    sums = encoder._named(encoder._sums(torch.from_numpy(tokens)[None], roles, tally), encoder._volume_of())
    broken_ones = encoder.candidates._broken(open_formula(sums.written, tally.conditions), sums, tally.conditions)
    rules = torch.stack(broken_ones, dim=-1)[0]
    places = torch.nonzero(roles[0] == 2)[:, 0]
    elements = encoder.element_of[torch.from_numpy(tokens)[places]]
    assert not rules[places - 1, elements].any()


@pytest.mark.parametrize("told", [{}, {"num_sites": 3}])
def test_told_nothing_is_a_short_way_and_no_other_one(told: dict[str, int]) -> None:
    """A second sentence that has targets and a formula takes the long way with the first one, which notes the same."""
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = (part[:1].repeat(2, 1) for part in sentences(grammar))
    assert model.tally is not None
    plain = Request(conditions=told).told(1)
    rich = Request(conditions={"density": 3.0, "hhi": 2000, "reduced_formula": "TiO2"}).told(1)
    slots = rich.elements.shape[1] - plain.elements.shape[1]
    both = Conditions(
        torch.cat([plain.scalars, rich.scalars]),
        torch.cat([functional.pad(plain.elements, (0, slots)), rich.elements]),
        torch.cat([functional.pad(plain.counts, (0, slots)), rich.counts]),
        torch.cat([plain.layout, rich.layout]),
    )
    head, hidden = torch.randn(1, model.config.width), torch.randn(1, tokens.shape[1], model.config.width)
    with torch.no_grad():
        short = model.tally(tokens[:1], roles[:1], Tally(plain, head))
        long = model.tally(tokens, roles, Tally(both, head.expand(2, -1)))
        assert short.told.targets is None
        assert long.told.targets is not None
        torch.testing.assert_close(short.before, long.before[:1])
        torch.testing.assert_close(short.after, long.after[:1])
        alone = model.tally.candidates(hidden, roles[:1], short.told)
        beside = model.tally.candidates(hidden.expand(2, -1, -1), roles, long.told)
        torch.testing.assert_close(alone[..., 1:], beside[:1, :, 1:])  # no token is of element 0
        assert not torch.allclose(alone[..., 1:], beside[1:, :, 1:])
