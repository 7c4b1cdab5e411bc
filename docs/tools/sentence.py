"""Draws rock salt and its sentence, token by token, as the tokenizer of the model that ships writes it.

python docs/tools/sentence.py > docs/pictures/sentence.svg
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from html import escape

import numpy as np

from materium.crystal import Crystal
from materium.model.folder import default_model
from materium.report.picture import picture
from materium.symmetry import canonical
from materium.tokens.tokenizer import Tokenizer, TokenizerConfig
from materium.tokens.vocab import Role

ROCK_SALT = Crystal(
    5.6402 * np.eye(3),
    np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]] * 2) + np.repeat([[0.0], [0.5]], 4, axis=0),
    np.repeat([11, 17], 4),
    np.repeat([1, -1], 4),
)
FILLS = {"mark": "#d9dde3", "species": "#f7c9a8", "coordinate": "#b9d9f0", "lattice": "#c5e6c8"}
"""Pale enough for dark text on them, in light and dark pages alike."""
INK, MUTED = "#1b1e23", "#5a636e"
LEFT, BOX, GAP, LINE, HIGH = 202, 78, 8, 62, 30
"""Pixels: where the tokens begin, width and distance of their boxes, distance of the rows, height of a box."""
LATTICE_NAMES = ("a", "b", "c", "α", "β", "γ")
BREAKS = {Role.SPECIES, Role.LATTICE, Role.EOS}
"""Roles that begin a new row of the drawing."""


def drawing() -> str:
    """Return the picture as an SVG of its own."""
    tokenizer = Tokenizer(_settings())
    tokens = tokenizer.encode(canonical(ROCK_SALT))
    rows = _rows(tokenizer, tokens)
    width = LEFT + 7 * (BOX + GAP) + 12
    height = 26 + len(rows) * LINE
    boxes = "".join(_row(place, row) for place, row in enumerate(rows))
    said = escape("The sentence of rock salt: " + " ".join(name for row in rows for name, _, _ in row))
    cell = picture(canonical(ROCK_SALT)).replace("<svg", '<svg overflow="visible"', 1)
    cell = cell.replace("var(--ink)", INK).replace("var(--muted)", MUTED)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="{INK}">\n'
        f'<rect width="{width}" height="{height}" rx="10" fill="#ffffff"/>\n'
        f'<g transform="translate(22 {height / 2 - 95:g})">{cell}</g>\n'
        f'<text x="97" y="{height / 2 + 78:g}" text-anchor="middle" font-size="12">NaCl, primitive cell</text>\n'
        f"{boxes}</svg>\n"
    )


def _settings() -> TokenizerConfig:
    config = json.loads((default_model() / "config.json").read_text(encoding="utf-8"))
    return TokenizerConfig.from_dict(config["model"]["tokenizer"])


def _rows(tokenizer: Tokenizer, tokens: np.ndarray) -> list[list[tuple[str, str, str]]]:
    """Name, kind and meaning of every token, row by row."""
    names = tokenizer.vocab.names()
    crystal = tokenizer.decode(tokens)
    roles = tokenizer.roles(len(crystal))
    rows: list[list[tuple[str, str, str]]] = [[]]
    site = -1
    for token, role in zip(tokens, map(Role, roles), strict=True):
        site += role is Role.SPECIES
        if role in BREAKS:
            rows.append([])
        rows[-1].append((names[token], _kind(role), _meaning(role, site, crystal)))
    return rows


def _kind(role: Role) -> str:
    if role is Role.SPECIES:
        return "species"
    if Role.X <= role <= Role.Z:
        return "coordinate"
    return "lattice" if Role.A <= role <= Role.GAMMA else "mark"


def _meaning(role: Role, site: int, crystal: Crystal) -> str:
    """What a token says, in the units of a reader; marks and species say it themselves."""
    if Role.X <= role <= Role.Z:
        value = Fraction(float(crystal.frac_coords[site, role - Role.X])).limit_denominator(24)
        return f"{'xyz'[role - Role.X]} = {value}"
    if Role.A <= role <= Role.GAMMA:
        value, unit = crystal.lengths_angles[role - Role.A], "Å" if role <= Role.C else "°"
        return f"{LATTICE_NAMES[role - Role.A]} = {value:.3g} {unit}".replace(" °", "°")
    return {Role.SPECIES: f"site {site + 1}", Role.SOS: "start", Role.EOS: "end"}.get(role, "")


def _row(place: int, row: list[tuple[str, str, str]]) -> str:
    return "".join(_box(LEFT + column * (BOX + GAP), 16 + place * LINE, *token) for column, token in enumerate(row))


def _box(x: float, y: float, name: str, kind: str, meaning: str) -> str:
    middle, small = x + BOX / 2, f'font-size="11" fill="{MUTED}"'
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{HIGH}" rx="5" fill="{FILLS[kind]}"/>'
        f'<text x="{middle:g}" y="{y + 20:g}" text-anchor="middle">{escape(name)}</text>'
        f'<text x="{middle:g}" y="{y + 44:g}" text-anchor="middle" {small}>{escape(meaning)}</text>\n'
    )


if __name__ == "__main__":
    sys.stdout.write(drawing())
