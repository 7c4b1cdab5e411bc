"""Settings of a training run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from materium.data.loader import Mix
from materium.errors import TrainingError

if TYPE_CHECKING:
    from materium.data.orbit_loader import OrbitMix


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Parameters
    ----------
    epochs
        Passes over the training shard; the schedule ends with them.
    minutes
        Wall-clock limit that the schedule follows instead, where it is given: for comparisons at equal time. Such a
        run cannot be repeated bit by bit.
    max_tokens
        Tokens of a batch, padding included, prefix not.
    learning_rate, muon_learning_rate, betas, weight_decay, clip, warmup
        Of the optimiser; `warmup` is a share of the run, `clip` the largest norm of the gradient.
    optimiser
        `adamw`, or `muon` for the matrices.
    schedule, decay
        Learning rate after the warm-up: `cosine` falls all the way; `wsd` (warm-up, stable, decay) stays, and falls
        linearly over the last share `decay` of the run, before which the state of the run is kept.
    ema
        Decay of the averaged weights, which are what is validated and shipped.
    bfloat16
        Whether matrix products run in bfloat16; None takes it where the device has instructions for it.
    checkpoint_minutes
        Time between checkpoints.
    validate_epochs
        Epochs between validations.
    validate_steps
        Steps between further validations; None for none. For data of which an epoch takes hours.
    mix
        Orders, settings and conditions that rows are turned into.
    """

    seed: int = 0
    epochs: int = 20
    minutes: float | None = None
    max_tokens: int = 4096
    optimiser: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 3e-3
    muon_learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0
    warmup: float = 0.03
    schedule: Literal["cosine", "wsd"] = "cosine"
    decay: float = 0.2
    ema: float = 0.999
    bfloat16: bool | None = None
    checkpoint_minutes: float = 3.0
    validate_epochs: int = 1
    validate_steps: int | None = None
    mix: Mix | OrbitMix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        """Refuse numbers with which no run can end well."""
        for name in ("epochs", "max_tokens", "validate_epochs"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "muon_learning_rate", "clip", "checkpoint_minutes"):
            self._require(name, 0 < getattr(self, name) < math.inf, "a number above 0")
        for name in ("warmup", "ema"):
            self._require(name, 0 <= getattr(self, name) < 1, "a number from 0 to below 1")
        if self.schedule not in ("cosine", "wsd"):
            raise TrainingError(f"unknown schedule {self.schedule!r}; choose cosine or wsd")
        self._require("decay", 0 < self.decay <= 1, "a share of the run, above 0 and at most 1")
        self._require("validate_steps", self.validate_steps is None or self.validate_steps >= 1, "at least 1")
        self._require("minutes", self.minutes is None or 0 < self.minutes < math.inf, "a number above 0")
        self._require("weight_decay", 0 <= self.weight_decay < math.inf, "a number from 0 on")

    def _require(self, name: str, good: bool, needed: str) -> None:  # noqa: FBT001 - what is checked, not a switch
        if not good:
            raise TrainingError(f"{name} = {getattr(self, name)} is not possible; give {needed}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]
