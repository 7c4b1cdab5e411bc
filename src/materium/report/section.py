"""A figure with the table of its numbers: as a section of a page, and as files for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materium.extras import install_command
from materium.report.drawing import WIDTH, inline_svg, save
from materium.report.html import escaped, section_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from materium.report.drawing import Plot

SUFFIXES = (".svg", ".png")


def no_plots() -> str:
    """Return the line that stands where figures are missing."""
    return f"Plots need Matplotlib, which is not installed: {install_command('report')}"


@dataclass(frozen=True)
class Section:
    """A figure, the table beside it and what a reader must know about the two."""

    plot: Plot
    head: tuple[str, ...]
    body: Sequence[tuple[str, ...]]
    note: str = ""


def drawn(section: Section) -> str:
    """Return the section as HTML: the figure, and its table beside it or below."""
    table = table_of(section.head, section.body) if section.body else ""
    inside = f'<div class="split">\n{_drawing(section)}\n<div>{table}{_note(section)}</div>\n</div>\n'
    return section_of(section.plot.name, section.plot.title, inside)


def panels(found: Iterable[Section]) -> str:
    """Return sections as HTML, two abreast where there is room: the figures, and their tables folded away."""
    inside = "".join(map(_panel, found))
    return f'<div class="panels">\n{inside}</div>\n' if inside else ""


def _panel(section: Section) -> str:
    wide = section.plot.figure.get_figwidth() > WIDTH
    table = f"<details><summary>Numbers</summary>\n{table_of(section.head, section.body)}</details>\n"
    inside = f"{_drawing(section)}\n{_note(section)}{table if section.body else ''}"
    return section_of(section.plot.name, section.plot.title, inside, "wide" if wide else "")


def _drawing(section: Section) -> str:
    return f'<div class="scroll drawing">{inline_svg(section.plot)}</div>'


def _note(section: Section) -> str:
    return f'<p class="note">{escaped(section.note)}</p>\n' if section.note else ""


def links(found: Iterable[Section]) -> list[tuple[str, str]]:
    """Return the entries of the sections in the contents of a page: slug and title."""
    return [(section.plot.name, section.plot.title) for section in found]


def write_files(folder: Path, found: Iterable[Section]) -> list[Path]:
    """Write the figures into a folder for use in a paper, as SVG and as PNG, and return the files.

    Raises
    ------
    DataError
        If Matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for section in found:
        for suffix in SUFFIXES:
            written.append(folder / f"{section.plot.name}{suffix}")
            save(section.plot, written[-1])
    return written
