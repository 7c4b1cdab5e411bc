"""The page: one HTML file with its figures and its style inside, which needs no network and runs no script."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from materium.report import summary
from materium.report.drawing import inline_svg, save
from materium.report.figures import sections, share_cells
from materium.report.html import POLICY, css, escaped, section_of, table_of
from materium.report.rows import plain, read_rows, shown, with_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from materium.evaluate.adherence import Share
    from materium.report.figures import Section
    from materium.report.rows import Row

MAX_LISTED = 200
"""Failed crystals that the page lists by id; it says how many more there are."""
MAX_REQUESTS = 100
"""Requests that the page lists one by one."""


def write_report(  # noqa: PLR0913, PLR0917 - a page has as many parts
    path: Path,
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    predictor_errors: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    cloud: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write the report of a run; the targets that occur decide which figures it has.

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

    Raises
    ------
    DataError
        If the rows cannot be read, or Matplotlib is not installed.
    """
    read = read_rows(rows)
    text = render(title, facts, read, sections(read, predictor_errors, cloud), notes)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


def write_figures(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    predictor_errors: Mapping[str, float] | None = None,
    cloud: Mapping[str, Sequence[float]] | None = None,
    suffixes: Sequence[str] = (".svg", ".png"),
) -> list[Path]:
    """Write the figures of the report into a folder for use in a paper, and return their files.

    Raises
    ------
    DataError
        If the rows cannot be read, Matplotlib is not installed or a suffix is another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for section in sections(read_rows(rows), predictor_errors, cloud):
        for suffix in suffixes:
            written.append(folder / f"{section.plot.name}{suffix}")
            save(section.plot, written[-1])
    return written


def render(
    title: str, facts: Mapping[str, str], rows: Sequence[Row], found: Iterable[Section], notes: Sequence[str] = ()
) -> str:
    """Return the page as text; the same rows give the same text."""
    drawn = list(found)
    parts = [
        _links(drawn),
        _overview(facts, rows),
        _requests(rows),
        *(_figure(section) for section in drawn),
        _failures(rows),
        _notes(notes),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{css()}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escaped(title)}</h1>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _links(drawn: Sequence[Section]) -> str:
    entries = [(section.plot.name, section.plot.title) for section in drawn] + [("failures", "What failed")]
    items = "".join(f'<li><a href="#{escaped(slug)}">{escaped(title)}</a></li>' for slug, title in entries)
    return f"<nav><ul>{items}</ul></nav>\n"


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


def _figure(section: Section) -> str:
    drawing = f'<div class="scroll drawing">{inline_svg(section.plot)}</div>'
    note = f'<p class="note">{escaped(section.note)}</p>\n' if section.note else ""
    beside = f"<div>{table_of(section.head, section.body)}{note}</div>"
    return section_of(section.plot.name, section.plot.title, f'<div class="split">\n{drawing}\n{beside}\n</div>\n')


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


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escaped(note)}</li>" for note in notes)
    return section_of("notes", "Notes", f"<ul>{items}</ul>\n")
