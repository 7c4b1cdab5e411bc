"""The options that mean the same in every command, each written once."""

import re
from pathlib import Path
from typing import Annotated

import typer

DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
MAX_SEED = 2**32 - 1
"""Torch and NumPy both take seeds of 32 bits."""


def check_device(device: str) -> str:
    """Return the name as it came, or refuse one that is misspelt; whether the device is there is seen in its use."""
    if not DEVICES.fullmatch(device):
        raise typer.BadParameter(f"{device!r} is no device; auto, cpu, cuda, cuda:0, cuda:1 … and mps are")
    return device


OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; made if it is not there.", file_okay=False)
]
SeedOption = Annotated[
    int, typer.Option("--seed", "-s", help="The same seed gives the same result.", max=MAX_SEED, min=0)
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda, cuda:1 or mps; auto takes the fastest there is.",
        callback=check_device,
    ),
]
FiguresOption = Annotated[
    bool, typer.Option("--figures", help="Write the figures of the report as SVG and PNG too, into figures/.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
ModelOption = Annotated[
    Path | None, typer.Option("--model", "-m", help="Folder of a model; the one that ships, where none is named.")
]
TemperatureOption = Annotated[float, typer.Option(help="1 samples what the model believes, less is bolder.")]
TunedTemperatureOption = Annotated[
    float | None, typer.Option(help="1 samples what the model believes, less is bolder; as measured best if not given.")
]
TunedGeometryTemperatureOption = Annotated[
    float | None, typer.Option(help="Temperature of coordinates and lattice; as measured best if not given.")
]
GeometryReachOption = Annotated[
    float | None,
    typer.Option(help="Part of an axis, such as 0.03, within which the temperature of geometry holds; else all of it."),
]
TunedGeometryReachOption = Annotated[
    float | None,
    typer.Option(
        help="Part of an axis, such as 0.03, within which the temperature of geometry holds; as measured best if not "
        "given, all of it where a temperature is."
    ),
]
TunedEndOddsOption = Annotated[
    float | None,
    typer.Option(
        help="Factor on the odds, before the temperature, that the atoms end: below 1 cells are larger; "
        "as measured best if not given, 1 where a temperature is."
    ),
]
GeometryTemperatureOption = Annotated[
    float | None, typer.Option(help="Temperature of coordinates and lattice, where it differs.")
]
