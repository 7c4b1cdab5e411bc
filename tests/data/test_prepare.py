"""From tables to shards: nothing vanishes, nothing is done twice, and the number of workers changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import KNOWN, NACL, PEROVSKITE, QUARTZ, RUTILE, SILICON
from crystals import crystal as written
from materium import oxidation
from materium.convert import to_cif
from materium.core.orbits import canonical_orbits
from materium.crystal import Crystal
from materium.data import prepare as module
from materium.data.filters import Duplicates
from materium.data.inputs import InputTable
from materium.data.manifest import FORMAT, read_manifest
from materium.data.orbit_rows import form
from materium.data.orbit_shard import OrbitShard
from materium.data.prepare import PrepareConfig, Prepared, prepare, prepare_row
from materium.data.readers import Row
from materium.data.shard import read_shard
from materium.data.side_labels import LabelSources
from materium.errors import DataError
from materium.io.atomic import write_signed
from materium.properties import scalar_names
from materium.symmetry import canonical, distinct, settings
from materium.tokens.orbit_tokenizer import OrbitTokenizer, OrbitTokenizerConfig
from materium.tokens.tokenizer import Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    from pathlib import Path

ALL = PrepareConfig(val_fraction=0.0)
LONG = written([4, 4, 35, 90, 90, 90], [(14, 0, [0, 0, 0])])
OVERLAPPING = Crystal(4 * np.eye(3), [[0, 0, 0], [0.05, 0, 0]], [1, 1])
TRANSURANIC = Crystal(4 * np.eye(3), [[0, 0, 0]], [105])
REASONS = {
    "long": "cell longer than 30 Å",
    "overlapping": "overlapping atoms: 0.200 Å apart, at least 0.5 Å is needed",
    "unstable": "energy above hull over 0.5 eV/atom",
    "odd": "element 105 has no token; the vocabulary ends at element 99",
}


def record(name: str, crystal: Crystal, **properties: Any) -> dict[str, Any]:
    return {
        "id": name,
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        **properties,
    }


def known_table(path: Path) -> Path:
    """Write five crystals that are kept and four that are not."""
    rows = [record(name, crystal, energy_above_hull=0.01 * i) for i, (name, crystal) in enumerate(KNOWN.items())]
    rows += [record("long", LONG), record("overlapping", OVERLAPPING), record("odd", TRANSURANIC)]
    rows += [record("unstable", NACL, energy_above_hull=1.0)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def salts_table(path: Path) -> Path:
    """Write 60 rock salts of 30 formulas, each in two sizes."""
    pairs = [(metal, other) for metal in (3, 11, 12, 19, 20) for other in (8, 9, 16, 17, 34, 35)]
    rows = []
    for i, (metal, other) in enumerate(pairs * 2):
        numbers = np.where(NACL.numbers == 11, metal, other)
        scale = 0.9 + 0.01 * (metal % 7) + 0.02 * (i >= len(pairs))
        rows.append(record(f"salt-{i}", Crystal(NACL.lattice * scale, NACL.frac_coords, numbers)))
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def rejected(folder: Path) -> dict[str, str]:
    table = pq.read_table(folder / "rejected.parquet").to_pydict()
    return dict(zip(table["id"], table["reason"], strict=True))


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards of `known_table`, which tests only read."""
    folder = tmp_path_factory.mktemp("known")
    prepare({"train": known_table(folder / "table.parquet")}, folder / "out", ALL)
    return folder / "out"


# --- what is kept and what is not ---


def test_kept_crystals_are_the_canonical_ones(known: Path) -> None:
    shard = read_shard(known / "train")
    tokenizer = Tokenizer(TokenizerConfig.from_dict(read_manifest(known)["tokenizer"]))
    assert list(shard.ids) == list(KNOWN)
    for row, crystal in enumerate(KNOWN.values()):
        np.testing.assert_array_equal(tokenizer.sentence(shard.parts(row)), tokenizer.encode(canonical(crystal)))


def test_other_views_are_settings_of_the_crystal(known: Path) -> None:
    shard = read_shard(known / "train")
    for row, crystal in enumerate(KNOWN.values()):
        ways = settings(crystal)
        chosen = distinct(ways, ALL.views)
        assert shard.num_views(row) == len(chosen)
        for view, index in enumerate(chosen):
            points = np.round(ways.frac_coords[index] * 1008).astype(int) % 1008
            np.testing.assert_array_equal(shard.parts(row, view).points, points)


