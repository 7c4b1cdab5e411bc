"""The pages of the Python reference: one for each part of the package, from the docstrings of its modules."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "materium"
ROOT_PAGE = "materium"
"""Name of the page of the modules that stand in no folder."""


@cache
def pages() -> dict[str, str]:
    """Return the pages as Markdown by the name of the part: the modules at the top first, then folder by folder."""
    folders = sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    named = {str(folder).replace("/", "."): _page(PACKAGE / folder) for folder in folders if str(folder) != "."}
    return {ROOT_PAGE: _page(PACKAGE), **{name: text for name, text in named.items() if text}}


def _page(folder: Path) -> str:
    """A heading, what the package says of itself, and an entry for each of its modules; empty if it has none."""
    modules = sorted(path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py"))
    if not modules:
        return ""
    entries = "".join(f"::: {_dotted(path)}\n\n" for path in modules)
    return f"# {_dotted(folder)}\n\n{_docstring(folder / '__init__.py')}\n\n{entries}"


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
