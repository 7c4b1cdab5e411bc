"""The page of an evaluation: every figure with its count and interval, by class and rarity, the best, the failed."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from materium.evaluate.lemat import made_crystal
from materium.evaluate.summary import GROUPS, METASTABLE, METRICS, STABLE
from materium.report import evaluation_plots as plots
from materium.report.drawing import inline_svg
from materium.report.figures import SYSTEMS, Section
from materium.report.html import POLICY, css, escaped, section_of, table_of
from materium.report.picture import picture
from materium.report.rows import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from materium.crystal import Crystal

    Row = Mapping[str, Any]
    Figure = Mapping[str, Any]

BEST = 24
"""Crystals in the gallery."""
LISTED = 200
"""Failed rows that the page lists one by one."""
NO_PLOTS = "Plots need Matplotlib, which is not installed: pip install 'materium[report]'"
GROUPED = ("valid", "metastable", "msun", "sun")
"""Figures that are shown for each group, the last that is known as bars too."""
COMMON = 15
"""Space groups that get a bar."""
GALLERY = """
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: .75rem; margin: 0 0 1rem; }
.gallery figure { margin: 0; text-align: center; font-size: .8rem; line-height: 1.3; }
"""


def write_evaluation(path: Path, title: str, rows: Sequence[Row], metrics: Mapping[str, Any]) -> bool:
    """Write the report of an evaluation, and return whether it has plots: they need Matplotlib.

    Parameters
    ----------
    path
        The HTML file; it appears whole or not at all.
    rows, metrics
        As `materium.evaluate.pipeline.evaluate` gives them.
    """
    able = find_spec("matplotlib") is not None
    text = render(title, rows, metrics, list(sections(rows, metrics)) if able else [], "" if able else NO_PLOTS)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
    return able


def render(
    title: str, rows: Sequence[Row], metrics: Mapping[str, Any], drawn: Sequence[Section], note: str = ""
) -> str:
    """Return the page as text; the same rows give the same text."""
    parts = [
        _links(drawn),
        _origin(metrics),
        _figures(metrics),
        _gallery(rows),
        *(_drawn(section) for section in drawn),
        f'<p class="note">{escaped(note)}</p>\n' if note else "",
        _groups(metrics),
        _distributions(metrics),
        _failures(rows, metrics),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{css()}{GALLERY}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escaped(title)}</h1>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def cells(figure: Figure) -> tuple[str, str, str]:
    """Return value, count and interval of a figure as tables print them."""
    interval = figure.get("interval")
    if "numerator" in figure:
        low, high = figure["interval"]
        count = f"{figure['numerator']} of {figure['denominator']}"
        return percent(figure["value"], 1), count, f"{100 * low:.1f}–{percent(high, 1)}"
    spread = "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"
    return f"{figure['value']:.4g} (median {figure['median']:.4g})", f"{figure['n']} rows", spread


def sections(rows: Sequence[Row], metrics: Mapping[str, Any]) -> Iterator[Section]:
    """Yield the plots that the rows call for, each with the table of its numbers; needs Matplotlib."""
    yield from _numbers(rows, metrics)
    readable = [row for row in rows if row.get("formula")]
    if readable:
        yield _elements(readable)
        yield from _symmetry(readable, metrics)
    for kind in GROUPS:
        yield from _bars(kind, metrics)


_HISTOGRAMS = (
    ("energy_above_hull", "Energy above the hull", "eV/atom above the hull", (STABLE, METASTABLE), False),
    ("num_sites", "Sites", "sites of the primitive cell", (), True),
    ("rmsd", "Moved by relaxing", "RMSD in Å", (), False),
    ("volume_change", "Volume change by relaxing", "relative change of the volume", (0.0,), False),
)


def _numbers(rows: Sequence[Row], metrics: Mapping[str, Any]) -> Iterator[Section]:
    for name, title, axis, marks, whole in _HISTOGRAMS:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            plot = plots.histogram(name.replace("_", "-"), title, axis, values, marks=marks, whole=whole)
            body = [(name, *cells(metrics["metrics"][name]))] if name in metrics["metrics"] else []
            note = f"{len(values)} of {len(rows)} rows have a value. Bars at the ends hold what lies beyond."
            yield Section(plot, ("", "mean", "of", "95 % interval"), body, note)


def _elements(rows: Sequence[Row]) -> Section:
    from materium.convert import symbols

    found = Counter(number for row in rows for number in set(row["atomic_numbers"]))
    body = [(symbols([z])[0], str(count), percent(count / len(rows), 1)) for z, count in found.most_common(20)]
    note = f"{len(found)} elements; the 20 most common are listed. Shades are logarithmic."
    return Section(plots.periodic_table(found, len(rows)), ("element", "crystals", "share"), body, note)


def _symmetry(rows: Sequence[Row], metrics: Mapping[str, Any]) -> Iterator[Section]:
    groups = [int(row["space_group"]) for row in rows if row.get("space_group")]
    if not groups:
        return
    systems = Counter(next(name for name, last in SYSTEMS.items() if group <= last) for group in groups)
    tallied = [(name, systems[name]) for name in SYSTEMS]
    common = [(str(group), count) for group, count in Counter(groups).most_common(COMMON)]
    for slug, title, found in (
        ("crystal-systems", "Crystal systems", tallied),
        ("space-groups", "Space groups", common),
    ):
        beside = _expected(metrics, slug.rstrip("s").replace("-", "_"))
        body = [(name, str(count), percent(count / len(groups), 1)) for name, count in found]
        note = f"Of {len(groups)} crystals with symmetry found at 0.1 Å, in {len(set(groups))} space groups."
        yield Section(plots.counts(slug, title, found, len(groups), beside), ("", "crystals", "share"), body, note)


def _bars(kind: str, metrics: Mapping[str, Any]) -> Iterator[Section]:
    groups = metrics["groups"].get(kind) or {}
    shown = [name for name in GROUPED if all(name in figures for figures in groups.values())]
    if not groups or not shown:
        return
    name = "msun" if "msun" in shown else shown[-1]
    title = f"{_plain(kind)}: {name}"
    found = {group: figures[name] for group, figures in groups.items()}
    plot = plots.group_bars(kind.replace("_", "-"), title, f"share that is {name}", found)
    body = [(group, *cells(one)) for group, one in found.items()]
    yield Section(plot, ("", "share", "count", "95 % interval"), body, f"{name}: {_definition(name)}.")


def _definition(name: str) -> str:
    return next(metric.definition for metric in METRICS if metric.name == name)


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _drawn(section: Section) -> str:
    drawing = f'<div class="scroll drawing">{inline_svg(section.plot)}</div>'
    note = f'<p class="note">{escaped(section.note)}</p>\n' if section.note else ""
    beside = f"<div>{table_of(section.head, section.body)}{note}</div>"
    return section_of(section.plot.name, section.plot.title, f'<div class="split">\n{drawing}\n{beside}\n</div>\n')


def _links(drawn: Iterable[Section]) -> str:
    entries = [("figures", "Figures"), ("best", "The best")]
    entries += [(section.plot.name, section.plot.title) for section in drawn] + [("failures", "What failed")]
    items = "".join(f'<li><a href="#{escaped(slug)}">{escaped(title)}</a></li>' for slug, title in entries)
    return f"<nav><ul>{items}</ul></nav>\n"


def _origin(metrics: Mapping[str, Any]) -> str:
    """What was judged and with what."""
    facts = [("source", metrics["source"]), ("asked for", metrics["n_asked"]), ("arrived", metrics["n_rows"])]
    for name in ("potential", "reference", "known"):
        if metrics.get(name):
            facts += [(name, ", ".join(str(value) for value in metrics[name].values()))]
    facts.append(("novelty by", metrics.get("novelty") or "not judged"))
    facts.append(("stages left out", ", ".join(metrics["skipped"]) or "none"))
    if metrics["left_out"]:
        names = metrics["left_out"]
        facts.append(("files not read", f"{len(names)}: {', '.join(names[:10])}"))
    return section_of("origin", "What was judged", table_of((), [(name, str(value)) for name, value in facts], "text"))


def _figures(metrics: Mapping[str, Any]) -> str:
    head = ("", "value", "count", "95 % interval", "definition")
    body = [(name, *cells(one), one["definition"]) for name, one in metrics["metrics"].items()]
    return section_of("figures", "Figures", table_of(head, body, "text"), "long")


def best(rows: Sequence[Row], most: int = BEST) -> list[Row]:
    """Return the rows to look at first: unique and novel, lowest above the hull; without a hull the first valid."""
    placed = [row for row in rows if row.get("energy_above_hull") is not None]
    wanted = [row for row in placed if row.get("unique_final") is not False and row.get("novel_final") is not False]
    if placed:
        return sorted(wanted, key=lambda row: (row["energy_above_hull"], row["index"]))[:most]
    return [row for row in rows if row.get("valid") and row.get("unique") is not False][:most]


def _gallery(rows: Sequence[Row]) -> str:
    chosen = best(rows)
    if not chosen:
        valid = any(row.get("valid") for row in rows)
        why = (
            "None of the rows that have an energy above the hull is unique and novel." if valid else "No row is valid."
        )
        return section_of("best", "The best", f"<p>{why}</p>\n")
    figures = "".join(
        f"<figure>{picture(_shown(row))}<figcaption>{escaped(row['formula'])}<br>{escaped(row['id'])}</figcaption></figure>\n"
        for row in chosen
    )
    head = (
        "id",
        "formula",
        "sites",
        "space group",
        "eV/atom above hull",
        "RMSD (Å)",
        "novel",
        "nearest known",
        "status",
    )
    body = [tuple(_cell(row.get(name)) for name in _COLUMNS) for row in chosen]
    note = "Unique and novel ones by energy above the hull, or the first valid ones where there is no hull."
    inside = f'<div class="gallery">\n{figures}</div>\n{table_of(head, body)}<p class="note">{note}</p>\n'
    return section_of("best", "The best", inside, "long")


_COLUMNS = (
    "id",
    "formula",
    "num_sites",
    "space_group",
    "energy_above_hull",
    "rmsd",
    "novel_final",
    "nearest_id",
    "relax_status",
)


def _shown(row: Row) -> Crystal:
    """The relaxed crystal where there is one, else the crystal as it was made."""
    if row.get("relaxed_cell") is None:
        return made_crystal(row)
    return made_crystal({**row, "cell": row["relaxed_cell"], "frac_coords": row["relaxed_frac_coords"]})


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _groups(metrics: Mapping[str, Any]) -> str:
    """Tables of the figures by class and rarity."""
    parts = []
    for kind, groups in metrics["groups"].items():
        shown = [name for name in GROUPED if groups and all(name in figures for figures in groups.values())]
        if shown:
            body = [
                (group, *(" ".join(cells(figures[name])[:2]) for name in shown)) for group, figures in groups.items()
            ]
            parts.append(f"<h3>{escaped(_plain(kind))}</h3>\n{table_of(('', *shown), body)}")
    return section_of("groups", "By class and rarity", "".join(parts), "long") if parts else ""


def _distributions(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("distributions") or {}
    if "skipped" in found:
        inside = f"<p>Not compared with a test set: {escaped(found['skipped'])}.</p>\n"
    else:
        body = [
            (_plain(name), _distance(one), str(one["generated"]), str(one["real"]), one["definition"])
            for name, one in found.items()
        ]
        inside = table_of(("", "distance", "crystals", "test set", "definition"), body, "text")
    return section_of("distributions", "Distributions", inside)


def _distance(one: Mapping[str, Any]) -> str:
    return "–" if one["distance"] is None else f"{one['distance']:.4g} {one['unit']}".strip()


def _expected(metrics: Mapping[str, Any], name: str) -> dict[str, float]:
    """Shares of the test set by label, empty where it is not known."""
    histogram = (metrics.get("distributions") or {}).get(name, {}).get("histogram")
    return dict(zip(map(str, histogram["labels"]), histogram["real"], strict=True)) if histogram else {}


def _failures(rows: Sequence[Row], metrics: Mapping[str, Any]) -> str:
    failed = [(row, why) for row in rows if (why := _failure(row))]
    kinds = [(reason, str(count)) for counts in metrics["counts"].values() for reason, count in counts.items()]
    tally = table_of(("status or reason", "rows"), kinds, "text") if kinds else ""
    listed = table_of(
        ("id", "formula", "why"), [(r["id"], _cell(r.get("formula")), why) for r, why in failed[:LISTED]], "text"
    )
    line = f"{len(failed)} of {len(rows)} rows have a reason" + (
        f", the first {LISTED} listed" if len(failed) > LISTED else ""
    )
    inside = f"{tally}<details><summary>{line}</summary>\n{listed}</details>\n" if failed else "<p>Nothing.</p>\n"
    return section_of("failures", "What failed", inside, "long")


def _failure(row: Row) -> str:
    names = ("reason", "novelty_reason", "relax_reason", "hull_reason")
    return "; ".join(dict.fromkeys(str(row[name]) for name in names if row.get(name)))
