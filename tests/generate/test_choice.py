"""Choosing a token: one loop in C, or the links of sampling one after the other."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from materium.generate import choice
from materium.generate.choice import Scores, Way
from materium.model import loops

needs_loops = pytest.mark.skipif(loops.compiled() is None, reason="the loops in C are not compiled here")
ROWS, TOKENS = 3000, 203
AXIS = slice(3, TOKENS)
WAYS: dict[str, dict[str, Any]] = {
    "as believed": {"temperature": 1.0},
    "cold": {"temperature": 0.3},
    "hot": {"temperature": 1.7},
    "settled": {"temperature": 1.0, "again": 0.4, "axis": AXIS, "reach": 6},
    "settled around the end": {"temperature": 1.0, "again": 0.4, "axis": AXIS, "reach": 90, "cyclic": True},
    "settled without reach": {"temperature": 1.0, "again": 0.4, "axis": AXIS, "reach": 0},
}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def numbers(rows: int) -> Tensor:
    return torch.rand(rows, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def masks(rows: int) -> tuple[Tensor, Tensor]:
    """Tokens that are legal, and those of them that are open; each row has some."""
    legal = drawn(1, rows, TOKENS) > -0.5
    open_ = legal & (drawn(2, rows, TOKENS) > 0)
    return legal, open_


@needs_loops
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("way", "odds", "rows"), list(product(WAYS, [None, 0.2, 30.0], [1, ROWS])))
def test_the_loop_chooses_what_the_links_choose(
    monkeypatch: pytest.MonkeyPatch, way: str, odds: float | None, rows: int, threads: int
) -> None:
    """But for numbers that fall on a border between two tokens, to rounding: at most one of the 3,000 here."""
    monkeypatch.setattr(loops, "NUMBERS_OF_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    marked = None if odds is None else torch.arange(ROWS) % TOKENS
    how = Way(marked, 1.0 if odds is None else odds, **WAYS[way])
    scores = Scores(4 * drawn(3, ROWS, TOKENS), *masks(rows))
    found, norms = choice._in_loops(scores, how, numbers(ROWS))
    expected, sums = choice._in_steps(scores, how, numbers(ROWS), 1.0)
    assert int((found != expected).sum()) <= 1
    torch.testing.assert_close(norms, sums, rtol=1e-6, atol=1e-5)
    assert scores.open.expand(ROWS, -1).gather(1, found[:, None]).all()


@needs_loops
def test_neither_end_of_the_numbers_takes_what_is_closed() -> None:
    """At the very ends of [0, 1), where rounding could step over; closed tokens have by far the greatest scores."""
    logits = torch.zeros(2, TOKENS)
    logits[:, ::2] = 1e4
    open_ = (torch.arange(TOKENS) % 2 == 1)[None]
    uniform = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    found, _ = choice._in_loops(Scores(logits, open_, open_), Way(None, 1.0, 1.0), uniform)
    assert found.tolist() == [1, TOKENS - 2]
    open_[:, 100:] = False
    found, _ = choice._in_loops(Scores(logits, open_, open_), Way(None, 1.0, 1.0), uniform)
    assert found.tolist() == [1, 99]


@needs_loops
@pytest.mark.parametrize("score", [1e30, -1e30])
def test_scores_of_any_size_leave_a_choice(score: float) -> None:
    logits = torch.full((1, TOKENS), -1e30)
    logits[0, 7] = score
    every = torch.ones(1, TOKENS, dtype=torch.bool)
    found, norm = choice._in_loops(Scores(logits, every, every), Way(None, 1.0, 1e-3), numbers(1))
    assert found.tolist() == [7 if score > 0 else int(float(numbers(1)) * TOKENS)]
    assert float(norm) == pytest.approx(score, rel=1e-6)


@needs_loops
def test_the_loop_follows_the_distribution() -> None:
    """Frequencies of evenly spread numbers are the probabilities."""
    steps = 20_000
    uniform, logits = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps, drawn(6, 1, 5)
    every = torch.ones(1, 5, dtype=torch.bool)
    found, _ = choice._in_loops(Scores(logits.expand(steps, -1), every, every), Way(None, 1.0, 1.0), uniform)
    torch.testing.assert_close(torch.bincount(found) / steps, logits[0].softmax(-1), atol=2 / steps, rtol=0)
