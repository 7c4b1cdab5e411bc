"""Models on the disk: a folder with `model.safetensors` and `config.json`; nothing that is loaded runs code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from materium.errors import CheckpointError
from materium.io.atomic import digest, write_bytes, write_json
from materium.model.config import ModelConfig
from materium.model.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = "materium-model-1"
NEEDED = ("model", "tokenizer_fingerprint", "weights_sha256", "facts")
"""What `config.json` must hold; `model_sha256` is checked where it is there."""


def default_model() -> Path:
    """Return the folder of the model that ships with the package."""
    from importlib.resources import files

    return Path(str(files("materium").joinpath("pretrained")))


def save_model(model: Transformer, folder: Path, facts: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> None:
    """Write weights of type `dtype`, and settings with `facts` about the training, each file at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(dtype) for name, value in model.state_dict().items()}
    write_tensors(folder / WEIGHTS, weights)
    settings = model.config.to_dict()
    config = {
        "format": FORMAT,
        "model": settings,
        "model_sha256": _settings_digest(settings),
        "tokenizer_fingerprint": model.config.tokenizer.fingerprint,
        "weights_sha256": digest(folder / WEIGHTS),
        "facts": dict(facts),
    }
    write_json(folder / CONFIG, config, allow_nan=True)  # a validation without tokens of a kind has no mean


def load_checkpoint(
    folder: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[Transformer, dict[str, Any]]:
    """Return the model in `folder` (the one that ships, where none is named), in float32, and its whole config.

    Raises
    ------
    CheckpointError
        If a file is missing, cut short, altered, a pickle, or does not fit the settings.
    """
    folder = default_model() if folder is None else folder
    config = read_config(folder)
    model = Transformer(_model_config(config, folder))
    weights = read_tensors(folder / WEIGHTS)
    found = digest(folder / WEIGHTS)
    if found != config["weights_sha256"]:
        message = f"{folder / WEIGHTS} has sha256 {found[:12]}…, config.json says {config['weights_sha256'][:12]}…"
        raise CheckpointError(f"{message}; the file was altered, fetch or train it again")
    for name, value in weights.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{folder / WEIGHTS}: {name} holds NaN or infinity; train again or take an older one")
    try:
        model.load_state_dict({name: value.float() for name, value in weights.items()})
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder}: weights do not fit the settings in config.json ({last})") from error
    return model.to(device).eval(), config


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json` of a model folder, checked; errors as in `load_checkpoint`."""
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no model ({CONFIG} is missing); name a folder that has one")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); the checkpoint is damaged") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else config
        raise CheckpointError(f"{path} has format {found!r}; {FORMAT!r} is needed")
    missing = [name for name in NEEDED if name not in config]
    if missing:
        raise CheckpointError(f"{path} says nothing of {', '.join(missing)}; the checkpoint is damaged")
    return config


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


def _model_config(config: dict[str, Any], folder: Path) -> ModelConfig:
    """The settings, held to their checksum: with one digit changed they may still fit the weights."""
    path = folder / CONFIG
    if config.get("model_sha256") not in (None, _settings_digest(config["model"])):
        raise CheckpointError(f"{path} has other model settings than it was written with; the checkpoint is damaged")
    try:
        model = ModelConfig.from_dict(config["model"])
        model.tokenizer.require(config["tokenizer_fingerprint"], str(folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not describe a model ({error}); the checkpoint is damaged") from error
    return model


def _settings_digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start[:1] == b"\x80" or start[:2] == b"PK"
