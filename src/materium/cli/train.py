"""`materium train`: from shards to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, OutOption, QuietOption, SeedOption
from materium.data.loader import Mix
from materium.train.config import TrainConfig

if TYPE_CHECKING:
    from materium.train.loop import Report, Run

ORDERS = ",".join(f"{name}={weight}" for name, weight in Mix().orders.items())
"""The default mix, as it is written on the command line."""


def train(
    data: Annotated[Path, typer.Argument(help="Folder that 'materium prepare' wrote.")],
    out: OutOption,
    preset: Annotated[str, typer.Option(help="base, paper (43 M parameters) or tiny.")] = "base",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = TrainConfig.epochs,
    minutes: Annotated[float | None, typer.Option(help="Stop after that time instead.")] = TrainConfig.minutes,
    orders: Annotated[str, typer.Option(help="Site orders with their weights, such as high=0.6,random=0.4.")] = ORDERS,
    lattice_first: Annotated[
        float, typer.Option(help="Share of sentences with the lattice first.")
    ] = Mix.lattice_first,
    other_setting: Annotated[
        float, typer.Option(help="Share of rows in another setting than the canonical.")
    ] = Mix.other_setting,
    conditional: Annotated[float, typer.Option(help="Share of rows that are told something.")] = Mix.conditional,
    alone: Annotated[float, typer.Option(help="Of those, the share that is told one label only.")] = Mix.alone,
    batch_tokens: Annotated[int, typer.Option(min=64, help="Tokens of a batch.")] = TrainConfig.max_tokens,
    optimiser: Annotated[str, typer.Option(help="adamw or muon.")] = TrainConfig.optimiser,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of AdamW.")] = TrainConfig.learning_rate,
    muon_learning_rate: Annotated[float, typer.Option(help="Highest rate of Muon.")] = TrainConfig.muon_learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Of the matrices.")] = TrainConfig.weight_decay,
    ema: Annotated[float, typer.Option(help="Decay of the average of the weights, which is kept.")] = TrainConfig.ema,
    dropout: Annotated[float | None, typer.Option(help="On the branches of each block; else as preset.")] = None,
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help="Type of the matrix products; else the faster one on the device."),
    ] = TrainConfig.bfloat16,
    initial: Annotated[
        Path | None, typer.Option(metavar="<dir>", help="Folder of a model to start from; its shape is kept.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")] = False,
    seed: SeedOption = TrainConfig.seed,
    device: DeviceOption = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Train a model on shards; the same command goes on where an interrupted run stopped.

    Example:

        materium train data/mine --out runs/mine --epochs 20
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
        console.print(
            f"{run.model.num_parameters():,} parameters, {len(run.train)} crystals, from step {run.progress.step}"
        )
        figures = _fit(run, quiet=quiet)
    console.print(make_table(("validation", "nats"), ((name, f"{value:.4f}") for name, value in figures.items())))
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


def _fit(run: "Run", *, quiet: bool) -> dict[str, float]:
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("training", total=1000)

        def report(now: "Report") -> None:
            text = f"epoch {now.epoch}, loss {now.loss:.3f}"
            progress.update(task, completed=int(1000 * now.share), description=text)

        return run.fit(report)
