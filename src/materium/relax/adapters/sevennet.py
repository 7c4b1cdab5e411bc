"""SevenNet-0 and l3i5 for whole batches, with the weights that come in the package `sevenn`. Both were run here.

Y. Park et al., J. Chem. Theory Comput. 20, 4857 (2024); trained on MPtrj with uncorrected energies. Checkpoints hold
a few numpy arrays besides tensors; torch's restricted reader is told of these types, so that nothing in them runs code.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.extras import require
from materium.relax.neighbors import edges, has_lonely_site
from materium.relax.potential import BatchedPotential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.crystal import Crystal

EXTRA = "sevennet"
MODELS = {
    "sevennet": ("SEVENNET_0_11Jul2024", "0-11Jul2024"),
    "sevennet-l3i5": ("SEVENNET_l3i5", "l3i5"),
}
"""By name: the constant of `sevenn` that holds the checkpoint's path, and the version."""

VOIGT = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
"""Where the components of a tensor stand in the network's six: xx, yy, zz, xy, yz, zx."""


class SevenNet(BatchedPotential):
    """One of the networks of `MODELS` on a device of torch (`cpu`, `cuda`)."""

    scheme = "uncorrected"
    sites_at_once = 256

    def __init__(self, name: str = "sevennet", device: str = "cpu") -> None:
        """Load the network; raises `MateriumError` where the package is missing."""
        constant, self.version = MODELS[name]
        self.name = name
        self._device = device
        self._keys = require("sevenn._keys", EXTRA)
        network = load(getattr(require("sevenn._const", EXTRA), constant))
        self._network = network.to(device).requires_grad_(requires_grad=False)
        self._elements = np.array(sorted(network.type_map))
        self._cutoff = float(network.cutoff)

    def reaches(self, crystals: Sequence[Crystal]) -> list[bool]:
        """Return False where an element is new to the network, and where an atom has no neighbour within its cutoff."""
        return [
            bool(np.isin(c.numbers, self._elements).all() and not has_lonely_site(c, self._cutoff)) for c in crystals
        ]

    def predict_batch(self, crystals: list[Crystal]) -> list[Prediction]:
        """Return predictions by one pass of the network and one back."""
        keys = self._keys
        data = self._network(self._graph(crystals))
        wanted = (keys.PRED_TOTAL_ENERGY, keys.PRED_FORCE, keys.PRED_STRESS)
        energies, forces, stresses = (data[key].detach().cpu().double().numpy() for key in wanted)
        split = np.split(forces, np.cumsum([len(crystal) for crystal in crystals])[:-1])
        # The network's stress is that of pressure: minus the energy's derivative.
        tensors = -stresses.reshape(-1, 6)[:, VOIGT]
        return [Prediction(float(e), f, s) for e, f, s in zip(energies.reshape(-1), split, tensors, strict=True)]

    def _graph(self, crystals: list[Crystal]) -> dict[str, Tensor]:
        keys = self._keys
        found = edges(crystals, self._cutoff)
        lattices = np.stack([crystal.lattice for crystal in crystals])
        positions = np.concatenate([crystal.frac_coords @ crystal.lattice for crystal in crystals])
        shifts = np.einsum("ei,eij->ej", found.image, lattices[found.owner[found.center]])
        numbers = self._tensor(np.concatenate([crystal.numbers for crystal in crystals]))
        return {
            keys.NODE_FEATURE: numbers,
            keys.ATOMIC_NUMBERS: numbers,
            keys.POS: self._tensor(positions).float(),
            keys.EDGE_IDX: self._tensor(np.stack([found.center, found.neighbor])),
            keys.EDGE_VEC: self._tensor(positions[found.neighbor] + shifts - positions[found.center]).float(),
            keys.CELL_VOLUME: self._tensor(np.array([crystal.volume for crystal in crystals])).float(),
            keys.NUM_ATOMS: self._tensor(np.array([len(crystal) for crystal in crystals])),
            keys.BATCH: self._tensor(found.owner),
        }

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        import torch

        return torch.as_tensor(array, device=self._device)


def load(path: str) -> Any:  # noqa: ANN401 - the network; the package may be missing
    """Return the network of a checkpoint in the installed package, set to batches."""
    import torch

    module = require("sevenn.checkpoint", EXTRA)
    numpy_types: list[Any] = [
        (np.empty(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"),  # its name in numpy 1
        np.ndarray,
        np.dtype,
        np.dtypes.Float32DType,
        np.dtypes.Float64DType,
    ]
    with torch.serialization.safe_globals(numpy_types):
        state = torch.load(path, weights_only=True, map_location="cpu")
    checkpoint = module.SevenNetCheckpoint(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own old calls
        # The package's own way to read a checkpoint unpickles it; what it makes of the contents is taken over.
        checkpoint._config = module._config_cp_routine(state["config"])  # noqa: SLF001
        checkpoint._model_state_dict = state["model_state_dict"]  # noqa: SLF001
        checkpoint._loaded = True  # noqa: SLF001
        network = checkpoint.build_model()
    network.eval_type_map = torch.tensor(data=True)
    network.set_is_batch_data(flag=True)
    return network.eval()
