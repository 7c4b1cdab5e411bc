"""Parts of a block that training passes through in one go on CPUs, forward and backward, by the loops in C.

Results are those of PyTorch's operations; under autocast they are rounded once, where PyTorch rounds after each.
Dropout has random numbers of its own, so that one seed trains another network than without the loops.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from materium.model import loops


def fusible(x: Tensor) -> bool:
    """Return whether the loops can do what follows from `x`: on a CPU, compiled, and gradients asked for."""
    return x.requires_grad and x.device.type == "cpu" and x.dtype in loops.NAMES and loops.compiled() is not None


def fits(tokens: int) -> bool:
    """Return whether the loops have room for so many positions of a row."""
    found = loops.compiled()
    return found is not None and tokens <= found.longest()


def norm(x: Tensor, weight: Tensor, eps: float, *, exact: bool = False) -> Tensor:
    """Return RMSNorm of (..., width) in float32, in the type of the products that follow, or `exact`, in its own."""
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    dtype = torch.bfloat16 if half and not exact else x.dtype
    result: Tensor = _Norm.apply(x, weight, eps, dtype)  # type: ignore[no-untyped-call]
    return result


def swiglu(up: Tensor) -> Tensor:
    """Return silu(gate) * value, (..., width), of gates and values side by side, (..., 2 width)."""
    result: Tensor = _SwiGLU.apply(up)  # type: ignore[no-untyped-call]
    return result


def heads(qkv: Tensor, rotation: tuple[Tensor, Tensor], counts: tuple[int, int], width: int) -> tuple[Tensor, ...]:
    """Return queries, keys and values of (B, tokens, all heads * width), each (B, heads, tokens, width).

    Queries and keys are turned by the rotary angles. `counts` are the heads of queries, and of keys or values.
    """
    cosine, sine = (part.flatten(0, 1).contiguous() for part in rotation)
    result: tuple[Tensor, ...] = _Heads.apply(qkv, cosine, sine, counts, width)  # type: ignore[no-untyped-call]
    return result


def add_dropped(x: Tensor, branch: Tensor, dropped: int) -> Tensor:
    """Return x + dropout(branch), both (..., width), x and the result in float32.

    `dropped` of 65,536 entries become 0; which ones follows from PyTorch's generator.
    """
    seeds: list[int] = torch.randint(2**32, (2,)).tolist()
    result: Tensor = _AddDropped.apply(x, branch, (*seeds, dropped))  # type: ignore[no-untyped-call]
    return result


def causal_softmax(scores: Tensor, scale: float) -> Tensor:
    """Return softmax of `scale` times the scores, (B, heads, tokens, tokens), over the tokens up to each one's own."""
    result: Tensor = _CausalSoftmax.apply(scores, scale)  # type: ignore[no-untyped-call]
    return result


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return what tokens cost in nats by their scores, (rows, tokens): (rows,) in float32.

    `targets`, (rows,), int64, are their places.

    Raises
    ------
    IndexError
        If a target is none of the places, or rows and targets are not as many.
    """
    rows, tokens = scores.shape
    fits = targets.dtype == torch.int64 and targets.shape == (rows,)
    if not fits or (rows and not 0 <= targets.min() <= targets.max() < tokens):
        raise IndexError(f"{rows} int64 targets, from 0 to {tokens - 1}, are needed; got {targets.dtype}, {targets}")
    result: Tensor = _CrossEntropy.apply(scores, targets)  # type: ignore[no-untyped-call]
    return result


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:  # noqa: ANN401
        x, weight = x.contiguous(), weight.contiguous()
        width, rows = x.shape[-1], x.numel() // x.shape[-1]
        out, inverse = x.new_empty(x.shape, dtype=dtype), x.new_empty(rows)
        at = (x, weight, torch.tensor(eps, dtype=torch.float32, device="cpu"), inverse, out)
        loops.run("norm", dtype, rows, loops.parts_of(rows, width), at, (width,))
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        x, weight, inverse = ctx.saved_tensors
        grad = grad.contiguous()
        width, rows = x.shape[-1], len(inverse)
        parts = loops.parts_of(rows, width)
        of_x, of_weight = torch.empty_like(x), x.new_zeros(parts, width)
        loops.run("norm_backward", grad.dtype, rows, parts, (grad, x, weight, inverse, of_x, of_weight), (width,))
        return of_x, of_weight.sum(0), None, None


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, up: Tensor) -> Tensor:  # noqa: ANN401
        up = up.contiguous()
        width, rows = up.shape[-1] // 2, up.numel() // up.shape[-1]
        out = up.new_empty(*up.shape[:-1], width)
        loops.run("swiglu", up.dtype, rows, loops.parts_of(rows, width), (up, out), (width,))
        ctx.save_for_backward(up)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        (up,) = ctx.saved_tensors
        grad, of_up = grad.contiguous(), torch.empty_like(up)
        width, rows = grad.shape[-1], grad.numel() // grad.shape[-1]
        loops.run("swiglu_backward", up.dtype, rows, loops.parts_of(rows, width), (grad, up, of_up), (width,))
        return of_up


class _Heads(Function):
    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - what is turned, by what, and its shape
        ctx: Any,  # noqa: ANN401
        qkv: Tensor,
        cosine: Tensor,
        sine: Tensor,
        counts: tuple[int, int],
        width: int,
    ) -> tuple[Tensor, ...]:
        qkv = qkv.contiguous()
        batch, tokens, _ = qkv.shape
        alone = [qkv.new_empty(batch, count, tokens, width) for count in (counts[0], counts[1], counts[1])]
        _Heads._run(qkv, cosine, sine, alone, back=False)
        ctx.save_for_backward(cosine, sine)
        return tuple(alone)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        cosine, sine = ctx.saved_tensors
        alone = [grad.contiguous() for grad in grads]
        batch, _, tokens, width = alone[0].shape
        of_qkv = alone[0].new_empty(batch, tokens, sum(grad.shape[1] for grad in alone) * width)
        _Heads._run(of_qkv, cosine, sine, alone, back=True)
        return of_qkv, None, None, None, None

    @staticmethod
    def _run(together: Tensor, cosine: Tensor, sine: Tensor, alone: list[Tensor], *, back: bool) -> None:
        """From `together` to queries, keys and values, or `back`."""
        batch, tokens, numbers = together.shape
        first = 0
        for place, part in enumerate(alone):
            count, width = part.shape[1], part.shape[3]
            among = together[..., first * width :]  # begins where the first of these heads does
            source, target = (part, among) if back else (among, part)
            turn, turned = tokens * width // 2 if len(cosine) > 1 else 0, place < len(alone) - 1
            shape = (turn, tokens, turned, count, numbers // width, width, back)
            parts = loops.parts_of(batch, tokens * count * width)
            loops.run("heads", part.dtype, batch, parts, (source, cosine, sine, target), shape)
            first += count


class _AddDropped(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, branch: Tensor, draw: tuple[int, int, int]) -> Tensor:  # noqa: ANN401
        x, branch = x.contiguous(), branch.contiguous()
        out, width = torch.empty_like(x), x.shape[-1]
        rows = x.numel() // width
        loops.run("add_dropped", branch.dtype, rows, loops.parts_of(rows, width), (x, branch, out), (*draw, width))
        ctx.draw, ctx.dtype = draw, branch.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        grad = grad.contiguous()
        of_branch, width = torch.empty_like(grad, dtype=ctx.dtype), grad.shape[-1]
        rows = grad.numel() // width
        shape = (*ctx.draw, width)
        loops.run("add_dropped_backward", ctx.dtype, rows, loops.parts_of(rows, width), (grad, of_branch), shape)
        return grad, of_branch, None


class _CausalSoftmax(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, scale: float) -> Tensor:  # noqa: ANN401
        scores = scores.contiguous()
        shares, size = torch.empty_like(scores), torch.tensor(scale, dtype=torch.float32, device="cpu")
        _CausalSoftmax._run("causal", shares, (scores, size, shares))
        ctx.save_for_backward(shares, size)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        shares, size = ctx.saved_tensors
        of_scores = torch.empty_like(shares)
        _CausalSoftmax._run("causal_backward", shares, (grad.contiguous(), shares, size, of_scores))
        return of_scores, None

    @staticmethod
    def _run(name: str, shares: Tensor, at: tuple[Tensor, ...]) -> None:
        tokens = shares.shape[-1]
        matrices = shares.numel() // tokens**2
        loops.run(name, shares.dtype, matrices, loops.parts_of(matrices, tokens**2), at, (tokens,))


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor) -> Tensor:  # noqa: ANN401
        scores, targets = scores.contiguous(), targets.contiguous()
        rows, tokens = scores.shape
        norms, costs = (torch.empty(rows, dtype=torch.float32, device=scores.device) for _ in range(2))
        at = (scores, targets, norms, costs)
        loops.run("cost", scores.dtype, rows, loops.parts_of(rows, tokens), at, (tokens,))
        ctx.save_for_backward(scores, targets, norms)
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        scores, targets, norms = ctx.saved_tensors
        of_scores, (rows, tokens) = torch.empty_like(scores), scores.shape
        at = (grad.contiguous(), scores, targets, norms, of_scores)
        loops.run("cost_backward", scores.dtype, rows, loops.parts_of(rows, tokens), at, (tokens,))
        return of_scores, None
