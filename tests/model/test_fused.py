"""What training passes through in one go: values and gradients are those of PyTorch's operations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

from materium.model import fused, loops
from materium.model.attention import Attention, rotary
from materium.model.config import ModelConfig
from materium.model.likelihood import nll
from tiny import grammar_of, sentences, tiny_model, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

pytestmark = pytest.mark.skipif(loops.compiled() is None, reason="the loops in C are not compiled here")
TYPES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(params=[1, 2, 3], autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many threads share the rows, however few there are."""
    monkeypatch.setattr(loops, "NUMBERS_OF_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    count: int = request.param
    return count


def random(*shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))).to(dtype)


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """The result, and the gradients of a sum of it with weights, at the inputs."""
    leaves = [one.clone().requires_grad_() for one in inputs]
    result = function(*leaves)
    (result.float() * random(*result.shape)).sum().backward()
    return [result.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def assert_near(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Hold tensors to others, each within a share of its largest number."""
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("dtype", TYPES)
def test_swiglu(dtype: torch.dtype) -> None:
    """Against float32, which the loops compute in; gates reach far beyond what e^x can hold."""
    up = random(3, 7, 2 * 37, dtype=dtype, scale=30)

    def plain(up: Tensor) -> Tensor:
        gate, value = up.float().chunk(2, dim=-1)
        return (functional.silu(gate) * value).to(dtype)

    assert_near(gradients(fused.swiglu, up), gradients(plain, up), TYPES[dtype])


@pytest.mark.parametrize("dtype", TYPES)
def test_norm(dtype: torch.dtype) -> None:
    x, weight = random(5, 4, 48, scale=3), random(48)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return fused.norm(x, weight, 1e-6)

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, (48,), weight, 1e-6).to(dtype)

    assert_near(gradients(ours, x, weight), gradients(plain, x, weight), TYPES[dtype])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [1, 5, 16, 1009])
@pytest.mark.parametrize("dtype", TYPES)
def test_cross_entropy(dtype: torch.dtype, tokens: int, masked: bool) -> None:
    """Some rows have scores that e^x cannot hold; those of tokens that may not come are -inf."""
    scores = random(6, tokens, dtype=dtype, scale=200)
    scores[1:] /= 200
    targets = torch.arange(6) * 7 % tokens
    if masked:
        scores[:, 1::2] = -torch.inf
        targets = targets - targets % 2

    def plain(scores: Tensor) -> Tensor:
        return functional.cross_entropy(scores.float(), targets, reduction="none")

    found = gradients(lambda scores: fused.cross_entropy(scores, targets), scores)
    assert_near(found, gradients(plain, scores), TYPES[dtype])


@pytest.mark.parametrize("place", [0, 3, 1008])
@pytest.mark.parametrize("dtype", TYPES)
def test_cost_by_a_score_that_is_no_number_is_none(dtype: torch.dtype, place: int) -> None:
    """Training stops at it; one of a thousand scores is enough."""
    scores = random(3, 1009, dtype=dtype)
    scores[1, place], scores[:, 5] = torch.nan, -torch.inf
    costs = fused.cross_entropy(scores.requires_grad_(), torch.tensor([1, 2, 3]))
    assert costs.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "targets", [torch.tensor([0, 5]), torch.tensor([-1, 0]), torch.tensor([0, 1]).int(), torch.tensor([0])]
)
def test_targets_that_are_none_of_the_places_are_refused(targets: Tensor) -> None:
    with pytest.raises(IndexError, match="from 0 to 4"):
        fused.cross_entropy(random(2, 5).requires_grad_(), targets)


def test_what_may_not_come_costs_infinity() -> None:
    scores = torch.tensor([[1.0, -torch.inf, 2.0]]).requires_grad_()
    assert fused.cross_entropy(scores, torch.tensor([1])).item() == torch.inf


def test_last_norm_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the blocks go into products in bfloat16; what it gives is compared with more than one product."""
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)
    norm, types = fused.norm, []

    def noted(*given: Any, **named: Any) -> Tensor:
        result = norm(*given, **named)
        types.append(result.dtype)
        return result

    monkeypatch.setattr(fused, "norm", noted)
    with torch.autocast("cpu", torch.bfloat16):
        model.read(tokens, roles, told(len(tokens)), None, model.table())
    assert types == [*[torch.bfloat16] * (2 * len(model.blocks)), torch.float32]


def test_costs_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in training: with products in bfloat16, what a sentence costs is as with PyTorch's operations."""
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)

    def costs() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return nll(model, grammar, tokens, roles, told(len(tokens)))[0].detach()

    ours = costs()
    monkeypatch.setattr("materium.model.likelihood.fusible", lambda _: False)
    torch.testing.assert_close(ours, costs(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_heads(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, kv_heads: int, own: bool) -> None:
    """Positions that all rows share, or of their own."""
    layer = Attention(ModelConfig(width=24, layers=1, heads=4, kv_heads=kv_heads, hidden=8), 0)
    qkv = random(3, 5, (4 + 2 * kv_heads) * 6, dtype=dtype)
    positions = torch.arange(15).view(3, 5) * 3 % 11 if own else torch.arange(5)[None]
    rotation = rotary(positions, 6)
    ours = gradients(lambda x: torch.cat(layer._heads(x, rotation), dim=1), qkv)
    monkeypatch.setattr("materium.model.attention.fusible", lambda _: False)
    assert_near(ours, gradients(lambda x: torch.cat(layer._heads(x, rotation), dim=1), qkv), TYPES[dtype])


@pytest.mark.parametrize("tokens", [1, 5, 16, 17, 40])
@pytest.mark.parametrize("dtype", TYPES)
def test_causal_softmax(dtype: torch.dtype, tokens: int) -> None:
    """Some rows have scores that e^x cannot hold, and large ones stand where nobody may look."""
    scores = random(2, 3, tokens, tokens, dtype=dtype, scale=200)
    scores[:, 1:] /= 200
    hidden = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)

    def plain(scores: Tensor) -> Tensor:
        return (scores.float() * 0.7).masked_fill(hidden, -torch.inf).softmax(-1).to(dtype)

    found = gradients(lambda scores: fused.causal_softmax(scores, 0.7), scores)
    assert not found[0][..., hidden].any()
    assert not found[1][..., hidden].any()
    assert_near(found, gradients(plain, scores), TYPES[dtype])


def test_longer_sentences_than_there_is_room_for_are_left_to_pytorch() -> None:
    found = loops.compiled()
    assert found is not None
    assert fused.fits(found.longest())
    assert not fused.fits(found.longest() + 1)
    layer = Attention(ModelConfig(width=4, layers=1, heads=1, kv_heads=1, hidden=8), 0)
    x = random(1, found.longest() + 1, 4).requires_grad_()
    assert layer(x, rotary(torch.arange(x.shape[1])[None], 4)).isfinite().all()


def kept(shape: tuple[int, ...], dropped: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """What is left of ones, added to nothing."""
    torch.manual_seed(0)
    return fused.add_dropped(torch.zeros(shape), torch.ones(shape, dtype=dtype), dropped)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("width", [250, 251])
def test_as_much_of_a_branch_is_dropped_as_was_asked_for_and_the_mean_stays(width: int, share: float) -> None:
    """Of 100,000 entries: within 5 standard deviations."""
    dropped = round(share * 2**16)
    found = kept((400, width), dropped)
    bound = 5 * (share * (1 - share) / found.numel()) ** 0.5
    assert float((found == 0).float().mean()) == pytest.approx(share, abs=bound)
    assert float(found.mean()) == pytest.approx(1, abs=bound / (1 - share))
    assert found.unique().tolist() == pytest.approx([0, 2**16 / (2**16 - dropped)])


def test_entries_of_a_branch_are_dropped_independently() -> None:
    """Along a row, where two come from one hash, and from row to row: within 6 standard deviations."""
    left = (kept((50_000, 6), 2**15) != 0).float()
    beside = torch.cat([left[:-1], left[1:]], dim=1)
    torch.testing.assert_close(torch.corrcoef(beside.T), torch.eye(12), atol=0.027, rtol=0)


def test_what_is_dropped_follows_from_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not from the threads."""
    shared = kept((7, 33), 20_000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert torch.equal(kept((7, 33), 20_000), shared)
    assert not torch.equal(fused.add_dropped(torch.zeros(7, 33), torch.ones(7, 33), 20_000), shared)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", [1, 6, 37])
def test_a_branch_learns_from_what_was_kept_of_it(dtype: torch.dtype, width: int) -> None:
    x, branch = random(3, 5, width), random(3, 5, width, dtype=dtype)
    mask = kept((3, 5, width), 2**15, dtype)

    def ours(x: Tensor, branch: Tensor) -> Tensor:
        torch.manual_seed(0)
        return fused.add_dropped(x, branch, 2**15)

    assert_near(gradients(ours, x, branch), gradients(lambda x, branch: x + branch.float() * mask, x, branch), 1e-2)


FUSED = {"heads": 1, "causal_softmax": 1, "swiglu": 1, "norm": 2}
"""How often each is used in a block."""


@pytest.mark.parametrize("changes", [{}, {"kv_heads": 2, "positions": "blockwise"}, {"prefix": "separate"}])
def test_a_whole_network_learns_the_same(monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]) -> None:
    model, grammar = tiny_model(**changes), grammar_of()
    tokens, roles = sentences(grammar)
    ours: list[Tensor] = []
    used: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: used.update([name]) or function(*given, **named)

    for name in (*FUSED, "cross_entropy"):
        monkeypatch.setattr(fused, name, counted(name, getattr(fused, name)))
    for fusible in (fused.fusible, lambda _: False):
        for place in ("attention", "transformer", "likelihood"):
            monkeypatch.setattr(f"materium.model.{place}.fusible", fusible)
        model.zero_grad()
        nll(model, grammar, tokens, roles, told(len(tokens)))[0].mean().backward()
        ours.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    expected = {name: count * len(model.blocks) for name, count in FUSED.items()}
    assert used == {**expected, "norm": expected["norm"] + 1, "cross_entropy": 3}  # of the end; by groups of roles
    assert_near(ours[:1], ours[1:], 1e-4)


def test_a_network_with_dropout_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both branches of each block are dropped from; a seed repeats the gradients, and without it they are others."""
    model, grammar = tiny_model(dropout=0.3).train(), grammar_of()
    tokens, roles = sentences(grammar)
    used: list[int] = []
    add_dropped = fused.add_dropped
    monkeypatch.setattr(fused, "add_dropped", lambda *given: used.append(given[2]) or add_dropped(*given))

    def learnt(seed: int) -> Tensor:
        torch.manual_seed(seed)
        model.zero_grad()
        nll(model, grammar, tokens, roles, told(len(tokens)))[0].mean().backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])

    first = learnt(0)
    assert first.isfinite().all()
    assert torch.equal(learnt(0), first)
    assert not torch.allclose(learnt(1), first, rtol=1e-2)
    assert used == 3 * 2 * len(model.blocks) * [round(0.3 * 2**16)]


def test_only_what_learns_is_fused() -> None:
    x = random(2, 3)
    assert not fused.fusible(x)
    assert fused.fusible(x.requires_grad_())
    with torch.no_grad():
        assert not fused.fusible(x * 1)
    assert not fused.fusible(x.double())


def test_second_derivatives_are_refused() -> None:
    """The loops know the first one alone."""
    up = random(2, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(fused.swiglu(up).sum(), up, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()
