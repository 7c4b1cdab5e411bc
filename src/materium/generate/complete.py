"""Completing a partial structure: the host's atoms stay where they are, the model writes the rest.

The host's atoms are the beginning of a sentence in random site order, which the model has learned to go on from any
subset of a crystal's atoms. The same host can be written in several frames (axes and origin); those in which the model
finds it likeliest are used, and what comes out is brought back into the frame of the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import moyopy
import numpy as np
import torch

from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import CrystalError, RequestError
from materium.generate.decoding import FREE, write_batch
from materium.generate.request import BATCH, Request
from materium.generate.targets import parse_composition
from materium.model.likelihood import exact_nll
from materium.oxidation import with_guess
from materium.symmetry import distinct, settings
from materium.symmetry import equal_axes as axes_of
from materium.tokens.tokenizer import Parts
from materium.tokens.vocab import ATOMS, LATTICE, SOS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.generate.decoding import Sample
    from materium.generate.engine import Materium
    from materium.generate.plan import Plan

MAX_FRAMES = 24
"""Frames of a host that are weighed."""
FRAME_MARGIN = 3.0
"""nats; frames that are less likely than the best one by more are not used: at 20 tries they would get none."""
SITE_TOLERANCE = 0.02
"""Fractional; sites of two frames closer than this are one site."""


@dataclass(frozen=True)
class Frame:
    """A way to write a host: fractional coordinates x of the user are x @ `turn` + `shift` here.

    Parameters
    ----------
    crystal
        The host in this frame, in the user's order of sites.
    turn
        Integer matrix, shape (3, 3).
    shift
        Shape (3,).
    """

    crystal: Crystal
    turn: NDArray[np.float64]
    shift: NDArray[np.float64]

    def back(self, lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return lattice and fractional coordinates of this frame in that of the user."""
        return self.turn @ lattice, (frac - self.shift) @ np.linalg.inv(self.turn)


