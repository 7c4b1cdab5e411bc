"""Spellings of space groups: every setting in every usual way is its number, and a guess is never made."""

from __future__ import annotations

import moyopy
import pytest

from materium.io.space_groups import parse_space_group

SPELLINGS = {
    225: [
        *("225", "225.0", "#225", "No. 225", "Fm-3m", "F m -3 m", "Fm3m", "F m 3 m", "Fm-3m (225)", "225 (Fm-3m)"),
        *(r"Fm\-3m", "Fm3̅m", "Fm3̄m", "F m −3 m", "Fm–3m", "Fm¯3m", r"Fm\bar{3}m", r"$F m \overline{3} m$"),
        *("F4/m-32/m", "F 4/m -3 2/m", "fm-3m", "'Fm-3m'", "Fm-3m, 225", "F_m_-3_m"),
    ],
    14: [
        *("P2_1/c", "P21/c", "P 1 21/c 1", "P2_{1}/c", "P2$_1$/c", "P2₁/c", "P2<sub>1</sub>/c", "P 2(1)/c", "P21/n"),
        *("P 2(1)/n", "P 1 21/n 1", "P21/c (14)", "P 2(1)/c (#14)", "P2_1/c:b1"),
    ],
    19: ["P212121", "P2_12_12_1", "P 21 21 21", "P2(1)2(1)2(1)"],
    166: ["R-3m", "R-3m:H", "R -3 m :R", "R-3mH", "R -3 m H"],
    227: ["Fd-3m:2", "Fd-3mS", "Fd-3mZ", "F d -3 m :1", "Fd3m", "Fd-3m O2"],
    64: ["Cmca", "Cmce", "Cmca (64)", "Bmab"],
    12: ["C2/m", "C 1 2/m 1", "I2/m"],
    3: ["P2", "P2 (3)"],
    195: ["P23", "P 2 3"],
    205: ["Pa-3", "Pa3"],
    1: ["P1", "1", "C 1"],
}


@pytest.mark.parametrize(("number", "text"), [(n, text) for n, texts in SPELLINGS.items() for text in texts])
def test_usual_spellings(number: int, text: str) -> None:
    assert parse_space_group(text) == number


def test_every_setting_of_hall_s_list() -> None:
    for entry in map(moyopy.HallSymbolEntry, range(1, 531)):
        for symbol in (entry.hm_short, entry.hm_full):
            setting = f":{entry.setting}" if entry.setting else ""
            texts = [symbol, symbol.replace(" ", ""), symbol.replace("_", ""), f"{symbol} ({entry.number})"]
            texts += [symbol.replace(" ", "").replace("_", "") + setting]
            assert [parse_space_group(text) for text in texts] == [entry.number] * len(texts), symbol


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "231",
        "225.5",
        "-1",
        "1e300",
        "Fm-3m (224)",
        "14 (Fm-3m)",
        "P",
        "P7",
        "Pm-33",
        "cubic",
        "9" * 500,
        "٢٢٥",
    ],
)
def test_what_names_no_group_is_none(text: str) -> None:
    assert parse_space_group(text) is None
