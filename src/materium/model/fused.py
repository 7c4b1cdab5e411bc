"""Parts of a block that training passes through in one go on CPUs, forward and backward, by the loops in C.

Results are those of PyTorch's operations; under autocast they are rounded once, where PyTorch rounds after each.
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


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return RMSNorm of (..., width) in float32, in the type of the products that follow."""
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    dtype = torch.bfloat16 if half else x.dtype
    result: Tensor = _Norm.apply(x, weight, eps, dtype)  # type: ignore[no-untyped-call]
    return result


def swiglu(up: Tensor) -> Tensor:
    """Return silu(gate) * value, (..., width), of gates and values side by side, (..., 2 width)."""
    result: Tensor = _SwiGLU.apply(up)  # type: ignore[no-untyped-call]
    return result


def heads(qkv: Tensor, rotation: tuple[Tensor, Tensor], turned: int, width: int) -> Tensor:
    """Return (B, heads, tokens, width) of (B, tokens, heads * width), the first `turned` heads by the rotary angles."""
    cosine, sine = (part.flatten(0, 1).contiguous() for part in rotation)
    result: Tensor = _Heads.apply(qkv, cosine, sine, turned, width)  # type: ignore[no-untyped-call]
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
    def forward(ctx: Any, qkv: Tensor, cosine: Tensor, sine: Tensor, turned: int, width: int) -> Tensor:  # noqa: ANN401, PLR0913, PLR0917
        qkv = qkv.contiguous()
        batch, tokens, numbers = qkv.shape
        apart = qkv.new_empty(batch, numbers // width, tokens, width)
        _Heads._run(qkv, cosine, sine, turned, apart, back=False)
        ctx.save_for_backward(cosine, sine)
        ctx.turned = turned
        return apart

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        cosine, sine = ctx.saved_tensors
        grad = grad.contiguous()
        batch, count, tokens, width = grad.shape
        of_qkv = grad.new_empty(batch, tokens, count * width)
        _Heads._run(grad, cosine, sine, ctx.turned, of_qkv, back=True)
        return of_qkv, None, None, None, None

    @staticmethod
    def _run(  # noqa: PLR0913 - a loop's tensors, and its direction
        source: Tensor, cosine: Tensor, sine: Tensor, turned: int, target: Tensor, *, back: bool
    ) -> None:
        apart = source if back else target
        batch, count, tokens, width = apart.shape
        turn = tokens * width // 2 if len(cosine) > 1 else 0
        parts = loops.parts_of(batch, tokens * count * width)
        shape = (turn, tokens, turned, count, width, int(back))
        loops.run("heads", source.dtype, batch, parts, (source, cosine, sine, target), shape)
