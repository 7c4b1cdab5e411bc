"""`materium train`: trains a model on shards."""

from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, OutOption, QuietOption, SeedOption
from materium.cli.threads import with_threads
from materium.data.loader import Mix
from materium.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.train.loop import Report, Run

ORDERS = ",".join(f"{name}={weight}" for name, weight in Mix().orders.items())
"""The default mix, as it is written on the command line."""


@with_threads
def train(
    data: Annotated[Path, typer.Argument(help="Folder that 'materium prepare' wrote.")],
    out: OutOption,
    preset: Annotated[str, typer.Option(help="base, paper (43 M parameters) or tiny.")] = "base",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = TrainConfig.epochs,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time instead.")] = TrainConfig.minutes,
    orders: Annotated[str, typer.Option(help="Site orders with their weights, such as high=0.6,random=0.4.")] = ORDERS,
    lattice_first: Annotated[float, typer.Option(help="Probability that the lattice comes first.")] = Mix.lattice_first,
    other_setting: Annotated[
        float, typer.Option(help="Probability that a crystal is shown in another setting than the canonical.")
    ] = Mix.other_setting,
    conditional: Annotated[float, typer.Option(help="Probability that a sample is conditioned.")] = Mix.conditional,
    alone: Annotated[
        float, typer.Option(help="Of the conditioned samples, the fraction with a single condition.")
    ] = Mix.alone,
    always: Annotated[
        str,
        typer.Option(metavar="<names>", help="Conditions that are never dropped, such as energy_above_hull."),
    ] = "",
    max_energy_above_hull: Annotated[
        float | None,
        typer.Option(help="eV/atom: skip rows above it and rows without the label; inf skips the latter alone."),
    ] = Mix.max_energy_above_hull,
    energy_weight: Annotated[
        float | None,
        typer.Option(
            metavar="<scale>",
            help="eV/atom: draw rows with weight exp(-energy above hull / scale), none without that label.",
        ),
    ] = Mix.energy_scale,
    batch_tokens: Annotated[int, typer.Option(min=64, help="Tokens in a batch.")] = TrainConfig.max_tokens,
    optimiser: Annotated[str, typer.Option(help="adamw or muon.")] = TrainConfig.optimiser,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = TrainConfig.learning_rate,
    muon_learning_rate: Annotated[
        float, typer.Option(help="Peak learning rate of Muon.")
    ] = TrainConfig.muon_learning_rate,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of the weight matrices.")
    ] = TrainConfig.weight_decay,
    ema: Annotated[
        float, typer.Option(help="Decay of the exponential moving average of the weights, which is what is saved.")
    ] = TrainConfig.ema,
    dropout: Annotated[float | None, typer.Option(help="On the residual branches. Default: the preset's.")] = None,
    bfloat16: Annotated[
        bool | None,
        typer.Option(
            "--bfloat16/--float32", help="Type of the matrix products. Default: the faster one on the device."
        ),
    ] = TrainConfig.bfloat16,
    initial: Annotated[
        Path | None,
        typer.Option(metavar="<dir>", help="Folder of a model to start from; its architecture and tokenizer are kept."),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")] = False,
    seed: SeedOption = TrainConfig.seed,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Train a model on shards; the same command resumes an interrupted run.

    Example:

        materium train data/mine --out runs/mine --epochs 20

        materium train data/mine --out runs/stable --max-energy-above-hull 0.1 --always energy_above_hull
    """
    from materium.io.lock import hold_folder
    from materium.model.config import ModelConfig
    from materium.model.device import resolve_device
    from materium.train.loop import Run
    from materium.train.memory import keep_freed_memory

    keep_freed_memory()
    mix = Mix(
        orders=parse_weights(orders),  # type: ignore[arg-type]  # Mix names the right ones if one is none
        lattice_first=lattice_first,
        other_setting=other_setting,
        conditional=conditional,
        alone=alone,
        always=tuple(name.strip() for name in always.split(",") if name.strip()),
        max_energy_above_hull=max_energy_above_hull,
        energy_scale=energy_weight,
    )
    config = TrainConfig(
        seed=seed,
        epochs=epochs,
        minutes=minutes,
        max_tokens=batch_tokens,
        optimiser=optimiser,  # type: ignore[arg-type]  # the optimiser's maker names the right ones
        learning_rate=learning_rate,
        muon_learning_rate=muon_learning_rate,
        weight_decay=weight_decay,
        ema=ema,
        bfloat16=bfloat16,
        mix=mix,
    )
    model = ModelConfig.preset(preset, **({} if dropout is None else {"dropout": dropout}))
    console = make_console(quiet=quiet)
    with hold_folder(out):
        run = Run(data, out, model, config, resolve_device(device), initial=initial, events=tensorboard)
        console.print(f"{run.model.num_parameters():,} parameters, {_drawn(run)}, from step {run.progress.step}")
        figures = _fit(run, quiet=quiet)
    console.print(make_table(("validation", "", "meaning"), _shown(figures, mix.always)))
    console.print(f"model in {out}; try: materium generate --model {out} --out runs/mine")


def parse_weights(text: str) -> dict[str, float]:
    """Return the weights of a text such as `high=0.6,random=0.4`.

    Raises
    ------
    MateriumError
        If a part is no name with a number.
    """
    from materium.errors import MateriumError

    weights = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            weights[name.strip()] = float(number or 1)
        except ValueError as error:
            raise MateriumError(f"{part!r} is no weight; write orders like high=0.6,random=0.4") from error
    return weights


def _drawn(run: "Run") -> str:
    """How many crystals the shard has, and where weights say otherwise, how many are drawn."""
    weights = run.loader.weights
    if (weights == 1).all():
        return f"{len(run.train)} crystals"
    some = int((weights > 0).sum())
    return f"{some} of {len(run.train)} crystals with weights, {round(weights.sum())} to an epoch"


def _shown(figures: dict[str, float], always: tuple[str, ...]) -> "Iterator[tuple[str, str, str]]":
    """The figures of the last validation that say how good a model is; all of them are in validation.csv."""
    loss = figures["nats_per_token"]
    yield "loss", f"{loss:.4f}", "cross-entropy per token, nats"
    yield "perplexity", f"{exp(loss):.2f}", "per token; lower is better"
    given = f"given {' and '.join(always)} alone" if always else "unconditional"
    yield "crystal", f"{figures['nats_per_crystal']:.2f}", f"-ln p of a crystal, {given}, nats"
    yield "conditioned", f"{figures['told_nats_per_crystal']:.2f}", "-ln p of a crystal given all its conditions, nats"


def _fit(run: "Run", *, quiet: bool) -> dict[str, float]:
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("training", total=100, percent=True)

        def report(now: "Report") -> None:
            text = f"epoch {now.epoch}, loss {now.loss:.3f}" if now.share < 1 else "validating"
            progress.update(task, completed=100 * now.share, description=text)

        return run.fit(report)
