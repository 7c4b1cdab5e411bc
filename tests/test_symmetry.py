"""One crystal, one form: whatever cell, orientation, origin and order of sites it came in."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crystals import FCC, KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, SPACE_GROUPS
from crystals import crystal as written
from descriptions import SYSTEMS, orbit, random_crystal, redescribed, supercell
from materium import symmetry
from materium.convert import to_structure
from materium.crystal import Crystal, contragredient, determinant, lattice_from_parameters, lengths_angles
from materium.errors import CrystalError
from materium.symmetry import COMPARISON_GRID, canonical, distinct, settings, space_group
from materium.tokens.tokenizer import Tokenizer, TokenizerConfig

if TYPE_CHECKING:
    from pathlib import Path

NOISE = 1e-5
"""What rounding may do to a coordinate on the way through another description."""
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(TokenizerConfig.preset("base", max_sites=1000, length_ranges=((0.5, 200.0),) * 3))


def assert_one_form(one: Crystal, other: Crystal) -> None:
    """Fail unless both are the same numbers, site by site, to within what rounding may do."""
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_allclose(one.lengths_angles, other.lengths_angles, rtol=NOISE)
    apart = one.frac_coords - other.frac_coords
    assert np.abs(apart - np.round(apart)).max() < NOISE
    if one.oxidation_states is None or other.oxidation_states is None:
        assert one.oxidation_states is other.oxidation_states
    else:
        np.testing.assert_array_equal(one.oxidation_states, other.oxidation_states)


def at_tie(crystal: Crystal) -> bool:
    """Whether a coordinate is so near the middle of two grid points that rounding noise picks its token."""
    steps = crystal.frac_coords * COMPARISON_GRID
    return bool((np.abs(steps - np.floor(steps) - 0.5) < NOISE * COMPARISON_GRID).any())


def way(ways: symmetry.Settings, index: int) -> Crystal:
    lattice = lattice_from_parameters(ways.parameters[index])
    return Crystal(lattice, ways.frac_coords[index], ways.numbers, ways.oxidation_states)


# --- the law ---


@pytest.mark.parametrize("system", SYSTEMS)
@examples(max_examples=60)
@given(data=st.data(), seed=seeds, volume=st.integers(1, 2))
def test_every_description_has_the_same_form(
    tokenizer: Tokenizer, system: str, data: st.DataObject, seed: int, volume: int
) -> None:
    rng = np.random.default_rng(seed)
    crystal = random_crystal(data.draw(st.integers(*SYSTEMS[system])), rng)
    one, other = canonical(crystal), canonical(redescribed(crystal, rng, volume=volume))
    assert_one_form(one, other)
    if not at_tie(one):  # within a coordinate's noise of a tie, the law holds to one grid step only
        np.testing.assert_array_equal(tokenizer.encode(one), tokenizer.encode(other))


ON_THE_GRID = {
    "monoclinic": (
        (4.99066024, 4.99066024, 6.62918594, 90.0, 90.0, 113.45238095),
        (
            "53 130 129 0, 53 879 879 504, 16 329 679 259, 16 679 329 763, 5 343 665 770, 5 665 343 266, "
            "1 211 797 564, 1 797 211 60"
        ),
    ),
    "hexagonal": (
        (5.56391033, 5.56391033, 7.06328021, 90.0, 90.0, 120.0),
        (
            "26 0 0 0, 23 0 0 504, 23 336 672 263, 23 672 336 745, 11 336 672 848, 11 672 336 160, 8 0 504 0, "
            "8 172 343 329, 8 172 836 329, 8 336 672 455, 8 504 0 0, 8 504 504 0, 8 672 336 553, 8 836 172 679, "
            "8 836 665 679"
        ),
    ),
}
"""Parameters, atomic numbers and grid points as the model wrote them: moved onto their symmetry, or to another origin,
they have halves of a grid step, which rounding noise took up or down."""


@pytest.mark.parametrize("name", ON_THE_GRID)
def test_crystals_on_the_grid_have_one_form(name: str) -> None:
    parameters, sites = ON_THE_GRID[name]
    numbers, points = np.split(np.array([site.split() for site in sites.split(",")], dtype=int), [1], axis=1)
    crystal = Crystal(lattice_from_parameters(parameters), points / COMPARISON_GRID, numbers[:, 0])
    for seed in range(20):
        assert_one_form(canonical(crystal), canonical(redescribed(crystal, np.random.default_rng(seed))))


def test_crystals_on_round_decimals_have_one_form() -> None:
    """As people type them: 0.3 and 0.05 are two fifths of a step from points of the grid."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frac = rng.permutation(20**3)[:5, None] // 20 ** np.arange(3) % 20 / 20
        crystal = Crystal(np.diag([5.0, 5.0, 5.0 + seed % 2]), frac, rng.choice([8, 26], 5))
        one, other = canonical(crystal), canonical(redescribed(crystal, rng))
        assert_one_form(one, other)


