"""Laws of the funnel: nothing gets lost between its stages, and a search that is killed ends as an undisturbed one."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from crystals import NACL, RUTILE, SILICON
from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.evaluate import verdicts
from materium.evaluate.candidates import candidates, metrics, schema, targets_of, write
from materium.evaluate.funnel import (
    BUDGET,
    CAP,
    CHUNK,
    ENOUGH,
    EXHAUSTED,
    KEPT,
    STAGES,
    Funnel,
    Judges,
    Limits,
    Made,
    counts,
    relaxed_crystal,
)
from materium.evaluate.hull import Hull
from materium.evaluate.reference import load
from materium.evaluate.reference_build import Options, build
from materium.relax.adapters.lennard_jones import LennardJones
from materium.relax.potential import Potential, Prediction
from tiny import write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from materium.evaluate.funnel import Batches

WIDE = Limits(keep=1000, max_hull=10.0, screen=20.0, max_steps=40)
"""Lets through what can be relaxed at all: Lennard-Jones knows nothing of chemistry."""


def cubic(number: int, length: float, count: int = 1) -> Crystal:
    frac = [[0, 0, place / count] for place in range(count)]
    return Crystal(np.diag([length, length, length * count]), np.array(frac), np.full(count, number), np.zeros(count))


def salt(one: int, other: int, length: float = 4.1, shift: float = 0.5) -> Crystal:
    """Two elements as in caesium chloride; the shift makes other crystals of it."""
    frac = np.array([[0, 0, 0], [0.5, 0.5, shift]])
    return Crystal(length * np.eye(3), frac, np.array([one, other]), np.zeros(2))


ELEMENTS = [cubic(number, 2.8) for number in (8, 11, 14, 17, 20)]
SALTS = [
    salt(one, other) for one, other in ((11, 17), (11, 8), (20, 8), (14, 8), (20, 17), (11, 14), (17, 8), (14, 17))
]
CRYSTALS = [
    *SALTS,
    SILICON,
    NACL,  # known
    salt(11, 17, 4.12),  # equals the first
    Crystal(4 * np.eye(3), np.array([[0, 0, 0], [0.1, 0, 0]]), np.array([20, 8])),  # overlaps
    RUTILE,  # titanium is not in the reference
    *(salt(one, other, 5.0) for one, other in ((20, 14), (14, 11), (8, 8))),
]
MADE = [
    Made(f"made-{place}", crystal, -float(place), {"density": 2.0} if place % 2 else {})
    for place, crystal in enumerate(CRYSTALS)
]


def in_batches(made: Sequence[Made], size: int = 6) -> Batches:
    def batches(first: int) -> Iterator[Sequence[Made]]:
        for start in range(first * size, len(made), size):
            yield made[start : start + size]

    return batches


@pytest.fixture(scope="module", autouse=True)
def no_chemistry() -> Iterator[None]:
    """Lennard-Jones binds some pairs by electronvolts more than others: its crystals lie far below its hulls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("materium.evaluate.hull.SUPPORTED", -100.0)
        yield


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hull of five elements and NaCl; a compound of each formula is known, so that elements alone may compete."""
    folder = tmp_path_factory.mktemp("reference")
    pairs = [one.numbers.tolist() for one in (*SALTS, salt(20, 14), salt(14, 11))]
    write_table(folder / "train.parquet", [*ELEMENTS, NACL, *(salt(one, other, 7.0, 0.2) for one, other in pairs)])
    build([folder / "train.parquet"], LennardJones(), "small", Options()).write(folder / "small.parquet")
    return str(folder / "small.parquet")


@pytest.fixture(scope="module")
def judges(reference: str) -> Judges:
    return Judges.open("lennard-jones", reference)


@pytest.fixture(scope="module")
def whole(judges: Judges) -> Funnel:
    funnel = Funnel(judges, WIDE)
    assert funnel.run(in_batches(MADE)) == EXHAUSTED
    return funnel


def assert_nothing_is_lost(rows: Sequence[dict[str, Any]]) -> None:
    found = counts(rows)
    assert [count.stage for count in found] == list(STAGES)
    assert found[0].came == len(rows)
    for count in found:
        assert count.came == count.passed + count.dropped + count.left
        assert min(count[1:]) >= 0
    for one, following in pairwise(found):
        assert one.passed == following.came
    assert found[-1].passed == sum(row["stage"] == KEPT for row in rows)


# --- what each stage does ---


def test_nothing_is_lost_between_the_stages(whole: Funnel) -> None:
    assert [row["id"] for row in whole.rows] == [one.id for one in MADE]
    assert_nothing_is_lost(whole.rows)
    assert sum(row["stage"] == KEPT for row in whole.rows) >= 3
    assert all(row["why"] or row["stage"] == KEPT for row in whole.rows)


@pytest.mark.parametrize(
    ("place", "stage", "why"),
    [
        (9, "novel", "known as row-5"),
        (10, "unique", "equals made-0"),
        (11, "check", "apart"),
        (12, "support", "no reference for Ti"),
    ],
)
def test_each_is_dropped_where_it_fails_with_the_reason(whole: Funnel, place: int, stage: str, why: str) -> None:
    row = whole.rows[place]
    assert (row["stage"], row["outcome"]) == (stage, "dropped")
    assert why in row["why"]


def test_candidates_keep_to_what_was_asked(judges: Judges, whole: Funnel) -> None:
    heights = sorted(row["energy_above_hull"] for row in whole.rows if row.get("energy_above_hull") is not None)
    limits = Limits(1000, max_hull=heights[len(heights) // 2], screen=WIDE.screen, max_steps=WIDE.max_steps)
    funnel = Funnel(judges, limits)
    funnel.run(in_batches(MADE))
    assert_nothing_is_lost(funnel.rows)
    kept = [row for row in funnel.rows if row["stage"] == KEPT]
    assert kept
    assert len(kept) < sum(row["stage"] == KEPT for row in whole.rows)
    for row in kept:
        assert row["energy_above_hull"] <= limits.max_hull
        assert row["unique"]
        assert row["novel_relaxed"]
        assert judges.hull.energy_above_hull(relaxed_crystal(row), row["energy"]) == row["energy_above_hull"]


@pytest.mark.parametrize(("stage", "column"), [("screen", "screened"), ("hull", "energy_above_hull")])
def test_what_falls_into_a_hole_of_the_potential_is_no_candidate(
    monkeypatch: pytest.MonkeyPatch, judges: Judges, whole: Funnel, stage: str, column: str
) -> None:
    """With the bound at the highest that came, all others count as such."""
    bound = max(row[column] for row in whole.rows if row.get(column) is not None)
    monkeypatch.setattr("materium.evaluate.hull.DEEPEST", bound)
    funnel = Funnel(judges, WIDE)
    funnel.run(in_batches(MADE))
    assert_nothing_is_lost(funnel.rows)
    fallen = [row for row in funnel.rows if "the potential fails on it" in (row["why"] or "")]
    assert stage in {row["stage"] for row in fallen}
    assert all(row["energy_above_hull"] >= bound for row in funnel.rows if row["stage"] == KEPT)


def test_the_screen_spares_relaxations(judges: Judges, whole: Funnel) -> None:
    screened = sorted(row["screened"] for row in whole.rows if row.get("screened") is not None)
    middle = screened[len(screened) // 2]
    funnel = Funnel(judges, Limits(1000, max_hull=min(middle, 0.0), screen=middle, max_steps=WIDE.max_steps))
    funnel.run(in_batches(MADE))
    for row in funnel.rows:
        if row.get("screened") is not None:
            assert (row["screened"] > middle) == (row["stage"] == "screen")
            assert ("relax_status" in row) == (row["screened"] <= middle)


def test_what_relaxes_into_an_earlier_one_is_no_candidate(judges: Judges) -> None:
    """Sodium as the potential likes it, face-centred, and a body-centred cell that stretches until it is the same."""
    face = Crystal(2.6 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([11]))
    body = Crystal(np.diag([4.0, 4.0, 4.2]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 11]))
    funnel = Funnel(judges, Limits(10, max_hull=10.0, screen=20.0))
    funnel.run(in_batches([Made("a", face), Made("b", body)]))
    assert [row["unique"] for row in funnel.rows] == [True, True]
    ends = {row["stage"]: row for row in funnel.rows}
    assert set(ends) == {KEPT, "final"}
    assert ends["final"]["why"] == f"relaxed, it equals {ends[KEPT]['id']}"


class Broken(Potential):
    """Gives nothing."""

    name, version, scheme = "lennard-jones", "1", "none"

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        return [None] * len(crystals)


def test_without_energies_there_are_reasons(judges: Judges) -> None:
    funnel = Funnel(Judges(Broken(), judges.hull, judges.known), WIDE)
    funnel.run(in_batches(MADE))
    assert_nothing_is_lost(funnel.rows)
    assert {row["why"] for row in funnel.rows[:6]} == {"lennard-jones gives no energy"}


def test_a_crystal_that_cannot_be_relaxed_harms_no_other(
    judges: Judges, whole: Funnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = verdicts.relaxation

    def relaxation(crystals: list[Crystal], *arguments: Any) -> list[dict[str, Any]]:
        if any(set(crystal.numbers) == {8, 20} for crystal in crystals):
            raise ValueError("Niggli reduction\nfailed")
        return genuine(crystals, *arguments)

    monkeypatch.setattr(verdicts, "relaxation", relaxation)
    funnel = Funnel(judges, WIDE)
    funnel.run(in_batches(MADE))
    assert_nothing_is_lost(funnel.rows)
    for row, other in zip(funnel.rows, whole.rows, strict=True):
        spoilt = row["formula"] == "CaO" and "relax_status" in row
        assert (row["stage"], row["why"]) == (
            ("relax", "error: Niggli reduction failed") if spoilt else (other["stage"], other["why"])
        )
    assert sum(row["stage"] == "relax" for row in funnel.rows) == 1


def test_a_potential_of_another_scale_is_refused(reference: str) -> None:
    with pytest.raises(MateriumError, match="hull of lennard-jones"):
        Hull(load(reference)).require(type("Other", (Broken,), {"name": "other"})())
    with pytest.raises(MateriumError, match="no reference"):
        Judges.open("lennard-jones")


@pytest.mark.parametrize(
    "wrong", [{"keep": 0}, {"max_steps": 0}, {"fmax": 0.0}, {"screen": 0.01}, {"max_hull": float("nan")}]
)
def test_limits_without_a_meaning(wrong: dict[str, Any]) -> None:
    with pytest.raises(MateriumError):
        Limits(**wrong)


# --- what ends a search ---


def test_enough_ends_it_and_leaves_the_rest(judges: Judges) -> None:
    shown: list[int] = []
    funnel = Funnel(
        judges,
        Limits(1, WIDE.max_hull, WIDE.screen, max_steps=WIDE.max_steps),
        None,
        lambda found: shown.append(found[0].came),
    )
    assert funnel.run(in_batches(MADE, 12)) == ENOUGH
    assert len(funnel.rows) == 12
    assert_nothing_is_lost(funnel.rows)
    assert shown == [12, 12]
    left = [row for row in funnel.rows if row["outcome"] == "left"]
    tried = [row for row in funnel.rows if "relax_status" in row]
    assert len(tried) == CHUNK
    assert min(row["screened"] for row in left) >= max(row["screened"] for row in tried)


def test_cap_and_budget_end_it(judges: Judges) -> None:
    funnel = Funnel(judges, WIDE)
    assert funnel.run(in_batches(MADE), cap=5) == CAP
    assert len(funnel.rows) == 6
    assert not [row for row in funnel.rows if row["outcome"] == "left"]
    assert funnel.run(in_batches(MADE), budget=1e-9) == BUDGET
    assert len(funnel.rows) == 6
    assert funnel.seconds > 0


def test_a_budget_ends_within_a_step_and_larger_ones_go_on_to_the_same(
    judges: Judges, whole: Funnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes a second further at every look: no step is waited for, and nothing of one is kept."""
    monkeypatch.setattr("materium.evaluate.funnel.time.monotonic", itertools.count().__next__)
    stages = set[str]()
    for budget in range(10, 10_000, 40):
        funnel = Funnel(judges, WIDE, tmp_path, progress=lambda stage, _, __: stages.add(stage))
        ended = funnel.run(in_batches(MADE), budget=budget)
        if ended == EXHAUSTED:
            break
        assert ended == BUDGET
        assert budget <= funnel.seconds <= budget + 3
    assert budget > 100
    assert funnel.rows == whole.rows
    assert stages == {"generate", "check", "unique", "novel", "support", "screen", "relax"}


