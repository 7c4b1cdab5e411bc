"""What the worker does: writes, completes, scores and judges crystals, and reports each as soon as it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from materium.errors import ConversionError, MateriumError, RequestError
from materium.evaluate import pipeline, verdicts
from materium.evaluate.reference import DEFAULT
from materium.generate.complete import Completion
from materium.generate.decoding import Decoding, Sample
from materium.generate.request import BATCH
from materium.generate.rows import make_row
from materium.generate.scoring import check as check_scoring
from materium.generate.scoring import never_written
from materium.relax.potential import Potential
from materium.serve import sources
from materium.serve.answers import CrystalRow, Score
from materium.serve.rows import read_row, verdict_of, written_row
from materium.serve.schema import CompleteBody, EvaluateBody, GenerateBody, ScoreBody
from materium.tokens.vocab import EOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materium.crystal import Crystal
    from materium.data.records import Row
    from materium.evaluate.novelty import Known
    from materium.generate.engine import Materium
    from materium.generate.plan import Plan
    from materium.relax.potential import Prediction
    from materium.serve.limits import Limits
    from materium.serve.worker import Task

FIRST_BATCH = 16
"""Crystals that are written together at first, for the first to be there soon; each batch doubles the one before."""
COMPLETED_AT_ONCE = 16
"""Completions between two looks at whether the job was cancelled."""


class Report(Protocol):
    """Where results go; each method may raise what stops the work."""

    def row(self, row: CrystalRow) -> None:
        """Hand over a crystal."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage is."""

    def warn(self, lines: Sequence[str]) -> None:
        """Say what the user should know."""

    def metrics(self, figures: dict[str, Any]) -> None:
        """Hand over the figures of an evaluation."""

    def check(self) -> None:
        """Stop the work if it was cancelled."""


@dataclass(frozen=True)
class Bench:
    """What all jobs share: the model, what is known already, and the bounds."""

    engine: Materium
    known: Known
    limits: Limits


def work(bench: Bench, task: Task, report: Report) -> None:
    """Do a job.

    Raises
    ------
    MateriumError
        If the request cannot be met, or its structures cannot be read.
    """
    match task.body:
        case GenerateBody():
            _generate(bench, task.body, report)
        case CompleteBody():
            _complete(bench, task.body, task.files, report)
        case ScoreBody():
            _score(bench, task.body, task.files, report)
        case EvaluateBody():
            _evaluate(bench, task.body, task.files, report)


def _generate(bench: Bench, body: GenerateBody, report: Report) -> None:
    engine = bench.engine
    request = engine.tuned.apply(body.request(), body.chosen)
    plan = engine.plan(request)
    report.warn(request.warnings(engine.model.config.seen))
    start, size, done = 0, FIRST_BATCH, 0
    report.progress("generate", 0, request.total)
    while start < request.total:
        indices = next(plan.batches(start, size))
        for sample in _as_they_end(engine, plan, indices, report):
            report.row(written_row(make_row(sample, engine.read(sample), request), bench.known))
            done += 1
            report.progress("generate", done, request.total)
        start, size = indices.stop, min(2 * size, BATCH)


@torch.inference_mode()
def _as_they_end(engine: Materium, plan: Plan, indices: range, report: Report) -> Iterator[Sample]:
    """The sentences of `write_batch`, each as soon as it has ended, shorter ones first."""
    batch = Decoding(engine.model, engine.grammar, plan, indices)
    left = set(range(len(indices)))
    while left:
        report.check()
        batch.step()
        ended = sorted(left.intersection((batch.tokens == EOS).any(1).nonzero()[:, 0].tolist()))
        if ended:
            left.difference_update(ended)
            finished = batch.finished()
            yield from (finished[position] for position in ended)


def _complete(bench: Bench, body: CompleteBody, files: Sequence[sources.TextFile], report: Report) -> None:
    completion = Completion(
        bench.engine,
        _host(files, bench.limits.atoms),
        body.add,
        n=body.n,
        seed=body.seed or 0,
        keep_lattice=body.keep_lattice,
        temperature=body.temperature,
        geometry_temperature=body.geometry_temperature,
    )
    done = 0
    report.progress("complete", 0, body.n)
    for batch in completion.samples(batch_size=COMPLETED_AT_ONCE):
        report.check()
        for sample in batch:
            record = make_row(sample, completion.crystal(sample), completion.request)
            report.row(written_row(record, bench.known))
            done += 1
            report.progress("complete", done, body.n)


def _host(files: Sequence[sources.TextFile], atoms: int) -> Crystal:
    """The one structure of a source."""
    (row, *others) = sources.read(files, 2, atoms)
    if others:
        raise RequestError("the source holds several structures; a host is a single one")
    if row.crystal is None:
        raise ConversionError(row.reason or "the host cannot be read")
    return row.crystal


