"""The fast decoder: many sentences at once, keys and values kept, finished sentences dropped; and `load`, the door."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from materium.errors import RequestError
from materium.generate import scoring
from materium.generate.decoding import Sample, write_batch
from materium.generate.plan import Plan
from materium.generate.request import BATCH, Request
from materium.generate.rows import identity
from materium.generate.tuned import Tuned, read_tuned
from materium.generate.workers import can_fork, side_by_side
from materium.keywords import names_keywords
from materium.model.checkpoint import load_checkpoint
from materium.model.device import resolve_device
from materium.model.folder import default_model
from materium.properties import table
from materium.refine import refine
from materium.tokens.grammar import Grammar
from materium.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from materium.convert import Structure
    from materium.crystal import Crystal
    from materium.generate.scoring import Figures, OverOrders
    from materium.generate.targets import NumberTargets, TextTargets
    from materium.model.transformer import Transformer
    from materium.structures import AnyStructure
    from materium.tokens.tokenizer import Order

Made = TypeVar("Made")

_NAMED = ("self", "n", "seed", "formula", "conditions")
"""Parameters of `generate` that are no options of `make_request`."""
LEAST_OF_A_WORKER = 32
"""Structures that a process must have to write, for it to be worth its start."""


class Materium:
    """A model with its tokenizer and grammar, ready to write and to score crystals."""

    def __init__(
        self,
        model: Transformer,
        config: dict[str, Any],
        device: torch.device | str = "cpu",
        gather: Callable[[list[Structure]], list[Structure]] = list,
        tuned: Tuned | None = None,
    ) -> None:
        """Take a model that `load_checkpoint` returned; `gather` makes the lists that `generate` and `complete` return.

        A notebook wants lists that show themselves, and drawing is nothing that writing knows of. `tuned` holds the
        settings that the model writes best with.
        """
        self.tuned = tuned or Tuned()
        self.model, self.config, self.device, self.gather = model, config, torch.device(device), gather
        self.tokenizer = Tokenizer(model.config.tokenizer)
        self.bfloat16 = False
        """Whether `batches` are written with products in bfloat16: faster, and other structures than float32's."""
        separation = model.config.site_separation
        self.grammar = Grammar(self.tokenizer, self.device, site_separation=separation)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any weight, and the type of number if it is not float32."""
        return str(self.config["weights_sha256"])[:12] + self.bfloat16 * "-bfloat16"

    @names_keywords
    def generate(  # noqa: PLR0913 - all that can be asked for, for completion and help in an editor
        self,
        n: int = Request.n,
        *,
        seed: int = Request.seed,
        formula: TextTargets | None = None,
        chemical_system: TextTargets | None = None,
        space_group: NumberTargets | None = None,
        num_sites: NumberTargets | None = None,
        density: NumberTargets | None = None,
        band_gap: NumberTargets | None = None,
        mag_density: NumberTargets | None = None,
        bulk_modulus: NumberTargets | None = None,
        hhi: NumberTargets | None = None,
        energy_above_hull: NumberTargets | None = None,
        elements: str | Sequence[str] = Request.elements,
        require: str | Sequence[str] = Request.require,
        forbid: str | Sequence[str] = Request.forbid,
        z: int | str | tuple[int, int] | None = Request.z,
        cell_formula: str | None = Request.cell_formula,
        neutral: bool = Request.neutral,
        soft: bool = Request.soft,
        guidance: float | None = None,
        temperature: float | None = None,
        geometry_temperature: float | None = None,
        geometry_reach: float | None = None,
        end_odds: float | None = None,
        top_p: float = Request.top_p,
        order: Order = Request.order,
        lattice_first: bool = Request.lattice_first,
        symmetrize: float | None = Request.symmetrize,
        **conditions: NumberTargets,
    ) -> list[Structure]:
        """Return `n` crystals as pymatgen structures, with their `id` and the row's values in `properties`.

        Where a condition has several targets, `n` of each combination of them. With `symmetrize` those that can be
        refined are; `symmetrized` in their properties says so, and else `reason`.

        Parameters
        ----------
        n, seed
            How many, and the seed; structure i of a seed does not depend on `n`.
        formula, chemical_system, space_group, num_sites
            Reduced formula, such as `"LiFePO4"`; the elements that occur, such as `"Li-Fe-O"`; number of the space
            group; atoms in the primitive cell. As every condition: one target, a list of targets, and for numbers a
            range, `(4, 12)` or `"4..12"`, from which each structure draws its own.
        density, band_gap, mag_density, bulk_modulus, hhi, energy_above_hull
            Learned conditions in g/cm³, eV, μB/Å³, GPa, as Herfindahl-Hirschman index, and in eV/atom.
        elements, require, forbid
            Symbols of the elements that may occur (none named: all), that must, and that must not: `"Li,O"` or a list.
        z
            Formula units in the primitive cell for `formula`: 2, `"1..4"` or `(1, 4)`.
        cell_formula
            The exact content of the primitive cell, such as `"Li4Fe4P4O16"`.
        neutral
            Whether the oxidation states must add up to zero.
        soft
            Whether formula, chemical system and number of atoms are conditions alone. Otherwise the grammar's mask
            keeps them too.
        guidance, temperature, geometry_temperature, geometry_reach, end_odds
            Sampling as in `materium.generate.request.Request`; None takes what the model was measured best with
            (`self.tuned`).
        top_p, order, lattice_first, symmetrize
            As in `Request`.
        conditions
            Properties of one's own that were added to the table.

        Raises
        ------
        RequestError
            On an unknown option or an impossible value.
        """
        named = {name: value for name, value in locals().items() if name not in _NAMED}
        options = {name: value for name, value in named.items() if value is not None} | conditions
        from materium.convert import to_structure
        from materium.progress import tracked

        request = self.tuned.apply(make_request(n, seed, formula, options), options)
        structures = []
        for written in tracked(self.samples(request), request.total, "generating"):
            raw = self.read(written)
            refined = None if request.symmetrize is None else refine(raw, request.symmetrize)
            structure = to_structure((refined and refined.crystal) or raw)
            structure.properties = {
                "id": identity(seed, written.index),
                "index": written.index,
                "seed": seed,
                "request": written.request,
                "targets": dict(written.targets),
                "log_likelihood": written.log_likelihood,
            }
            if refined is not None:
                structure.properties |= {"symmetrized": refined.crystal is not None, "reason": refined.reason}
            structures.append(structure)
        return self.gather(structures)

    def samples(self, request: Request, start: int = 0, batch_size: int = BATCH) -> Iterator[Sample]:
        """Yield the sentences of a request in their order, from number `start` on.

        Raises
        ------
        RequestError
            If the constraints contradict each other, or a range holds nothing.
        """
        for batch in self.batches(self.plan(request), start, batch_size):
            yield from batch

    def batches(self, plan: Plan, start: int = 0, batch_size: int = BATCH, workers: int = 1) -> Iterator[list[Sample]]:
        """Yield the sentences of a plan, batch by batch, from number `start` on, `workers` batches at a time."""
        return self.made(plan, list, start, batch_size, workers)

    def made(
        self,
        plan: Plan,
        make: Callable[[list[Sample]], list[Made]],
        start: int = 0,
        batch_size: int = BATCH,
        workers: int = 1,
    ) -> Iterator[list[Made]]:
        """Yield what `make` makes of the sentences of each batch, in the process that writes it; see `batches`."""
        if batch_size < 1:
            raise RequestError(f"batch size = {batch_size} is not possible; give at least 1")
        size = min(batch_size, -(-(plan.request.total - start) // workers))
        batches = plan.batches(start, max(1, size))
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32

        def write(indices: range) -> list[Made]:
            return make(write_batch(self.model, self.grammar, plan, indices, dtype=dtype))

        return map(write, batches) if workers == 1 else side_by_side(write, batches, workers)

    def processes(self, structures: int) -> int:
        """Return how many processes are worth their start for so many structures: one for each core, on CPUs alone."""
        able = self.device.type == "cpu" and can_fork()
        return max(1, min(torch.get_num_threads(), structures // LEAST_OF_A_WORKER)) if able else 1

    def read(self, written: Sample) -> Crystal:
        """Return the crystal that a sentence says."""
        return self.tokenizer.decode(written.tokens)

    @names_keywords
    def complete(  # noqa: PLR0913 - the fields of a completion
        self,
        host: AnyStructure,
        add: str,
        n: int = 32,
        *,
        seed: int = 0,
        keep_lattice: bool = False,
        temperature: float = 1.0,
        geometry_temperature: float | None = None,
    ) -> list[Structure]:
        """Return `n` structures in which the host's atoms stay where they are and the formula `add` is put in.

        Parameters
        ----------
        host
            A pymatgen structure, ASE atoms or a crystal.
        add
            Formula of the atoms to add, with their numbers in this cell, such as `"Li2O"`.
        n, seed
            How many, and the seed.
        keep_lattice
            Whether the host's cell stays too; otherwise the model writes the cell.
        temperature, geometry_temperature
            Of species, and of coordinates and lattice (None: the same).

        Raises
        ------
        MateriumError
            If the host overlaps, is disordered, or leaves no room for so many atoms.
        """
        from materium.convert import to_structure
        from materium.generate.complete import Completion
        from materium.progress import tracked

        completion = Completion(
            self,
            next(iter(scoring.as_crystals(host))),
            add,
            n=n,
            seed=seed,
            keep_lattice=keep_lattice,
            temperature=temperature,
            geometry_temperature=geometry_temperature,
        )
        structures = []
        for written in tracked(chain.from_iterable(completion.samples()), n, "completing"):
            structure = to_structure(completion.crystal(written))
            structure.properties = {
                "id": identity(seed, written.index),
                "index": written.index,
                "seed": seed,
                "log_likelihood": written.log_likelihood,
            }
            structures.append(structure)
        return self.gather(structures)

    def plan(self, request: Request) -> Plan:
        """Return what each structure of a request is told and kept to; errors as in `samples`."""
        plan = Plan(request, self.model.config.seen, self.tokenizer)
        plan.check()
        return plan

    @names_keywords
    def log_likelihood(  # noqa: PLR0913 - the conditions, how it is written, how finely it is summed
        self,
        structures: AnyStructure | Iterable[AnyStructure],
        *,
        order: Order = Request.order,
        lattice_first: bool = Request.lattice_first,
        draws: int | None = None,
        seed: int = Request.seed,
        formula: str | None = None,
        chemical_system: str | None = None,
        space_group: float | None = None,
        num_sites: float | None = None,
        density: float | None = None,
        band_gap: float | None = None,
        mag_density: float | None = None,
        bulk_modulus: float | None = None,
        hhi: float | None = None,
        energy_above_hull: float | None = None,
        **conditions: float | str,
    ) -> list[dict[str, Any]]:
        """Return the exact ln p, in nats, of pymatgen structures, ASE atoms or crystals: a dictionary for each.

        Parameters
        ----------
        structures
            Several of them, or one.
        order, lattice_first
            Site order of the canonical sentence, and place of its lattice.
        draws, seed
            If given, also ln p summed over all orders of the sites, from so many drawn ones; see `over_orders`.
        formula, chemical_system, space_group, num_sites, density, band_gap, mag_density, bulk_modulus, hhi
            Conditions as in `generate`, one value each. They are conditions alone: no mask follows.
        energy_above_hull
            The same, in eV/atom.
        conditions
            Properties of one's own that were added to the table.

        Returns
        -------
        list[dict[str, Any]]
            The keys of `Figures`, with `draws` those of `OverOrders`, and `structure`: the canonical pymatgen
            structure, its sites in the order of `site_log_likelihoods`.

        Raises
        ------
        MateriumError
            If a structure has no sentence (too many sites, an unusual cell, overlapping atoms), or on a wrong option.
        """
        from materium.convert import to_structure

        named = {name: value for name, value in locals().items() if name in table() and value is not None}
        layout = {"order": order, "lattice_first": lattice_first}
        request = make_request(Request.n, seed, formula, {**named, **layout, **conditions})
        scoring.check(request, draws)
        sentences = [self.sentence(crystal, request) for crystal in scoring.as_crystals(structures)]
        rows: list[dict[str, Any]] = [{**figures} for figures in self.score(sentences, request)]
        for row, tokens in zip(rows, sentences, strict=True):
            row["structure"] = to_structure(self.tokenizer.decode(tokens))
        if draws is not None:
            for row, summed in zip(rows, self.score_over_orders(sentences, request, draws), strict=True):
                row.update(summed)
        return rows

    def log_likelihoods(self, crystals: Sequence[Crystal], request: Request | None = None) -> list[Figures]:
        """Return the figures of the canonical sentence of each crystal in the layout of a request; see `score`.

        Raises
        ------
        MateriumError
            If a crystal has no sentence: too many sites, an unusual cell, overlapping atoms.
        """
        request = request or Request()
        return self.score([self.sentence(crystal, request) for crystal in crystals], request)

    def sentence(self, crystal: Crystal, request: Request) -> NDArray[np.int64]:
        """Return the canonical sentence of a crystal in the layout of a request; errors as in `log_likelihoods`."""
        return scoring.canonical_sentence(self.tokenizer, crystal, request)

    def score(self, sentences: Sequence[NDArray[np.int64]], request: Request) -> list[Figures]:
        """Return ln p in nats, in all, by token type and by site, of sentences under the masks that sampling applies.

        Temperature 1 and guidance 1, whatever the request says; its conditions and its layout count.
        """
        return scoring.score_sentences(self.model, self.grammar, sentences, request)

    def score_over_orders(
        self, sentences: Sequence[NDArray[np.int64]], request: Request, draws: int
    ) -> list[OverOrders]:
        """Return ln p in nats of crystals, given as sentences, over all orders of their sites; see `over_orders`."""
        return scoring.over_orders(self.model, self.grammar, sentences, request, draws)


def load(
    path: str | Path | None = None,
    device: torch.device | str = "cpu",
    gather: Callable[[list[Structure]], list[Structure]] = list,
) -> Materium:
    """Return the model in the folder `path`, or the one that ships, ready to generate; see `materium.load`."""
    folder, where = default_model() if path is None else Path(path), resolve_device(str(device))
    model, config = load_checkpoint(folder, where)
    return Materium(model, config, where, gather, read_tuned(folder))


def make_request(n: int, seed: int, formula: TextTargets | None, options: dict[str, Any]) -> Request:
    """Return the request of keyword arguments: fields of `Request` by name, everything else a condition."""
    own = {name: value for name, value in options.items() if name in Request.__dataclass_fields__}
    conditions = {
        **own.pop("conditions", {}),
        **{k: v for k, v in options.items() if k not in own and k != "conditions"},
    }
    if formula is not None:
        conditions["reduced_formula"] = formula
    return Request(n=n, seed=seed, conditions=conditions, **own)
