"""The page of a run: what was asked, what came, what it looks like, the best of it, and what failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from materium.report import charts, overview, summary
from materium.report.charts import Step
from materium.report.figures import sections, share_cells
from materium.report.html import contents, escaped, section_of, table_of, write_page
from materium.report.rows import plain, read_rows, shown, with_unit
from materium.report.section import Section, drawn, links, panels, write_files
from materium.report.viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from materium.evaluate.adherence import Share
    from materium.report.rows import Row

    Record = Mapping[str, Any]

MAX_LISTED = 200
"""Failed crystals that the page lists by id; it says how many more there are."""
MAX_REQUESTS = 100
"""Requests that the page lists one by one."""
BEST = 24
"""Crystals in the gallery."""


def write_report(  # noqa: PLR0913, PLR0917 - a page has as many parts
    path: Path,
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    predictor_errors: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    cloud: Mapping[str, Sequence[float]] | None = None,
    crystals: Sequence[Record] = (),
    figures: Path | None = None,
) -> list[Path]:
    """Write the report of a run, and return the files of its figures; the targets that occur decide which it has.

    Parameters
    ----------
    path:
        The HTML file; it appears whole or not at all.
    facts:
        What the reader should know of the run, by name: command, seed, model.
    rows:
        One for each crystal that was asked for, as `materium.report.rows.read_rows` explains.
    predictor_errors:
        Mean absolute error of what measured a property, in the property's unit, by name.
    notes:
        Sentences for the end of the page.
    cloud:
        Properties of training crystals, lists of one length by name, for the background of scatter plots.
    crystals:
        Rows of the run's table, in the same order: what the page shows of structures. None: it shows targets alone.
    figures:
        Folder that gets the figures as SVG and PNG, for papers; none is written without.

    Raises
    ------
    DataError
        If the rows cannot be read, or Matplotlib is not installed.
    """
    read, viewer = read_rows(rows), Viewer()
    told = list(sections(read, predictor_errors, cloud))
    seen = [*_funnel(read, crystals), *overview.sections(crystals)]
    parts = [
        contents([("best", "The best")] * bool(crystals) + links([*told, *seen]) + [("failures", "What failed")]),
        _overview(facts, read),
        _requests(read),
        _gallery(read, crystals, viewer),
        *map(drawn, told),
        panels(seen),
        _failures(read),
        _notes(notes),
    ]
    write_page(path, title, parts, viewer.scripts)
    return [] if figures is None else write_files(figures, [*told, *seen])


def _overview(facts: Mapping[str, str], rows: Sequence[Row]) -> str:
    results = [("crystals", str(len(rows))), ("valid", _share(summary.validity(rows)))]
    told = [row for row in rows if row.targets]
    if told:
        results.append(("all targets met", _share(summary.adherence(told))))
    return section_of("run", "The run", table_of((), [*facts.items(), *results], "text"))


def _share(share: Share) -> str:
    met, value, interval = share_cells(share)
    return f"{met} of {share.of} ({value}, 95 % interval {interval})"


def _requests(rows: Sequence[Row]) -> str:
    """Each request with its counts; nothing where nothing was asked."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        if row.targets:
            groups.setdefault(row.request, []).append(row)
    if not groups:
        return ""
    weights = any(row.guidance is not None for row in rows)
    listed = [(str(number), *_request_cells(groups[number], weights)) for number in sorted(groups)[:MAX_REQUESTS]]
    head = ("request", "targets", *(["guidance"] * weights), "asked", "valid", "all met", "share", "95 % interval")
    more = len(groups) - len(listed)
    note = f'<p class="note">{more} more requests are not listed.</p>\n' if more else ""
    return section_of("requests", "The requests", table_of(head, listed) + note, "long")


def _request_cells(rows: Sequence[Row], weights: bool) -> tuple[str, ...]:  # noqa: FBT001 - whether there is the column
    share = summary.adherence(rows)
    told = [", ".join(sorted({shown(row.guidance) for row in rows}))] * weights
    return (_asked(rows), *told, str(share.of), str(summary.validity(rows).met), *share_cells(share))