def _score(bench: Bench, body: ScoreBody, files: Sequence[sources.TextFile], report: Report) -> None:
    request = body.request()
    check_scoring(request, body.draws)
    report.warn(request.warnings(bench.engine.model.config.seen))
    rows = sources.read(files, bench.limits.structures, bench.limits.atoms)
    names = crystal_ids(rows)
    for index, row in enumerate(rows):
        report.check()
        shown = _shown(names[index], index, row, bench.known)
        if row.crystal is not None:
            _put_score(bench.engine, row.crystal, body, shown)
        report.row(shown)
        report.progress("score", index + 1, len(rows))


def _put_score(engine: Materium, crystal: Crystal, body: ScoreBody, shown: CrystalRow) -> None:
    """The figures of a crystal that has a sentence; else the reason why it has none."""
    request = body.request()
    try:
        tokens = engine.sentence(crystal, request)
    except MateriumError as error:
        shown.reason = str(error)
        return
    (figures,) = engine.score([tokens], request)
    if (reason := never_written(figures)) is not None:
        shown.reason = reason
        return
    found: dict[str, Any] = {**figures}
    if body.draws is not None:
        found |= engine.score_over_orders([tokens], request, body.draws)[0]
    shown.score, shown.log_likelihood = Score(**found), figures["log_likelihood"]


def _evaluate(bench: Bench, body: EvaluateBody, files: Sequence[sources.TextFile], report: Report) -> None:
    limits = bench.limits
    most, atoms = (limits.relax_structures, limits.relax_atoms) if body.relax else (limits.structures, limits.atoms)
    rows = sources.read(files, most, atoms)
    watched = Watched(verdicts.loaded(DEFAULT), report) if body.relax else None
    settings = pipeline.Settings(
        potential=watched or DEFAULT,
        fmax=body.fmax,
        max_steps=body.max_steps,
        skip=frozenset() if body.relax else frozenset({"relax", "hull"}),
        bond_valence=body.bond_valence,
    )
    progress = watched.progress if watched else report.progress
    found = pipeline.evaluate(rows, None, settings, progress=progress, stop=report.check)
    names = crystal_ids(rows)
    for index, (row, judged) in enumerate(zip(rows, found.rows, strict=True)):
        shown = _shown(names[index], index, row, bench.known)
        shown.verdict = verdict_of(judged)
        report.row(shown)
    report.metrics({name: _figure(figure) for name, figure in found.metrics["metrics"].items()})


class Watched(Potential):
    """A potential that looks at each step whether the job was cancelled, and tells how many crystals are done."""

    def __init__(self, inner: Potential, report: Report) -> None:
        self.inner, self.report = inner, report
        self.name, self.version, self.scheme = inner.name, inner.version, inner.scheme
        self.done = self.active = self.total = 0

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        """Return what the potential says; crystals that are no longer asked for are relaxed."""
        self.report.check()
        self.done += max(0, self.active - len(crystals))
        self.active = len(crystals)
        self.report.progress("relax", self.done, self.total)
        return self.inner.predict(crystals)

    def why_none(self, crystal: Crystal) -> str:
        """Return why there is no prediction."""
        return self.inner.why_none(crystal)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Pass on the progress of the evaluation, which is exact where the count of steps is a lower bound."""
        self.total = total
        if stage == "relax":
            self.done, self.active = done, 0
        self.report.progress(stage, done, total)


def _shown(name: str, index: int, row: Row, known: Known) -> CrystalRow:
    if row.crystal is None:
        return CrystalRow(id=name, index=index, name=row.id, reason=row.reason)
    shown = read_row(name, index, row.crystal, known)
    likelihood = row.properties.get("log_likelihood")
    shown.name, shown.log_likelihood = row.id, likelihood if isinstance(likelihood, float) else None
    return shown


def crystal_ids(rows: Sequence[Row]) -> list[str]:
    """Return an id for each row that a URL and a file name can hold.

    No two are equal, nor differ by capitals alone: a file system that ignores those would lose a crystal of the zip.
    """
    found: dict[str, str] = {}
    for index, row in enumerate(rows):
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", row.id)[:60].lstrip(".") or str(index)
        tries = (plain, *(f"{plain}-{number}" for number in range(index, index + len(rows))))
        free = next(name for name in tries if name.lower() not in found)
        found[free.lower()] = free
    return list(found.values())


def _figure(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure of an evaluation: a share of rows, or a mean over rows."""
    low, high = figure.get("interval") or (None, None)
    if "numerator" in figure:
        own = {"value": figure["value"], "count": figure["numerator"], "of": figure["denominator"]}
    else:
        own = {"value": figure["value"], "median": figure["median"], "count": figure["n"]}
    return {**own, "low": low, "high": high}
