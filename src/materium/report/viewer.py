"""Pictures of crystals that can be turned round: each a button that opens the 3D view, where 3Dmol.js is at hand."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from materium.convert import formula, symbols
from materium.report.html import escaped
from materium.report.picture import CORNERS, EDGES, colour, picture, with_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materium.crystal import Crystal

VENDOR = ("serve", "static", "vendor")
"""Where the set-up of the web page puts the library, within the package."""
STILL = (
    "The pictures stand still: 3Dmol.js, which turns them, is not at hand. `make serve` in a checkout fetches it, and "
    "reports that are written from then on have it inside."
)


class Viewer:
    """The crystals of one page, gathered while the page is written."""

    def __init__(self) -> None:
        """Begin with none; without the library the pictures stay pictures."""
        self._library = viewer_code()
        self._crystals: list[dict[str, Any]] = []

    def picture(self, crystal: Crystal) -> str:
        """Return the still picture of a crystal, as the button that opens its 3D view where there is one."""
        if self._library is None:
            return picture(crystal)
        number, name = len(self._crystals), formula(crystal)
        self._crystals.append({"name": name, **_scene(crystal)})
        what = escaped(f"3D view of {name}")
        return f'<button type="button" class="turn" data-crystal="{number}" title="{what}">{picture(crystal)}</button>'

    def card(self, crystal: Crystal, lines: Sequence[str]) -> str:
        """Return a picture with words below it, the first of them its heading."""
        first, *rest = map(escaped, lines)
        words = "<br>".join([f"<b>{first}</b>", *rest])
        return f"<figure>{self.picture(crystal)}<figcaption>{words}</figcaption></figure>\n"

    def end(self) -> str:
        """Return what a page with pictures ends with: the window of the 3D view, or why there is none."""
        if self._library is None:
            return f'<p class="note">{escaped(STILL)}</p>\n'
        if not self._crystals:
            return ""
        data = json.dumps(self._crystals, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f'<script type="application/json" id="crystals">{data}</script>\n'
            '<dialog class="viewer" id="viewer" aria-labelledby="viewer-name"><h3 id="viewer-name"></h3>'
            '<p class="legend"></p><div class="screen"></div>'
            '<p class="note">Drag to turn, scroll or pinch to zoom, Escape to close.</p>'
            '<form method="dialog"><button>Close</button></form></dialog>\n'
        )

    @property
    def scripts(self) -> tuple[str, ...]:
        """What the page runs: the library and the few lines that open the window; nothing where no crystal is shown."""
        if self._library is None or not self._crystals:
            return ()
        return self._library, files("materium.report").joinpath("viewer.js").read_text(encoding="utf-8")


def viewer_code() -> str | None:
    """Return 3Dmol.js behind its licence, as the licence wants it, or None where the set-up has not fetched it."""
    folder = files("materium").joinpath(*VENDOR)
    code, licence = folder.joinpath("3Dmol-min.js"), folder.joinpath("3Dmol-LICENSE.txt")
    if not (code.is_file() and licence.is_file()):
        return None
    words = licence.read_text(encoding="utf-8").replace("*/", "* /")
    return f"/*!\n{words}*/\n{code.read_text(encoding='utf-8').strip()}"


def _scene(crystal: Crystal) -> dict[str, Any]:
    """What the window draws: atoms with colours, Å, those on a face of the cell on the opposite one too, and edges."""
    frac, numbers = with_images(crystal)
    corners = CORNERS @ crystal.lattice
    return {
        "atoms": [
            [symbol, *(round(float(x), 3) for x in place)]
            for symbol, place in zip(symbols(numbers), frac @ crystal.lattice, strict=True)
        ],
        "colours": {symbols([int(z)])[0]: colour(int(z)) for z in sorted(set(numbers.tolist()))},
        "edges": [[[round(float(x), 3) for x in corners[k]] for k in edge] for edge in EDGES],
    }
