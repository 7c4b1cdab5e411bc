"""The pages of the Python reference: one for each part of the package, from the docstrings of its modules."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "materium"
ROOT_PAGE = "materium"
"""Name of the page of the modules that stand in no folder."""
FIRST = {
    ".": ("crystal", "convert", "structures", "properties", "errors"),
    "data": ("readers", "prepare", "example"),
    "evaluate": ("pipeline", "reference", "validity", "uniqueness", "novelty", "hull", "prediction", "funnel"),
    "generate": ("engine", "request", "targets", "complete", "writer"),
    "model": ("checkpoint", "config", "transformer", "conditions", "likelihood"),
    "relax": ("relaxer", "potential", "validate"),
    "report": ("gallery",),
    "train": ("loop", "config"),
}
"""By folder, the modules that people who write Python call, in the order of a page; the others follow by name."""
META = "---\nsearch:\n  boost: 0.5\n---\n\n"
"""A search finds the pages that are written by hand first."""


@cache
def pages() -> dict[str, str]:
    """Return the pages as Markdown by the name of the part: the modules at the top first, then folder by folder."""
    folders = sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    named = {str(folder).replace("/", "."): _page(PACKAGE / folder) for folder in folders if str(folder) != "."}
    return {ROOT_PAGE: _page(PACKAGE), **{name: text for name, text in named.items() if text}}


def _page(folder: Path) -> str:
    """A heading, what the package says of itself, and an entry for each of its modules; empty if it has none."""
    first = FIRST.get(folder.relative_to(PACKAGE).as_posix(), ())
    modules = sorted(
        (path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py")),
        key=lambda path: (first.index(path.stem) if path.stem in first else len(first), path.stem),
    )
    if not modules:
        return ""
    entries = "".join(f"::: {_dotted(path)}\n\n" for path in modules)
    return f"{META}# {_dotted(folder)}\n\n{_docstring(folder / '__init__.py')}\n\n{entries}"


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
