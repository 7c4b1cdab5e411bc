"""The training loop: one file from top to bottom, killed and resumed without a trace in the weights."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch

from materium.data.manifest import check_shards, read_manifest
from materium.errors import CheckpointError, DataError, TrainingError
from materium.extras import install_command
from materium.io.atomic import digest, write_bytes
from materium.model.checkpoint import save_model
from materium.model.device import has_bfloat16
from materium.model.folder import CONFIG, WEIGHTS
from materium.train.atoms import AtomObjective
from materium.train.objective import ahead
from materium.train.optim import Average, optimisers, schedule
from materium.train.orbits import OrbitObjective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor
    from torch.utils.tensorboard import SummaryWriter

    from materium.model.config import ModelConfig
    from materium.model.orbit_config import OrbitModelConfig
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.model.transformer import Transformer
    from materium.train.config import TrainConfig
    from materium.train.objective import Objective

STATE = "state.safetensors"
STABLE = "stable.safetensors"
"""The state of a run with the schedule `wsd` before its decay, from which longer runs can go on."""
LENGTH = ("epochs", "minutes", "warmup", "schedule", "decay", "checkpoint_minutes", "validate_epochs", "validate_steps")
"""Settings in which a run may differ from the one that it continues."""
LOG = "log.csv"
LOG_COLUMNS = ("step", "epoch", "seconds", "loss", "learning_rate", "gradient_norm", "tokens_per_second")
VALIDATION_LOG = "validation.csv"
LOG_EVERY = 20


@dataclass
class Progress:
    """Where a run stands; all of it goes into the checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: float = math.inf


@dataclass(frozen=True)
class Report:
    """What the caller is told after each step, for a progress bar."""

    share: float
    epoch: int
    loss: float
    seconds_left: float


