"""The options that mean the same in every command, each written once."""

import re
from pathlib import Path
from typing import Annotated

import typer

DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
"""`mps` is a device, too, and refused with its reason where devices are resolved."""
MAX_SEED = 2**32 - 1
"""Torch and NumPy both take seeds of 32 bits."""

TUNED = "Default: tuned on the model."
TEMPERATURE = "Sampling temperature: 1 = learned distribution, <1 sharper, >1 flatter."
GEOMETRY_TEMPERATURE = "Sampling temperature of coordinates and lattice."
REACH = "Radius of local resampling as a fraction of an axis, such as 0.03: the geometry temperature acts within it."


def check_device(device: str) -> str:
    """Return the name as it came, or refuse one that is misspelt; whether the device is there is seen in its use."""
    if not DEVICES.fullmatch(device):
        raise typer.BadParameter(f"{device!r} is no device; auto, cpu, cuda, cuda:0, cuda:1 … are")
    return device


OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.", file_okay=False)
]
SeedOption = Annotated[
    int, typer.Option("--seed", "-s", help="The same seed gives the same result.", max=MAX_SEED, min=0)
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda or cuda:1; auto takes CUDA where there is a card, else the CPU.",
        callback=check_device,
    ),
]
FiguresOption = Annotated[
    bool, typer.Option("--figures", help="Write the figures of the report as SVG and PNG too, into figures/.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
ModelOption = Annotated[
    Path | None, typer.Option("--model", "-m", help="Folder of a model. Default: the one that ships.")
]
TemperatureOption = Annotated[float, typer.Option(help=TEMPERATURE)]
TunedTemperatureOption = Annotated[float | None, typer.Option(help=f"{TEMPERATURE} {TUNED}")]
TunedGeometryTemperatureOption = Annotated[float | None, typer.Option(help=f"{GEOMETRY_TEMPERATURE} {TUNED}")]
GeometryReachOption = Annotated[
    float | None,
    typer.Option(help=f"{REACH} Default: the whole axis."),
]
TunedGeometryReachOption = Annotated[
    float | None,
    typer.Option(help=f"{REACH} {TUNED} The whole axis where --geometry-temperature is given."),
]
TunedEndOddsOption = Annotated[
    float | None,
    typer.Option(
        help="Multiplies the odds of the end-of-atoms token; <1 gives larger cells. "
        f"{TUNED} 1 where --temperature is given."
    ),
]
GeometryTemperatureOption = Annotated[
    float | None, typer.Option(help=f"{GEOMETRY_TEMPERATURE} Default: --temperature.")
]
