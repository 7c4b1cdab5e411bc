"""The page of a search: the funnel, and every candidate with its picture, its neighbours and its reasons."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from materium.evaluate.funnel import relaxed_crystal
from materium.report import charts, overview
from materium.report.charts import Step
from materium.report.html import contents, escaped, section_of, table_of, write_page
from materium.report.section import Section, drawn, links, no_plots, panels, write_files
from materium.report.viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

MEANING = {
    "check": "valid: distances and volume per atom",
    "unique": "the first of equals in this search",
    "novel": "unknown to the reference, by fingerprint",
    "support": "the reference has compounds that compete, not elements alone",
    "screen": "energy above the hull as made, one single point",
    "relax": "relaxed with the potential",
    "hull": "energy above the hull, relaxed",
    "final": "still novel and unique when relaxed",
}
HEAD = ("stage", "in", "out", "dropped", "left", "what passes")
FACTS = (
    ("energy above hull (eV/atom)", "energy_above_hull"),
    ("ln p (nats)", "log_likelihood"),
    ("sites", "num_sites"),
    ("space group", "space_group_relaxed"),
    ("density (g/cm³)", "density"),
    ("as made (eV/atom above hull)", "screened"),
)


def write_discovery(  # noqa: PLR0913, PLR0917 - a page has as many parts
    path: Path,
    title: str,
    found: Sequence[Row],
    metrics: Mapping[str, Any],
    rows: Sequence[Row] = (),
    figures: Path | None = None,
) -> bool:
    """Write the page of a search, and return whether it has plots: they need Matplotlib.

    Parameters
    ----------
    path
        The HTML file; it appears whole or not at all.
    found, metrics
        Candidates in their order and figures, as `materium.evaluate.candidates` gives them.
    rows
        Every crystal of the search, with the columns of `materium.evaluate.candidates.schema`, for the plots.
    figures
        Folder that gets the plots as SVG and PNG, for papers; none is written without.
    """
    able, viewer = find_spec("matplotlib") is not None, Viewer()
    plots = list(sections(metrics, rows)) if able else []
    parts = [
        contents([("funnel", "The funnel"), ("ranking", "Ranking"), *links(plots[1:]), ("origin", "What was asked")]),
        drawn(plots[0]) if able else _without_plots(metrics),
        _ranking(found),
        _candidates(found, viewer),
        panels(plots[1:]),
        _origin(metrics),
    ]
    write_page(path, title, parts, viewer.scripts)
    if able and figures is not None:
        write_files(figures, plots)
    return able


def sections(metrics: Mapping[str, Any], rows: Sequence[Row] = ()) -> Iterator[Section]:
    """Yield the funnel, and what the crystals of a search look like; needs Matplotlib."""
    stages = metrics["stages"]
    steps = [Step("generated", stages[0]["came"])] if stages else []
    steps += [Step(one["stage"], one["passed"], one["left"]) for one in stages]
    yield Section(charts.funnel(steps), HEAD, _stages(metrics), _ended(metrics))
    yield from overview.sections(rows)


def _ended(metrics: Mapping[str, Any]) -> str:
    means = metrics.get("novel_means")
    return (
        f"The search ended since {metrics['ended_because']}, after {metrics['seconds']:g} s. "
        f"{metrics['neutral']} of the crystals are neutral and {metrics['smact_valid']} valid by SMACT, "
        f"which drops none; {metrics['no_reference']} have an element that the reference lacks, "
        f"{metrics.get('unsupported', 0)} are unsupported: it lacks the compounds that they would compete with."
        f"{f' Novel: {means}.' if means else ''}"
    )


def _stages(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(*(str(value) for value in one.values()), MEANING[one["stage"]]) for one in metrics["stages"]]


def _without_plots(metrics: Mapping[str, Any]) -> str:
    notes = "".join(f'<p class="note">{escaped(text)}</p>\n' for text in (_ended(metrics), no_plots()))
    return section_of("funnel", "The funnel", table_of(HEAD, _stages(metrics), "text") + notes)


def _ranking(found: Sequence[Row]) -> str:
    if not found:
        advice = "Try a larger --budget, a higher --max-hull, a higher --screen, or fewer constraints."
        return section_of("ranking", "Ranking", f"<p>No crystal came through. {advice}</p>\n")
    names = ("rank", "formula", "energy_above_hull", "log_likelihood", "space_group_relaxed", "decomposition", "id")
    head = ("", "formula", "eV/atom above hull", "ln p", "space group", "competes with", "id")
    note = "By energy above the hull in steps of 1 meV/atom, then by likelihood, then by the targets that are met."
    body = [tuple(_cell(row[name]) for name in names) for row in found]
    return section_of("ranking", "Ranking", f'{table_of(head, body)}<p class="note">{note}</p>\n', "long")


def _candidates(found: Sequence[Row], viewer: Viewer) -> str:
    inside = "".join(_candidate(row, viewer) for row in found)
    return section_of("candidates", "Candidates", inside + viewer.end(), "long") if found else ""


def _candidate(row: Row, viewer: Viewer) -> str:
    facts = table_of((), [(words, _cell(row[name])) for words, name in FACTS])
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in row["why_kept"])
    names = ("role", "formula", "id", "share", "distance")
    around = [tuple(_cell(one[name]) for name in names) for one in row["neighbours"]]
    head = ("in the reference", "formula", "id", "share of atoms", "distance")
    return (
        f'<article class="candidate" id="candidate-{row["rank"]}">\n<div>{viewer.picture(relaxed_crystal(row))}</div>\n'
        f"<div><h3>{row['rank']}. {escaped(row['formula'])} ({escaped(row['id'])})</h3>\n"
        f"<ul>{reasons}</ul>\n{facts}<h4>Neighbours</h4>\n{table_of(head, around)}</div>\n</article>\n"
    )


def _origin(metrics: Mapping[str, Any]) -> str:
    """What was asked and what judged it."""
    facts = [("command", metrics["command"])]
    facts += [(name, ", ".join(map(str, metrics[name].values()))) for name in ("potential", "reference")]
    own = {name: value for name, value in metrics["settings"].items() if name not in ("potential", "reference")}
    facts += [(name, str(value)) for name, value in own.items() if value not in (None, [], {})]
    return section_of("origin", "What was asked", table_of((), facts, "text"))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