class Run:
    """A training run: data, model, optimiser and progress, in the folder `out`."""

    def __init__(  # noqa: PLR0913 - a run is what it reads, where it writes, and its settings
        self,
        data: Path,
        out: Path,
        model: ModelConfig | OrbitModelConfig,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        *,
        initial: Path | None = None,
        continued: Path | None = None,
        events: bool = False,
    ) -> None:
        """Open the shards, make or resume the model; `events` adds TensorBoard's log to the CSV files.

        `initial` is a folder with a model to start from: its shape is taken, and of `model` the dropout alone; a model
        without a tally gets one, if `model` has it. `continued` is the folder of a run of the same data and settings,
        but for its length and schedule, from whose state before the decay this one goes on.

        Raises
        ------
        DataError
            If `data` holds no shards, or none to validate on.
        TrainingError, CheckpointError
            If `out` holds a run of other settings, or a damaged checkpoint, or if the model to start from has other
            tokens than the shards.
        """
        manifest = read_manifest(data)
        check_shards(data, manifest)
        self.out, self.config, self.device = out, config, torch.device(device)
        self.bfloat16 = has_bfloat16(self.device) if config.bfloat16 is None else config.bfloat16
        kind: type[Objective[Any, Any, Any]] = (
            OrbitObjective if manifest["representation"] == "orbits" else AtomObjective
        )
        if not isinstance(model, kind.takes):
            raise TrainingError(
                f"{data} holds {manifest['representation']}; give a {kind.takes.__name__} to train on them"
            )
        self.objective = kind(data, manifest, config, self.device)
        self.train, self.val, self.loader = self.objective.train, self.objective.val, self.objective.loader
        if len(self.val) == 0:
            raise DataError(f"{data / 'val'} has no crystals; prepare with --val, or with a larger --val-fraction")
        torch.manual_seed(config.seed)
        self.model_config = self.objective.settings(model)
        start = None if initial is None else self.objective.load(initial)
        if start is not None:
            self.model_config = self.objective.continued(start[0].config, self.model_config, str(initial))
        self.model = self.objective.network(self.model_config)
        if start is not None:
            _take_weights(self.model, start[0])
        self.average = Average(self.model, config.ema)
        self.optimisers = optimisers(self.model, config, torch.bfloat16 if self.bfloat16 else torch.float32)
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in self.optimisers]
        self.progress = Progress()
        self.identity = {"data": manifest["identity"], "model": self.model_config.to_dict(), "train": config.to_dict()}
        if start is not None:
            self.identity["initial"] = start[1]["weights_sha256"]
        self.out.mkdir(parents=True, exist_ok=True)
        stable = None if continued is None else continued / STABLE
        if stable is not None:
            self.identity["continued"] = _source(stable)
        if (out / STATE).exists():
            self._resume(out / STATE)
        else:
            (out / STABLE).unlink(missing_ok=True)  # of a run that is no more
            if stable is not None:
                self._resume(stable)
        self.events = _event_writer(out, self.progress.step) if events else None

    def fit(self, report: Callable[[Report], None] | None = None) -> dict[str, float]:
        """Train to the end, with checkpoints on the way, and return the last validation.

        Raises
        ------
        TrainingError
            If the loss or its gradient is no longer finite; the last checkpoint stays.
        """
        saved, begun = time.monotonic(), time.monotonic() - self.progress.seconds
        last, at = dict[str, float](), -1
        with CsvLog(self.out / LOG, LOG_COLUMNS, self.progress.step) as log:
            for batch, share, after in self._schedule(begun):
                loss, norm = self._step(batch, share)
                self.progress.seconds = time.monotonic() - begun
                row = log.add(self.progress, loss, norm, self._rate(), self.objective.tokens(batch))
                if row:
                    self._note(dict(zip(LOG_COLUMNS[3:], map(float, row[3:]), strict=True)))
                if report:
                    left = self.progress.seconds * (1 - after) / after if after else math.inf
                    report(Report(after, self.progress.epoch, loss, left))
                if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
                if self._is_to_validate():
                    last, at = self._validated(), self.progress.step
                    self.save()
        return last if at == self.progress.step else self._validated()

    def _schedule(self, begun: float) -> Iterator[tuple[object, float, float]]:
        """Batches from where the run stands, each with the fraction of the run that is done before and after it."""
        limit = None if self.config.minutes is None else 60 * self.config.minutes
        while limit is not None or self.progress.epoch < self.config.epochs:
            total = len(self.loader.batches(self.progress.epoch))
            for batch in ahead(self.loader.epoch(self.progress.epoch, self.progress.batch)):
                done = self.progress.epoch + self.progress.batch / total
                share = (time.monotonic() - begun) / limit if limit else done / self.config.epochs
                if share >= 1:
                    return
                if self._decays and share >= 1 - self.config.decay and not (self.out / STABLE).exists():
                    self.save(STABLE)
                self.progress.batch += 1
                self.progress.step += 1
                if self.progress.batch == total:
                    self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0
                now = self.progress.epoch + self.progress.batch / total
                yield batch, share, share if limit else now / self.config.epochs

    def _step(self, batch: object, share: float) -> tuple[float, float]:
        """One step of the optimiser; returns the loss in nats a token and the norm of the gradient."""
        factor = schedule(share, self.config.warmup, self.config.decay if self._decays else None)
        for optimiser, rates in zip(self.optimisers, self.base_rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        with self.precision():
            nats, tokens = self.objective.nats(self.model, batch)
        loss = nats / tokens
        value = self._finite("loss", loss.detach())
        loss.backward()
        norm = self._finite("gradient", torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip))
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.average.update(self.model)
        return value, norm

    def _finite(self, name: str, value: Tensor) -> float:
        """Return the number, or stop before it gets into the weights."""
        number = float(value)
        if not math.isfinite(number):
            kept = f"the last good checkpoint is {self.out / STATE}" if (self.out / STATE).exists() else "none was kept"
            message = f"{name} is {number} at step {self.progress.step}; {kept}"
            raise TrainingError(f"{message}; start anew with a lower learning rate or a smaller clip")
        return number

    def precision(self) -> AbstractContextManager[None]:
        """Return the context in which the forward pass runs."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    def _decays(self) -> bool:
        return self.config.schedule == "wsd"

    def _rate(self) -> float:
        return float(self.optimisers[0].param_groups[0]["lr"])

    def _is_to_validate(self) -> bool:
        """Whether an epoch, or a number of steps, ends after which the run is validated."""
        epoch, config = self.progress.epoch, self.config
        is_last = config.minutes is None and epoch == config.epochs
        if config.validate_steps is not None and self.progress.step % config.validate_steps == 0:
            return True
        return self.progress.batch == 0 and (is_last or epoch % config.validate_epochs == 0)

    def _validated(self) -> dict[str, float]:
        """Validate the averaged weights, note the figures, and write the model if none before it was better."""
        averaged = copy.deepcopy(self.model).eval()
        self.average.copy_to(averaged)
        with self.precision():
            figures = self.objective.validate(averaged)
        write_row(self.out / VALIDATION_LOG, {"step": self.progress.step, "epoch": self.progress.epoch, **figures})
        self._note({f"validation/{name}": value for name, value in figures.items()})
        if figures["nats_per_crystal"] < self.progress.best:
            self.progress.best = figures["nats_per_crystal"]
            facts = {"steps": self.progress.step, "epochs": self.progress.epoch, "validation": figures}
            save_model(averaged, self.out, {**facts, "train": self.identity["train"], "data": self.identity["data"]})
        return figures

    def _note(self, figures: dict[str, float]) -> None:
        if self.events is None:
            return
        for name, value in figures.items():
            self.events.add_scalar(name, value, self.progress.step)
        self.events.flush()

    def save(self, name: str = STATE) -> None:
        """Write the whole state of the run in one step."""
        from safetensors.torch import save

        state = {f"model.{n}": p.detach() for n, p in self.model.named_parameters()}
        state |= {f"average.{n}": p for n, p in self.average.weights.items()}
        state["random"] = torch.get_rng_state()
        for i, optimiser in enumerate(self.optimisers):
            for j, entry in optimiser.state_dict()["state"].items():
                state |= {f"optimiser.{i}.{j}.{name}": torch.as_tensor(value) for name, value in entry.items()}
        progress = {"progress": vars(self.progress), "average_steps": self.average.steps, "identity": self.identity}
        paths = [path for name in (LOG, VALIDATION_LOG) if (path := self.out / name).exists()]
        facts = json.dumps({**progress, "logs": {path.name: path.read_text(encoding="utf-8") for path in paths}})
        arrays = {name: value.cpu().contiguous() for name, value in state.items()}
        write_bytes(self.out / name, save(arrays, metadata={"facts": facts, "sha256": _digest(facts, arrays)}))

    def _resume(self, path: Path) -> None:
        facts, state = read_state(path)
        if path.parent == self.out and facts["identity"] != self.identity:
            raise TrainingError(f"{self.out} holds a run of other data or settings; choose another --out")
        if but_for_length(facts["identity"]) != but_for_length(self.identity):
            raise TrainingError(
                f"{path.parent} is a run of other data or settings; continue it with its own, but for its length"
            )
        self.progress = Progress(**facts["progress"])
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state[f"model.{name}"])
        self.average.weights = {n: state[f"average.{n}"].to(self.device) for n in self.average.weights}
        self.average.steps = facts["average_steps"]
        for i, optimiser in enumerate(self.optimisers):
            optimiser.load_state_dict({**optimiser.state_dict(), "state": _optimiser_state(state, i)})
        for name, text in facts["logs"].items():  # whatever became of the files, no step is missing or there twice
            write_bytes(self.out / name, text.encode())
        if (self.out / CONFIG).exists() and (self.out / WEIGHTS).exists():
            self.objective.load(self.out)  # the best model so far may never be written again
        else:
            self.progress.best = math.inf
        torch.set_rng_state(state["random"])  # last: making a network draws random numbers


def but_for_length(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run has to have in common with one that it continues."""
    train = {name: value for name, value in identity["train"].items() if name not in LENGTH}
    return {**{name: value for name, value in identity.items() if name != "continued"}, "train": train}


