"""extxyz: labels and broken frames cost no crystal, and what is written is read."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.io.extxyz import read_xyz, write_xyz

from crystals import NACL, RUTILE, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.io.extxyz import RESERVED, parse_comment, plain_value

if TYPE_CHECKING:
    from pathlib import Path

CELL = 'Lattice="4.2 0 0 0 4.2 0 0 0 4.2"'
SITES = "Na 0 0 0\nCl 2.1 2.1 2.1\n"
SALT = Crystal(4.2 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])


def frame(comment: str = "", columns: str = "species:S:1:pos:R:3", sites: str = SITES, count: int = 2) -> str:
    return f"{count}\n{comment} {CELL} Properties={columns}\n{sites}"


def outcomes(path: Path) -> list[int | str]:
    """Return the number of sites of each frame, or the beginning of its reason."""
    found: list[int | str] = []
    for load in convert.frames(path):
        try:
            found.append(len(load()[0]))
        except MateriumError as error:
            found.append(str(error).partition(":")[0])
    return found


LABELS = [
    *("occupancy=1.0", "occupancy=0.5", "occupancy=high", "occupancy", 'occupancy="1 2 3"', "occupancy=T"),
    *('stress="0.1 0.1 0.1 0 0 0"', 'virial="1 2 3 4 5 6"', "stress=3.5", "stress=none", 'virial="1 2"', "virial"),
    *(
        "dipole=high",
        "energy=1e300",
        "energy=1e999",
        "energy=nan",
        "x=" + "9" * 5000,
        "note=_JSON",
        "a==b",
        "=5",
    ),
    *('note="_JSON {[}"', 'note="_JSON ' + "[" * 5000 + '"', "'single quoted'=1", "note='it is'", "free_energy=F"),
]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_costs_no_crystal(label: str) -> None:
    assert_same(SALT, convert.from_extxyz(frame(label))[0], tolerance=1e-12)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("species:S:1:pos:R:3:label:S:1", ["Na 0 0 0 one", "Cl 2.1 2.1 2.1 two words"]),
        ("label:S:1:species:S:1:pos:R:3", ["a Na 0 0 0", "b Cl 2.1 2.1 2.1"]),
        ("species:S:1:momenta:R:2:pos:R:3", ["Na 1 2 0 0 0", "Cl 3 4 2.1 2.1 2.1"]),
        ("species:S:1:pos:R:3:forces:R:3", ["Na 0 0 0 1e300 nan inf", "Cl 2.1 2.1 2.1 0 0 0"]),
        ("pos:R:3:Z:I:1", ["0 0 0 11", "2.1 2.1 2.1 17"]),
        ("species:S:1:pos:R:3:occupancy:R:1", ["NA 0 0 0 1", "cl 2.1 2.1 2.1 0.999999995"]),
        ("species:S:1:pos:R:3:oxidation_states:R:1", ["Na 0 0 0 2.5", "Cl 2.1 2.1 2.1 -2.5"]),
        ("species:S:1:pos:R:3:oxidation_states:S:1", ["Na 0 0 0 1+", "Cl 2.1 2.1 2.1 1-"]),
    ],
)
def test_columns_that_are_not_needed_cost_nothing(columns: str, rows: list[str]) -> None:
    text = frame(columns=columns, sites="\n".join(rows) + "\n")
    assert_same(SALT, convert.from_extxyz(text)[0], tolerance=1e-12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (frame('occupancy="_JSON {\\"0\\": {\\"Na\\": 0.5}}"'), "disordered site: it holds Na0.5"),
        (frame(columns="species:S:1:pos:R:3:occupancy:R:1", sites="Na 0 0 0 0.5\nCl 2 2 2 1\n"), "disordered site"),
        (frame(columns="species:S:1:pos:R:3:Z:I:1", sites="Na 0 0 0 12\nCl 2 2 2 17\n"), "species and Z name diff"),
        (frame(columns="label:S:1:species:S:1:pos:R:3", sites="Na 0 0 0\nCl 2 2 2\n"), "a line has 4 columns, Prop"),
        (frame(sites="Na 0 0 1e300\nCl 2 2 2\n"), "its place in the cell is not known"),
        (frame(columns="species:S:1:pos:R:3:oxidation_states:I:1", sites="Na 0 0 0 12\nCl 2 2 2 -1\n"), "state 12 is"),
        (frame(sites="D 0 0 0\nCl 2 2 2\n"), "write hydrogen's isotopes as H (D is deuterium)"),
    ],
)
def test_a_frame_that_is_no_crystal_says_why(text: str, reason: str) -> None:
    with pytest.raises(MateriumError) as caught:
        convert.from_extxyz(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_broken_frame_costs_no_other(tmp_path: Path, encoding: str) -> None:
    short, long = frame(sites="Na 0 0 0\n"), frame(count=1)
    noise = "lost line\n\n"
    text = frame("who=Müller") + short + frame() + long + noise + frame("pbc=maybe") + "\n" + frame()
    (tmp_path / "many.xyz").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    bad = "unreadable extxyz frame"
    assert outcomes(tmp_path / "many.xyz") == [2, bad, 2, bad, bad, 2]


@pytest.mark.parametrize(
    "value", [1.5, 3, True, "high", "007", "1 2 3", "T", "a=b", "=", "a=", 'say "a\\b"', "line\nbreak", "[x]"]
)
@pytest.mark.parametrize(
    "name", [*sorted(RESERVED), "energy", "two words", "a=b", "=", "a=", "new\nline", "forces", "uid"]
)
def test_what_is_written_is_read(name: str, value: str | float) -> None:
    file = StringIO()
    convert.write_extxyz_frame(file, NACL, {"id": "007", name: value, "energy_label": None})
    crystal, info = convert.from_extxyz(file.getvalue())
    assert_same(NACL, crystal, tolerance=2e-8)
    expected = " ".join(value.split()) if isinstance(value, str) else value
    label = " ".join(name.split()).replace("=", "_") + ("_label" if name in RESERVED else "")
    assert info == {"id": "007", label: expected}
    assert len(next(read_xyz(StringIO(file.getvalue()), 0))) == len(NACL)  # by ASE, too


def test_labels_that_would_have_one_name_keep_apart() -> None:
    file = StringIO()
    convert.write_extxyz_frame(file, NACL, {"stress": 1.0, "stress_label": 2.0})
    assert convert.from_extxyz(file.getvalue())[1] == {"stress_label_": 1.0, "stress_label": 2.0}


def test_what_ase_writes_is_read() -> None:
    atoms, file = convert.to_atoms(RUTILE), StringIO()
    atoms.info |= {"energy": -3.5, "name": "two words", "stress": np.eye(3), "n": 7, "yes": True, "list": [1, 2]}
    atoms.set_array("forces", np.zeros((6, 3)))
    write_xyz(file, [atoms])
    crystal, info = convert.from_extxyz(file.getvalue())
    assert_same(RUTILE, crystal, tolerance=2e-8)
    assert info == {"energy": -3.5, "name": "two words", "n": 7, "yes": True}


def test_comments_are_taken_apart_as_ase_does() -> None:
    line = 'a = 1  b=\'x y\' c={1 2} d=[T, F] e="q\\"uote" flag key = "v" f=1=2'
    pairs = [("a", "1"), ("b", "x y"), ("c", "1 2"), ("d", "T, F"), ("e", 'q"uote'), ("flag", "T"), ("key", "v")]
    assert parse_comment(line) == [*pairs, ("f", "1=2")]
    assert [plain_value(text) for _, text in pairs] == [1, "x y", None, None, 'q"uote', True, "v"]
