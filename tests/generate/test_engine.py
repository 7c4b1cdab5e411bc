"""The fast engine: the same sentences as the plain decoder, whatever the batch, and their exact likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import materium
from crystals import KNOWN, NACL, QUARTZ, SILICON
from materium.errors import CrystalError, RequestError, TokenError
from materium.generate.decoding import FREE, write_batch
from materium.generate.engine import Materium, Sample, make_request
from materium.generate.naive import write_sentence
from materium.generate.request import Request
from materium.model import loops
from materium.model.native import Native
from tiny import save_tiny, tiny_engine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from materium.crystal import Crystal

REQUESTS: list[dict[str, Any]] = [
    {},
    {"lattice_first": True, "order": "low"},
    {"temperature": 0.7, "geometry_temperature": 0.3},
    {"temperature": 1.5, "top_p": 0.8},
    {"temperature": 0.9, "geometry_temperature": 0.5, "geometry_reach": 0.1, "end_odds": 0.3},
    {"geometry_temperature": 0.2, "geometry_reach": 0.3, "top_p": 0.9, "lattice_first": True, "end_odds": 4},
    {"conditions": {"density": 3.5, "num_sites": 4}},
    {"conditions": {"reduced_formula": "TiO2", "density": 4.0}, "soft": True, "guidance": 2.0, "top_p": 0.95},
    {"conditions": {"reduced_formula": "TiO2"}, "guidance": 0.5, "lattice_first": True},
    {"conditions": {"chemical_system": "Na-Cl", "band_gap": 1.0}, "guidance": 0.0},
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Materium:
    return tiny_engine(tmp_path_factory.mktemp("model"))


def assert_equal(one: Iterable[Sample], other: Iterable[Sample]) -> None:
    """Hold two lists of samples to the same tokens and bit-equal likelihoods."""
    for a, b in zip(one, other, strict=True):
        assert (a.index, a.log_likelihood) == (b.index, b.log_likelihood)
        np.testing.assert_array_equal(a.tokens, b.tokens)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [*REQUESTS, {"conditions": {"density": [3.0, 5.0]}}])
def test_same_sentences_as_the_plain_decoder(engine: Materium, options: dict[str, Any]) -> None:
    request = Request(n=20, seed=5, **options)
    for written in engine.samples(request):
        expected = write_sentence(engine.model, engine.grammar, request, written.index)
        np.testing.assert_array_equal(written.tokens, expected.numpy())


@pytest.mark.skipif(loops.compiled() is None, reason="the loops in C are not compiled here")
@pytest.mark.parametrize("options", [*REQUESTS[:6], {"neutral": True, "forbid": ("Na",)}, REQUESTS[8]])
def test_same_sentences_without_the_loops_in_c(
    engine: Materium, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    request = Request(n=20, seed=5, **options)
    found = list(engine.samples(request))
    monkeypatch.setattr("materium.generate.decoding.native_of", lambda *_: None)
    monkeypatch.setattr("materium.generate.choice.compiled", lambda: None)
    for one, other in zip(found, engine.samples(request), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-3)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "changes", [{"positions": "blockwise"}, {"prefix": "separate"}, {"kv_heads": 2}, {"fourier": False}]
)
def test_same_sentences_for_every_kind_of_network(tmp_path: Path, changes: dict[str, Any]) -> None:
    engine = tiny_engine(tmp_path, **changes)
    request = Request(n=20, conditions={"reduced_formula": "NaCl"}, guidance=1.5)
    for written in engine.samples(request):
        expected = write_sentence(engine.model, engine.grammar, request, written.index)
        np.testing.assert_array_equal(written.tokens, expected.numpy())


@pytest.mark.skipif(loops.compiled() is None, reason="the loops in C are not compiled here")
@pytest.mark.parametrize(
    ("n", "conditions", "first"),
    [
        (48, {}, [16] * 3 + [48] * 4),  # prefix, [SOS], [ATOMS], and then species that differ
        (48, {"density": 4.0}, [16] * 3 + [48] * 4),
        (24, {"density": [3.0, 5.0]}, [48] * 7),
    ],
)
def test_what_all_sentences_begin_with_is_read_of_a_few(
    engine: Materium, monkeypatch: pytest.MonkeyPatch, n: int, conditions: dict[str, Any], first: list[int]
) -> None:
    rows: list[int] = []
    step = Native._step

    def counted(self: Native, token: torch.Tensor, length: int) -> torch.Tensor:
        rows.append(len(token))
        return step(self, token, length)

    monkeypatch.setattr(Native, "_step", counted)
    assert len(list(engine.samples(Request(n=n, conditions=conditions)))) == 48
    assert rows[:7] == first


@pytest.mark.parametrize("end_odds", [1.0, 10.0])
def test_sentences_that_differ_for_the_first_time_where_some_of_them_end(engine: Materium, end_odds: float) -> None:
    """All alike up to the only atom, after which there is [EOS] or another atom."""
    options: dict[str, Any] = {"elements": ["Na"], "neutral": True, "lattice_first": True, "end_odds": end_odds}
    request = Request(n=48, seed=0, geometry_temperature=1e-5, **options)
    together = list(engine.samples(request))
    assert len({len(written.tokens) for written in together}) > 1
    assert_equal(engine.samples(request, batch_size=16), together)
    for written in together[:6]:
        expected = write_sentence(engine.model, engine.grammar, request, written.index)
        np.testing.assert_array_equal(written.tokens, expected.numpy())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [REQUESTS[0], REQUESTS[5]])
def test_structures_do_not_depend_on_the_batch(engine: Materium, options: dict[str, Any]) -> None:
    request = Request(n=64, seed=3, **options)
    together = list(engine.samples(request, batch_size=64))
    assert len({len(written.tokens) for written in together}) > 3
    assert_equal(engine.samples(request, start=22, batch_size=7), together[22:])
    assert_equal(engine.samples(request, start=57, batch_size=1), together[57:])
    assert_equal(engine.samples(request, start=37, batch_size=64), together[37:])
    assert_equal(engine.samples(Request(n=9, seed=3, **options)), together[:9])


@pytest.mark.parametrize("lattice_first", [False, True])
def test_every_sentence_can_be_read(engine: Materium, lattice_first: bool) -> None:
    request = Request(n=200, temperature=2.0, lattice_first=lattice_first)
    for written in engine.samples(request):
        crystal = engine.tokenizer.decode(written.tokens)
        parts = engine.tokenizer.parse(written.tokens)
        assert 1 <= len(crystal) == len(parts.species) <= engine.tokenizer.config.max_sites


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [REQUESTS[0], REQUESTS[1], REQUESTS[3], REQUESTS[4]])
def test_likelihood_of_what_is_written_is_its_score(engine: Materium, options: dict[str, Any]) -> None:
    """Ln p at temperature 1, whatever temperature it was sampled at: the masks of both are the same."""
    request = Request(n=32, seed=1, **options)
    written = list(engine.samples(request))
    figures = engine.score([sample.tokens for sample in written], request)
    found = [figure["log_likelihood"] for figure in figures]
    np.testing.assert_allclose(found, [sample.log_likelihood for sample in written], rtol=1e-4, atol=1e-4)
    for figure in figures:
        assert figure["species"] + figure["coordinate"] + figure["lattice"] == pytest.approx(figure["log_likelihood"])


def test_guidance_zero_is_the_model_that_is_told_nothing(engine: Materium) -> None:
    conditions = {"reduced_formula": "TiO2", "density": 4.0}
    pressed = list(engine.samples(Request(n=16, conditions=conditions, soft=True, guidance=0.0)))
    plain = list(engine.samples(Request(n=16)))
    assert_equal(pressed, plain)
    assert [sample.targets for sample in pressed] == [conditions] * 16


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("by_loops", [True, False])
@pytest.mark.parametrize("options", [REQUESTS[0], REQUESTS[5]])
def test_bfloat16_believes_almost_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, Any], by_loops: bool
) -> None:
    """Its own sentences, forced upon float32, have the same likelihood but for a tenth of a nat a token.

    These weights are wild; of the model that ships it is 0.004 at most.
    """
    if not by_loops:
        monkeypatch.setattr("materium.generate.decoding.native_of", lambda *_: None)
    engine = tiny_engine(tmp_path)
    plan = engine.plan(Request(n=32, seed=1, **options))
    given = torch.full((32, engine.tokenizer.max_tokens), FREE)
    (written,) = engine.batches(plan)
    engine.bfloat16 = True
    (rough,) = engine.batches(plan)
    for sample in rough:
        given[sample.index, : len(sample.tokens)] = torch.from_numpy(sample.tokens)
    exact = write_batch(engine.model, engine.grammar, plan, range(32), given)
    off = [(a.log_likelihood - b.log_likelihood) / len(a.tokens) for a, b in zip(rough, exact, strict=True)]
    assert 0 < np.abs(off).max() < 0.1
    assert [sample.log_likelihood for sample in rough] != [sample.log_likelihood for sample in written]


def test_conditions_are_heard(engine: Materium) -> None:
    plain = [written.tokens.tolist() for written in engine.samples(Request(n=16))]
    told = [written.tokens.tolist() for written in engine.samples(Request(n=16, conditions={"density": 9.0}))]
    assert plain != told


def test_samples_come_in_order(engine: Materium) -> None:
    found = [written.index for written in engine.samples(Request(n=23), start=4, batch_size=6)]
    assert found == list(range(4, 23))


def test_batch_of_none_is_refused(engine: Materium) -> None:
    with pytest.raises(RequestError, match="batch size = 0"):
        next(engine.samples(Request(), batch_size=0))


def test_score_of_crystals(engine: Materium) -> None:
    crystals = [NACL, SILICON, NACL]
    together = engine.log_likelihoods(crystals)
    assert together[0]["log_likelihood"] == pytest.approx(
        together[2]["log_likelihood"], rel=1e-6
    )  # kernels go by place
    for crystal, figures in zip(crystals, together, strict=True):
        alone = engine.log_likelihoods([crystal])[0]
        assert alone["log_likelihood"] == pytest.approx(figures["log_likelihood"], rel=1e-5)
        assert alone["log_likelihood"] < 0
    assert engine.log_likelihoods([]) == []


def test_score_does_not_depend_on_the_description(engine: Materium) -> None:
    """The same crystal in another cell and with another origin has the same sentence."""
    shifted = materium.Crystal(NACL.lattice, NACL.frac_coords + 0.25, NACL.numbers, NACL.oxidation_states)
    found = [figures["log_likelihood"] for figures in engine.log_likelihoods([NACL, shifted])]
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize(
    ("crystal", "error"),
    [
        (QUARTZ, TokenError),
        (materium.Crystal(4 * np.eye(3), [[0, 0, 0], [0.01, 0, 0]], [11, 17]), CrystalError),
        (materium.Crystal(4 * np.eye(3), [[0, 0, 0]], [92]), TokenError),
        (materium.Crystal(400 * np.eye(3), [[0, 0, 0]], [11]), TokenError),
    ],
)
def test_crystals_without_a_sentence(engine: Materium, crystal: Crystal, error: type[Exception]) -> None:
    """Too many sites, overlapping atoms, an element without a token, a cell beyond the grid."""
    with pytest.raises(error):
        engine.log_likelihoods([crystal])


def test_python_interface(tmp_path: Path) -> None:
    model = materium.load(str(save_tiny(tmp_path)))
    found = model.generate(4, seed=1, formula="NaCl", guidance=0.5, temperature=0.8)
    assert [s.properties["index"] for s in found] == [0, 1, 2, 3]
    assert {s.properties["seed"] for s in found} == {1}
    assert all(s.properties["log_likelihood"] < 0 and s.volume > 0 for s in found)
    again = model.generate(2, seed=1, formula="NaCl", guidance=0.5, temperature=0.8)
    assert again == found[:2]


def test_options_are_fields_or_conditions() -> None:
    request = make_request(3, 1, "TiO2", {"density": 4.0, "top_p": 0.9, "conditions": {"band_gap": 1.0}})
    assert dict(request.conditions) == {"reduced_formula": "TiO2", "density": 4.0, "band_gap": 1.0}
    assert (request.n, request.seed, request.top_p) == (3, 1, 0.9)
    with pytest.raises(RequestError, match="did you mean density"):
        make_request(3, 1, None, {"densty": 4.0})


def test_model_that_ships_writes_through_python() -> None:
    """The four lines of the README."""
    found = materium.load().generate(4, seed=1, formula="NaCl")
    assert len(found) == 4
    assert all({"index", "seed", "log_likelihood"} <= structure.properties.keys() for structure in found)


def test_model_that_ships_does_not_depend_on_the_batch() -> None:
    """Its width takes other paths through the CPU's kernels than the tiny one's."""
    engine = materium.load()
    request = Request(n=40, seed=7)
    together = list(engine.samples(request, batch_size=40))
    assert_equal(engine.samples(request, start=20, batch_size=13), together[20:])
    assert_equal(engine.samples(request, start=39, batch_size=1), together[39:])


def test_model_that_ships_knows_real_crystals() -> None:
    """A crystal of the textbook is likelier than the same sites with their species exchanged at random."""
    engine = materium.load()
    titania = KNOWN["TiO2"]
    swapped = materium.Crystal(titania.lattice, titania.frac_coords, np.array([8, 22, 8, 8, 22, 8]))
    real, wrong = (figures["log_likelihood"] for figures in engine.log_likelihoods([titania, swapped]))
    assert real > wrong


def test_nothing_is_trained_by_accident(engine: Materium) -> None:
    list(engine.samples(Request(n=2)))
    assert all(weight.grad is None for weight in engine.model.parameters())
    assert torch.is_grad_enabled()


@torch.inference_mode()
def test_what_is_given_against_the_grammar_has_no_likelihood(engine: Materium, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence with a site twice, once allowed and once not."""
    sodium, point = engine.tokenizer.vocab.species_ids[11, 1], engine.tokenizer.vocab.first_number + 3
    given = torch.full((1, engine.tokenizer.max_tokens), FREE)
    given[0, 2:10] = torch.tensor([sodium, point, point, point] * 2)
    found = []
    for reach in (-1, 0):
        monkeypatch.setattr(engine.grammar, "reach", reach)
        (written,) = write_batch(engine.model, engine.grammar, engine.plan(Request(n=1)), range(1), given)
        assert written.tokens[2:10].tolist() == given[0, 2:10].tolist()
        found.append(written.log_likelihood)
    assert np.isfinite(found[0])
    assert found[1] == -np.inf
