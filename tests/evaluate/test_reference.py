"""References: elements fitted exactly, hulls completed by labels, files that come back whole or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materium import convert
from materium.crystal import Crystal
from materium.data.readers import digest, read
from materium.errors import CrystalError, DataError
from materium.evaluate import reference, reference_build
from materium.evaluate.distributions import compare
from materium.evaluate.fingerprint import Fingerprint, fingerprint
from materium.evaluate.hull import Hull, fractions
from materium.evaluate.reference import KEY, Columns, Reference, load, shipped
from materium.evaluate.reference_build import (
    ABOVE,
    FORMATION,
    MAX_ABOVE,
    Options,
    build,
    fit_elements,
    measured,
    points,
)
from materium.relax.potential import Potential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CATIONS, ANIONS = (3, 11, 19, 37, 55), (1, 9, 17, 35, 53)
PURE = {
    "Li": -1.9,
    "Na": -1.3,
    "K": -1.1,
    "Rb": -0.9,
    "Cs": -0.8,
    "H": -3.4,
    "F": -1.9,
    "Cl": -1.8,
    "Br": -1.6,
    "I": -1.5,
}


def salt(cation: int, anion: int, count: int) -> Crystal:
    """Return AX in the structure of NaCl, or AX2 in that of CaF2."""
    edge = 5 + 0.02 * cation + 0.01 * anion
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    frac = [[0, 0, 0], [0.5, 0.5, 0.5]] if count == 1 else [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return Crystal(lattice, frac, np.array([cation, *[anion] * count]))


SALTS = [salt(cation, anion, count) for cation in CATIONS for anion in ANIONS for count in (1, 2)]


def formation(crystal: Crystal) -> float:
    """Return an invented formation energy in eV/atom."""
    return -0.02 * crystal.volume / len(crystal) - 0.3 * (len(crystal) == 2)


class Additive(Potential):
    """Elements' energies plus the invented formation energy, but for crystals on which it fails by 0.5 eV/atom."""

    name, version, scheme = "additive", "1", "MP2020"

    def __init__(self, fails_on: Sequence[str] = ()) -> None:
        self.fails_on = fails_on
        self.asked: list[str] = []

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        self.asked += [convert.formula(crystal) for crystal in crystals]
        energies = [len(c) * (self._elements(c) + formation(c) + self._error(c)) for c in crystals]
        return [
            Prediction(energy, np.zeros((len(crystal), 3)), np.zeros((3, 3)))
            for energy, crystal in zip(energies, crystals, strict=True)
        ]

    def _elements(self, crystal: Crystal) -> float:
        return sum(PURE[symbol] for symbol in convert.symbols(crystal.numbers)) / len(crystal)

    def _error(self, crystal: Crystal) -> float:
        return -0.5 if convert.formula(crystal) in self.fails_on else 0.0


