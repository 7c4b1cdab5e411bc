"""What is generated whenever the documentation is built: the reference, from the program itself.

MkDocs calls `on_config` before it reads the pages and `on_files` after; https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

sys.path.insert(0, str(Path(__file__).parent))

import command_line
import python_pages
import tables


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages of the Python reference into the contents, after the page that introduces them."""
    for section in config.nav or []:
        if "Reference" in section:
            _python_section(section["Reference"])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that are written by hand."""
    pages = {"reference/cli.md": command_line.page(), "reference/properties.md": tables.page()}
    pages |= {f"reference/python/{part}.md": text for part, text in python_pages.pages().items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def _python_section(entries: list[dict[str, Any]]) -> None:
    overview = next(entry for entry in entries if "Python" in entry)
    parts = [{part: f"reference/python/{part}.md"} for part in python_pages.pages()]
    overview["Python"] = [{"Overview": overview["Python"]}, *parts]
