"""Optimisers, schedule and average."""

from __future__ import annotations

import pytest
import torch

from materium.errors import TrainingError
from materium.train.config import TrainConfig
from materium.train.optim import POLYNOMIALS, Average, optimisers, orthogonalised, schedule
from tiny import tiny_model


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_every_tensor_is_trained_once(optimiser: str) -> None:
    model = tiny_model()
    made = optimisers(model, TrainConfig(optimiser=optimiser))
    held = [id(p) for o in made for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert len(set(held)) == len(held)


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else() -> None:
    model = tiny_model()
    adamw, muon = optimisers(model, TrainConfig(optimiser="muon"))
    names = {id(p): name for name, p in model.named_parameters()}
    matrices = [names[id(p)] for group in muon.param_groups for p in group["params"]]
    assert len(matrices) == 4 * len(model.blocks)
    assert all(name.startswith("blocks.") for name in matrices)
    others = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert {"embedding.token.weight", "norm.weight"} <= set(others)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_only_matrices_decay(optimiser: str) -> None:
    model = tiny_model()
    names = {id(p): name for name, p in model.named_parameters()}
    for made in optimisers(model, TrainConfig(optimiser=optimiser, weight_decay=0.1)):
        for group in made.param_groups:
            inside = {names[id(p)].startswith("blocks.") and p.ndim == 2 for p in group["params"]}
            assert inside == {group["weight_decay"] > 0}


def test_rates_are_those_of_the_settings() -> None:
    config = TrainConfig(optimiser="muon", learning_rate=1e-3, muon_learning_rate=3e-3)
    assert [made.param_groups[0]["lr"] for made in optimisers(tiny_model(), config)] == [1e-3, 3e-3]


def _singular_vectors(count: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many left and right ones, (rows, count) and (columns, count)."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, count, generator=generator))[0] for n in (rows, columns))
    return left, right


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (32, 96), (96, 32)])
@pytest.mark.parametrize("spread", [1.0, 1e-1, 1e-2])
def test_orthogonalised_keeps_singular_vectors_and_evens_out_singular_values(
    precision: torch.dtype, rows: int, columns: int, spread: float
) -> None:
    left, right = _singular_vectors(32, rows, columns)
    matrix = (left * torch.logspace(0, torch.tensor(spread).log10(), 32)) @ right.T
    result = orthogonalised((7.0 * matrix[None]).to(precision)).float()[0]
    assert result.shape == matrix.shape
    along = (left.T @ result @ right).diagonal()
    assert along.min() > 0.5
    assert along.max() < 1.4
    assert (result - left @ right.T).norm() / 32**0.5 < 0.45


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("second", [0.7, 0.8, 0.9, 0.95, 1.0])
def test_orthogonalised_turns_no_large_direction_round(precision: torch.dtype, second: float) -> None:
    """A polynomial that comes near to 0 on the way did, where rounding took it below."""
    left, right = _singular_vectors(64, 64, 64)
    matrix = (left * torch.tensor([1.0, second] + [1e-3] * 62)) @ right.T
    result = orthogonalised(matrix[None].to(precision)).float()[0]
    assert (left.T @ result @ right).diagonal()[:2].min() > 0.7


def test_orthogonalised_leaves_the_smallest_singular_values_small_and_takes_a_matrix_of_zeros() -> None:
    """Their directions are rounding; without bound they would be as large as all others."""
    left, right = _singular_vectors(32, 32, 64)
    matrix = (left * torch.tensor([1.0] * 16 + [1e-7] * 16)) @ right.T
    values = torch.linalg.svdvals(orthogonalised(matrix[None]))[0]
    assert values[15] > 0.5
    assert values[16] < 1e-3
    assert torch.equal(orthogonalised(torch.zeros(2, 8, 4)), torch.zeros(2, 8, 4))


def test_polynomials_of_muon_do_what_they_are_said_to() -> None:
    value = torch.logspace(-2.6989, 0, 10_000, dtype=torch.float64)  # from 0.002 on
    for a, b, c in POLYNOMIALS:
        value = a * value + b * value**3 + c * value**5
    assert value.min() == pytest.approx(0.54, abs=0.01)
    assert value.max() == pytest.approx(1.355, abs=0.01)


def test_unknown_optimiser_names_the_known_ones() -> None:
    with pytest.raises(TrainingError, match="choose adamw or muon"):
        optimisers(tiny_model(), TrainConfig(optimiser="sgd"))  # type: ignore[arg-type]


def test_schedule_warms_up_and_cools_down() -> None:
    assert schedule(0, 0.1) == 0
    assert schedule(0.05, 0.1) == pytest.approx(0.5)
    assert schedule(0.1, 0.1) == pytest.approx(1)
    assert schedule(0.55, 0.1) == pytest.approx(0.505)
    assert schedule(1, 0.1) == pytest.approx(0.01)
    assert schedule(1.2, 0.1) == pytest.approx(0.01)
    assert schedule(0, 0) == pytest.approx(1)
    assert [schedule(x, 0.1, 0.2) for x in (0.05, 0.1, 0.5, 0.8, 0.9, 1.0)] == pytest.approx([0.5, 1, 1, 1, 0.5, 0.01])
    steps = [schedule(0.1 + 0.9 * i / 50, 0.1) for i in range(51)]
    assert steps == sorted(steps, reverse=True)


def test_average_of_constant_weights_is_the_weights() -> None:
    model = tiny_model()
    average = Average(model, 0.99)
    for _ in range(5):
        average.update(model)
    assert all(torch.equal(average.weights[name], p) for name, p in model.named_parameters())


def test_average_follows_the_formula() -> None:
    """Its memory grows: (1 + n) / (10 + n), until that reaches the decay."""
    model = tiny_model()
    average = Average(model, 0.5)
    name, weight = next(iter(model.named_parameters()))
    expected = weight.detach().clone()
    for step in range(1, 21):
        with torch.no_grad():
            weight.fill_(float(step))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        average.update(model)
    torch.testing.assert_close(average.weights[name], expected)


def test_average_is_put_into_a_model() -> None:
    model, other = tiny_model(seed=1), tiny_model(seed=2)
    Average(model, 0.9).copy_to(other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