def test_every_space_group_has_the_same_form_for_two_descriptions() -> None:
    for number in range(1, 231):
        rng = np.random.default_rng(number)
        crystal = random_crystal(number, rng, orbits=1)
        assert_one_form(canonical(crystal), canonical(redescribed(crystal, rng)))


@pytest.mark.shared_data
def test_real_crystals_of_all_space_groups_have_one_form(shared_data: Path, tokenizer: Tokenizer) -> None:
    """One small crystal of each group that the tables have; at most one in a hundred may sit on a rounding tie."""
    real = one_of_each_group(shared_data)
    assert len(real) > 190
    other_sentence = 0
    for seed, found in enumerate(real.values()):
        other = redescribed(found, np.random.default_rng(seed), volume=1 + seed % 2)
        one, two = canonical(found), canonical(other)
        assert_one_form(one, two)
        other_sentence += not np.array_equal(tokenizer.encode(one), tokenizer.encode(two))
    assert other_sentence <= len(real) // 100


def one_of_each_group(shared_data: Path) -> dict[int, Crystal]:
    """Return the first crystal of at most 20 sites, or 40 where there is none, of each space group."""
    columns = ["space_group", "num_sites", "cell", "frac_coords", "atomic_numbers"]
    table = pq.read_table(shared_data / "train.parquet", columns=columns)
    groups, sites = table["space_group"].to_numpy(), table["num_sites"].to_numpy()
    order = np.argsort(sites > 20, kind="stable")
    found, first = np.unique(groups[order], return_index=True)
    rows = {int(g): int(order[i]) for g, i in zip(found, first, strict=True) if sites[order[i]] <= 40}
    records = table.take(list(rows.values())).to_pylist()
    return {g: from_record(record) for g, record in zip(rows, records, strict=True)}


def from_record(record: dict[str, list[float]]) -> Crystal:
    cell, frac = np.reshape(record["cell"], (3, 3)), np.reshape(record["frac_coords"], (-1, 3))
    return Crystal(cell, frac, np.array(record["atomic_numbers"]))


@pytest.mark.parametrize("name", KNOWN)
def test_the_form_is_the_form_of_itself(name: str) -> None:
    one = canonical(KNOWN[name])
    assert_one_form(one, canonical(one))


@examples(max_examples=15)
@given(number=st.integers(1, 230), seed=seeds)
def test_other_settings_are_the_same_crystal(number: int, seed: int) -> None:
    """What training takes as free augmentation has the canonical form of the crystal itself."""
    rng = np.random.default_rng(seed)
    crystal = random_crystal(number, rng, orbits=1)
    ways, one = settings(crystal), canonical(crystal)
    for index in rng.choice(len(ways.parameters), size=min(4, len(ways.parameters)), replace=False):
        assert_one_form(one, canonical(way(ways, index)))


@pytest.mark.parametrize("name", KNOWN)
def test_the_form_is_still_the_crystal(name: str) -> None:
    """Pymatgen's matcher knows nothing of moyo."""
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, scale=False)
    assert matcher.fit(to_structure(canonical(KNOWN[name])), to_structure(KNOWN[name]))


# --- what is one crystal, and what are two ---


def test_which_atom_of_rock_salt_sits_at_the_origin_is_settled() -> None:
    """The normaliser of Fm-3m moves the origin by 1/2, 1/2, 1/2; the heavier ion comes first and takes 0."""
    moved = Crystal(NACL.lattice, NACL.frac_coords + 0.5, NACL.numbers, NACL.oxidation_states)
    one = canonical(NACL)
    assert_one_form(one, canonical(moved))
    assert one.numbers.tolist() == [17, 11]
    np.testing.assert_allclose(one.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]], atol=1e-9)


