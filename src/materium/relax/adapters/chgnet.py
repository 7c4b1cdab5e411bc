"""CHGNet 0.3.0 for whole batches, with the weights that come in the package `chgnet`. It was run here.

B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023); trained on relaxations of the Materials Project (MPtrj), energies
with the corrections MP2020. The network is the package's. Graphs are built here, since its converter makes a Python
object of each edge, and derivatives are taken here, since it keeps the gradient's graph, which only training needs.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.extras import require
from materium.relax.neighbors import Edges, edges, has_lonely_site
from materium.relax.potential import BatchedPotential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.crystal import Crystal

EXTRA = "chgnet"
WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
ELEMENTS = 94


def load() -> Any:  # noqa: ANN401 - CHGNet; the package may be missing
    """Return the network with its weights; they are read with torch's reader of tensors, which runs no code."""
    import torch

    package = require("chgnet", EXTRA)
    state = torch.load(Path(str(package.__file__)).parent / WEIGHTS, map_location="cpu", weights_only=True)
    with redirect_stdout(io.StringIO()):  # it tells its size
        return require("chgnet.model.model", EXTRA).CHGNet.from_dict(state["model"], mlp_out_bias=False).eval()


class CHGNet(BatchedPotential):
    """CHGNet 0.3.0 on a device of torch (`cpu`, `cuda`)."""

    name = "chgnet"
    version = "0.3.0"
    scheme = "MP2020"
    sites_at_once = 256

    def __init__(self, device: str = "cpu") -> None:
        """Load the network; raises `MateriumError` where the package is missing."""
        self._network = load().to(device).requires_grad_(requires_grad=False)
        self._device = device
        self._alone = self._network.composition_model.fc.weight.detach().cpu().double().numpy()[0]

    def reaches(self, crystals: Sequence[Crystal]) -> list[bool]:
        """Return False beyond plutonium, and where an atom has no neighbour within 6 Å."""
        cutoff = self._network.graph_converter.atom_graph_cutoff
        return [bool(c.numbers.max() <= ELEMENTS and not has_lonely_site(c, cutoff)) for c in crystals]

    def predict_batch(self, crystals: list[Crystal]) -> list[Prediction]:
        """Return predictions by one pass of the network and one back."""
        graph = bonds(crystals, self._network.graph_converter.atom_graph_cutoff)
        energies, gradients, strains = self._derivatives(crystals, graph)
        sizes = np.array([len(crystal) for crystal in crystals])
        forces = np.split(-gradients, np.cumsum(sizes)[:-1])
        numbers = np.concatenate([crystal.numbers for crystal in crystals])
        energies = energies * sizes + np.bincount(graph.edges.owner, weights=self._alone[numbers - 1])
        return [
            Prediction(float(energy), force, (strain + strain.T) / 2 / crystal.volume)
            for energy, force, strain, crystal in zip(energies, forces, strains, crystals, strict=True)
        ]

    def _derivatives(
        self, crystals: list[Crystal], graph: Bonds
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Energies per atom without the composition's part, and the cell energy's derivatives by sites and strain."""
        import torch

        positions = self._tensor(np.concatenate([c.frac_coords @ c.lattice for c in crystals])).requires_grad_()
        strain = self._tensor(np.zeros((len(crystals), 3, 3))).requires_grad_()
        vectors = self._vectors(crystals, graph.edges, positions, strain)
        batch = self._featurize(crystals, graph, vectors)
        per_atom = self._network._compute(batch)["e"]  # noqa: SLF001 - the public way takes the package's own graphs
        sizes = self._tensor(np.array([len(crystal) for crystal in crystals], dtype=np.float64))
        gradients = torch.autograd.grad((per_atom * sizes).sum(), [positions, strain])
        energies, by_site, by_strain = (part.detach().cpu().double().numpy() for part in (per_atom, *gradients))
        return energies, by_site, by_strain

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        import torch

        return torch.as_tensor(array, device=self._device)

    def _vectors(self, crystals: list[Crystal], found: Edges, positions: Tensor, strain: Tensor) -> Tensor:
        """Vectors from neighbour to centre in Å, shape (e, 3), as differences in double precision."""
        import torch

        shifts = np.einsum(
            "ei,eij->ej", found.image, np.stack([c.lattice for c in crystals])[found.owner[found.center]]
        )
        center, neighbor = self._tensor(found.center), self._tensor(found.neighbor)
        plain = positions[center] - positions[neighbor] - self._tensor(shifts)
        owner = self._tensor(found.owner[found.center])
        return (plain + torch.einsum("ei,eij->ej", plain, strain[owner])).float()

    def _featurize(self, crystals: list[Crystal], graph: Bonds, vectors: Tensor) -> Any:  # noqa: ANN401 - BatchedGraph
        """The package's `BatchedGraph.from_graphs` for all crystals in one go."""
        import torch

        zero = torch.zeros_like(vectors)
        first = self._tensor(graph.directed)
        bases_ag, bases_bg, units = self._network.bond_basis_expansion(
            center=vectors, neighbor=zero, undirected2directed=first, image=zero, lattice=zero.new_zeros(3, 3)
        )
        angles = self._tensor(graph.angles)
        undirected = self._tensor(graph.undirected)
        owner = self._tensor(graph.edges.owner)
        volumes = zero.new_tensor([crystal.volume for crystal in crystals])
        centers = self._tensor(graph.edges.center)[angles[:, 0]]
        return require("chgnet.model.model", EXTRA).BatchedGraph(
            atomic_numbers=self._tensor(np.concatenate([crystal.numbers for crystal in crystals])),
            bond_bases_ag=bases_ag,
            bond_bases_bg=bases_bg,
            angle_bases=self._network.angle_basis_expansion(units[angles[:, 0]], units[angles[:, 1]]),
            batched_atom_graph=torch.stack([self._tensor(graph.edges.center), self._tensor(graph.edges.neighbor)], 1),
            batched_bond_graph=torch.stack([centers, undirected[angles[:, 0]], undirected[angles[:, 1]]], 1),
            atom_owners=owner,
            directed2undirected=undirected,
            atom_positions=[],
            strains=[],
            volumes=volumes,
        )


@dataclass(frozen=True, eq=False)
class Bonds:
    """CHGNet's two graphs.

    Parameters
    ----------
    edges
        Directed edges of the atom graph.
    undirected
        Undirected edge that a directed one belongs to, shape (e,).
    directed
        One directed edge of each undirected one, shape (e / 2,).
    angles
        Pairs of directed edges that leave the same site and are shorter than 3 Å, shape (a, 2).
    """

    edges: Edges
    undirected: NDArray[np.int64]
    directed: NDArray[np.int64]
    angles: NDArray[np.int64]


def bonds(crystals: list[Crystal], cutoff: float, bond_cutoff: float = 3.0) -> Bonds:
    """Return the graphs of a batch, whose sites and edges are counted through; cutoffs in Å."""
    found = edges(crystals, cutoff)
    _, directed, undirected, count = np.unique(
        _undirected_key(found), return_index=True, return_inverse=True, return_counts=True
    )
    if (count != 2).any():  # an edge as long as the cutoff was found from one end only; the network gives it weight 0
        found = found.kept(count[undirected] == 2)
        _, directed, undirected = np.unique(_undirected_key(found), return_index=True, return_inverse=True)
    return Bonds(found, undirected, directed, _angles(found, bond_cutoff))


def _undirected_key(found: Edges) -> NDArray[np.int64]:
    """One number for an edge and its reverse."""
    reach = int(np.abs(found.image).max(initial=0))
    width = 2 * reach + 1
    place = ((found.image + reach) * [width * width, width, 1]).sum(1)
    middle = (width**3 - 1) // 2  # the image (0, 0, 0); a reversed image is mirrored about it
    turned = (found.center > found.neighbor) | ((found.center == found.neighbor) & (place < middle))
    low, high = np.minimum(found.center, found.neighbor), np.maximum(found.center, found.neighbor)
    key = (low * found.owner.size + high) * width**3 + np.where(turned, 2 * middle - place, place)
    return np.asarray(key, dtype=np.int64)


def _angles(found: Edges, cutoff: float) -> NDArray[np.int64]:
    """All ordered pairs of short edges at one site, by sites with the same number of them."""
    short = np.flatnonzero(found.distance < cutoff)
    short = short[np.argsort(found.center[short], kind="stable")]
    _, starts, counts = np.unique(found.center[short], return_index=True, return_counts=True)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for count in np.unique(counts):
        first, second = np.nonzero(~np.eye(count, dtype=bool))
        base = starts[counts == count][:, None]
        pairs.append(np.stack([short[base + first].ravel(), short[base + second].ravel()], axis=1))
    return np.concatenate(pairs)
