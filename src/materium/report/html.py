"""The bricks of a page: text, tables and sections in HTML that loads nothing, and runs only what came with us."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING
from unicodedata import category

from materium.io.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page may load nothing, whatever text got into it, and run only the scripts whose hashes `policy` adds."""


def policy(scripts: Sequence[str] = ()) -> str:
    """Return the policy of a page that may run these scripts and no other; 3Dmol makes pictures of its own."""
    if not scripts:
        return POLICY
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return f"{POLICY}; img-src data: blob:; script-src {allowed}"


def write_page(path: Path, title: str, parts: Iterable[str], scripts: Sequence[str] = ()) -> None:
    """Write a page of sections; it appears whole or not at all, and the same parts give the same bytes."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{css()}</style>\n</head>\n"
    )
    body = f"<body>\n<main>\n<h1>{escaped(title)}</h1>\n{''.join(parts)}</main>\n"
    run = "".join(f"<script>{text}</script>\n" for text in scripts)
    write_bytes(path, f"{head}{body}{run}</body>\n</html>\n".encode())


def contents(entries: Iterable[tuple[str, str]]) -> str:
    """Return the links to the sections of a page, given as slug and title."""
    items = "".join(f'<li><a href="#{escaped(slug)}">{escaped(title)}</a></li>' for slug, title in entries)
    return f'<nav aria-label="contents"><ul>{items}</ul></nav>\n'


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