# --- going on ---


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_search_that_stops_after_some_steps_goes_on_to_the_same(
    judges: Judges, whole: Funnel, tmp_path: Path, steps: int
) -> None:

    class Stopped(Exception):  # noqa: N818 - no error
        pass

    left = [None] * steps

    def stop(_: object) -> None:
        left.pop()
        if not left:
            raise Stopped

    with pytest.raises(Stopped):
        Funnel(judges, WIDE, tmp_path, stop).run(in_batches(MADE))
    with (tmp_path / "relaxed.jsonl").open("a") as file:
        file.write('{"3": {"relax_sta')  # what a kill in the middle of a line leaves
    funnel = Funnel(judges, WIDE, tmp_path)
    assert funnel.run(in_batches(MADE)) == EXHAUSTED
    assert funnel.rows == whole.rows


def test_a_search_that_is_killed_after_every_step_goes_on_to_the_same(
    judges: Judges, whole: Funnel, tmp_path: Path
) -> None:
    def kill(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    starts = 0
    while _forked(lambda: Funnel(judges, WIDE, tmp_path, kill).run(in_batches(MADE))) != 0:
        starts += 1
        with max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns).open("a") as file:
            file.write('{"0": {"va')  # what a kill in the middle of a line leaves
    assert starts >= 5
    funnel = Funnel(judges, WIDE, tmp_path)
    assert funnel.rows == whole.rows
    assert candidates(funnel.rows, judges, WIDE) == candidates(whole.rows, judges, WIDE)


