"""An experiment: one step of the transformer for each atom, and a small network that writes its four tokens.

    python benchmarks/factorised.py DATA [--minutes 4] [--network small] [--crystals 512]

DATA is a folder of shards that `materium prepare` wrote. Two networks of the same blocks learn the same canonical
sentences, told nothing, one after the other for equally many minutes: the flat one, a token after the other (without a
tally), and the factorised one, in which an atom is one position, and its species, x, y, z are chosen by a chain of
feedforwards, each of which sees the choices before it; the lattice is one position with a chain of six. Printed are
nats a crystal on `val`, and what writing costs: processor seconds per 1,000 crystals of 9 atoms on one thread, with
blocks of the size that ships and random weights, grammar, tally and judging left out of both. The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from materium.bench.limits import machine
from materium.data.loader import CANONICAL, Batch, Loader
from materium.data.shard import Shard, read_shard
from materium.generate import sample
from materium.model.attention import KeyValueCache, rotary
from materium.model.config import ModelConfig
from materium.model.device import has_bfloat16
from materium.model.likelihood import TOKEN_TYPES, nll
from materium.model.transformer import Block, Embedding, Feedforward, Transformer
from materium.tokens.grammar import Grammar
from materium.tokens.tokenizer import LATTICE_TOKENS, TOKENS_PER_SITE, Tokenizer, TokenizerConfig
from materium.tokens.vocab import ATOMS, LATTICE, SOS, Role
from materium.train.atoms import tensors
from materium.train.config import TrainConfig
from materium.train.memory import keep_freed_memory
from materium.train.optim import optimisers, schedule

NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"width": 128, "layers": 4, "heads": 2, "kv_heads": 2, "hidden": 320},
    "ships": {"width": 256, "layers": 6, "heads": 4, "kv_heads": 4, "hidden": 640},
}
TRAIN = TrainConfig(learning_rate=4e-3, muon_learning_rate=4e-3, max_tokens=2048)
SITES = 9
"""Atoms of the crystals whose writing is timed."""


class Factorised(nn.Module):
    """A transformer over atoms; `Chain` writes what an atom, or the lattice, is."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the network with fresh weights."""
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.parts = nn.ModuleList(nn.Linear(config.width, config.width, bias=False) for _ in range(TOKENS_PER_SITE))
        self.marks = nn.Parameter(torch.randn(2, config.width) * 0.02)  # the beginning, and the end of the atoms
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        vocab = self.embedding.vocab
        choice, point, value = (0, vocab.first_number), (vocab.first_number, -1), (vocab.first_number, len(vocab))
        self.site = Chain(config, [choice, point, point, point])
        self.lattice = Chain(config, [value] * LATTICE_TOKENS)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def atoms(self, tokens: Tensor, table: Tensor) -> Tensor:
        """Return the vectors of atoms, (…, width), given as their four tokens, (…, 4)."""
        return sum(part(functional.embedding(tokens[..., i], table)) for i, part in enumerate(self.parts))

    def hidden(self, x: Tensor, start: int = 0, cache: KeyValueCache | None = None) -> Tensor:
        """Return what the blocks make of positions (B, positions, width)."""
        rotation = rotary(torch.arange(start, start + x.shape[1])[None], self.config.width // self.config.heads)
        for block in self.blocks:
            x = block(x, rotation, cache)
        if cache is not None:
            cache.length += x.shape[1]
        return x

    def nll(self, tokens: Tensor, roles: Tensor) -> Tensor:
        """Return the nats of species with ends, coordinates and lattice, (3,), summed over sentences (B, tokens)."""
        table, (batch, _) = self.embedding.table(), tokens.shape
        sites = (roles == Role.SPECIES).sum(1)
        most = int(sites.max())
        place = torch.arange(most + 2)[None]
        atoms = tokens[:, 2 : 2 + TOKENS_PER_SITE * most].view(batch, most, TOKENS_PER_SITE)
        x = functional.pad(self.atoms(atoms, table), (0, 0, 1, 1))
        x = torch.where((place == 0)[..., None], self.marks[0], x)
        x = torch.where((place == 1 + sites[:, None])[..., None], self.marks[1], x)
        hidden = self.hidden(x)
        ends = torch.full((batch, 1, TOKENS_PER_SITE), LATTICE)
        targets = torch.cat([atoms, ends], dim=1)
        targets[torch.arange(batch), sites] = LATTICE
        used = place[:, :-1] <= sites[:, None]
        costs = self.site.costs(hidden[:, :-1][used], targets[used], table)
        is_atom = targets[used][:, 0] != LATTICE
        words = tokens.gather(1, 3 + TOKENS_PER_SITE * sites[:, None] + torch.arange(LATTICE_TOKENS))
        lattice = self.lattice.costs(hidden[torch.arange(batch), 1 + sites], words, table)
        return torch.stack([costs[:, 0].sum(), costs[is_atom, 1:].sum(), lattice.sum()])


class Chain(nn.Module):
    """Chooses tokens one after the other from one vector: each choice is added, and a feedforward looks at it."""

    def __init__(self, config: ModelConfig, spans: list[tuple[int, int]]) -> None:
        """Take the part of the vocabulary of each choice."""
        super().__init__()
        self.spans = [slice(*span) for span in spans]
        self.norms = nn.ModuleList(nn.RMSNorm(config.width, eps=1e-6) for _ in spans)
        self.links = nn.ModuleList(nn.Linear(config.width, config.width, bias=False) for _ in spans)
        self.steps = nn.ModuleList(Feedforward(config) for _ in spans)

    def run(self, hidden: Tensor, table: Tensor, choose: Callable[[int, Tensor], Tensor]) -> None:
        """Go along the chain; `choose` gets the number of a choice and its logits, and says the tokens."""
        for i, (span, norm, link, step) in enumerate(zip(self.spans, self.norms, self.links, self.steps, strict=True)):
            hidden = hidden + step(norm(hidden))
            tokens = choose(i, hidden @ table[span].T.to(hidden.dtype))
            hidden = hidden + link(functional.embedding(tokens, table))

    def costs(self, hidden: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        """Return the nats of choices (N, choices) after vectors (N, width); of those out of range they mean nothing."""
        costs = []

        def choose(i: int, logits: Tensor) -> Tensor:
            words = (targets[:, i] - self.spans[i].start).clamp(0, logits.shape[1] - 1)
            costs.append(functional.cross_entropy(logits.float(), words, reduction="none"))
            return targets[:, i]

        self.run(hidden, table, choose)
        return torch.stack(costs, dim=1)


def flat_nll(model: Transformer, grammar: Grammar, batch: Batch) -> Tensor:
    """Return what `Factorised.nll` does, of the flat network."""
    costs, kinds = nll(model, grammar, *tensors(batch, "cpu"))
    return torch.stack([costs[kinds == kind].sum() for kind in range(len(TOKEN_TYPES))])


def batches(shard: Shard, tokenizer: Tokenizer, most: int) -> Iterator[Batch]:
    """Yield batches without end."""
    loader, epoch = Loader(shard, tokenizer, CANONICAL, max_tokens=most, seed=0), 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


def trained(model: nn.Module, cost: Callable[[Batch], Tensor], shard: Shard, tokenizer: Tokenizer, limit: float) -> int:
    """Train for `limit` seconds, and return the crystals that were seen."""
    half = has_bfloat16(torch.device("cpu"))
    parts = optimisers(model, TRAIN)
    rates = [[group["lr"] for group in one.param_groups] for one in parts]
    begun, seen = time.monotonic(), 0
    for batch in batches(shard, tokenizer, TRAIN.max_tokens):
        share = (time.monotonic() - begun) / limit
        if share >= 1:
            return seen
        for one, own in zip(parts, rates, strict=True):
            for group, rate in zip(one.param_groups, own, strict=True):
                group["lr"] = rate * schedule(share, TRAIN.warmup)
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            loss = cost(batch).sum() / batch.tokens.size
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), TRAIN.clip)
        for one in parts:
            one.step()
            one.zero_grad()
        seen += len(batch.tokens)
    return seen


