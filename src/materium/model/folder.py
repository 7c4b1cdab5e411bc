"""The folder of a model as files, read without torch: its configuration, checksums, and the size of its weights."""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materium.errors import CheckpointError
from materium.io.atomic import digest
from materium.model.config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.model.orbit_config import OrbitModelConfig

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
NOT_TRAINED = {"tally.volume"}
"""Tensors of that file that are facts, not parameters."""
FORMAT = "materium-model-1"
ORBIT_FORMAT = "materium-orbit-model-1"
"""Of a model of sequences of orbits."""
NEEDED = ("model", "tokenizer_fingerprint", "weights_sha256", "facts")
"""What `config.json` must hold; `model_sha256` and `facts_sha256` are checked where they are there."""


def default_model() -> Path:
    """Return the folder of the model that ships with the package."""
    from importlib.resources import files

    return Path(str(files("materium").joinpath("pretrained")))


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json` of a model folder, checked; errors as in `load_checkpoint`."""
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no model ({CONFIG} is missing); name a folder that has one")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); the checkpoint is damaged") from error
    if not isinstance(config, dict) or config.get("format") not in (FORMAT, ORBIT_FORMAT):
        found = config.get("format") if isinstance(config, dict) else config
        raise CheckpointError(f"{path} has format {found!r}; {FORMAT!r} or {ORBIT_FORMAT!r} is needed")
    missing = [name for name in NEEDED if name not in config]
    if missing:
        raise CheckpointError(f"{path} says nothing of {', '.join(missing)}; the checkpoint is damaged")
    if config.get("facts_sha256") not in (None, settings_digest(config["facts"])):
        raise CheckpointError(f"{path} has other facts about the training than it was written with; it is damaged")
    return config


def require_format(config: Mapping[str, Any], wanted: str, folder: Path) -> None:
    """Refuse a model of the other representation; errors as in `load_checkpoint`."""
    if config["format"] != wanted:
        raise CheckpointError(f"{folder} has a model of format {config['format']!r}; {wanted!r} is needed here")


def model_config(config: dict[str, Any], folder: Path) -> ModelConfig | OrbitModelConfig:
    """Return the settings of the network, held to their checksum: with one digit changed they may still fit."""
    path = folder / CONFIG
    if config.get("model_sha256") not in (None, settings_digest(config["model"])):
        raise CheckpointError(f"{path} has other model settings than it was written with; the checkpoint is damaged")
    try:
        model = _settings_class(config["format"]).from_dict(config["model"])
        model.tokenizer.require(config["tokenizer_fingerprint"], str(folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not describe a model ({error}); the checkpoint is damaged") from error
    return model


def _settings_class(kind: str) -> type[ModelConfig | OrbitModelConfig]:
    if kind != ORBIT_FORMAT:
        return ModelConfig
    from materium.model.orbit_config import OrbitModelConfig  # brings the tables of the space groups

    return OrbitModelConfig


def read_description(folder: Path | None = None) -> tuple[ModelConfig | OrbitModelConfig, dict[str, Any]]:
    """Return what `load_checkpoint` returns but the weights: the network's settings, and the whole config."""
    folder = default_model() if folder is None else folder
    config = read_config(folder)
    shape = model_config(config, folder)
    check_weights(folder, config)
    return shape, config


def check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse weights that are not those that the config was written with; errors as in `load_checkpoint`."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the checkpoint is not complete")
    found = digest(path)
    if found != config["weights_sha256"]:
        message = f"{path} has sha256 {found[:12]}…, config.json says {config['weights_sha256'][:12]}…"
        raise CheckpointError(f"{message}; the file was altered, fetch or train it again")


def count_parameters(folder: Path | None = None) -> int:
    """Return how many numbers training adjusted, from the header of the file of the weights."""
    from safetensors import safe_open

    with safe_open((folder or default_model()) / WEIGHTS, "numpy") as file:
        names = set(file.keys()) - NOT_TRAINED
        return sum(prod(file.get_slice(name).get_shape()) for name in names)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return the sha256 of the settings of a network, whatever the order of their names."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