def test_a_chiral_crystal_is_not_its_mirror_image() -> None:
    mirrored = Crystal(QUARTZ.lattice * [1, 1, -1], QUARTZ.frac_coords, QUARTZ.numbers, QUARTZ.oxidation_states)
    assert (space_group(QUARTZ), space_group(mirrored)) == (152, 154)


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "CaTiO3", "Si"])
def test_an_achiral_crystal_is_its_mirror_image(name: str) -> None:
    one = KNOWN[name]
    mirrored = Crystal(one.lattice * [1, 1, -1], one.frac_coords, one.numbers, one.oxidation_states)
    assert_one_form(canonical(one), canonical(mirrored))


def test_states_of_one_element_are_kept_apart() -> None:
    one = canonical(MAGNETITE_LIKE)
    irons = one.oxidation_states[one.numbers == 26]
    assert irons.tolist() == [3, 2]
    assert one.numbers.tolist() == [26, 26, 9, 8, 8]
    bare = canonical(Crystal(MAGNETITE_LIKE.lattice, MAGNETITE_LIKE.frac_coords, MAGNETITE_LIKE.numbers))
    assert bare.oxidation_states is None


def test_ordered_states_make_a_larger_cell() -> None:
    """Alternating Fe2+ and Fe3+ on one lattice is CsCl; without states it is half the cell."""
    sites = [(26, 2, [0, 0, 0]), (26, 3, [0.5, 0.5, 0.5])]
    charged = written([3, 3, 3, 90, 90, 90], sites)
    assert len(canonical(charged)) == 2
    assert len(canonical(Crystal(charged.lattice, charged.frac_coords, charged.numbers))) == 1


@pytest.mark.parametrize("name", SPACE_GROUPS)
def test_space_groups_of_known_crystals(name: str) -> None:
    assert space_group(KNOWN[name]) == SPACE_GROUPS[name]
    assert settings(KNOWN[name]).space_group == SPACE_GROUPS[name]


def test_a_larger_tolerance_finds_more_symmetry() -> None:
    bent = Crystal(NACL.lattice, NACL.frac_coords + [[0.004, 0, 0]] + 0 * NACL.frac_coords, NACL.numbers)
    frac = bent.frac_coords.copy()
    frac[4] += [0.004, 0, 0]
    bent = Crystal(NACL.lattice, frac, NACL.numbers)
    assert space_group(bent, symprec=0.1) == 225
    assert space_group(bent, symprec=0.001) < 225


def test_no_atom_is_lost_where_the_tolerance_is_ambiguous() -> None:
    """A helix that is a shorter one but for 0.008 Å: at this tolerance moyo may halve the atoms, and not the cell."""
    helix = orbit(179, np.array([0, 0.999812, 0.791385]))
    chain = Crystal(lattice_from_parameters([18.88, 18.88, 14.498, 90, 90, 120]), helix, [3] * 12)
    for seed in range(12):
        with contextlib.suppress(CrystalError):
            found = canonical(redescribed(chain, np.random.default_rng(seed)))
            assert len(found) / found.volume == pytest.approx(len(chain) / chain.volume, rel=0.01)


def test_settings_that_one_grid_holds_for_equal_go_by_a_finer_one() -> None:
    """Pban with z = 1/4 + 0.18/1008: two settings have it at 252.18 and 251.82, which both round to 252."""
    images = np.concatenate(
        [orbit(50, np.array([0.125, 0.0077, 0.25 + 0.18 / 1008])), orbit(50, np.array([0.125, 0.4839, 0.25]))]
    )
    numbers = [50] * 8 + [38] * (len(images) - 8)
    one = Crystal(lattice_from_parameters([26.9, 27.4, 28.6, 90, 90, 90]), images, numbers)
    forms = [canonical(redescribed(one, np.random.default_rng(seed))) for seed in range(12)]
    for other in forms:
        assert_one_form(canonical(one), other)


def test_atoms_on_one_place_are_refused() -> None:
    twice = Crystal(4 * np.eye(3), [[0, 0, 0], [0, 0, 0]], [11, 17])
    with pytest.raises(CrystalError, match="overlapping atoms"):
        canonical(twice)