def test_every_rejected_row_has_its_reason(known: Path) -> None:
    assert rejected(known / "train") == REASONS


def test_counts_add_up(known: Path) -> None:
    counts = read_manifest(known)["splits"]["train"]
    assert counts["rows"] == len(KNOWN) + len(REASONS) == counts["kept"] + sum(counts["rejected"].values())
    assert counts["kept"] == len(KNOWN) == sum(counts["oxidation_states"].values())
    assert counts["oxidation_states"] == {"guessed": 4, "element": 1}
    assert counts["rejected"]["overlapping atoms"] == 1


def test_labels_are_those_of_the_row_and_of_the_crystal(known: Path) -> None:
    shard = read_shard(known / "train")
    labels = {name: shard.properties[:, i] for i, name in enumerate(scalar_names())}
    np.testing.assert_allclose(labels["energy_above_hull"], [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_array_equal(labels["num_sites"], [2, 6, 9, 20, 2])
    np.testing.assert_array_equal(labels["space_group"], [225, 136, 152, 62, 227])
    np.testing.assert_allclose(labels["density"], [c.density for c in KNOWN.values()], rtol=1e-5)
    assert np.isnan(labels["band_gap"]).all()


def test_nothing_is_clipped_at_the_ends_of_the_lattice_range(known: Path) -> None:
    config = TokenizerConfig.from_dict(read_manifest(known)["tokenizer"])
    lengths = np.concatenate([canonical(crystal).lengths_angles[:3] for crystal in KNOWN.values()])
    low, high = config.length_ranges[0]
    assert len(set(config.length_ranges)) == 1
    assert low < lengths.min() < lengths.max() < high


def test_the_manifest_has_the_fingerprint(known: Path) -> None:
    manifest = read_manifest(known)
    assert TokenizerConfig.from_dict(manifest["tokenizer"]).fingerprint == manifest["fingerprint"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_sites": 4}, "more than 4 sites"),
        ({"max_length": 5.0}, "cell longer than 5 Å"),
        ({"exclude_elements": ("O",)}, "contains O"),
    ],
)
def test_filters(change: dict[str, Any], reason: str) -> None:
    assert prepare_row(Row("a", PEROVSKITE, {}), PrepareConfig(**change)).reason == reason
    assert prepare_row(Row("a", SILICON, {}), PrepareConfig(**change)).reason is None


def test_a_row_without_a_hull_energy_is_kept() -> None:
    assert prepare_row(Row("a", NACL, {}), ALL).reason is None


def test_a_row_that_could_not_be_read_keeps_its_reason() -> None:
    assert prepare_row(Row("a", None, {}, "disordered site"), ALL).reason == "disordered site"


def test_the_number_of_views_is_bounded() -> None:
    for views in (1, 3, 8):
        prepared = prepare_row(Row("a", QUARTZ, {}), replace(ALL, views=views))
        assert 1 <= len(prepared.frac_coords) <= views


def test_a_view_off_the_grid_is_dropped_and_the_row_kept() -> None:
    """Equal axes agree within a tolerance; the canonical setting may fit where another sticks out by a hair."""
    tokenizer = Tokenizer(TokenizerConfig.preset("base"))
    frac = np.arange(9).reshape(3, 1, 3) / 10
    parameters = np.array([[4, 4, 4, 60, 60, 60], [4, 4, 4, 59.9, 60, 60], [4, 4, 4, 60, 60.1, 60]])
    row = Prepared("a", species=((14, 0),), frac_coords=frac, parameters=parameters)
    views = module._grid_views(row, tokenizer)
    assert [view.points.tolist() for view in views] == [[[0, 101, 202]], [[605, 706, 806]]]


def test_a_canonical_setting_off_the_grid_rejects_the_row(tmp_path: Path) -> None:
    parameters = np.array([[4, 4, 4, 59.9, 60, 60], [4, 4, 4, 60, 60, 60]])
    row = Prepared("a", species=((14, 0),), frac_coords=np.zeros((2, 1, 3)), parameters=parameters)
    counts = module._write(tmp_path, [row], Tokenizer(TokenizerConfig.preset("base")), Duplicates())
    assert counts["rejected"] == {"cell too unusual": 1}
    assert rejected(tmp_path) == {"a": "cell too unusual: alpha = 59.900 degrees, the grid holds 60 to 120"}


def test_without_oxidation_states(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    manifest = prepare({"train": table}, tmp_path / "out", replace(ALL, oxidation_states=False))
    assert {state for _, state in manifest["tokenizer"]["species"]} == {0}
    assert manifest["splits"]["train"]["oxidation_states"] == {"off": len(KNOWN)}


def test_grid_and_place_of_the_species_are_settings(tmp_path: Path) -> None:
    config = replace(ALL, bins=504, species_first=False)
    manifest = prepare({"train": known_table(tmp_path / "known.parquet")}, tmp_path / "out", config)
    assert manifest["tokenizer"]["bins"] == 504
    assert not manifest["tokenizer"]["species_first"]


def test_the_published_tokenizer_keeps_its_ranges(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    manifest = prepare({"train": table}, tmp_path / "out", replace(ALL, tokenizer="paper"))
    assert manifest["fingerprint"] == TokenizerConfig.preset("paper", max_sites=20).fingerprint


def test_a_csv_of_cifs(tmp_path: Path) -> None:
    cif = to_cif(RUTILE).replace('"', '""')
    (tmp_path / "table.csv").write_text(f'material_id,cif,band_gap\nmp-1,"{cif}",3.0\nmp-2,"broken",1.0\n')
    manifest = prepare({"train": tmp_path / "table.csv"}, tmp_path / "out", ALL)
    counts = manifest["splits"]["train"]
    assert (counts["rows"], counts["kept"]) == (2, 1)
    shard = read_shard(tmp_path / "out" / "train")
    assert list(shard.ids) == ["mp-1"]
    assert shard.properties[0, scalar_names().index("band_gap")] == 3


def test_no_crystal_left_is_an_error(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    nothing_but_dubnium = replace(ALL, exclude_elements=("O", "Na", "Si", "H"))
    with pytest.raises(DataError, match=r"no crystal is left of 9 rows; the reasons: contains O \(3\), contains Si"):
        prepare({"train": table}, tmp_path / "dubnium", nothing_but_dubnium)
    nothing = replace(nothing_but_dubnium, exclude_elements=("O", "Na", "Si", "H", "Db"))
    with pytest.raises(DataError, match=r"no crystal is left of 9 rows; the reasons: contains O \(3\), contains Si"):
        prepare({"train": table}, tmp_path / "nothing", nothing)
    assert not list(tmp_path.glob("*/manifest.json"))


# --- several tables ---


def sized(*scales: float) -> list[Crystal]:
    """Return rock salt at these sizes: one formula, another crystal for each."""
    return [Crystal(NACL.lattice * scale, NACL.frac_coords, NACL.numbers) for scale in scales]


def table_of(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two tables that have two crystals in common: one by its form, and one by id and formula."""
    first, second, third, fourth = sized(1, 1.02, 1.04, 1.06)
    one = [record("a", first, energy_above_hull=0.0), record("b", second), record("a2", first, energy_above_hull=0.3)]
    other = [
        record("c", first, energy_above_hull=0.0),
        record("b", third, energy_above_hull=0.05),
        record("a", SILICON, energy_above_hull=0.05),
        record("d", fourth, energy_above_hull=0.3),
        record("e", RUTILE),
    ]
    return table_of(tmp_path / "one.parquet", one), table_of(tmp_path / "other.parquet", other)


def test_a_crystal_of_two_tables_stays_where_it_is_first(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Within a table nothing is dropped; an id alone says nothing, for tables without ids are numbered."""
    manifest = prepare({"train": two}, tmp_path / "out", ALL)
    assert list(read_shard(tmp_path / "out" / "train").ids) == ["a", "b", "a2", "a", "d", "e"]
    same = " in another table"
    assert rejected(tmp_path / "out" / "train") == {
        "c": f"same crystal{same}: a in one.parquet",
        "b": f"same id and formula{same}: b in one.parquet",
    }
    counts = manifest["splits"]["train"]
    assert {name: (part["rows"], part["kept"]) for name, part in counts["tables"].items()} == {
        "one.parquet": (3, 3),
        "other.parquet": (5, 3),
    }
    assert (counts["rows"], counts["kept"]) == (8, 6)
    assert counts["tables"]["other.parquet"]["rejected"] == {f"same crystal{same}": 1, f"same id and formula{same}": 1}
    reverse = prepare({"train": two[::-1]}, tmp_path / "reverse", ALL)
    assert reverse["splits"]["train"]["tables"]["one.parquet"]["kept"] == 0


def test_crystals_to_validate_on_that_are_trained_on_are_counted(two: tuple[Path, Path], tmp_path: Path) -> None:
    manifest = prepare({"train": two[0], "val": two[1]}, tmp_path / "out", ALL)
    assert manifest["splits"]["train"]["also_in_train"] == 0
    assert manifest["splits"]["val"]["also_in_train"] == 2
    assert {"c", "b"} <= set(read_shard(tmp_path / "out" / "val").ids)


def test_each_table_has_its_filters_and_its_weight(two: tuple[Path, Path], tmp_path: Path) -> None:
    tables = [
        InputTable(two[0], weight=2.0),
        InputTable(two[1], 0.5, max_energy_above_hull=0.1, keep_unlabelled=False, exclude_elements=("Si",)),
    ]
    manifest = prepare({"train": tables}, tmp_path / "out", ALL)
    shard = read_shard(tmp_path / "out" / "train")
    assert list(shard.ids) == ["a", "b", "a2"]
    np.testing.assert_array_equal(shard.weights, [2, 2, 2])
    assert rejected(tmp_path / "out" / "train")["a"] == "contains Si"
    assert rejected(tmp_path / "out" / "train")["d"] == "energy above hull over 0.1 eV/atom"
    assert rejected(tmp_path / "out" / "train")["e"] == "no energy above hull"
    assert manifest["sources"]["train"]["other.parquet"]["weight"] == 0.5
    with pytest.raises(DataError, match="other sources or settings"):
        prepare({"train": two}, tmp_path / "out", ALL)


def test_rows_that_are_split_off_have_the_weight_one(tmp_path: Path) -> None:
    table = InputTable(salts_table(tmp_path / "table.parquet"), weight=3.0)
    prepare({"train": table}, tmp_path / "out", PrepareConfig(val_fraction=0.3))
    assert set(read_shard(tmp_path / "out" / "train").weights.tolist()) == {3}
    assert set(read_shard(tmp_path / "out" / "val").weights.tolist()) == {1}


def test_energies_below_the_hull(tmp_path: Path) -> None:
    """A bit below is on the hull; far below is no label, and the filter sees none."""
    energies = [0.1, -0.05, -0.3, -0.4]
    pairs = zip(sized(1, 1.1, 1.2, 1.3), energies, strict=True)
    rows = [record(f"row-{i}", crystal, energy_above_hull=energy) for i, (crystal, energy) in enumerate(pairs)]
    table = table_of(tmp_path / "table.parquet", rows)
    manifest = prepare({"train": table}, tmp_path / "out", ALL)
    labels = read_shard(tmp_path / "out" / "train").properties[:, scalar_names().index("energy_above_hull")]
    np.testing.assert_array_equal(labels, np.float32([0.1, 0, 0, np.nan]))
    assert manifest["splits"]["train"]["labels_left_out"] == {"energy_above_hull": 1}
    assert manifest["splits"]["train"]["energy_above_hull"] == {"given": 3, "none": 1}
    prepare({"train": table}, tmp_path / "labelled", replace(ALL, keep_unlabelled=False))
    assert rejected(tmp_path / "labelled" / "train") == {"row-3": "no energy above hull"}


def test_labels_of_a_side_table_come_before_the_filter(two: tuple[Path, Path], tmp_path: Path) -> None:
    side = tmp_path / "side.csv"
    side.write_text("id,ehull,band_gap\nb,0.7,1\na,0.1,2\nnobody,0,3\n")
    labels = LabelSources((side,), {"energy_above_hull": ("energy_above_hull", "ehull")})
    manifest = prepare({"train": two[0]}, tmp_path / "out", ALL, labels=labels)
    assert rejected(tmp_path / "out" / "train") == {"b": "energy above hull over 0.5 eV/atom"}
    shard = read_shard(tmp_path / "out" / "train")
    np.testing.assert_array_equal(shard.properties[:, scalar_names().index("band_gap")], [2, np.nan])
    assert manifest["labels"]["tables"] == {"side.csv": {"rows": 3, "matched": 2}}
    side.write_text("id,ehull\nb,0.1\n")
    with pytest.raises(DataError, match="other sources or settings"):
        prepare({"train": two[0]}, tmp_path / "out", ALL, labels=labels)


# --- splits ---


def test_splits_share_no_formula(tmp_path: Path) -> None:
    table = salts_table(tmp_path / "table.parquet")
    config = PrepareConfig(val_fraction=0.3, test_fraction=0.2)
    manifest = prepare({"train": table}, tmp_path / "out", config)
    formulas = {split: shard_formulas(tmp_path / "out", split) for split in ("train", "val", "test")}
    assert sum(counts["kept"] for counts in manifest["splits"].values()) == 60
    assert all(formulas.values())
    assert sum(map(len, formulas.values())) == len(set.union(*formulas.values())) == 30


def shard_formulas(out: Path, split: str) -> set[tuple[int, ...]]:
    shard = read_shard(out / split)
    config = TokenizerConfig.from_dict(read_manifest(out)["tokenizer"])
    vocab = Tokenizer(config).vocab
    table = vocab.species_table[:, 0]
    return {tuple(table[shard.parts(row).species - vocab.first_species]) for row in range(len(shard))}


def test_given_splits_stay(tmp_path: Path) -> None:
    salts, known = salts_table(tmp_path / "salts.parquet"), known_table(tmp_path / "known.parquet")
    manifest = prepare({"train": salts, "val": known}, tmp_path / "out", PrepareConfig())
    assert {split: counts["rows"] for split, counts in manifest["splits"].items()} == {"train": 60, "val": 9}
    reasons = rejected(tmp_path / "out" / "val")
    assert set(read_shard(tmp_path / "out" / "val").ids) == set(KNOWN) - set(reasons)
    assert "cell too unusual: a = 5.380 Å" in reasons["CaTiO3"]  # the lattice range is that of the salts


def test_rejected_rows_stay_in_the_table_that_brought_them(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    manifest = prepare({"train": table}, tmp_path / "out", PrepareConfig(val_fraction=0.5))
    assert set(rejected(tmp_path / "out" / "train")) >= {"long", "overlapping", "unstable"}
    assert sum(counts["rows"] for counts in manifest["splits"].values()) == 9


# --- again ---


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    first = prepare({"train": table}, tmp_path / "out", ALL)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    calls: list[int] = []
    second = prepare({"train": table}, tmp_path / "out", ALL, progress=lambda done, _: calls.append(done))
    assert second == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert not calls


def test_other_settings_are_refused(known: Path, tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    assert prepare({"train": table}, known, ALL) == read_manifest(known)
    with pytest.raises(DataError, match="holds shards of other sources or settings; choose another --out or remove it"):
        prepare({"train": table}, known, replace(ALL, views=7))


def test_other_sources_are_refused(known: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds shards of other sources or settings"):
        prepare({"train": salts_table(tmp_path / "table.parquet")}, known, ALL)


def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 8)
    table = salts_table(tmp_path / "table.parquet")
    for workers in (1, 2):
        prepare({"train": table}, tmp_path / str(workers), PrepareConfig(val_fraction=0.2), workers=workers)
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_progress_ends_with_all_rows(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    table = known_table(tmp_path / "table.parquet")
    prepare({"train": table}, tmp_path / "out", ALL, progress=lambda *call: calls.append(call))
    assert calls[-1] == (9, 9)


@pytest.mark.shared_data
def test_a_slice_of_the_shared_table(shared_data: Path, tmp_path: Path) -> None:
    """Of 200 rows of at most 52 sites, those of at most 20 are kept but for a few."""
    table = pq.read_table(shared_data / "train.parquet").take(list(range(0, 40000, 200)))
    pq.write_table(table, tmp_path / "table.parquet")
    manifest = prepare({"train": tmp_path / "table.parquet"}, tmp_path / "out", ALL)
    counts = manifest["splits"]["train"]
    assert counts["rows"] == 200 == counts["kept"] + sum(counts["rejected"].values())
    small = (table["num_sites"].to_numpy() <= 20).sum()
    assert 0.9 * small <= counts["kept"] <= small
    assert counts["oxidation_states"]["guessed"] > 0.4 * counts["kept"]


def test_a_manifest_without_identity_is_another_one(tmp_path: Path) -> None:
    table = known_table(tmp_path / "table.parquet")
    write_signed(tmp_path / "manifest.json", {"format": FORMAT})
    with pytest.raises(DataError, match="holds shards of other sources"):
        prepare({"train": table}, tmp_path, ALL)


# --- orbits ---


def test_orbits_are_the_canonical_ones_with_labels_and_reasons(tmp_path: Path) -> None:
    config = replace(ALL, representation="orbits", views=2, subgroups=1)
    manifest = prepare({"train": known_table(tmp_path / "table.parquet")}, tmp_path / "out", config)
    shard = OrbitShard.load(tmp_path / "out" / "train")
    tokenizer = OrbitTokenizer(OrbitTokenizerConfig.from_dict(manifest["tokenizer"]))
    assert (manifest["representation"], tokenizer.config.max_sites) == ("orbits", 52)
    assert list(shard.ids) == [*KNOWN, "long"]
    for row, crystal in enumerate([*KNOWN.values(), LONG]):
        wanted = tokenizer.grid(canonical_orbits(oxidation.with_guess(crystal)[0]))
        assert form(shard.grid(int(shard.row_start[row]))) == form(wanted)
    kinds = [shard.kinds[a:b].tolist() for a, b in pairwise(shard.row_start)]
    assert all(sorted(row) == row and row[0] == 0 and row[-1] == 2 for row in kinds)
    labels = {name: shard.properties[:, i] for i, name in enumerate(scalar_names())}
    np.testing.assert_array_equal(labels["num_sites"], [2, 6, 9, 20, 2, 1])
    np.testing.assert_array_equal(labels["space_group"], [225, 136, 152, 62, 227, 123])
    np.testing.assert_allclose(labels["density"][:5], [c.density for c in KNOWN.values()], rtol=1e-5)
    reasons = rejected(tmp_path / "out" / "train")
    assert reasons.keys() == REASONS.keys() - {"long"}
    assert reasons["unstable"] == REASONS["unstable"]
    assert manifest["splits"]["train"]["rejected"]["overlapping atoms"] == 1


def test_the_space_group_is_the_one_that_orbits_are_written_in() -> None:
    """A table may have found another one, with a tolerance of its own."""
    row = Row("a", NACL, {"space_group": 1})
    assert prepare_row(row, replace(ALL, representation="orbits")).properties["space_group"] == 225
    assert prepare_row(row, ALL).properties["space_group"] == 1


def test_orbits_of_two_tables_stay_where_they_are_first(two: tuple[Path, Path], tmp_path: Path) -> None:
    """With the weights of their tables, as atoms do."""
    sources = {"train": [two[0], InputTable(two[1], weight=0.25)]}
    prepare(sources, tmp_path / "atoms", ALL)
    prepare(sources, tmp_path / "orbits", replace(ALL, representation="orbits", subgroups=0))
    atoms, orbits = read_shard(tmp_path / "atoms" / "train"), OrbitShard.load(tmp_path / "orbits" / "train")
    assert list(atoms.ids) == list(orbits.ids)
    np.testing.assert_array_equal(atoms.weights, orbits.weights)
    assert set(orbits.weights.tolist()) == {1, 0.25}
    assert rejected(tmp_path / "atoms" / "train") == rejected(tmp_path / "orbits" / "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"representation": "sites"}, "unknown representation 'sites'; choose atoms or orbits"),
        ({"representation": "orbits", "tokenizer": "paper"}, "no --tokenizer paper"),
        ({"representation": "orbits", "species_first": False}, "no --species-last"),
        ({"subgroups": 1}, "leave --subgroups out"),
    ],
)
def test_what_a_representation_does_not_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PrepareConfig(**changes)
