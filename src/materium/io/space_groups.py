r"""Space groups as people write them: numbers, Hermann-Mauguin symbols of every setting, in the spellings of programs.

`225`, `225.0`, `Fm-3m`, `F m -3 m`, `Fm3m`, `Fm-3m (225)`, `Fm\-3m`, `F4/m-32/m`, `P2_1/c`, `P 1 21/c 1`, `P2₁/c`,
`P2(1)/c`, `P21/n`, `R-3m:H`, `Cmce`, `Cmca`, with a bar over the figure, in TeX or in HTML. The symbols are moyo's, of
the 530 settings of Hall's list (S. R. Hall, Acta Cryst. A37, 517, 1981).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MAX_SPACE_GROUP = 230
MAX_SYMBOL = 64
"""Characters; a longer text is no symbol."""
OTHER_SYMBOLS = {
    1: "a1 b1 c1 f1 i1",
    2: "a-1 b-1 c-1 f-1 i-1",
    39: "abm2 bma2 b2cm c2mb cm2a ac2m",
    41: "aba2 bba2 b2cb c2cb cc2a ac2a",
    64: "cmca ccmb abma acam bbcm bmab",
    67: "cmma cmmb abmm acmm bmcm bmam",
    68: "ccca cccb abaa acaa bbcb bbab",
}
"""What moyo's table lacks: centred cells of triclinic groups, and symbols from before the glide planes e (1992)."""
MONOCLINIC = range(3, 16)

_BARS_AFTER = re.compile("([0-9])[\u0304\u0305\u0331\u0332]")
"""Combining bars over (or, from careless programs, under) a figure."""
_BARS_BEFORE = re.compile("[\u00af\u203e]")
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe63\uff0d]")
_TEX_BAR = re.compile(r"\\(?:bar|overline)\s*\{?\s*([0-9])\s*\}?")
_HTML_BAR = re.compile(r"<\s*(?:o|overline|span[^>]*overline[^>]*)\s*>\s*([0-9])\s*<\s*/\s*\w+\s*>", re.IGNORECASE)
_MARKUP = re.compile(r"</?\s*(?:sub|i|em|b|span)\s*>|\\(?:mathrm|mathit|text|rm|it)\b|[\s_${}'\"`\\]")
_SCREW = re.compile(r"2\((1)\)|3\(([12])\)|4\(([123])\)|6\(([1-5])\)")
"""A screw axis as SHELX writes it; in `P2 (3)` the brackets hold the number of the group."""
_SETTING = re.compile(r":[-123abchorsz]{1,6}$|:?(?:[hrsz]|o[12])$")
"""A choice of origin, axes or cell after a symbol: `:1`, `:H`, `:2cab`, ICSD's `S`, `Z`, `O2`."""
_NUMBER = re.compile(r"(?:#|no\.?|nr\.?|sg)?([0-9]{1,3})(?:\.0*)?")
_SYMBOL_FIRST = re.compile(r"([a-z].*?)(?:\(#?(?:no\.?)?([0-9]{1,3})\)|[,;#]#?(?:no\.?)?([0-9]{1,3}))")
_NUMBER_FIRST = re.compile(r"(?:#|no\.?)?([0-9]{1,3})(?:[:,;]|(?=\())\(?([a-z].*?)\)?")
_CUBIC_WITHOUT_BAR = re.compile(r"([pfi][mndabc])3")


def parse_space_group(text: str) -> int | None:
    """Return the number, 1 to 230, of a space group in any usual spelling, or None for a text that names none.

    Where a text has a symbol and a number, both must be of one group.
    """
    if len(text) > MAX_SYMBOL:
        return None
    plain = _plain(text)
    if found := _NUMBER.fullmatch(plain):
        return int(found[1]) if 1 <= int(found[1]) <= MAX_SPACE_GROUP else None
    if (number := _by_symbol(plain)) is not None:
        return number
    if found := _SYMBOL_FIRST.fullmatch(plain):
        number, other = _by_symbol(found[1]), int(found[2] or found[3])
    elif found := _NUMBER_FIRST.fullmatch(plain):
        number, other = _by_symbol(found[2]), int(found[1])
    else:
        return None
    return number if number == other else None


def _plain(text: str) -> str:
    """Small letters and figures, a minus for each bar, without blanks, underscores and markup."""
    barred = _BARS_AFTER.sub(r"-\1", _TEX_BAR.sub(r"-\1", _HTML_BAR.sub(r"-\1", text)))
    flat = unicodedata.normalize("NFKC", _BARS_BEFORE.sub("-", barred))  # figures below the line become plain ones
    return _MARKUP.sub("", _DASHES.sub("-", flat)).lower()


def _by_symbol(symbol: str) -> int | None:
    table, whole = _table(), _SCREW.sub(lambda found: found[0].replace("(", "").replace(")", ""), symbol)
    for spelling in (whole, _SETTING.sub("", whole)):
        for form in (spelling, _CUBIC_WITHOUT_BAR.sub(r"\1-3", spelling)):
            if form in table:
                return table[form]
    return None


@cache
def _table() -> dict[str, int]:
    """Numbers by the short and the full symbol of every setting, without blanks and underscores, in small letters."""
    import moyopy

    table = {symbol: number for number, symbols in OTHER_SYMBOLS.items() for symbol in symbols.split()}
    for entry in (moyopy.HallSymbolEntry(number) for number in range(1, 531)):
        axes = entry.hm_full.replace("_", "").lower().split()
        table["".join(axes)] = table[re.sub(r"[\s_]", "", entry.hm_short).lower()] = entry.number
        if entry.number in MONOCLINIC:
            table["".join(axis for axis in axes if axis != "1")] = entry.number
    return table
