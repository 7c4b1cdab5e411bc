"""Exact likelihood of given crystals: of the canonical sentence, by token type and site, and over all site orders.

ln p of a sentence is a sum over its tokens, each under the masks that sampling applies, at temperature 1 and guidance
1: what sampling reports for the same sentence. It belongs to the crystal and the layout (site order, place of the
lattice), since every description of a crystal has the same canonical sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from math import factorial, inf, log, prod, sqrt
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch

from materium.errors import MateriumError, RequestError
from materium.model.likelihood import TOKEN_TYPES, exact_nll
from materium.oxidation import with_guess
from materium.structures import as_crystal, kind_of
from materium.symmetry import canonical
from materium.tokens.tokenizer import LATTICE_TOKENS, ORDERS, TOKENS_PER_SITE
from materium.tokens.vocab import PAD, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal
    from materium.generate.request import Request
    from materium.model.transformer import Transformer
    from materium.structures import AnyStructure
    from materium.tokens.grammar import Grammar
    from materium.tokens.tokenizer import Tokenizer

BATCH = 64
"""Sentences that are scored together; they come sorted by length, so that little of a batch is padding."""
FEWEST_DRAWS = 2
"""One order alone would say nothing of its error."""


class Figures(TypedDict):
    """Nats of one sentence; minus infinity where it holds a token that the grammar never allows.

    Attributes
    ----------
    log_likelihood, log_likelihood_per_atom
        ln p of the sentence, and the same over the number of its sites.
    species, coordinate, lattice
        Their sum is `log_likelihood`; the choice to end the atoms counts as a species.
    site_log_likelihoods
        ln p of each site, its species and three coordinates, given all that stands before it; in the order of the
        sentence. The end of the atoms and the lattice belong to no site.
    """

    log_likelihood: float
    log_likelihood_per_atom: float
    species: float
    coordinate: float
    lattice: float
    site_log_likelihoods: list[float]


class OverOrders(TypedDict):
    """Nats of a crystal in whatever order its sites are written: see `over_orders`.

    Attributes
    ----------
    any_order_log_likelihood
        ln of the sum of p over all orders, or its estimate.
    any_order_error
        Standard error of the estimate (delta method); 0 for the sum. Too small where a few draws carry the mean: with
        a spread above some 3 nats the estimate is a lower bound that still rises with the draws.
    any_order_spread
        Standard deviation of ln p among the orders that were scored.
    any_order_draws
        Orders that were scored.
    """

    any_order_log_likelihood: float
    any_order_error: float
    any_order_spread: float
    any_order_draws: int


def check(request: Request, draws: int | None = None) -> None:
    """Raise `RequestError` unless a request has a canonical order and one value of each condition, and draws enough."""
    _check_order(request)
    request.told(1)
    if draws is not None:
        _check_draws(draws)


def as_crystals(structures: AnyStructure | Iterable[AnyStructure]) -> list[Crystal]:
    """Return structures of pymatgen, ASE or Materium, or one of them, as crystals.

    Raises
    ------
    MateriumError
        If one is of another type or cannot be a crystal; the message gives its place in the list.
    """
    if kind_of(structures) or not isinstance(structures, Iterable):
        return [as_crystal(structures)]
    crystals = []
    for index, structure in enumerate(structures):
        try:
            crystals.append(as_crystal(structure))
        except MateriumError as error:
            raise type(error)(f"structure {index}: {error}") from error
    return crystals


def canonical_sentence(tokenizer: Tokenizer, crystal: Crystal, request: Request) -> NDArray[np.int64]:
    """Return the canonical sentence of a crystal in the layout of a request, shape (tokens,).

    Raises
    ------
    MateriumError
        If it has none: too many sites, an unusual cell, overlapping atoms; or if the order is `random`.
    """
    _check_order(request)
    has_states = any(state for _, state in tokenizer.config.species)
    charged = with_guess(crystal)[0] if has_states else crystal
    parts = tokenizer.parts(canonical(charged.check_distances()))
    return tokenizer.sentence(parts, request.order, lattice_first=request.lattice_first)


def score_sentences(
    model: Transformer, grammar: Grammar, sentences: Sequence[NDArray[np.int64]], request: Request
) -> list[Figures]:
    """Return the figures of each sentence; of the request, the conditions and the layout count."""
    by_length = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    found: dict[int, Figures] = {}
    for first in range(0, len(by_length), BATCH):
        chosen = by_length[first : first + BATCH]
        found |= zip(chosen, _score_batch(model, grammar, [sentences[i] for i in chosen], request), strict=True)
    return [found[i] for i in range(len(sentences))]


def over_orders(
    model: Transformer, grammar: Grammar, sentences: Sequence[NDArray[np.int64]], request: Request, draws: int
) -> list[OverOrders]:
    """Return ln p of crystals, given as sentences, over the N orders of their sites in the layout `random`.

    p(crystal) is the sum of p(sentence) over the N = n! orders of n sites. Where N is at most `draws`, all are summed
    and the figure is exact. Otherwise `draws` orders are drawn evenly and N times their mean p is taken: unbiased for
    p, and for ln p a lower bound in expectation (Jensen). The draws depend on the request's seed and on the crystal
    alone. Other settings of the cell (axes, origins) are not summed over: the figure is that of the canonical one.
    """
    _check_draws(draws)
    orders = [_orders(tokens, request, draws) for tokens in sentences]
    written = [tokens for several in orders for tokens in several]
    figures = iter(score_sentences(model, grammar, written, replace(request, order="random")))
    results = []
    for several in orders:
        sites = several[0][_atoms(request)].reshape(-1, TOKENS_PER_SITE)
        nats = np.array([next(figures)["log_likelihood"] for _ in several])
        results.append(_summary(nats, _count_orders(sites), complete=factorial(len(sites)) <= draws))
    return results


def never_written(figures: Figures) -> str | None:
    """Return why the model never writes a sentence with these figures, or None if it may."""
    if figures["log_likelihood"] > -inf:
        return None
    if figures["lattice"] == -inf:
        return "cell too flat: the model never writes one like it"
    if figures["coordinate"] == -inf:
        return "sites too close: the model never writes two so near each other"
    return "species not allowed: the model never writes them here"


def _check_order(request: Request) -> None:
    if request.order == "random":
        others = ", ".join(order for order in ORDERS if order != "random")
        raise RequestError(f"the order random has no canonical sentence; choose {others}, or sum over orders by draws")


def _check_draws(draws: int) -> None:
    if draws < FEWEST_DRAWS:
        raise RequestError(f"draws = {draws} is not possible; give at least {FEWEST_DRAWS}")


@torch.inference_mode()
def _score_batch(
    model: Transformer, grammar: Grammar, sentences: Sequence[NDArray[np.int64]], request: Request
) -> list[Figures]:
    rows = [torch.from_numpy(tokens) for tokens in sentences]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD).to(grammar.device)
    lattice_first = torch.full((len(rows),), request.lattice_first, device=grammar.device)
    roles = grammar.roles(tokens, lattice_first)
    told = request.told(len(rows)).to(grammar.device)
    costs, kinds = exact_nll(model, grammar, tokens, roles, told)
    nats = -costs.double()
    by_type = torch.stack([nats.where(kinds == kind, 0).sum(1) for kind in range(len(TOKEN_TYPES))], dim=1)
    of_sites = (roles[:, 1:] >= Role.SPECIES) & (roles[:, 1:] <= Role.Z)
    return [
        _figures(*(part.cpu() for part in (row, shares, chosen)))
        for row, shares, chosen in zip(nats, by_type, of_sites, strict=True)
    ]


def _figures(nats: torch.Tensor, by_type: torch.Tensor, of_sites: torch.Tensor) -> Figures:
    sites = nats[of_sites].reshape(-1, TOKENS_PER_SITE).sum(1)
    total = float(nats.sum())
    species, coordinate, lattice = by_type.tolist()
    return {
        "log_likelihood": total,
        "log_likelihood_per_atom": total / len(sites),
        "species": species,
        "coordinate": coordinate,
        "lattice": lattice,
        "site_log_likelihoods": sites.tolist(),
    }


def _atoms(request: Request) -> slice:
    """Where the sites stand in a sentence: after [SOS] [ATOMS], with the lattice before it or not."""
    lattice = LATTICE_TOKENS + 1
    return slice(2 + lattice, -1) if request.lattice_first else slice(2, -1 - lattice)


def _orders(tokens: NDArray[np.int64], request: Request, draws: int) -> list[NDArray[np.int64]]:
    """The sentence with its sites in every order if these are at most `draws`, else in orders that are drawn."""
    atoms = _atoms(request)
    sites = sorted(map(tuple, tokens[atoms].reshape(-1, TOKENS_PER_SITE).tolist()))
    if factorial(len(sites)) <= draws:
        bodies = np.array(list(dict.fromkeys(permutations(sites))))
    else:
        rng = np.random.default_rng([request.seed, *np.ravel(sites)])
        bodies = np.stack([rng.permutation(sites) for _ in range(draws)])
    written = np.repeat(tokens[None], len(bodies), axis=0)
    written[:, atoms] = bodies.reshape(len(bodies), -1)
    return list(written)


def _count_orders(sites: NDArray[np.int64]) -> int:
    """How many different sentences the orders of the sites give: n!, less where a coarse grid makes sites equal."""
    _, equal = np.unique(sites, axis=0, return_counts=True)
    return factorial(len(sites)) // prod(factorial(count) for count in equal.tolist())


def _summary(nats: NDArray[np.float64], orders: int, *, complete: bool) -> OverOrders:
    """The figures of ln p in all of the N orders, or in some that were drawn."""
    top = float(nats.max())
    if top == -inf:
        value = top
        error = spread = 0.0
    else:
        weights = np.exp(nats - top)
        mean = float(weights.mean())
        value = log(orders) + top + log(mean)
        error = 0.0 if complete else float(weights.std(ddof=1)) / mean / sqrt(len(nats))
        spread = float(nats[np.isfinite(nats)].std())
    return {
        "any_order_log_likelihood": value,
        "any_order_error": error,
        "any_order_spread": spread,
        "any_order_draws": len(nats),
    }