def _source(state: Path) -> str:
    if not state.exists():
        raise TrainingError(f"{state.parent} has no {STABLE}; continue a run whose --schedule wsd has begun to decay")
    return digest(state)


def _take_weights(model: Transformer | OrbitTransformer, start: Transformer | OrbitTransformer) -> None:
    """Take over all weights; a tally that the other model lacks stays as it was made, and says nothing at first."""
    own = {name: weight for name, weight in model.state_dict().items() if name.startswith("tally.")}
    model.load_state_dict({**own, **start.state_dict()})


def _event_writer(out: Path, step: int) -> SummaryWriter:
    """TensorBoard's log, without what an interrupted run noted after `step`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            f"TensorBoard is not installed; {install_command('train')}, or leave its log out"
        ) from error
    return SummaryWriter(out / "tensorboard", purge_step=step + 1)


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return facts and tensors of a training state.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        facts = json.loads(metadata["facts"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no whole training state ({error}); remove it to start anew") from error
    if metadata.get("sha256", "") not in ("", _digest(metadata["facts"], state)):
        raise CheckpointError(f"{path} was altered, its checksum is another; remove it to start anew")
    return facts, state


def _digest(facts: str, state: dict[str, Tensor]) -> str:
    """A checksum of the whole state."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _optimiser_state(state: dict[str, Tensor], index: int) -> dict[int, dict[str, Tensor]]:
    prefix = f"optimiser.{index}."
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith(prefix):
            parameter, key = name.removeprefix(prefix).split(".")
            entries.setdefault(int(parameter), {})[key] = value
    return entries


