"""Batches: every row once, the same batches for the same seed, and what is not known stays unknown."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from crystals import KNOWN, MAGNETITE_LIKE
from materium.data.loader import CANONICAL, Batch, Loader, Mix, encode_labels
from materium.data.shard import Shard
from materium.errors import DataError, RequestError
from materium.properties import scalar_names, table
from materium.symmetry import distinct, settings
from materium.tokens.tokenizer import ORDERS, Order, Parts, Tokenizer, TokenizerConfig
from materium.tokens.vocab import EOS, PAD, SOS, Role

if TYPE_CHECKING:
    from pathlib import Path

TOKENIZER = Tokenizer(TokenizerConfig.preset("base"))
NAMES = scalar_names()
COPIES = 40
MIXED = Mix(
    orders={"high": 2.0, "low": 1.0, "random": 1.0},
    lattice_first=0.5,
    other_setting=0.5,
    conditional=0.6,
    keep=0.5,
)


DIGEST = "2965c98a4554ba700515d7b8094d8a416e522159f19bfe4ccc6eedeb2682e440"


def known_shard() -> Shard:
    """Each known crystal forty times, with all its settings; every third row has no label at all."""
    ids, views, labels = [], [], []
    for i, crystal in enumerate([*KNOWN.values(), MAGNETITE_LIKE] * COPIES):
        ways = settings(crystal)
        states = ways.oxidation_states
        species = np.array([TOKENIZER.vocab.species_id(*pair) for pair in zip(ways.numbers, states, strict=True)])
        points = np.round(ways.frac_coords * 1008).astype(int) % 1008
        lattice = [TOKENIZER.lattice_points(parameters) for parameters in ways.parameters]
        views.append([Parts(species, points[k], lattice[k]) for k in distinct(ways, 4)])
        ids.append(f"row-{i}")
        labels.append({} if i % 3 == 0 else {"density": 3.0, "band_gap": 0.0, "space_group": ways.space_group})
    return Shard.pack(ids, views, labels)


SHARD = known_shard()


def loader(mix: Mix = MIXED, *, max_tokens: int = 800, seed: int = 7) -> Loader:
    return Loader(SHARD, TOKENIZER, mix, max_tokens=max_tokens, seed=seed)


def assert_equal(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def differ(one: list[Batch], other: list[Batch]) -> bool:
    return any(a.tokens.tobytes() != b.tokens.tobytes() for a, b in zip(one, other, strict=False))


def rows_of(batches: list[Batch], name: str) -> np.ndarray:
    """Return one field of all batches, ordered by row."""
    rows = np.concatenate([batch.rows for batch in batches])
    return np.concatenate([getattr(batch, name) for batch in batches])[np.argsort(rows)]


# --- which rows, and when ---


@pytest.mark.parametrize("mix", [CANONICAL, MIXED])
@pytest.mark.parametrize("max_tokens", [50, 800, 100_000])
def test_every_row_comes_once_in_an_epoch(mix: Mix, max_tokens: int) -> None:
    for epoch in (0, 1):
        rows = np.concatenate([batch.rows for batch in loader(mix, max_tokens=max_tokens).epoch(epoch)])
        assert sorted(rows.tolist()) == list(range(len(SHARD)))


def test_a_seed_and_an_epoch_are_the_same_batches() -> None:
    for one, other in zip(loader().epoch(3), loader().epoch(3), strict=True):
        assert_equal(one, other)


def test_without_weights_batches_are_those_of_a_loader_without_weights() -> None:
    """The digest was taken of the loader before it knew weights."""
    digest = hashlib.sha256()
    for mix in (CANONICAL, MIXED, Mix()):
        for batch in (batch for epoch in (0, 3) for batch in loader(mix).epoch(epoch)):
            values = {field.name: getattr(batch, field.name) for field in fields(Batch)}
            values["scalars"] = np.isnan(batch.scalars)  # logarithms may differ in the last bit on other machines
            digest.update(b"".join(value.tobytes() for value in values.values()))
    assert digest.hexdigest() == DIGEST


def weighted(weights: np.ndarray, mix: Mix = MIXED, energies: np.ndarray | None = None) -> Loader:
    properties = np.array(SHARD.properties)
    if energies is not None:
        properties[:, NAMES.index("energy_above_hull")] = energies
    shard = replace(SHARD, weights=weights.astype(np.float32), properties=properties)
    return Loader(shard, TOKENIZER, mix, max_tokens=800, seed=7)


def drawn(one: Loader, epoch: int) -> np.ndarray:
    """How often each row stands in the batches of an epoch."""
    rows = np.concatenate([batch.rows for batch in one.epoch(epoch)])
    return np.bincount(rows, minlength=len(SHARD))


WEIGHTS = np.resize([1.0, 0.5, 2.0, 0.0, 0.25, 1.5], len(SHARD))


def test_rows_are_drawn_by_their_weights() -> None:
    one = weighted(WEIGHTS)
    np.testing.assert_array_equal(drawn(one, 3), np.bincount(one.rows(3), minlength=len(SHARD)))
    assert (np.abs(drawn(one, 3) - WEIGHTS) < 1).all()
    assert not np.array_equal(drawn(one, 3), drawn(one, 4))


def test_a_weighted_epoch_goes_on_where_it_was_left() -> None:
    whole, rest = list(weighted(WEIGHTS).epoch(2)), list(weighted(WEIGHTS).epoch(2, start=4))
    for one, other in zip(rest, whole[4:], strict=True):
        assert_equal(one, other)


def test_copies_of_a_row_in_an_epoch_are_drawn_apart() -> None:
    """Of 240 rows that stand there twice, all alike by chance less than once in 2^100."""
    one = weighted(np.full(len(SHARD), 2.0))
    draw = one.draw(0)
    np.testing.assert_array_equal(draw.rows[::2], draw.rows[1::2])
    assert (draw.orders[::2] != draw.orders[1::2]).any()


ENERGIES = np.resize([0.0, 0.05, 0.1, 0.2, np.nan, -0.01], len(SHARD))


@pytest.mark.parametrize(
    ("change", "weights"),
    [
        ({"max_energy_above_hull": np.inf}, [1, 1, 1, 1, 0, 1]),
        ({"max_energy_above_hull": 0.1}, [1, 1, 1, 0, 0, 1]),
        ({"max_energy_above_hull": 0.05}, [1, 1, 0, 0, 0, 1]),
        ({"energy_scale": 0.05}, [1, np.exp(-1), np.exp(-2), np.exp(-4), 0, 1]),
        ({"energy_scale": 0.05, "max_energy_above_hull": 0.1}, [1, np.exp(-1), np.exp(-2), 0, 0, 1]),
    ],
)
def test_energies_above_hull_weigh_rows(change: dict[str, float], weights: list[float]) -> None:
    one = weighted(WEIGHTS, Mix(**change), ENERGIES)
    np.testing.assert_allclose(one.weights, WEIGHTS * np.resize(weights, len(SHARD)), rtol=1e-6)
    assert not drawn(one, 0)[one.weights == 0].any()


def test_weights_that_leave_no_crystal_are_refused() -> None:
    with pytest.raises(DataError, match=r"the weights of the 240 crystals sum to 0, less than one .* that label"):
        weighted(WEIGHTS, Mix(max_energy_above_hull=0.1))


def test_a_condition_that_is_always_given_is_never_dropped() -> None:
    mix = replace(MIXED, always=("energy_above_hull",))
    column = NAMES.index("energy_above_hull")
    for batch, other in zip(weighted(WEIGHTS, mix, ENERGIES).epoch(1), weighted(WEIGHTS, MIXED, ENERGIES).epoch(1),
                            strict=True):  # fmt: skip
        np.testing.assert_array_equal(np.isnan(batch.scalars[:, column]), ~(ENERGIES[batch.rows] >= 0))
        np.testing.assert_array_equal(np.delete(batch.scalars, column, 1), np.delete(other.scalars, column, 1))


def test_other_epochs_and_seeds_are_other_batches() -> None:
    first = list(loader().epoch(0))
    assert differ(first, list(loader().epoch(1)))
    assert differ(first, list(loader(seed=8).epoch(0)))


@pytest.mark.parametrize("start", [0, 1, 5])
def test_an_epoch_goes_on_where_it_was_left(start: int) -> None:
    whole = list(loader().epoch(2))
    rest = list(loader().epoch(2, start=start))
    assert len(rest) == len(whole) - start
    for one, other in zip(rest, whole[start:], strict=True):
        assert_equal(one, other)


def test_starting_at_the_end_yields_nothing() -> None:
    count = len(loader().batches(0))
    assert not list(loader().epoch(0, start=count))


@pytest.mark.parametrize("max_tokens", [200, 800])
def test_batches_stay_within_their_tokens(max_tokens: int) -> None:
    for batch in loader(max_tokens=max_tokens).epoch(0):
        assert batch.tokens.size <= max_tokens


def test_a_sentence_longer_than_a_batch_has_a_batch_of_its_own() -> None:
    for batch in loader(max_tokens=20).epoch(0):
        assert len(batch.rows) == 1


def test_a_shard_without_crystals_is_refused() -> None:
    with pytest.raises(DataError, match="shard has no crystals; check the filters"):
        Loader(Shard.pack([], [], []), TOKENIZER, CANONICAL, max_tokens=100, seed=0)


# --- sentences ---


def test_canonical_rows_are_canonical_sentences() -> None:
    for batch in loader(CANONICAL).epoch(0):
        assert batch.canonical.all()
        assert not batch.lattice_first.any()
        assert set(batch.orders.tolist()) == {ORDERS.index("high")}
        for row, tokens in zip(batch.rows.tolist(), batch.tokens, strict=True):
            np.testing.assert_array_equal(tokens[tokens != PAD], TOKENIZER.sentence(SHARD.parts(row)))


def test_rows_are_what_the_batch_says_they_are() -> None:
    """Layout, order and setting of each sentence, read back from its tokens."""
    for batch in loader().epoch(0):
        for i, row in enumerate(batch.rows.tolist()):
            sentence = batch.tokens[i][batch.tokens[i] != PAD]
            order, first = ORDERS[batch.orders[i]], bool(batch.lattice_first[i])
            read = TOKENIZER.parse(sentence)
            views = [SHARD.parts(row, view) for view in range(SHARD.num_views(row))]
            assert sorted(read.species.tolist()) == sorted(views[0].species.tolist())
            np.testing.assert_array_equal(
                batch.roles[i][: len(sentence)], TOKENIZER.roles(len(read.species), lattice_first=first)
            )
            if order == "random":
                continue
            written = [TOKENIZER.sentence(view, order, lattice_first=first) for view in views]
            same = [view for view, tokens in enumerate(written) if np.array_equal(tokens, sentence)]
            assert same
            assert (0 in same) or not batch.canonical[i]


def test_padding_is_padding() -> None:
    for batch in loader().epoch(0):
        assert batch.tokens.shape == batch.roles.shape
        np.testing.assert_array_equal(batch.tokens == PAD, batch.roles == Role.PAD)
        np.testing.assert_array_equal((batch.tokens == EOS).sum(axis=1), 1)
        np.testing.assert_array_equal(batch.tokens[:, 0], SOS)
        lengths = (batch.tokens != PAD).sum(axis=1)
        assert lengths.max() == batch.tokens.shape[1]
        for tokens, length in zip(batch.tokens, lengths, strict=True):
            assert (tokens[length:] == PAD).all()


def test_another_epoch_draws_another_random_order() -> None:
    """NaCl has two orders, and forty copies: all alike by chance once in 2^40."""
    mix = Mix(orders={"random": 1.0}, conditional=0.0)
    epochs = [rows_sentences(list(loader(mix).epoch(epoch))) for epoch in (0, 1)]
    assert any(epochs[0][row] != epochs[1][row] for row in epochs[0])


def rows_sentences(batches: list[Batch]) -> dict[int, tuple[int, ...]]:
    return {
        int(row): tuple(tokens[tokens != PAD].tolist())
        for batch in batches
        for row, tokens in zip(batch.rows, batch.tokens, strict=True)
    }


def test_shares_are_those_of_the_mix() -> None:
    """Of 7,200 draws; five standard deviations or more: a false alarm in a million."""
    batches = [batch for epoch in range(30) for batch in loader().epoch(epoch)]
    count = sum(len(batch.rows) for batch in batches)
    orders = np.concatenate([batch.orders for batch in batches])
    first = np.concatenate([batch.lattice_first for batch in batches])
    shares = [(orders == ORDERS.index(name)).mean() for name in ORDERS]
    margin = 2.5 / count**0.5
    np.testing.assert_allclose(shares, [0.5, 0.25, 0, 0.25, 0], atol=margin)
    assert abs(first.mean() - 0.5) < margin
    several = np.concatenate([[SHARD.num_views(int(row)) > 1 for row in batch.rows] for batch in batches])
    other = np.concatenate([~batch.canonical for batch in batches])
    assert not other[~several].any()
    assert abs(other[several].mean() - 0.5) < 2.5 / several.sum() ** 0.5


@pytest.mark.shared_data
@pytest.mark.parametrize("mix", [CANONICAL, MIXED])
def test_padding_of_real_tables_is_below_five_per_cent(shared_data: Path, mix: Mix) -> None:
    """Padding hangs on the numbers of sites alone, so that empty crystals with the real numbers will do."""
    sites = pq.read_table(shared_data / "train.parquet", columns=["num_sites"])["num_sites"].to_numpy()
    sites = sites[sites <= TOKENIZER.config.max_sites][:10_000]
    species, nothing = np.full(20, TOKENIZER.vocab.first_species), np.zeros((20, 3), int)
    views = [[Parts(species[:n], nothing[:n], np.zeros(6, int))] for n in sites]
    shard = Shard.pack([""] * len(sites), views, [{}] * len(sites))
    batches = Loader(shard, TOKENIZER, mix, max_tokens=3072, seed=1).batches(0)
    padded = sum(len(rows) * (10 + 4 * sites[rows].max()) for rows in batches)
    assert padded - (10 + 4 * sites).sum() < 0.05 * padded


# --- conditions ---


def test_a_missing_label_stays_missing() -> None:
    told = loader(Mix(conditional=1.0, alone=0.0, keep=1.0))
    scalars = rows_of(list(told.epoch(0)), "scalars")
    gap, density = NAMES.index("band_gap"), NAMES.index("density")
    without = np.arange(len(SHARD)) % 3 == 0
    assert np.isnan(scalars[without]).all()
    np.testing.assert_allclose(scalars[~without, gap], np.log(1e-4), rtol=1e-6)
    np.testing.assert_array_equal(scalars[~without, density], 3)
    assert np.isnan(scalars[:, NAMES.index("bulk_modulus")]).all()


def test_told_nothing() -> None:
    for batch in loader(CANONICAL).epoch(0):
        assert np.isnan(batch.scalars).all()
        assert not batch.elements.any()
        assert not batch.counts.any()


def test_conditions_are_dropped_row_by_row() -> None:
    """Rows with labels in one large batch: some are told all three, some none, some a part."""
    mix = Mix(conditional=0.7, keep=0.5)
    (*_, batch) = sorted(loader(mix, max_tokens=100_000).epoch(0), key=lambda batch: len(batch.rows))
    known = [NAMES.index(name) for name in ("density", "band_gap", "space_group")]
    with_labels = batch.rows % 3 != 0
    told = (~np.isnan(batch.scalars[with_labels][:, known])).sum(axis=1)
    assert set(told.tolist()) == {0, 1, 2, 3}


def test_rows_that_are_told_nothing_are_told_no_formula_either() -> None:
    """30 % of the rows of the mix have no condition at all, beside those from which each one is dropped."""
    mix = Mix(conditional=0.7, alone=0.0, keep=1.0)
    batches = list(loader(mix).epoch(0))
    labelled = np.arange(len(SHARD)) % 3 != 0
    numbers = ~np.isnan(rows_of(batches, "scalars")[:, NAMES.index("density")])
    formula = np.concatenate([batch.elements.any(axis=1) if batch.elements.size else np.zeros(len(batch.rows), bool)
                              for batch in batches])[np.argsort(np.concatenate([b.rows for b in batches]))]  # fmt: skip
    np.testing.assert_array_equal(numbers[labelled], formula[labelled])


def test_a_row_may_be_told_one_label_alone() -> None:
    """Labelled rows have density, band gap and space group besides their composition: each is told about as often."""
    batches = [batch for epoch in range(10) for batch in loader(Mix(conditional=1.0, alone=1.0)).epoch(epoch)]
    rows = np.concatenate([batch.rows for batch in batches])
    scalars = ~np.isnan(np.concatenate([batch.scalars for batch in batches]))
    formula = np.concatenate([np.full(len(batch.rows), batch.elements.shape[1] > 0) for batch in batches])
    assert (scalars.sum(axis=1) + formula == 1).all()
    assert formula[rows % 3 == 0].all()
    labelled = rows % 3 != 0
    known = [NAMES.index(name) for name in ("density", "band_gap", "space_group")]
    shares = [*scalars[labelled][:, known].mean(axis=0), formula[labelled].mean()]
    np.testing.assert_allclose(shares, 0.25, atol=2.5 / labelled.sum() ** 0.5)  # five standard deviations


def test_no_row_has_an_empty_slot_for_an_element() -> None:
    """Sampling never has any, and the network would attend to them."""
    widths = {batch.elements.shape[1] for batch in loader(Mix(conditional=0.7)).epoch(0)}
    assert len(widths) > 2
    for batch in loader(Mix(conditional=0.7)).epoch(0):
        assert (batch.elements > 0).all()


FORMULAS = {
    "NaCl": {11: 1, 17: 1},
    "TiO2": {8: 2, 22: 1},
    "SiO2": {8: 2, 14: 1},
    "CaTiO3": {8: 3, 20: 1, 22: 1},
    "Si": {14: 1},
    "magnetite-like": {8: 2, 9: 1, 26: 2},
}


def test_formulas_and_chemical_systems() -> None:
    """A formula has reduced counts by element, whatever their states; a chemical system has counts of zero."""
    kinds = {"formula": 0, "system": 0}
    for batch in loader(Mix(conditional=1.0, alone=0.0, keep=1.0), max_tokens=4000).epoch(0):
        for row, elements, counts in zip(batch.rows.tolist(), batch.elements, batch.counts, strict=True):
            expected = list(FORMULAS.values())[row % len(FORMULAS)]
            told = elements > 0
            assert dict.fromkeys(elements[told].tolist()) == dict.fromkeys(expected)
            kind = "formula" if counts.any() else "system"
            kinds[kind] += 1
            assert dict(zip(elements[told].tolist(), counts[told].tolist(), strict=True)) == (
                expected if kind == "formula" else dict.fromkeys(expected, 0)
            )
            assert not counts[~told].any()
    assert 0.6 < kinds["formula"] / sum(kinds.values()) < 0.9  # three in four


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0, 1e-6, 0.3, 1.0, 1.5, 2.0, 225.0, 231.0, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_labels_are_encoded_as_the_table_says(name: str, value: float) -> None:
    """The fast path for whole columns is `Property.encode`, and NaN where that refuses."""
    row = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
    row[0, NAMES.index(name)] = value
    found = encode_labels(row)[0]
    try:
        expected = table()[name].encode(float(np.float32(value)))
    except RequestError:
        expected = np.nan
    np.testing.assert_allclose(found[NAMES.index(name)], expected, rtol=1e-6)
    assert np.isnan(np.delete(found, NAMES.index(name))).all()


# --- mixes ---


@pytest.mark.parametrize(
    "orders",
    [{}, {"high": 0.0}, {"up": 1.0}, {"high": 1.0, "low": -0.5}, {"high": float("nan")}, {"high": float("inf")}],
)
def test_a_mix_without_an_order_is_refused(orders: dict[Order, float]) -> None:
    with pytest.raises(DataError, match="give weights, not all zero, for some of high, low"):
        Mix(orders=orders)


@pytest.mark.parametrize("name", ["lattice_first", "other_setting", "conditional", "keep"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(name: str, value: float) -> None:
    with pytest.raises(DataError, match=f"{name} = .* is no probability; give a number from 0 to 1"):
        Mix(**{name: value})