@torch.inference_mode()
def judged(model: nn.Module, cost: Callable[[Batch], Tensor], shard: Shard, tokenizer: Tokenizer) -> dict[str, float]:
    """Return the nats a crystal on a shard, in all and by token type."""
    model.eval()
    loader = Loader(shard, tokenizer, CANONICAL, max_tokens=8192, seed=0)
    nats = sum(cost(batch).double() for batch in loader.epoch(0)) / len(shard)
    return {"nats": float(nats.sum()), **dict(zip(TOKEN_TYPES, nats.tolist(), strict=True))}


@torch.inference_mode()
def write_flat(model: Transformer, crystals: int) -> None:
    """Write crystals of `SITES` atoms, a token after the other."""
    vocab, table = model.embedding.vocab, model.table()
    choice, point = slice(0, vocab.first_number), slice(vocab.first_number, len(vocab))
    roles = [
        Role.SOS,
        Role.ATOMS,
        *[Role.SPECIES, Role.X, Role.Y, Role.Z] * SITES,
        Role.LATTICE,
        *range(Role.A, Role.EOS),
    ]
    given = {0: SOS, 1: ATOMS, 2 + TOKENS_PER_SITE * SITES: LATTICE}
    cache = KeyValueCache(model.config, crystals, len(roles), torch.empty(0))
    tokens = torch.full((crystals,), SOS)
    for column, role in enumerate(roles[:-1]):
        x = model.embedding(tokens[:, None], torch.full((crystals, 1), int(role)), table)
        rotation = rotary(torch.tensor([[column]]), model.config.width // model.config.heads)
        for block in model.blocks:
            x = block(x, rotation, cache)
        cache.length += 1
        if column + 1 in given:
            tokens = torch.full((crystals,), given[column + 1])
            continue
        span = choice if roles[column + 1] == Role.SPECIES else point
        tokens = drawn(model.norm(x)[:, 0] @ table[span].T) + span.start


@torch.inference_mode()
def write_factorised(model: Factorised, crystals: int) -> None:
    """Write crystals of `SITES` atoms, an atom after the other."""
    table = model.embedding.table()
    cache = KeyValueCache(model.config, crystals, SITES + 2, torch.empty(0))
    x = model.marks[0].expand(crystals, 1, -1)
    for site in range(SITES + 1):
        hidden = model.hidden(x, site, cache)[:, 0]
        words: list[Tensor] = []
        model.site.run(hidden, table, lambda i, logits, words=words: chosen(words, model.site.spans[i], logits))
        x = model.atoms(torch.stack(words, dim=1)[:, None], table) if site < SITES else model.marks[1].expand_as(x)
    hidden = model.hidden(x, SITES + 1, cache)[:, 0]
    words = []
    model.lattice.run(hidden, table, lambda i, logits: chosen(words, model.lattice.spans[i], logits))


def chosen(words: list[Tensor], span: slice, logits: Tensor) -> Tensor:
    """Draw tokens and note them."""
    words.append(drawn(logits) + span.start)
    return words[-1]


def drawn(logits: Tensor) -> Tensor:
    """Draw a place in each row, as the decoder does."""
    return sample.draw(logits, torch.rand(len(logits), dtype=torch.float64))


def cost_of_writing(tokenizer: TokenizerConfig, crystals: int) -> dict[str, float]:
    """Return the processor seconds per 1,000 crystals, the least of three runs in turns."""
    torch.set_num_threads(1)
    config = ModelConfig(**NETWORKS["ships"], tokenizer=tokenizer, tally=False)
    flat, factorised = Transformer(config).eval(), Factorised(config).eval()
    tasks = {"flat": lambda: write_flat(flat, crystals), "factorised": lambda: write_factorised(factorised, crystals)}
    least = dict.fromkeys(tasks, float("inf"))
    for _ in range(3):
        for name, task in tasks.items():
            begun = time.process_time()
            task()
            least[name] = min(least[name], (time.process_time() - begun) * 1000 / crystals)
    return least


def main() -> None:
    """Train, judge, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--crystals", type=int, default=512, help="Whose writing is timed.")
    options = parser.parse_args()
    keep_freed_memory()
    manifest = json.loads((options.data / "manifest.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(TokenizerConfig.from_dict(manifest["tokenizer"]))
    train, val = read_shard(options.data / "train"), read_shard(options.data / "val")
    config = replace(ModelConfig(**NETWORKS[options.network]), tokenizer=tokenizer.config, tally=False)
    grammar, figures = Grammar(tokenizer), {}
    torch.manual_seed(0)
    flat, factorised = Transformer(config), Factorised(config)
    networks: dict[str, tuple[nn.Module, Callable[[Batch], Tensor]]] = {
        "flat": (flat, lambda batch: flat_nll(flat, grammar, batch)),
        "factorised": (factorised, lambda batch: factorised.nll(*tensors(batch, "cpu")[:2])),
    }
    for name, (model, cost) in networks.items():
        seen = trained(model, cost, train, tokenizer, 60 * options.minutes)
        size = sum(parameter.numel() for parameter in model.parameters())
        figures[name] = {"parameters": size, "epochs": seen / len(train), **judged(model, cost, val, tokenizer)}
        print(name, figures[name], flush=True)
    seconds = cost_of_writing(tokenizer.config, options.crystals)
    print(json.dumps({"machine": machine(), "minutes": options.minutes, **figures, "seconds_per_1000": seconds}))


if __name__ == "__main__":
    main()