@dataclass(frozen=True)
class Completion:
    """A host and what is to be added, ready for a model.

    Parameters
    ----------
    engine
        The model.
    host
        The partial structure.
    add
        Formula of the atoms to add, with their numbers in this cell, such as `Li2O`.
    n, seed
        How many structures, and the seed.
    keep_lattice
        Whether the host's cell stays too; otherwise the model writes the cell.
    temperature, geometry_temperature
        As in `Request`.

    Raises
    ------
    RequestError
        If there are more atoms than the model writes.
    CrystalError
        If atoms of the host overlap.
    """

    engine: Materium
    host: Crystal
    add: str
    n: int = 32
    seed: int = 0
    keep_lattice: bool = False
    temperature: float = 1.0
    geometry_temperature: float | None = None

    def __post_init__(self) -> None:
        """Refuse hosts that cannot be completed."""
        self.host.check_distances()
        most = self.engine.tokenizer.config.max_sites
        atoms = len(self.host) + sum(count for _, count in parse_composition(self.add))
        if atoms > most:
            held = f"host of {len(self.host)} atoms and {self.add} make {atoms} atoms"
            raise RequestError(f"{held}; this model writes at most {most}, use a smaller cell")

    @cached_property
    def request(self) -> Request:
        """The request that is sampled: the whole formula told and kept, in random site order."""
        return Request(
            n=self.n,
            seed=self.seed,
            order="random",
            lattice_first=self.keep_lattice,
            cell_formula=self._formula(),
            temperature=self.temperature,
            geometry_temperature=self.geometry_temperature,
        )

    @cached_property
    def plan(self) -> Plan:
        """The plan of the request, checked."""
        plan = self.engine.plan(self.request)
        self.engine.tokenizer.parts(self.frames[0].crystal)  # a cell or an element that has no tokens is refused
        return plan

    def samples(self, start: int = 0, batch_size: int = BATCH) -> Iterator[list[Sample]]:
        """Yield the sentences, batch by batch, from number `start` on; `crystal` reads them."""
        plan = self.plan
        for indices in plan.batches(start, batch_size):
            given = torch.stack([self._sentence(index) for index in indices])
            yield write_batch(self.engine.model, self.engine.grammar, plan, indices, given)

    def crystal(self, sample: Sample) -> Crystal:
        """Return a completed crystal in the user's frame: the host's sites as they came, then the added ones."""
        tokenizer = self.engine.tokenizer
        frame = self.frames[self._frame(sample.index)]
        whole = tokenizer.crystal(tokenizer.parse(sample.tokens))
        lattice, frac = frame.back(whole.lattice, whole.frac_coords)
        count = len(self.host)
        if self.keep_lattice:
            lattice = self.host.lattice
        places = np.concatenate([self.host.frac_coords, frac[count:] % 1.0])
        order = self._order(sample.index)
        numbers, states = whole.numbers.copy(), whole.oxidation_states
        numbers[order], placed = whole.numbers[:count], None
        if states is not None:
            placed = states.copy()
            placed[order] = states[:count]
        return Crystal(lattice, places % 1.0, numbers, placed)

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames in which the model finds the host likeliest, the best first."""
        found = list(_frames(self._charged))[:MAX_FRAMES]
        nats = [self._nats(frame) for frame in found]
        order = np.argsort(nats, kind="stable")
        return [found[i] for i in order if nats[i] <= min(nats) + FRAME_MARGIN]

    def _formula(self) -> str:
        """The formula of the whole cell."""
        from pymatgen.core import Element

        counts = dict(parse_composition(self.add))
        for z in self.host.numbers.tolist():
            counts[z] = counts.get(z, 0) + 1
        return "".join(f"{Element.from_Z(z).symbol}{count}" for z, count in sorted(counts.items()))

    @cached_property
    def _charged(self) -> Crystal:
        """The host with the oxidation states it came with, else with those of its elements in the whole formula."""
        known = set(self.engine.tokenizer.config.species)
        if not any(state for _, state in known):
            return self.host
        own = self.host.oxidation_states
        if own is not None and known.issuperset(zip(self.host.numbers.tolist(), own.tolist(), strict=True)):
            return self.host
        added = [z for z, count in parse_composition(self.add) for _ in range(count)]
        numbers = np.concatenate([self.host.numbers, added]).astype(np.int64)
        whole = Crystal(self.host.lattice, np.linspace(0, 0.9, 3 * len(numbers)).reshape(-1, 3), numbers)
        states = with_guess(whole)[0].oxidation_states
        return self.host if states is None else self.host.with_oxidation_states(states[: len(self.host)])

    def _frame(self, index: int) -> int:
        return index % len(self.frames)

    def _order(self, index: int) -> NDArray[np.int64]:
        """The order in which a sentence names the host's sites."""
        return np.random.default_rng([self.seed, index]).permutation(len(self.host))

    def _sentence(self, index: int) -> Tensor:
        """What is given of a sentence: the host's sites, and the lattice if it stays."""
        words = self._words(self.frames[self._frame(index)], self._order(index))
        given = torch.full((self.engine.tokenizer.max_tokens,), FREE)
        given[: len(words)] = torch.from_numpy(words)
        return given

    def _words(self, frame: Frame, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of a host up to its last site."""
        tokenizer = self.engine.tokenizer
        parts = tokenizer.parts(frame.crystal)
        chosen = Parts(parts.species[order], parts.points[order], parts.lattice)
        sites = _site_tokens(chosen, tokenizer.vocab.first_number, species_first=tokenizer.config.species_first)
        lattice = [LATTICE, *(parts.lattice + tokenizer.vocab.first_number)] if self.keep_lattice else []
        return np.array([SOS, *lattice, ATOMS, *sites.ravel()])

    def _nats(self, frame: Frame) -> float:
        """How unlikely the model finds the host in a frame."""
        tokens = torch.from_numpy(self._words(frame, np.arange(len(self.host))))[None].to(self.engine.device)
        roles = self.engine.grammar.roles(tokens, torch.full((1,), self.keep_lattice, device=self.engine.device))
        told = self.request.told(1).to(self.engine.device)
        with torch.inference_mode():
            costs, _ = exact_nll(self.engine.model, self.engine.grammar, tokens, roles, told)
        return float(costs.sum())


def _site_tokens(parts: Parts, first_number: int, *, species_first: bool) -> NDArray[np.int64]:
    points = parts.points + first_number
    columns = [parts.species[:, None], points] if species_first else [points, parts.species[:, None]]
    return np.concatenate(columns, axis=1)


def _frames(host: Crystal) -> Iterator[Frame]:
    """The host in its reduced cell as it came, then in the settings that its own symmetry offers."""
    basis, transform = moyopy.niggli_reduce(host.lattice.tolist())
    to_niggli: NDArray[np.float64] = np.round(np.linalg.inv(np.array(transform, dtype=np.float64).T))
    reduced = _moved(host, np.array(basis), to_niggli, np.zeros(3))
    yield reduced
    try:
        ways = settings(host)
    except CrystalError:
        return
    if len(ways.numbers) != len(host):
        return  # the host alone has a smaller cell; the atoms to add need the one that was given
    for way in distinct(ways, MAX_FRAMES):
        lattice = lattice_from_parameters(ways.parameters[way])
        states = ways.oxidation_states
        other = Crystal(lattice, ways.frac_coords[way], ways.numbers, states)
        if (found := _aligned(reduced.crystal, other)) is not None:
            turn: NDArray[np.float64] = np.matmul(to_niggli, found[0])
            yield _moved(host, lattice, turn, found[1])


def _moved(host: Crystal, lattice: NDArray[np.float64], turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Frame:
    crystal = Crystal(lattice, (host.frac_coords @ turn + shift) % 1.0, host.numbers, host.oxidation_states)
    return Frame(crystal, turn, shift)


def _aligned(one: Crystal, other: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The turn and shift that put the sites of one frame onto those of the other; None if there are none."""
    for axes in axes_of(one.lattice):
        turn: NDArray[np.float64] = np.linalg.inv(axes).astype(np.float64)
        turned = one.frac_coords @ turn
        for site in np.flatnonzero(other.numbers == one.numbers[0]):
            shift = other.frac_coords[site] - turned[0]
            if _same_sites(turned + shift, one.numbers, other):
                return turn, shift
    return None


def _same_sites(frac: NDArray[np.float64], numbers: NDArray[np.int64], other: Crystal) -> bool:
    apart = frac[:, None] - other.frac_coords[None]
    near = (np.abs(apart - np.round(apart)) < SITE_TOLERANCE).all(axis=2) & (numbers[:, None] == other.numbers[None])
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())
