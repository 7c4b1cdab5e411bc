"""The page of an evaluation: every figure with its count and interval, by class and rarity, the best, the failed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from materium.evaluate.lemat import made_crystal
from materium.evaluate.summary import GROUPS, METRICS
from materium.report import charts, overview
from materium.report.charts import Step
from materium.report.html import contents, escaped, section_of, table_of, write_page
from materium.report.rows import percent
from materium.report.section import Section, links, no_plots, panels, write_files
from materium.report.viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from materium.crystal import Crystal

    Row = Mapping[str, Any]
    Figure = Mapping[str, Any]

BEST = 24
"""Crystals in the gallery."""
LISTED = 200
"""Failed rows that the page lists one by one."""
GROUPED = ("valid", "unsupported", "metastable", "msun", "sun")
"""Figures that are shown for each group, the last that is known as bars too."""
FUNNEL = (
    ("read", "formula"),
    ("valid", "valid"),
    ("unique", "unique_final"),
    ("novel", "novel_final"),
    ("at most 0.1 eV/atom", "metastable"),
    ("on the hull", "stable"),
)
"""Steps, and the columns that a row must have to come through."""


def write_evaluation(
    path: Path, title: str, rows: Sequence[Row], metrics: Mapping[str, Any], figures: Path | None = None
) -> bool:
    """Write the report of an evaluation, and return whether it has plots: they need Matplotlib.

    Parameters
    ----------
    path
        The HTML file; it appears whole or not at all.
    rows, metrics
        As `materium.evaluate.pipeline.evaluate` gives them.
    figures
        Folder that gets the plots as SVG and PNG, for papers; none is written without.
    """
    able, viewer = find_spec("matplotlib") is not None, Viewer()
    found = list(sections(rows, metrics)) if able else []
    parts = [
        contents([("figures", "Figures"), ("best", "The best"), *links(found), ("failures", "What failed")]),
        _origin(metrics),
        _figures(metrics),
        _gallery(rows, metrics, viewer),
        panels(found),
        "" if able else f'<p class="note">{escaped(no_plots())}</p>\n',
        _groups(metrics),
        _distributions(metrics),
        _failures(rows, metrics),
    ]
    write_page(path, title, parts, viewer.scripts)
    if able and figures is not None:
        write_files(figures, found)
    return able


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
    yield _funnel(rows, metrics)
    beside = {name: _expected(metrics, name) for name in ("crystal_system", "space_group")}
    yield from overview.sections(rows, beside)
    for kind in GROUPS:
        yield from _bars(kind, metrics)


def _funnel(rows: Sequence[Row], metrics: Mapping[str, Any]) -> Section:
    """What is left at each step, of the steps that were judged."""
    steps, left = [Step("asked for", metrics["n_asked"]), Step("arrived", len(rows))], list(rows)
    for name, column in FUNNEL:
        if column == "formula" or any(row.get(column) is not None for row in rows):
            left = [row for row in left if row.get(column)]
            steps.append(Step(name, len(left)))
    note = (
        "Each step counts what the one before left; the figures above count each verdict by itself. "
        f"Novel: {metrics.get('novelty') or 'not judged'}."
    )
    body = [(step.name, str(step.passed)) for step in steps]
    return Section(charts.funnel(steps), ("step", "crystals"), body, note)


def _bars(kind: str, metrics: Mapping[str, Any]) -> Iterator[Section]:
    groups = metrics["groups"].get(kind) or {}
    shown = [name for name in GROUPED if all(name in figures for figures in groups.values())]
    if not groups or not shown:
        return
    name = "msun" if "msun" in shown else shown[-1]
    title = f"{_plain(kind)}: {name}"
    found = {group: figures[name] for group, figures in groups.items()}
    plot = charts.group_bars(kind.replace("_", "-"), title, f"share that is {name}", found)
    body = [(group, *cells(one)) for group, one in found.items()]
    yield Section(plot, ("", "share", "count", "95 % interval"), body, f"{name}: {_definition(name)}.")


def _definition(name: str) -> str:
    return next(metric.definition for metric in METRICS if metric.name == name)


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _origin(metrics: Mapping[str, Any]) -> str:
    """What was judged and with what."""
    facts = [("source", metrics["source"]), ("asked for", metrics["n_asked"]), ("arrived", metrics["n_rows"])]
    for name in ("potential", "reference", "known"):
        if metrics.get(name):
            facts += [(name, ", ".join(str(value) for value in metrics[name].values()))]
    facts.append(("novel", metrics.get("novelty") or "not judged"))
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
    """Return the rows to look at first: unique and novel, lowest above the hull; without a hull the first valid.

    What is unsupported is left out where there is a hull.
    """
    placed = [row for row in rows if row.get("energy_above_hull") is not None and not row.get("unsupported")]
    wanted = [row for row in placed if row.get("unique_final") is not False and row.get("novel_final") is not False]
    if placed or any(row.get("unsupported") for row in rows):
        return sorted(wanted, key=lambda row: (row["energy_above_hull"], row["index"]))[:most]
    return [row for row in rows if row.get("valid") and row.get("unique") is not False][:most]


def _gallery(rows: Sequence[Row], metrics: Mapping[str, Any], viewer: Viewer) -> str:
    chosen = best(rows)
    if not chosen:
        valid = any(row.get("valid") for row in rows)
        why = (
            "None of the rows that have a supported energy above the hull is unique and novel."
            if valid
            else "No row is valid."
        )
        return section_of("best", "The best", f"<p>{why}</p>\n")
    cards = "".join(viewer.card(_shown(row), _card(row)) for row in chosen)
    body = [tuple(_cell(row.get(name)) for name in _COLUMNS) for row in chosen]
    note = (
        "Unique and novel ones by energy above the hull, without the unsupported, or the first valid ones where there "
        f"is no hull. Novel: {metrics.get('novelty') or 'not judged'}."
    )
    table = f'{table_of(_HEAD, body)}<p class="note">{note}</p>\n'
    inside = f'<div class="gallery">\n{cards}</div>\n{table}{viewer.end()}'
    return section_of("best", "The best", inside, "long")


def _card(row: Row) -> list[str]:
    """What stands below a picture."""
    group, above = row.get("space_group"), row.get("energy_above_hull")
    known = [] if above is None else [f"{above:.3f} eV/atom above hull"]
    return [row["formula"], overview.named(group) if group else "no symmetry found", *known, row["id"]]


_HEAD = (
    "id",
    "formula",
    "sites",
    "space group",
    "eV/atom above hull",
    "RMSD (Å)",
    "novelty",
    "nearest known",
    "status",
)
_COLUMNS = (
    "id",
    "formula",
    "num_sites",
    "space_group",
    "energy_above_hull",
    "rmsd",
    "novelty_final",
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
