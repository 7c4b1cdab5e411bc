from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materium.errors import MateriumError
from materium.evaluate.adherence import AT_ZERO, Share, adherence, meets, overall, rises, together, tolerance
from materium.properties import table


@pytest.mark.parametrize(
    ("name", "target", "value", "met"),
    [
        ("density", 5.0, 5.5, True),
        ("density", 5.0, 4.5, True),
        ("density", 5.0, 5.51, False),
        ("density", 5.0, None, False),
        ("density", 5.0, float("nan"), False),
        ("band_gap", 0.0, 0.1, True),
        ("band_gap", 0.0, 0.11, False),
        ("space_group", 225, 225.0, True),
        ("space_group", 225, 227, False),
        ("reduced_formula", "O2Ti", "TiO2", True),
        ("reduced_formula", "TiO2", "Ti2O4", True),
        ("reduced_formula", "TiO2", "Ti2O3", False),
        ("chemical_system", "Ti-O", "O-Ti", True),
        ("chemical_system", "Ti-O", "Ti", False),
    ],
)
def test_what_meets_a_target(name: str, target: float | str, value: float | str | None, met: bool) -> None:
    assert meets(name, target, value) is met


def test_every_number_has_a_tolerance_at_zero() -> None:
    assert {*AT_ZERO} == {name for name, entry in table().items() if entry.kind == "number"}
    assert all(tolerance(name, 0) > 0 for name in AT_ZERO)


@pytest.mark.parametrize(
    ("met", "of", "low", "high"),
    # Newcombe, Stat. Med. 17, 857 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_as_published(met: int, of: int, low: float, high: float) -> None:
    assert Share(met, of).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_share(counts: tuple[int, int]) -> None:
    share = Share(*counts)
    low, high = share.interval
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1


@pytest.mark.parametrize(("met", "of"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(met: int, of: int) -> None:
    with pytest.raises(MateriumError, match=f"{met} of {of} is no share"):
        Share(met, of)


def test_failures_stay_in_the_denominator() -> None:
    (result,) = adherence("density", [5.0] * 4, [5.1, None, 7.0, None])
    assert result.share == Share(1, 4)
    assert result.known == 2
    assert result.median == pytest.approx(6.05)


def test_targets_come_ascending_with_their_medians() -> None:
    low, high = adherence("bulk_modulus", [200.0, 50.0, 200.0, 50.0], [190.0, 55.0, 230.0, 70.0], error=12.8)
    assert (low.target, high.target) == (50.0, 200.0)
    assert (low.median, high.median) == (62.5, 210.0)
    assert (low.offset, high.offset) == (12.5, 10.0)
    assert low.within_error
    assert high.within_error
    assert rises([low, high])
    assert not rises([high, low])


def test_a_median_beyond_the_predictors_error_says_so() -> None:
    (result,) = adherence("band_gap", [2.0], [1.7], error=0.17)
    assert result.within_error is False


def test_nothing_known_has_no_median() -> None:
    (result,) = adherence("band_gap", [2.0, 2.0], [None, None], error=0.17)
    assert result.share == Share(0, 2)
    assert result.median is None
    assert result.within_error is None
    assert not rises([result])


def test_labels_and_formulas_have_no_median() -> None:
    groups = adherence("space_group", [227, 62], [227, 14])
    formulas = adherence("reduced_formula", ["TiO2", "TiO2"], ["TiO2", "NaCl"])
    assert [(g.target, g.share, g.median) for g in groups] == [(62, Share(0, 1), None), (227, Share(1, 1), None)]
    assert formulas[0].share == Share(1, 2)
    assert formulas[0].median is None


def test_over_all_targets() -> None:
    assert overall("density", [1.0, 2.0, 5.0], [1.05, 3.0, None]) == Share(1, 3)


def test_several_targets_at_once() -> None:
    asked = [{"density": 3.5, "space_group": 227}] * 3
    both, each = together(asked, [{"density": 3.6, "space_group": 227}, {"density": 3.6, "space_group": 12}, {}])
    assert both == Share(1, 3)
    assert each == {"density": Share(2, 3), "space_group": Share(1, 3)}


def test_columns_of_unlike_length_are_refused() -> None:
    with pytest.raises(MateriumError, match="2 targets came with 1 values"):
        adherence("density", [1.0, 2.0], [1.0])
