"""`materium train`: trains a model on shards."""

from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import DeviceOption, OutOption, QuietOption, SeedOption
from materium.cli.threads import with_threads
from materium.data.loader import Mix
from materium.data.orbit_loader import OrbitMix
from materium.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from materium.train.loop import Report, Run


def default(name: str) -> str:
    """Return the default of an entry of the mix, for atoms and for orbits, as help shows it."""
    values = [getattr(mix, name) for mix in (Mix(), OrbitMix()) if hasattr(mix, name)]
    texts = [value if isinstance(value, int | float) else weights_text(value) for value in values]
    return f"[default: {texts[0]}" + (f"; of orbits {texts[1]}]" if texts[1:] and texts[1] != texts[0] else "]")


def weights_text(weights: "Mapping[str, float]") -> str:
    """Return weights as they are written on the command line."""
    return ",".join(f"{name}={weight}" for name, weight in weights.items())


@with_threads
def train(
    data: Annotated[Path, typer.Argument(help="Folder that 'materium prepare' wrote.")],
    out: OutOption,
    preset: Annotated[str, typer.Option(help="base, tiny, or of atoms paper (43 M parameters).")] = "base",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = TrainConfig.epochs,
    minutes: Annotated[float | None, typer.Option(help="Stop after this time instead.")] = TrainConfig.minutes,
    validate_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between validations, besides those after each epoch: for epochs of hours."),
    ] = TrainConfig.validate_steps,
    schedule: Annotated[
        str, typer.Option(help="cosine, or wsd: constant after the warm-up, then linear decay; see --continue.")
    ] = TrainConfig.schedule,
    decay: Annotated[float, typer.Option(help="Last share of a run with --schedule wsd.")] = TrainConfig.decay,
    orders: Annotated[
        str | None,
        typer.Option(
            help=f"Orders of sites or orbits with their weights, as high=0.6,random=0.4.  {default('orders')}"
        ),
    ] = None,
    lattice_first: Annotated[
        float | None,
        typer.Option(help=f"Atoms: probability that the lattice comes first.  {default('lattice_first')}"),
    ] = None,
    other_setting: Annotated[
        float | None,
        typer.Option(
            help="Probability of another setting than the canonical one.  "
            f"[default: {Mix.other_setting}; of orbits {OrbitMix.setting}]"
        ),
    ] = None,
    subgroup: Annotated[
        float | None,
        typer.Option(help=f"Orbits: probability that a crystal is described in a subgroup.  {default('subgroup')}"),
    ] = None,
    conditional: Annotated[
        float | None, typer.Option(help=f"Probability that a sample is conditioned.  {default('conditional')}")
    ] = None,
    alone: Annotated[
        float | None,
        typer.Option(help=f"Of the conditioned samples, the fraction with a single condition.  {default('alone')}"),
    ] = None,
    always: Annotated[
        str | None,
        typer.Option(
            metavar="<names>",
            help="Conditions of all samples, such as energy_above_hull.  "
            f"[default: none; of orbits {','.join(OrbitMix.always)}]",
        ),
    ] = None,
    dropped: Annotated[
        float | None,
        typer.Option(help=f"Orbits: probability that a sample lacks even those of --always.  {default('dropped')}"),
    ] = None,
    max_energy_above_hull: Annotated[
        float | None,
        typer.Option(help="eV/atom: skip rows above it and rows without the label; inf skips the latter alone."),
    ] = None,
    energy_weight: Annotated[
        float | None,
        typer.Option(
            metavar="<scale>",
            help="eV/atom: draw rows with weight exp(-energy above hull / scale), none without that label.",
        ),
    ] = None,
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
    continued: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            metavar="<dir>",
            help="Folder of a run with --schedule wsd to prolong from before its decay; all else as there.",
        ),
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

        materium train data/mine --out runs/more --schedule wsd --epochs 40 --continue runs/less
    """
    from materium.data.manifest import read_manifest
    from materium.io.lock import hold_folder
    from materium.model.config import ModelConfig
    from materium.model.device import resolve_device
    from materium.model.orbit_config import OrbitModelConfig
    from materium.train.loop import Run
    from materium.train.memory import keep_freed_memory

    keep_freed_memory()
    orbits = read_manifest(data)["representation"] == "orbits"
    mix = mix_of(
        orbits=orbits,
        orders=None if orders is None else parse_weights(orders),
        lattice_first=lattice_first,
        other_setting=other_setting,
        subgroup=subgroup,
        conditional=conditional,
        alone=alone,
        always=None if always is None else tuple(name.strip() for name in always.split(",") if name.strip()),
        dropped=dropped,
        max_energy_above_hull=max_energy_above_hull,
        energy_scale=energy_weight,
    )
    config = TrainConfig(
        seed=seed,
        epochs=epochs,
        minutes=minutes,
        max_tokens=batch_tokens,
        validate_steps=validate_steps,
        schedule=schedule,  # type: ignore[arg-type]  # TrainConfig names the right ones
        decay=decay,
        optimiser=optimiser,  # type: ignore[arg-type]  # the optimiser's maker names the right ones
        learning_rate=learning_rate,
        muon_learning_rate=muon_learning_rate,
        weight_decay=weight_decay,
        ema=ema,
        bfloat16=bfloat16,
        mix=mix,
    )
    changes = {} if dropout is None else {"dropout": dropout}
    model = OrbitModelConfig.preset(preset, **changes) if orbits else ModelConfig.preset(preset, **changes)
    console = make_console(quiet=quiet)
    with hold_folder(out):
        run = Run(
            data, out, model, config, resolve_device(device), initial=initial, continued=continued, events=tensorboard
        )
        console.print(f"{run.model.num_parameters():,} parameters, {_drawn(run)}, from step {run.progress.step}")
        figures = _fit(run, quiet=quiet)
    console.print(make_table(("validation", "", "meaning"), _shown(figures, () if orbits else mix.always)))
    console.print(
        f"model in {out}" if orbits else f"model in {out}; try: materium generate --model {out} --out runs/mine"
    )


def mix_of(*, orbits: bool, **given: object) -> Mix | OrbitMix:
    """Return the mix of a representation; what is None stays as it is by default.

    Raises
    ------
    MateriumError
        If an option is given that the representation does not have, or a value is not possible.
    """
    from dataclasses import fields

    from materium.errors import MateriumError

    chosen = {name: value for name, value in given.items() if value is not None}
    kind = OrbitMix if orbits else Mix
    if orbits and "other_setting" in chosen:
        chosen["setting"] = chosen.pop("other_setting")
    if strangers := chosen.keys() - {field.name for field in fields(kind)}:
        option = min(strangers).replace("_", "-")
        raise MateriumError(f"--{option} is not for shards of {'orbits' if orbits else 'atoms'}; leave it out")
    return kind(**chosen)  # type: ignore[arg-type]  # the class checks them


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
    yield (
        "conditioned",
        f"{figures['conditioned_nats_per_crystal']:.2f}",
        "-ln p of a crystal given all its conditions, nats",
    )


def _fit(run: "Run", *, quiet: bool) -> dict[str, float]:
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("training", total=100, percent=True)

        def report(now: "Report") -> None:
            text = f"epoch {now.epoch}, loss {now.loss:.3f}" if now.share < 1 else "validating"
            progress.update(task, completed=100 * now.share, description=text)

        return run.fit(report)
