"""What a training run asks of a representation: data, network, likelihood and validation; and batches made ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch
    from torch import Tensor

    from materium.train.config import TrainConfig

Settings = TypeVar("Settings")
Network = TypeVar("Network")
OneBatch = TypeVar("OneBatch")
T = TypeVar("T")


class Objective(ABC, Generic[Settings, Network, OneBatch]):
    """Shards of one representation, and how a network learns from them.

    Attributes
    ----------
    takes
        The class of the network's settings.
    train, val
        The shards.
    loader
        The batches to train on.
    """

    takes: ClassVar[type]
    train: Any
    val: Any
    loader: Any

    @abstractmethod
    def __init__(self, data: Path, manifest: Mapping[str, Any], config: TrainConfig, device: torch.device) -> None:
        """Open the shards; `TrainingError` if the mix is one of another representation."""

    @abstractmethod
    def settings(self, model: Settings) -> Settings:
        """Return the settings of the network with what follows from the data."""

    @abstractmethod
    def continued(self, start: Settings, wanted: Settings, source: str) -> Settings:
        """Return the settings of a model from `source` that is trained on, given its own and those from `settings`.

        Mean and spread of a property stay, for they are part of how the weights read a value.
        """

    @abstractmethod
    def load(self, folder: Path) -> tuple[Network, dict[str, Any]]:
        """Return the model in a folder, and its config."""

    @abstractmethod
    def network(self, settings: Settings) -> Network:
        """Return a network with fresh weights on the device."""

    @abstractmethod
    def nats(self, model: Network, batch: OneBatch) -> tuple[Tensor, int]:
        """Return -ln p of a batch, and of how many tokens."""

    @abstractmethod
    def tokens(self, batch: OneBatch) -> int:
        """Return how many tokens a batch has, without padding."""

    @abstractmethod
    def validate(self, model: Network) -> dict[str, float]:
        """Return figures of the validation split; by `nats_per_crystal` the best model is kept."""


def figures_of(nats: Mapping[str, tuple[float, int]], crystals: int) -> dict[str, float]:
    """Return means over tokens and over crystals of the nats of each token type, given with the number of its tokens.

    A type that no token has costs NaN a token.
    """
    total, tokens = (sum(entry[k] for entry in nats.values()) for k in (0, 1))
    return {
        "nats_per_token": total / tokens,
        "nats_per_crystal": total / crystals,
        **{f"{name}_nats": cost / crystals for name, (cost, _) in nats.items()},
        **{f"{name}_nats_per_token": cost / count if count else float("nan") for name, (cost, count) in nats.items()},
    }


def ahead(items: Iterator[T], count: int = 2) -> Iterator[T]:
    """Yield the items of an iterator, of which a thread makes up to `count` ahead."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]  # not the end