def _forked(work: Callable[[], object]) -> int:
    """The status of a process that does the work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forks of processes with threads may hang; this one has none that work
        child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


# --- candidates ---


def test_ranking_is_by_height_then_likelihood_then_targets(judges: Judges, whole: Funnel) -> None:
    row = next(row for row in whole.rows if row["stage"] == KEPT)
    density = relaxed_crystal(row).density
    variants = {
        "low": {"energy_above_hull": -0.2, "log_likelihood": -90.0},
        "likely": {"log_likelihood": -1.0},
        "met": {"log_likelihood": -5.1, "targets": json.dumps({"density": density, "space_group": 1})},
        "missed": {"log_likelihood": -4.9, "targets": json.dumps({"density": 3 * density})},
        "unlikely": {"log_likelihood": -50.0},
        "unknown": {"log_likelihood": None},
        "high": {"energy_above_hull": 0.302, "log_likelihood": -1.0},
    }
    rows = [{**row, "energy_above_hull": 0.3, **more, "id": name} for name, more in variants.items()]
    rows[2]["energy_above_hull"] += 1e-4
    found = candidates(rows[::-1], judges, WIDE)
    assert [one["id"] for one in found] == list(variants)
    assert [one["rank"] for one in found] == [*range(1, 8)]


def test_targets_are_measured_on_what_was_relaxed(whole: Funnel) -> None:
    row = next(row for row in whole.rows if row["stage"] == KEPT)
    asked = {"density": relaxed_crystal(row).density, "band_gap": 1.0, "energy_above_hull": 50.0}
    found = {one.name: one.met for one in targets_of({**row, "targets": json.dumps(asked)}, relaxed_crystal(row))}
    assert found == {"density": True, "band_gap": None, "energy_above_hull": False}


def test_files_hold_the_same_candidates(judges: Judges, whole: Funnel, tmp_path: Path) -> None:
    found = candidates(whole.rows, judges, WIDE)
    for _ in range(2):  # a search that went on writes anew
        write(tmp_path, whole.rows, found, metrics(whole, found, EXHAUSTED))
    table = pq.read_table(tmp_path / "candidates.parquet")
    assert table.schema == schema(ranked=True)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [one["id"] for one in found]
    assert len(pq.read_table(tmp_path / "rows.parquet")) == len(MADE)
    with (tmp_path / "candidates.csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [one["id"] for one in found]
    assert len(list(convert.frames(tmp_path / "candidates.extxyz"))) == len(found)
    assert sorted(f"cif/{path.name}" for path in (tmp_path / "cif").iterdir()) == [one["cif"] for one in found]
    for row in rows:
        (crystal,) = convert.read_file(tmp_path / row["cif"])
        assert convert.formula(crystal) == row["formula"]
        assert crystal.density == pytest.approx(relaxed_crystal(row).density, rel=1e-3)
        assert sum(one["share"] for one in row["neighbours"] if one["share"] is not None) == pytest.approx(1)
        assert len(row["why_kept"]) >= 5
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert (facts["crystals"], facts["candidates"], facts["no_reference"]) == (len(MADE), len(found), 1)
    assert facts["best_energy_above_hull"] == found[0]["energy_above_hull"]


def test_no_candidates_are_tables_too(judges: Judges, tmp_path: Path) -> None:
    funnel = Funnel(judges, WIDE)
    funnel.run(in_batches([Made("a", NACL)]))
    write(tmp_path, funnel.rows, [], metrics(funnel, [], EXHAUSTED))
    assert pq.read_table(tmp_path / "candidates.parquet").schema == schema(ranked=True)
    assert list((tmp_path / "cif").iterdir()) == []