class CsvLog:
    """The log of a run: a row every `LOG_EVERY` steps; rows after the step that is resumed from are dropped."""

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        """Cut the log back to `step` and open it."""
        write_bytes(path, _lines(columns, [row for row in read_log(path, columns) if int(row[0]) <= step]))
        self.file = path.open("a", newline="")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.losses: list[float] = []
        self.tokens, self.since = 0, time.monotonic()

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.file.close()

    def add(
        self, progress: Progress, loss: float, norm: float, rate: float, tokens: int
    ) -> tuple[float | str, ...] | None:
        """Note a step, and return the row if one was due."""
        self.losses.append(loss)
        self.tokens += tokens
        if progress.step % LOG_EVERY:
            return None
        now = time.monotonic()
        mean, speed = sum(self.losses) / len(self.losses), self.tokens / (now - self.since)
        place = (progress.step, progress.epoch, round(progress.seconds, 1))
        row = (*place, f"{mean:.5f}", f"{rate:.3g}", f"{norm:.4g}", round(speed))
        self.writer.writerow(row)
        self.file.flush()
        self.losses, self.tokens, self.since = [], 0, now
        return row


def read_log(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows of a log; none if there is no file of these columns, and no row that was cut short."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
    if not lines or lines[0].strip() != ",".join(columns):
        return []
    rows = [line.strip().split(",") for line in lines[1:] if line.endswith("\n")]
    return [row for row in rows if len(row) == len(columns) and row[0].isdecimal()]


def write_row(path: Path, row: dict[str, float]) -> None:
    """Append a row to a log; what an interrupted run wrote from this step on is dropped."""
    earlier = [r for r in read_log(path, list(row)) if int(r[0]) < row["step"]]
    write_bytes(path, _lines(list(row), [*earlier, [round(value, 5) for value in row.values()]]))


def _lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()