def write_table(path: Path, crystals: Sequence[Crystal], **columns: list[Any]) -> Path:
    table = {
        "id": [f"row-{index}" for index in range(len(crystals))],
        "cell": [c.lattice.ravel().tolist() for c in crystals],
        "atomic_numbers": [c.numbers.tolist() for c in crystals],
        "frac_coords": [c.frac_coords.ravel().tolist() for c in crystals],
        **columns,
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of 50 salts with labels, those of AX2 0.1 eV/atom above the hull."""
    path = tmp_path_factory.mktemp("tables") / "salts.parquet"
    above = [0.1 if len(crystal) == 3 else 0.0 for crystal in SALTS]
    return write_table(path, SALTS, **{FORMATION: [*map(formation, SALTS)], ABOVE: above})


@pytest.fixture(scope="module")
def built(table: Path) -> Reference:
    return build([table], Additive(), "salts", Options())


def test_elements_are_fitted_whatever_a_few_rows_say(table: Path) -> None:
    potential = Additive(fails_on=("NaCl", "KI", "LiF2", "CsBr2"))
    found = fit_elements(measured([table], potential, Options()))
    assert found == pytest.approx(PURE, abs=2e-3)


def test_labels_imply_the_hull_and_not_the_energy_of_the_row(table: Path) -> None:
    items = measured([table], Additive(fails_on=("NaCl",)), Options())
    entries = {item.formula: entry for item, entry in zip(items, points(items, fit_elements(items)), strict=True)}
    for item in items:
        entry = entries[item.formula]
        base = sum(share * PURE[symbol] for symbol, share in fractions(item.formula).items())
        assert entry is not None
        assert entry.kind == "implied"
        assert entry.energy == pytest.approx(base + formation(item.crystal) - item.labels[ABOVE], abs=3e-3)


@pytest.mark.parametrize(
    ("above", "kind", "shift"), [(0.05, "implied", -0.05), (MAX_ABOVE + 0.1, "computed", 0.0), (None, "computed", 0.0)]
)
def test_rows_without_formation_energy(tmp_path: Path, above: float | None, kind: str, shift: float) -> None:
    path = write_table(tmp_path / "one.parquet", SALTS[:1], **{ABOVE: pa.array([above], pa.float64())})
    (item,) = measured([path], Additive(), Options())
    (entry,) = points([item], {})
    assert item.energy is not None
    assert entry is not None
    assert (entry.kind, entry.energy) == (kind, pytest.approx(item.energy + shift, abs=1e-6))


def test_labels_of_dft_mean_nothing_to_a_potential_without_a_scale(table: Path) -> None:
    potential = Additive()
    potential.scheme = "none"
    found = build([table], potential, "salts", Options())
    assert {entry.kind for entry in found.entries} == {"computed"}


def test_fitted_elements_close_the_hull(built: Reference) -> None:
    hull = Hull(built)
    assert {e.id for e in built.entries if e.kind == "terminal"} == {f"terminal {symbol}" for symbol in PURE}
    for crystal in SALTS:
        expected = Additive().predict([crystal])[0]
        assert expected is not None
        height = hull.energy_above_hull(crystal, expected.energy / len(crystal))
        assert height is not None
        assert height >= (0.1 if len(crystal) == 3 else 0.0) - 1e-2


def test_every_crystal_of_its_tables_is_known(built: Reference) -> None:
    known = built.known()
    assert len(known) == len(SALTS)
    for index, crystal in enumerate(SALTS):
        verdict = known.verdict(crystal)
        assert (verdict["novel"], verdict["nearest_id"]) == (False, f"row-{index}")


def test_rarity_counts_the_table(built: Reference) -> None:
    rarity = built.rarity()
    assert rarity.elements == dict.fromkeys((*CATIONS, *ANIONS), 10)
    assert rarity.space_groups == {225: 50}


def test_sample_is_what_distributions_compare(built: Reference) -> None:
    rows = built.sample("salts")
    for crystal, row in zip(SALTS, rows, strict=True):
        assert row["reduced_formula"] == convert.formula(crystal)
        assert row["volume_per_atom"] == pytest.approx(crystal.volume / len(crystal), rel=1e-3)
        assert row["density"] == pytest.approx(crystal.density, rel=1e-3)
        assert (row["num_sites"], row["num_elements"], row["space_group"]) == (len(crystal), 2, 225)
    distances = [entry["distance"] for entry in compare(rows, rows).values()]
    assert distances == pytest.approx([0.0] * len(distances))


def test_a_table_that_it_was_not_built_from_is_refused(built: Reference) -> None:
    with pytest.raises(DataError, match="no table 'train'; it was built from salts"):
        built.rarity("train")


def test_file_gives_back_what_was_written(built: Reference, tmp_path: Path) -> None:
    built.write(tmp_path / "mine.parquet")
    found = load(tmp_path / "mine.parquet")
    assert found.fingerprint == built.fingerprint
    assert found._facts() == built._facts()
    assert found.entries == built.entries
    for name, column in built.columns._asdict().items():
        np.testing.assert_array_equal(getattr(found.columns, name), column, err_msg=name)
    with pytest.raises(DataError, match="never overwritten"):
        built.write(tmp_path / "mine.parquet")


def test_two_references_share_their_crystals(built: Reference, table: Path, tmp_path: Path) -> None:
    """Each comes back whole; the second takes the fingerprints of the first, and other crystals are refused."""
    crystals = tmp_path / "known.parquet"
    built.write(tmp_path / "one.parquet", crystals)
    before = crystals.read_bytes()
    potential = Additive(fails_on=("NaCl", "KI"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_build, "fingerprint", None)
        other = build([table], potential, "other", Options(processes=1), crystals=crystals)
    other.write(tmp_path / "two.parquet", crystals)
    assert crystals.read_bytes() == before
    for name, own in (("one", built), ("two", other)):
        found = load(tmp_path / f"{name}.parquet")
        assert found.fingerprint == own.fingerprint
        assert found.entries == own.entries
        assert found.known().verdict(SALTS[0])["novel"] is False
    assert (tmp_path / "two.parquet").stat().st_size < len(before)
    half = write_table(tmp_path / "salts.parquet", SALTS[:20])
    with pytest.raises(DataError, match="holds other crystals than the tables"):
        build([half], Additive(), "half", Options(), crystals=crystals)
    with pytest.raises(DataError, match="holds other crystals"):
        build([half], Additive(), "half", Options()).write(tmp_path / "half.parquet", crystals)
    with pytest.raises(DataError, match="must lie beside"):
        built.write(tmp_path / "three.parquet", table)
    crystals.write_bytes(before[:-9])
    with pytest.raises(DataError, match="is no file of a reference's crystals"):
        load(tmp_path / "one.parquet")


@pytest.mark.parametrize(("options", "computed"), [(Options(max_above=0.1), 3), (Options(compute=False), 1)])
def test_what_has_no_energy_is_known_all_the_same(tmp_path: Path, options: Options, computed: int) -> None:
    """Of four salts one is estimated far above the hull, one has no estimate, and the first has its energy given."""
    potential = Additive()
    (first,) = potential.predict(SALTS[:1])
    assert first is not None
    columns = {"e_hull_est": [0.05, 0.3, None, 0.1], "additive_energy_per_atom": [first.energy / 2, None, None, None]}
    path = write_table(tmp_path / "four.parquet", SALTS[:4], **columns)
    items = measured([path], potential, options)
    assert [item.energy is not None for item in items].count(True) == computed
    assert items[0].energy is not None
    assert items[1].energy is None
    found = build([path], potential, "four", options)
    assert found.settings["max_above"] == options.max_above
    assert len(found.known()) == 4
    assert not found.known().verdict(SALTS[1])["novel"]


def test_labels_of_dft_weigh_more_than_an_estimate(table: Path, tmp_path: Path) -> None:
    content = pq.read_table(table)
    pq.write_table(content.append_column("e_hull_est", pa.array([0.5] * len(content))), tmp_path / "salts.parquet")
    found = build([tmp_path / "salts.parquet"], Additive(), "salts", Options(max_above=0.1))
    assert found.entries == build([table], Additive(), "salts", Options()).entries


@pytest.mark.parametrize("processes", [1, 2])
def test_building_again_gives_the_same_fingerprint(built: Reference, table: Path, processes: int) -> None:
    assert build([table], Additive(), "salts", Options(processes=processes)).fingerprint == built.fingerprint
    assert built.tables[0].sha256 == digest(table)


def test_fingerprint_follows_every_part(built: Reference) -> None:
    shifted = built.columns._replace(energies=built.columns.energies + np.float32(1e-3))
    others = [
        replace(built, version="2"),
        replace(built, scheme="uncorrected"),
        replace(built, settings={**built.settings, "relaxed": True}),
        replace(built, columns=shifted),
    ]
    assert len({built.fingerprint, *(other.fingerprint for other in others)}) == 5


def altered(path: Path, facts: dict[str, Any]) -> None:
    content = pq.read_table(path)
    known = json.loads(content.schema.metadata[KEY])
    pq.write_table(content.replace_schema_metadata({KEY: json.dumps(known | facts)}), path)


def test_files_that_cannot_be_trusted_are_refused(built: Reference, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    built.write(path)
    whole = path.read_bytes()
    altered(path, {"format": 0})
    with pytest.raises(DataError, match="has the format 0"):
        load(path)
    path.write_bytes(whole)
    altered(path, {"version": "2"})
    with pytest.raises(DataError, match="does not hold what was written"):
        load(path)
    for content in (whole[: len(whole) // 2], b"", b"PAR1 nonsense"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no reference, or a damaged one"):
            load(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="is no reference; materium reference build makes one"):
        load(path)


def test_unknown_names_are_refused_with_those_that_ship() -> None:
    with pytest.raises(DataError, match="no reference 'nothing'"):
        load("nothing")


def test_a_column_of_energies_saves_the_calculation_if_it_is_right(tmp_path: Path) -> None:
    potential = Additive()
    right = [p.energy / len(c) for p, c in zip(potential.predict(SALTS), SALTS, strict=True) if p is not None]
    path = write_table(tmp_path / "given.parquet", SALTS, additive_energy_per_atom=right)
    potential.asked.clear()
    measured([path], potential, Options())
    assert len(potential.asked) == 50  # the sample alone
    wrong = write_table(tmp_path / "wrong.parquet", SALTS, additive_energy_per_atom=[e + 0.01 for e in right])
    with pytest.raises(DataError, match="they must agree, so remove the column"):
        measured([wrong], potential, Options())


def test_near_another_hull_only_its_phases_are_computed(built: Reference, tmp_path: Path, table: Path) -> None:
    bare = write_table(tmp_path / "bare.parquet", SALTS)
    potential = Additive()
    measured([bare], potential, Options(near=built))
    assert set(potential.asked) == {entry.formula for entry in built.entries if entry.kind != "terminal"}
    potential.asked.clear()
    measured([table], potential, Options(near=built, fit_rows=2))
    assert 10 <= len(potential.asked) <= 20


def test_a_cell_too_thin_for_a_fingerprint_keeps_its_row_and_equals_nothing(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(crystal: Crystal) -> Fingerprint:
        if convert.formula(crystal) == "NaCl":
            raise CrystalError("cell is too thin to list its neighbours")
        return fingerprint(crystal)

    monkeypatch.setattr(reference_build, "fingerprint", picky)
    found = build([table], Additive(), "salts", Options())
    verdict = found.known().verdict(SALTS[CATIONS.index(11) * 10 + ANIONS.index(17) * 2])
    assert (verdict["novel"], verdict["novel_formula"]) == (True, False)


def test_tables_of_one_name_and_tables_without_energies_are_refused(tmp_path: Path, table: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = write_table(tmp_path / "other" / "salts.parquet", SALTS[:2])
    with pytest.raises(DataError, match="two tables have the same name"):
        build([table, twin], Additive(), "twice", Options())
    silent = Additive()
    silent.predict = lambda crystals: [None] * len(crystals)  # type: ignore[method-assign]
    with pytest.raises(DataError, match="no crystal of the tables has an energy"):
        build([twin], silent, "none", Options())


@pytest.mark.skipif("chgnet" not in shipped(), reason="the reference for CHGNet does not ship")
def test_the_one_that_ships() -> None:
    found = load()
    assert (found.name, found.potential, found.version, found.scheme) == ("chgnet", "chgnet", "0.3.0", "MP2020")
    assert [table.name for table in found.tables] == ["train", "val", "test", "more"]
    hull = Hull(found)
    assert all(hull.missing(crystal) == () for crystal in SALTS)
    folder = reference.files("materium").joinpath("pretrained")
    sizes = [len(file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".parquet")]
    assert sum(sizes) < 9_000_000


@pytest.mark.skipif("chgnet" not in shipped(), reason="the reference for CHGNet does not ship")
def test_cubic_perovskite_is_known() -> None:
    """SrTiO3 at 3.905 Å, as measured, and compressed or stretched as other functionals have it."""
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    known = load().known()
    for edge in (3.85, 3.905, 3.95):
        verdict = known.verdict(Crystal(edge * np.eye(3), frac, np.array([38, 22, 8, 8, 8])))
        assert (verdict["novel"], verdict["novelty"]) == (False, "known")


@pytest.mark.shared_data
@pytest.mark.skipif("chgnet" not in shipped(), reason="the reference for CHGNet does not ship")
def test_real_crystals_lie_on_the_hull_that_ships(shared_data: Path) -> None:
    """Stable rows of `val`, whose labels are part of the hull, with CHGNet's energies: within its error of 0."""
    hull = Hull(load())
    rows = [row for row in read(shared_data / "val.parquet") if row.properties.get(ABOVE) == 0.0][:100]
    heights = [
        hull.energy_above_hull(r.crystal, float(r.properties["chgnet_energy_per_atom"])) for r in rows if r.crystal
    ]
    assert np.median(np.abs(np.array(heights, dtype=float))) < 0.03


def test_columns_have_one_length(built: Reference) -> None:
    assert len({len(column) for column in built.columns}) == 1
    assert isinstance(built.columns, Columns)