def _asked(rows: Sequence[Row]) -> str:
    """The targets of a request; of a range that draws them anew for each crystal, the number of values."""
    texts = []
    for name in rows[0].targets:
        values = dict.fromkeys(row.targets[name] for row in rows if name in row.targets)
        told = with_unit(name, next(iter(values))) if len(values) == 1 else f"{len(values)} values"
        texts.append(f"{plain(name)} = {told}")
    return ", ".join(texts)


def _funnel(rows: Sequence[Row], crystals: Sequence[Record]) -> Iterator[Section]:
    """What is left of the crystals at each step; nothing where the table was not given."""
    if not crystals:
        return
    valid = [(row, record) for row, record in zip(rows, crystals, strict=True) if row.valid]
    firsts = [(row, record) for row, record in valid if record.get("copy_of") is None]
    steps = [Step("written", len(rows)), Step("valid", len(valid))]
    if len(firsts) < len(valid):
        steps.append(Step("no copy of an earlier one", len(firsts)))
    if any(row.targets for row in rows):
        steps.append(Step("all targets met", sum(all(row.met.values()) for row, _ in firsts)))
    body = [(step.name, str(step.passed)) for step in steps]
    note = "Each step counts what the one before left. Relaxing, energies and novelty: materium evaluate."
    yield Section(charts.funnel(steps), ("step", "crystals"), body, note)


def best(rows: Sequence[Row], crystals: Sequence[Record], most: int = BEST) -> list[Record]:
    """Return the records to look at first: valid, no copies, most targets met, then the likeliest per site."""

    def place(pair: tuple[Row, Record]) -> tuple[float, float]:
        row, record = pair
        return -sum(row.met.values()), -record["log_likelihood"] / record["num_sites"]

    known = [pair for pair in zip(rows, crystals, strict=True) if pair[0].valid and pair[1].get("copy_of") is None]
    return [record for _, record in sorted(known, key=place)[:most]]


def _gallery(rows: Sequence[Row], crystals: Sequence[Record], viewer: Viewer) -> str:
    chosen = best(rows, crystals) if crystals else []
    if not chosen:
        return section_of("best", "The best", "<p>No crystal is valid.</p>\n") if crystals else ""
    cards = "".join(_card(record, viewer) for record in chosen)
    note = "Valid, no copies; those that meet most targets first, then the likeliest per site. Nothing here is relaxed."
    inside = f'<div class="gallery">\n{cards}</div>\n<p class="note">{note}</p>\n{viewer.end()}'
    return section_of("best", "The best", inside, "long")


def _card(record: Record, viewer: Viewer) -> str:
    from materium.generate.rows import crystal_of

    group = overview.named(record["space_group"]) if record["space_group"] else "space group not known"
    size = f"{record['num_sites']} sites, {record['density']:.2f} g/cm³"
    lines = (record["formula"], group, size, f"ln p {record['log_likelihood']:.1f}", record["id"])
    return viewer.card(crystal_of(record), lines)


def _failures(rows: Sequence[Row]) -> str:
    failed = [(row, reason) for row in rows if (reason := row.failure())]
    if not failed:
        return section_of("failures", "What failed", "<p>Nothing: all crystals are valid and meet their targets.</p>\n")
    kinds = Counter(kind for row, _ in failed for kind in row.kinds_of_failure())
    tally = table_of(("what", "crystals"), [(kind, str(count)) for kind, count in sorted(kinds.items())])
    listed = table_of(("id", "request", "why"), [(r.id, str(r.request), why) for r, why in failed[:MAX_LISTED]], "text")
    more = f", the first {MAX_LISTED} of them listed" if len(failed) > MAX_LISTED else ""
    line = f"{len(failed)} of {len(rows)} crystals fail{more}"
    inside = f"{tally}<details><summary>{line}</summary>\n{listed}</details>\n"
    return section_of("failures", "What failed", inside, "long")


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escaped(note)}</li>" for note in notes)
    return section_of("notes", "Notes", f"<ul>{items}</ul>\n") if items else ""
