"""The page of a search: the funnel, and every candidate with its picture, its neighbours and its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materium.evaluate.funnel import relaxed_crystal
from materium.report.html import POLICY, css, escaped, section_of, table_of
from materium.report.picture import picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

STYLE = """
.candidate { display: grid; grid-template-columns: 165px minmax(0, 1fr); gap: 1rem; border-top: 1px solid var(--grid);
  padding: 1rem 0; break-inside: avoid; }
.candidate:first-of-type { border-top: 0; }
.candidate h3 { margin: 0 0 .4rem; font-size: 1.05rem; }
.candidate ul { margin: .3rem 0 .6rem; padding-left: 1.2rem; font-size: .9rem; }
.funnel { display: block; width: 100%; max-width: 640px; height: auto; }
.funnel text { font-family: "DejaVu Sans", Arial, Helvetica, sans-serif; font-size: 12px; fill: var(--ink); }
@media (max-width: 30rem) { .candidate { grid-template-columns: minmax(0, 1fr); } }
"""
WIDTH, LINE, LABEL, BAR = 640, 26, 82, 420
"""Pixels of the funnel's drawing: its width, a line's height, and the places of the words and of the bars."""
MEANING = {
    "check": "valid: distances and volume per atom",
    "unique": "the first of equals in this search",
    "novel": "unknown to the reference, by fingerprint",
    "screen": "energy above the hull as made, one single point",
    "relax": "relaxed with the potential",
    "hull": "energy above the hull, relaxed",
    "final": "still novel and unique when relaxed",
}
FACTS = (
    ("energy above hull (eV/atom)", "energy_above_hull"),
    ("ln p (nats)", "log_likelihood"),
    ("sites", "num_sites"),
    ("space group", "space_group_relaxed"),
    ("density (g/cm³)", "density"),
    ("as made (eV/atom above hull)", "screened"),
)


def write_discovery(path: Path, title: str, found: Sequence[Row], metrics: Mapping[str, Any]) -> None:
    """Write the page of a search; it appears whole or not at all.

    Parameters
    ----------
    found, metrics
        Candidates in their order and figures, as `materium.evaluate.candidates` gives them.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(render(title, found, metrics), encoding="utf-8", newline="\n")
    part.replace(path)


def render(title: str, found: Sequence[Row], metrics: Mapping[str, Any]) -> str:
    """Return the page as text; the same candidates give the same text."""
    body = _funnel(metrics) + _ranking(found) + _candidates(found) + _origin(metrics)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{css()}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escaped(title)}</h1>\n{body}</main>\n</body>\n</html>\n"
    )


def funnel_svg(stages: Sequence[Row]) -> str:
    """Return the drawing of a funnel: a bar for what came, and within it what passed each stage."""
    most = max((one["came"] for one in stages), default=0) or 1
    steps = [("generated", stages[0]["came"], 0)] if stages else []
    steps += [(one["stage"], one["passed"], one["left"]) for one in stages]
    told = ", ".join(f"{name} {passed}" for name, passed, _ in steps)
    lines = "".join(_bar(place, *step, most) for place, step in enumerate(steps))
    size = f'viewBox="0 0 {WIDTH} {LINE * len(steps)}"'
    return f'<svg class="funnel" role="img" aria-label="{escaped(f"Funnel: {told}")}" {size}>{lines}</svg>\n'


def _bar(place: int, name: str, passed: int, left: int, most: int) -> str:
    top, middle = LINE * place + 3, LINE * place + LINE / 2 + 4
    wide, waiting = BAR * passed / most, BAR * left / most
    said = f"{passed} of {most}" + (f", {left} not reached" if left else "")
    return (
        f'<text x="{LABEL - 8}" y="{middle:g}" text-anchor="end">{escaped(name)}</text>'
        f'<rect x="{LABEL}" y="{top}" width="{wide:.1f}" height="{LINE - 6}" fill="var(--series-0)"/>'
        f'<rect x="{LABEL + wide:.1f}" y="{top}" width="{waiting:.1f}" height="{LINE - 6}" fill="var(--band)"/>'
        f'<text x="{LABEL + wide + waiting + 8:.1f}" y="{middle:g}">{said}</text>'
    )


def _funnel(metrics: Mapping[str, Any]) -> str:
    stages = metrics["stages"]
    head = ("stage", "in", "out", "dropped", "left", "what passes")
    body = [(*(str(value) for value in one.values()), MEANING[one["stage"]]) for one in stages]
    note = (
        f"The search ended since {metrics['ended_because']}, after {metrics['seconds']:g} s. "
        f"{metrics['neutral']} of the crystals are neutral and {metrics['smact_valid']} valid by SMACT, "
        f"which drops none; {metrics['no_reference']} have an element that the reference lacks."
    )
    inside = f'{funnel_svg(stages)}{table_of(head, body, "text")}<p class="note">{escaped(note)}</p>\n'
    return section_of("funnel", "The funnel", inside)


def _ranking(found: Sequence[Row]) -> str:
    if not found:
        return section_of("ranking", "Ranking", "<p>No crystal came through.</p>\n")
    names = ("rank", "formula", "energy_above_hull", "log_likelihood", "space_group_relaxed", "decomposition", "id")
    head = ("", "formula", "eV/atom above hull", "ln p", "space group", "competes with", "id")
    note = "By energy above the hull in steps of 1 meV/atom, then by likelihood, then by the targets that are met."
    body = [tuple(_cell(row[name]) for name in names) for row in found]
    return section_of("ranking", "Ranking", f'{table_of(head, body)}<p class="note">{note}</p>\n', "long")


def _candidates(found: Sequence[Row]) -> str:
    inside = "".join(map(_candidate, found))
    return section_of("candidates", "Candidates", inside, "long") if found else ""


def _candidate(row: Row) -> str:
    facts = table_of((), [(words, _cell(row[name])) for words, name in FACTS])
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in row["why_kept"])
    names = ("role", "formula", "id", "share", "distance")
    around = [tuple(_cell(one[name]) for name in names) for one in row["neighbours"]]
    head = ("in the reference", "formula", "id", "share of atoms", "distance")
    return (
        f'<article class="candidate" id="candidate-{row["rank"]}">\n<div>{picture(relaxed_crystal(row))}</div>\n'
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
