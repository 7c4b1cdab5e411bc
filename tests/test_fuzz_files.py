"""Files that nobody would write: mutations of valid ones in every format, and labels of any name and text.

Whatever comes, reading ends soon with rows or with one line, and what is read can be written and read again. As part of
the tests this takes a few seconds; by hand it takes as long as it is told, from any seed, and says how much it tried:

    MATERIUM_FUZZ_SECONDS=600 MATERIUM_FUZZ_SEED=7 pytest tests/test_fuzz_files.py --log-cli-level=INFO --timeout=0

A failure names its seed and number, with which it comes again, and leaves the input in the folder that it names.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
import random
import re
import time
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import NACL, PEROVSKITE, RUTILE
from materium import convert
from materium.data.readers import checked, read
from materium.data.records import properties_of
from materium.errors import MateriumError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = float(os.environ.get("MATERIUM_FUZZ_SECONDS", "6"))
SEED = int(os.environ.get("MATERIUM_FUZZ_SEED", "0"))
SLOWEST = 10.0
"""Seconds of CPU within which any input of these sizes must be read."""
CRYSTALS = (NACL, RUTILE, PEROVSKITE)
LABELS = {"band_gap": 1.5, "space_group": "Fm-3m", "note": "so, so", "my_label": 7}
TOKENS = [
    *(
        "nan",
        "inf",
        "-inf",
        "1e300",
        "-1e300",
        "1e-300",
        "1e999",
        "9" * 400,
        "0",
        "-1",
        "1.5",
        "1e5",
        "NA",
        "#N/A",
        "?",
        ".",
    ),
    *(
        '"',
        "'",
        "\\",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "=",
        ",",
        ";",
        ":",
        "\t",
        "\n",
        "\r\n",
        "\n\n",
        "\0",
        " ",
        "#",
        "!",
    ),
    *(
        "\ufeff",
        "é",
        "−",
        "\u2028",
        "\U0001f600",
        "D",
        "X",
        "Vac",
        "null",
        "true",
        "None",
        "stress",
        "occupancy",
        "pbc",
    ),
    *(
        "data_x\n",
        "loop_\n",
        "_cell_length_a",
        "Lattice=",
        "Properties=",
        "species",
        "100000",
        "999999",
        "_JSON {",
        "T F",
    ),
    *("[" * 2000, "]" * 2000, '{"a":' * 2000, "\\ud800", "%s", "../../etc", "=1+1", "Selective", "Cartesian", "Direct"),
]
RAW = [b"\xff", b"\xfe\xff", b"\xff\xfe", b"\x00\x00", b"\xc3\x28", b"\xed\xa0\x80", b"\x1f\x8b", b"PAR1", b"\x80" * 9]

log = logging.getLogger(__name__)


def _csv() -> bytes:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "cif", *LABELS])
    writer.writerows([f"c{i}", convert.to_cif(crystal), *LABELS.values()] for i, crystal in enumerate(CRYSTALS))
    return text.getvalue().encode()


def _records() -> list[dict[str, Any]]:
    return [
        {
            "id": f"c{i}",
            "cell": crystal.lattice.ravel().tolist(),
            "atomic_numbers": crystal.numbers.tolist(),
            "frac_coords": crystal.frac_coords.ravel().tolist(),
            "oxidation_states": crystal.oxidation_states.tolist(),
            **LABELS,
        }
        for i, crystal in enumerate(CRYSTALS)
    ]


def _parquet() -> bytes:
    file = BytesIO()
    pq.write_table(pa.Table.from_pylist(_records()), file, compression="none")
    return file.getvalue()


def _extxyz() -> bytes:
    text = StringIO()
    for crystal in CRYSTALS:
        convert.write_extxyz_frame(text, crystal, {"id": "c", **LABELS})
    return text.getvalue().encode()


def _database(folder: Path) -> bytes:
    with connect(folder / "seed.db") as database:
        for crystal in CRYSTALS:
            database.write(convert.to_atoms(crystal), key_value_pairs={"band_gap": 1.5, "note": "so"})
    return (folder / "seed.db").read_bytes()


def _structures() -> bytes:
    return json.dumps([convert.to_structure(crystal).as_dict() for crystal in CRYSTALS]).encode()


SEEDS: dict[str, Callable[[Path], bytes]] = {
    "t.cif": lambda _: convert.to_cif(RUTILE).encode(),
    "POSCAR": lambda _: convert.to_poscar(RUTILE).encode(),
    "t.xyz": lambda _: _extxyz(),
    "t.csv": lambda _: _csv(),
    "t.json": lambda _: json.dumps(_records()).encode(),
    "structures.json": lambda _: _structures(),
    "t.csv.gz": lambda _: gzip.compress(_csv(), mtime=0),
    "t.parquet": lambda _: _parquet(),
    "t.db": _database,
}


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """Return a file with a few faults, most often one; of a packed one they are inside, half the time."""
    if seed.startswith(b"\x1f\x8b") and rng.random() < 0.5:
        return gzip.compress(mutated(gzip.decompress(seed), rng), 1)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        seed = rng.choice(FAULTS)(seed, rng)
    return seed


def _cut(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 9)))


def _without(data: bytes, rng: random.Random) -> bytes:
    start, end = _cut(data, rng)
    return data[:start] + data[end:]


def _twice(data: bytes, rng: random.Random) -> bytes:
    start, end = _cut(data, rng)
    return data[:end] + data[start:]


def _moved(data: bytes, rng: random.Random) -> bytes:
    (start, end), place = _cut(data, rng), rng.randrange(len(data) + 1)
    return data[:place] + data[start:end] + data[place:]


def _short(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _with_token(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    token = rng.choice(TOKENS).encode("utf-8", "replace") if rng.random() < 0.8 else rng.choice(RAW)
    return data[:place] + token + data[place + rng.choice([0, len(token)]) :]


def _other_word(data: bytes, rng: random.Random) -> bytes:
    words = list(re.finditer(rb"[-+.\w]+", data[:200_000]))
    if not words:
        return data
    word = rng.choice(words)
    other = rng.choice(TOKENS).encode("utf-8", "replace") if rng.random() < 0.6 else rng.choice(words)[0]
    return data[: word.start()] + other + data[word.end() :]


def _flipped(data: bytes, rng: random.Random) -> bytes:
    content = bytearray(data)
    for _ in range(rng.choice([1, 1, 4, 32])):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def _other_encoding(data: bytes, rng: random.Random) -> bytes:
    return data.decode("utf-8", "replace").encode(rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32"]), "replace")


def _lines_shuffled(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


FAULTS = [
    *(_without, _twice, _moved, _short, _with_token, _with_token, _other_word, _other_word, _other_word),
    *(_flipped, _other_encoding, _lines_shuffled),
]


def outcome(path: Path) -> str:
    """Read a file as commands do; returns what became of it, and fails on anything but rows and one line."""
    refusal = ""
    try:
        rows = list(checked(read(path)))
    except MateriumError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) < 1000
        return "refused"
    for row in rows:
        assert (row.crystal is None) == (row.reason is not None)
        assert "\n" not in (row.reason or "")
        row.id.encode(), json.dumps(dict(row.properties), allow_nan=False).encode()
        if row.crystal is not None:
            again = StringIO()
            convert.write_extxyz_frame(again, row.crystal, {"id": row.id, **row.properties})
            crystal, info = convert.from_extxyz(again.getvalue())
            assert crystal.numbers.tolist() == row.crystal.numbers.tolist()
            assert {" ".join(str(v).split()) for v in row.properties.values()} <= {str(v) for v in info.values()} | {""}
    return "read" if rows and all(row.crystal is not None for row in rows) else "rejected"


@pytest.mark.timeout(max(300, 2 * SECONDS))
@pytest.mark.parametrize("name", SEEDS)
def test_reading_ends_with_rows_or_one_line(name: str, tmp_path: Path) -> None:
    seed, number, counts = SEEDS[name](tmp_path), 0, dict.fromkeys(("read", "rejected", "refused"), 0)
    assert outcome(_written(tmp_path / name, seed)) == "read"
    until = time.monotonic() + SECONDS / len(SEEDS)
    while time.monotonic() < until:
        path = _written(tmp_path / name, mutated(seed, random.Random(f"{SEED} {name} {number}")))  # noqa: S311
        start = time.process_time()
        try:
            counts[outcome(path)] += 1
        except Exception as error:
            error.add_note(f"seed {SEED}, number {number}, {path}")
            raise
        assert time.process_time() - start < SLOWEST, f"seed {SEED}, number {number}, {path} took too long"
        number += 1
    log.info("%s: %d inputs, %s", name, number, counts)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


NAMES = st.one_of(
    st.sampled_from(["stress", "Lattice", "energy", "pbc", "a b", "x=y", '"']), st.text(min_size=1, max_size=8)
)
VALUES = st.one_of(st.text(max_size=12), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans())


@given(st.dictionaries(NAMES.filter(str.strip), VALUES, max_size=4))
@settings(max_examples=int(100 * SECONDS / 6))
def test_labels_of_any_name_and_text_come_back(labels: dict[str, Any]) -> None:
    """As extxyz; names and texts in one line, and what a table calls missing may be missing."""
    known, _ = properties_of(labels)
    file = StringIO()
    convert.write_extxyz_frame(file, NACL, known)
    crystal, info = convert.from_extxyz(file.getvalue())
    assert np.array_equal(crystal.numbers, NACL.numbers)
    expected = {" ".join(v.split()) if isinstance(v, str) else float(v) for v in known.values()}
    assert expected - {""} <= {v if isinstance(v, str) else float(v) for v in info.values()}
