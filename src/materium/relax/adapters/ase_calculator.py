"""Any ASE calculator as a potential, by its import path, and ready ones: MatterSim, MACE and ORB.

Run here: calculators of ASE itself. Not run here, since their weights must be downloaded: `mattersim`, `mace` and
`orb`; their import paths and arguments were read in mattersim 1.2.3, mace-torch 0.3.16 and orb-models 0.5.5. What these
packages load from their makers' servers may be pickled: name them only where you would run their code.
"""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.convert import to_atoms
from materium.errors import MateriumError
from materium.relax.potential import FAILURES, Potential, Prediction, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materium.crystal import Crystal

    Factory = Callable[[], Any]

_BROKEN = (*FAILURES, AttributeError, ImportError, SyntaxError)
"""What modules and factories that are not ours raise."""


class ASECalculator(Potential):
    """A potential around an ASE calculator, one crystal after another.

    Parameters
    ----------
    calculator
        Must offer the energy, forces and stress of periodic atoms, in ASE's units.
    name, version, scheme
        As for `Potential`.

    Raises
    ------
    MateriumError
        If the calculator offers no forces or no stress.
    """

    def __init__(self, calculator: Any, name: str, version: str, scheme: str) -> None:  # noqa: ANN401 - ASE's base types nothing
        """Take the calculator over; it is used for one crystal at a time."""
        self._calculator = calculator
        self.name, self.version, self.scheme = name, version, scheme
        missing = {"energy", "forces", "stress"} - set(getattr(calculator, "implemented_properties", ()))
        if missing:
            needed = " or ".join(sorted(missing))
            raise MateriumError(f"calculator {name!r} offers no {needed}; a relaxation of cell and positions needs it")

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        """Return a prediction for each crystal, None where the calculator fails."""
        found = [self._tried(crystal) for crystal in crystals]
        return [one if isinstance(one, Prediction) else None for one in found]

    def why_none(self, crystal: Crystal) -> str:
        """Return what the calculator says when it is asked once more."""
        found = self._tried(crystal)
        return f"failed: {one_line(found)}" if isinstance(found, Exception) else "failed, though not a second time"

    def _tried(self, crystal: Crystal) -> Prediction | Exception:
        try:
            return self._predict(crystal)
        except FAILURES as error:
            if hasattr(self._calculator, "reset"):
                self._calculator.reset()  # else it may take half of a result for one, when the same crystal comes again
            return error

    def _predict(self, crystal: Crystal) -> Prediction:
        atoms = to_atoms(crystal)
        atoms.calc = self._calculator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of packages that are not ours
            energy = atoms.get_potential_energy()  # type: ignore[no-untyped-call] # ASE is typed in parts
            forces = atoms.get_forces()  # type: ignore[no-untyped-call]
            stress = atoms.get_stress(voigt=False)  # type: ignore[no-untyped-call]
        return Prediction(float(energy), np.array(forces, dtype=np.float64), np.array(stress, dtype=np.float64))


def imported(spec: str) -> Potential:
    """Return the calculator that `package.module:Factory`, a class or function without arguments, makes.

    Its scale of energies is not known, so that it has the scheme `none`: labels of DFT are of no use to it, and its
    name and version keep it from every hull but its own.

    Raises
    ------
    MateriumError
        If there is no such thing, it cannot be made without arguments, or it makes no calculator with a stress.
    """
    package = re.split(r"[.:]", spec)[0]
    return ASECalculator(_made(spec, _attribute(spec)), spec, _version_of(package), "none")


def ready(name: str) -> Potential:
    """Return MatterSim, MACE or ORB by name; raises `MateriumError` where its package is missing."""
    package, weights, read, factory = _READY[name]
    try:
        calculator = factory()
    except ImportError as error:
        raise MateriumError(
            f"{package} is needed ({error}); install it with: pip install {package} ({_unproven(package, read)})"
        ) from error
    except _BROKEN as error:
        reason = f"{package} made no calculator ({one_line(error)}); are its weights there?"
        raise MateriumError(f"{reason} ({_unproven(package, read)})") from error
    return ASECalculator(calculator, name, f"{weights} ({package} {_version_of(package)})", "uncorrected")


def _unproven(package: str, read: str) -> str:
    """What a user must know of an adapter whose weights nobody here could download."""
    return f"this adapter was written from the source of {package} {read} and never ran; please report how it does"


def _mattersim() -> Any:  # noqa: ANN401 - a calculator of a package that may be missing
    return import_module("mattersim.forcefield").MatterSimCalculator(device="cpu", load_path="MatterSim-v1.0.0-5M.pth")


def _mace() -> Any:  # noqa: ANN401 - as above
    return import_module("mace.calculators").mace_mp(model="medium-mpa-0", device="cpu", default_dtype="float64")


def _orb() -> Any:  # noqa: ANN401 - as above
    """Since 0.6 the network comes with an adapter of atoms, and the calculator has moved."""
    made = import_module("orb_models.forcefield.pretrained").orb_v3_conservative_inf_mpa(device="cpu")
    if not isinstance(made, tuple):
        return import_module("orb_models.forcefield.calculator").ORBCalculator(made, device="cpu")
    network, adapter = made
    module = import_module("orb_models.forcefield.inference.calculator")
    return module.ORBCalculator(network, atoms_adapter=adapter, device="cpu")


_READY: dict[str, tuple[str, str, str, Factory]] = {
    "mattersim": ("mattersim", "v1.0.0-5M", "1.2.3", _mattersim),
    "mace": ("mace-torch", "medium-mpa-0", "0.3.16", _mace),
    "orb": ("orb-models", "v3-conservative-inf-mpa", "0.5.5", _orb),
}
"""By name: package, weights, the version whose source was read, and what makes the calculator.

None of them ever ran here, for their weights must be downloaded. All three were trained on uncorrected energies."""


def _attribute(spec: str) -> Factory:
    module, _, attribute = spec.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Factory = getattr(import_module(module), attribute)
    except _BROKEN as error:
        raise MateriumError(
            f"no calculator {spec!r} ({one_line(error)}); package.module:Factory must be importable, "
            "and a file of the working directory is once you run with PYTHONPATH=."
        ) from error
    return found


def _made(spec: str, factory: Factory) -> Any:  # noqa: ANN401 - ASE's base types nothing
    try:
        return factory()
    except TypeError as error:
        raise MateriumError(f"{spec!r} cannot be called without arguments ({error}); wrap it in a function") from error
    except _BROKEN as error:
        raise MateriumError(f"{spec!r} made no calculator ({one_line(error)}); mend it, or name another") from error


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
