"""Models on the disk: a folder with `model.safetensors` and `config.json`; nothing that is loaded runs code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from materium.errors import CheckpointError
from materium.io.atomic import digest, write_bytes, write_json
from materium.model.folder import (
    CONFIG,
    FORMAT,
    ORBIT_FORMAT,
    WEIGHTS,
    check_weights,
    default_model,
    model_config,
    read_config,
    require_format,
    settings_digest,
)
from materium.model.orbit_transformer import OrbitTransformer
from materium.model.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def save_model(
    model: Transformer | OrbitTransformer, folder: Path, facts: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write weights of type `dtype`, and settings with `facts` about the training, each file at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(dtype) for name, value in model.state_dict().items()}
    write_tensors(folder / WEIGHTS, weights)
    settings = model.config.to_dict()
    config = {
        "format": FORMAT if isinstance(model, Transformer) else ORBIT_FORMAT,
        "model": settings,
        "model_sha256": settings_digest(settings),
        "tokenizer_fingerprint": model.config.tokenizer.fingerprint,
        "weights_sha256": digest(folder / WEIGHTS),
        "facts": dict(facts),
        "facts_sha256": settings_digest(json.loads(json.dumps(dict(facts)))),  # as it will be read
    }
    write_json(folder / CONFIG, config, allow_nan=True)  # a validation without tokens of a kind has no mean


def load_checkpoint(
    folder: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[Transformer, dict[str, Any]]:
    """Return the model in `folder` (the one that ships, where none is named), in float32, and its whole config.

    Raises
    ------
    CheckpointError
        If a file is missing, cut short, altered, a pickle, or does not fit the settings, or if it is a model of orbits.
    """
    folder = default_model() if folder is None else folder
    config = read_config(folder)
    require_format(config, FORMAT, folder)
    model = Transformer(model_config(config, folder))  # type: ignore[arg-type]  # of this format
    _load_weights(model, folder, config)
    return model.to(device).eval(), config


def load_orbit_model(folder: Path, device: torch.device | str = "cpu") -> tuple[OrbitTransformer, dict[str, Any]]:
    """Return a model of sequences of orbits, as `load_checkpoint` returns one of sequences of atoms."""
    config = read_config(folder)
    require_format(config, ORBIT_FORMAT, folder)
    model = OrbitTransformer(model_config(config, folder))  # type: ignore[arg-type]  # of this format
    _load_weights(model, folder, config)
    return model.to(device).eval(), config


def _load_weights(model: Transformer | OrbitTransformer, folder: Path, config: Mapping[str, Any]) -> None:
    """Put the weights of a folder into its network."""
    weights = read_tensors(folder / WEIGHTS)
    check_weights(folder, config)
    for name, value in weights.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{folder / WEIGHTS}: {name} holds NaN or infinity; train again or take an older one")
    try:
        model.load_state_dict({name: value.float() for name, value in weights.items()})
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder}: weights do not fit the settings in config.json ({last})") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; errors as in `load_checkpoint`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the checkpoint is not complete")
    try:
        return load_file(path)
    except SafetensorError as error:
        kind = "a pickle, which is never loaded" if _is_pickle(path) else f"no whole safetensors file ({error})"
        raise CheckpointError(f"{path} is {kind}; a safetensors file is needed") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file at once or not at all."""
    from safetensors.torch import save

    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start[:1] == b"\x80" or start[:2] == b"PK"
