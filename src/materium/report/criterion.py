"""The criterion of `materium.evaluate.adherence` in words, as the page and the figures print it."""

from __future__ import annotations

from materium.evaluate.adherence import AT_ZERO, RELATIVE
from materium.properties import table


def wording(name: str, targets: tuple[float | str, ...] = ()) -> str:
    """Say when a number, a label or a formula meets its target."""
    entry = table()[name]
    if entry.kind != "number":
        return "exactly"
    shares = f"within ±{100 * RELATIVE:g}\N{NO-BREAK SPACE}%"
    zero = f"within ±{AT_ZERO.get(name, 0.0):g} {entry.unit}".strip()
    if not any(target == 0 for target in targets):
        return shares
    return f"{shares} (target 0: {zero})" if any(target != 0 for target in targets) else zero
