"""Quick answers for open headers: they equal those of the search, and known cases by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materium.core.completion import CompletionSearch, HeaderConstraints
from materium.core.open_headers import Charges, Further, OpenHeaders

SPECIES = ((3, 0), (3, 1), (8, -2), (8, -1), (8, 0), (17, -1), (17, 5), (26, 0), (26, 2), (26, 3), (50, 4), (50, 2))


@st.composite
def constraints(draw: st.DrawFn) -> HeaderConstraints:
    low, sites = draw(st.integers(1, 3)), draw(st.integers(2, 12))
    return HeaderConstraints(
        SPECIES,
        sites=(draw(st.integers(1, max(1, sites - 4))), sites),
        required=draw(st.frozensets(st.sampled_from([3, 8, 26]), max_size=2)),
        num_elements=(low, draw(st.integers(low, 4))),
        units=(1, draw(st.integers(1, 12))),
        neutral=draw(st.booleans()),
        groups=frozenset({1}),
        direction=draw(st.sampled_from([0, 1, -1])),
    )


@given(constraints(), st.dictionaries(st.integers(0, len(SPECIES) - 1), st.integers(1, 6), max_size=3))
def test_quick_answers_are_those_of_the_search(constraints_: HeaderConstraints, counts: dict[int, int]) -> None:
    ordered = sorted(counts, reverse=constraints_.direction < 0)
    header = tuple((index, counts[index]) for index in ordered)
    quick, slow = CompletionSearch(constraints_), CompletionSearch(constraints_)
    slow.open.decide = lambda *_: None  # type: ignore[method-assign]
    answers = quick.completable(header), slow.completable(header)
    assert answers[0] == answers[1] or slow.undecided or quick.undecided


@pytest.mark.parametrize(
    ("missing", "new", "atoms", "header", "answer"),
    [
        (((-2,),), (), 1, (2, 1), True),  # Li2 + O
        (((-2,),), (), 1, (3, 1), False),
        (((-2,),), (), 2, (4, 2), False),  # Fe2+ 2 + O 2 is not reduced
        (((-2,),), (((3,), 1),), 6, (1, 0), True),  # + O 2 + Al
        (((-2, -1),), (), 3, (3, 1), True),  # + O- 3
    ],
)
def test_known_headers(
    missing: tuple[Charges, ...],
    new: tuple[tuple[Charges, int], ...],
    atoms: int,
    header: tuple[int, int],
    answer: bool,
) -> None:
    further = Further(missing, (), new, range(len(new) + 1), 10)
    assert OpenHeaders(8, 5).decide(further, (range(atoms + 1),), *header) is answer
