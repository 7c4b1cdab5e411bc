"""Devices by name."""

from __future__ import annotations

import torch

from materium.errors import MateriumError

CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")
"""Instructions for products of bfloat16 matrices; without them a CPU is slower in bfloat16 than in float32."""


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` takes CUDA where it is there, else the CPU.

    Apple's MPS holds no float64, which sums over sentences and random draws need.

    Raises
    ------
    MateriumError
        If there is no such device, or not on this machine.
    """
    present = {"cuda": torch.cuda.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MateriumError(f"{name!r} is no device; auto, cpu, cuda and cuda:1 are") from error
    if device.type == "mps":
        raise MateriumError("device 'mps' holds no float64, which sums and draws need; use cpu")
    missing = not present.get(device.type) or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    )
    if missing:
        raise MateriumError(f"device {name!r} is not on this machine; 'materium doctor' says what is")
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16, so that it is the faster type there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(feature) for feature in CPU_FEATURES)