def test_supercells_make_no_noise(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Moyo warns of orbits in supercells, one line for each, on the terminal of whoever prepares a table."""
    canonical(supercell(NACL, np.diag([1, 1, 2])))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


# --- settings ---


@pytest.mark.parametrize("name", KNOWN)
def test_distinct_settings(name: str) -> None:
    ways = settings(KNOWN[name])
    chosen = distinct(ways, 6)
    assert chosen[0] == ways.best
    assert len(chosen) <= 6
    grids = {
        (tuple(np.round(ways.parameters[i], 2)), (np.round(ways.frac_coords[i] * 1008).astype(int) % 1008).tobytes())
        for i in chosen
    }
    assert len(grids) == len(chosen)
    assert distinct(ways, 1).tolist() == [ways.best]


def test_distinct_settings_of_rock_salt_are_its_two_origins() -> None:
    assert len(distinct(settings(NACL), 100)) == 2


@examples(max_examples=30)
@given(number=st.integers(1, 230), seed=seeds)
def test_the_canonical_setting_is_the_smallest(number: int, seed: int) -> None:
    ways = settings(random_crystal(number, np.random.default_rng(seed), orbits=1))
    points = np.round(ways.frac_coords * COMPARISON_GRID).astype(int) % COMPARISON_GRID
    cells = np.round(ways.parameters * 100).astype(int)
    rows = [
        (*cell, *sites) for cell, sites in zip(cells.tolist(), points.reshape(len(points), -1).tolist(), strict=True)
    ]
    assert rows[ways.best] == min(rows)


@example(0.0)
@given(st.floats(-2e-4, 2e-4))
def test_settings_of_a_lattice_that_is_almost_symmetric_stay_on_the_grid(strain: float) -> None:
    """A face-centred cell that is strained by as much as the tolerance: no setting's angle may fall below 60°."""
    lattice = lattice_from_parameters([4.0, 4.0, 4.0 * (1 + strain), 90, 90, 90])
    ways = settings(Crystal(lattice, FCC, [29, 29, 29, 29]), symprec=1e-5)
    tokenizer = Tokenizer(TokenizerConfig.preset("base"))
    for parameters in ways.parameters:
        points = tokenizer.lattice_points(parameters)
        assert (points >= 0).all()
        assert (points <= tokenizer.config.bins).all()


# --- fast paths and their slow twins ---


@pytest.mark.parametrize("number", [1, 2, 5, 19, 44, 62, 76, 146, 166, 186, 198, 225, 230])
def test_origins_are_those_of_a_full_search(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(equations: np.ndarray, target: np.ndarray) -> np.ndarray:
        grid = symmetry._points(48)
        return grid[(grid @ equations.T % 48 == target).all(axis=1)]

    fast = symmetry._origins(number)
    monkeypatch.setattr(symmetry, "_solutions", slow)
    for mine, full in zip(fast, symmetry._origins.__wrapped__(number), strict=True):
        np.testing.assert_array_equal(mine, full)


LATTICES = {
    "cubic": [4, 4, 4, 90, 90, 90],
    "face-centred": [4, 4, 4, 60, 60, 60],
    "body-centred": [4, 4, 4, 109.4712206, 109.4712206, 109.4712206],
    "hexagonal": [4, 4, 6, 90, 90, 120],
    "tetragonal": [4, 4, 6, 90, 90, 90],
    "monoclinic": [4, 5, 6, 90, 100, 90],
    "rhombohedral": [4, 4, 4, 75, 75, 75],
    "triclinic": [4, 5, 6, 70, 80, 85],
}
ROTATIONS = {
    "cubic": 24,
    "face-centred": 24,
    "body-centred": 24,
    "hexagonal": 12,
    "tetragonal": 8,
    "monoclinic": 2,
    "rhombohedral": 6,
    "triclinic": 1,
}


@pytest.mark.parametrize("name", LATTICES)
def test_equal_axes_are_the_rotations_of_the_lattice(name: str) -> None:
    basis = lattice_from_parameters(LATTICES[name])
    places, parameters = symmetry._equal_axes(basis)
    own = lengths_angles(basis)
    every = symmetry._unimodular()[0]
    axes = every[places]
    slow = every[np.isclose(lengths_angles(every @ basis), own, atol=0, rtol=1e-5).all(axis=1)]
    np.testing.assert_array_equal(axes, slow)
    np.testing.assert_allclose(parameters, np.tile(own, (len(axes), 1)), rtol=1e-5)
    assert len(axes) == ROTATIONS[name]


def test_contragredient_takes_coordinates_along_with_the_axes() -> None:
    basis, transform = np.array([[4.0, 0, 0], [1, 5, 0], [2, 3, 6]]), [[1, 2, 0], [0, 1, 3], [1, 2, 1]]
    frac = np.array([[0.1, 0.2, 0.3], [0.7, 0.9, 0.4]])
    moved = frac @ contragredient(transform)
    np.testing.assert_allclose(moved @ (np.array(transform).T @ basis), frac @ basis)
    assert determinant(transform) == pytest.approx(np.linalg.det(transform))


def test_unimodular_matrices_are_right_handed() -> None:
    matrices = symmetry._unimodular()[0]
    assert len(matrices) == 3480
    assert np.round(np.linalg.det(matrices)).tolist() == [1] * 3480


def test_polar_translations_of_a_free_origin() -> None:
    """P1 leaves the whole origin open: pinned to an atom, it is one way for each heaviest atom."""
    ways = settings(written([4, 5, 6, 70, 80, 85], [(26, 0, [0.1, 0.2, 0.3]), (8, 0, [0.4, 0.6, 0.7])]))
    assert ways.space_group == 1
    np.testing.assert_allclose(ways.frac_coords[ways.best, 0], 0, atol=1e-9)
    assert math.prod(ways.frac_coords.shape) == 2 * 3 * len(ways.parameters)


def test_a_needle_is_refused_where_the_search_would_not_end() -> None:
    """A sample whose search ran for minutes at 0.1 Å; at 0.01 Å it takes half a millisecond."""
    parameters = [1.5, 23.142, 1.5, 85.0, 117.5, 100.0]
    frac = [[0.9583, 0.9167, 0.9167], [0.4583, 0.0417, 0.9583], [0.625, 0.0417, 0.375], [0.9167, 0.0417, 0.75]]
    needle = Crystal(lattice_from_parameters(parameters), frac, [11, 14, 17, 8])
    assert space_group(needle, 0.01) == 1
    with pytest.raises(CrystalError, match="too unlike for symprec"):
        space_group(needle, 0.1)


# --- two tolerances ---

COARSE, FINE = 0.1, 0.01


def on_grid(crystal: Crystal) -> Crystal:
    """The crystal as a model writes it, its sites on the grid."""
    grid = symmetry.COMPARISON_GRID
    return Crystal(crystal.lattice, np.rint(crystal.frac_coords * grid) / grid, crystal.numbers)


def found_or_none(crystal: Crystal, symprec: float) -> int | None:
    try:
        return symmetry.space_group(crystal, symprec)
    except CrystalError:
        return None


@pytest.mark.parametrize("shift", [0.0, 1e-6, 3e-3, 0.03, 0.3])
@pytest.mark.parametrize("strain", [0.0, 1e-5, 3e-3])
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_groups_at_two_tolerances_are_those_of_two_searches(name: str, shift: float, strain: float) -> None:
    """Crystals that have their symmetry exactly, and such as lost it by little or much, in sites (Å) or in the cell."""
    crystal = on_grid(canonical(KNOWN[name]))
    lattice = crystal.lattice @ np.diag([1 + strain, 1, 1 - strain])
    moved = crystal.frac_coords.copy()
    moved[0] += shift * np.linalg.inv(lattice)[0]
    changed = Crystal(lattice, moved, crystal.numbers)
    expected = found_or_none(changed, COARSE), found_or_none(changed, FINE)
    assert symmetry.space_groups(changed, COARSE, FINE) == expected


def test_only_crystals_that_have_their_symmetry_exactly_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, search = on_grid(canonical(KNOWN["NaCl"])), symmetry.dataset_of
    seen: list[float] = []
    monkeypatch.setattr(
        symmetry, "dataset_of", lambda crystal, symprec: seen.append(symprec) or search(crystal, symprec)
    )
    assert symmetry.space_groups(exact, COARSE, FINE) == (225, 225)
    assert seen == [COARSE]
    moved = exact.frac_coords.copy()
    moved[0] += 1e-5
    assert symmetry.space_groups(Crystal(exact.lattice, moved, exact.numbers), COARSE, FINE) == (225, 225)
    assert seen == [COARSE, COARSE, FINE]


def test_where_no_symmetry_is_found_there_is_no_group() -> None:
    twice = Crystal(np.eye(3) * 4, [[0, 0, 0], [0, 0, 0]], [11, 11])
    assert symmetry.space_groups(twice, COARSE, FINE) == (None, None)
