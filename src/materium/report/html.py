"""The bricks of a page: text, tables and sections in HTML that can neither load nor run anything."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page may load nothing and run nothing, whatever text got into it."""


def css() -> str:
    """Return the style of a page."""
    return files("materium.report").joinpath("page.css").read_text(encoding="utf-8")


def escaped(value: object) -> str:
    """Return text for HTML; control characters, surrogates and marks that turn the line round become question marks."""
    return escape("".join("?" if category(c).startswith("C") else c for c in str(value)))


def table_of(head: Sequence[str], body: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table that scrolls by itself; `kind` is its class."""
    top = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>\n" for cells in body)
    opening = f'<table class="{kind}">' if kind else "<table>"
    above = f"<thead><tr>{top}</tr></thead>\n" if head else ""
    frame = '<div class="scroll" role="region" aria-label="table" tabindex="0">'
    return f"{frame}{opening}{above}<tbody>\n{lines}</tbody></table></div>\n"


def section_of(slug: str, heading: str, inside: str, kind: str = "") -> str:
    """Return a section that the contents can point to; `kind` is its class."""
    mark = f' class="{kind}"' if kind else ""
    return f'<section id="{escaped(slug)}"{mark}>\n<h2>{escaped(heading)}</h2>\n{inside}</section>\n'
