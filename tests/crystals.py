"""A few well-known crystals, in cells and coordinates from the literature, for every test that needs real ones."""

from __future__ import annotations

import numpy as np

from materium.crystal import Crystal, lattice_from_parameters

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def crystal(parameters: list[float], sites: list[tuple[int, int, list[float]]]) -> Crystal:
    """Return the crystal with these lattice parameters (Å, degrees) and sites: element, oxidation state, position."""
    numbers, states, positions = zip(*sites, strict=True)
    return Crystal(lattice_from_parameters(parameters), np.array(positions), np.array(numbers), np.array(states))


def _quartz() -> Crystal:
    """Alpha-quartz, P3_121: silicon on 3a, oxygen on 6c."""
    x, (u, v, w) = 0.4697, (0.4135, 0.2669, 0.2144)
    silicon = [[x, 0, 1 / 3], [0, x, 2 / 3], [-x, -x, 0]]
    oxygen = [
        [u, v, w],
        [-v, u - v, w + 1 / 3],
        [v - u, -u, w + 2 / 3],
        [v, u, -w],
        [u - v, -v, 2 / 3 - w],
        [-u, v - u, 1 / 3 - w],
    ]
    sites = [(14, 4, position) for position in silicon] + [(8, -2, position) for position in oxygen]
    return crystal([4.9137, 4.9137, 5.4047, 90, 90, 120], sites)


def _rutile() -> Crystal:
    """Rutile, P4_2/mnm: titanium on 2a, oxygen on 4f."""
    u = 0.3053
    oxygen = [[u, u, 0], [-u, -u, 0], [0.5 - u, 0.5 + u, 0.5], [0.5 + u, 0.5 - u, 0.5]]
    titanium = [[0, 0, 0], [0.5, 0.5, 0.5]]
    sites = [(22, 4, position) for position in titanium] + [(8, -2, position) for position in oxygen]
    return crystal([4.594, 4.594, 2.959, 90, 90, 90], sites)


def _perovskite() -> Crystal:
    """CaTiO3, Pnma: calcium and one oxygen on 4c, titanium on 4b, the other oxygen on 8d."""
    sites = [(20, 2, p) for p in _on_4c(0.0357, 0.9932)]
    sites += [(22, 4, p) for p in ([0, 0, 0.5], [0.5, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0])]
    sites += [(8, -2, p) for p in _on_4c(0.4838, 0.0708)]
    x, y, z = 0.2888, 0.0371, 0.7112
    half = [[x, y, z], [0.5 - x, -y, 0.5 + z], [-x, 0.5 + y, -z], [0.5 + x, 0.5 - y, 0.5 - z]]
    sites += [(8, -2, p) for p in [*half, *([-a, -b, -c] for a, b, c in half)]]
    return crystal([5.442, 7.640, 5.380, 90, 90, 90], sites)


def _on_4c(x: float, z: float) -> list[list[float]]:
    return [[x, 0.25, z], [0.5 - x, 0.75, 0.5 + z], [-x, 0.75, -z], [0.5 + x, 0.25, 0.5 - z]]


NACL = crystal(
    [5.6402, 5.6402, 5.6402, 90, 90, 90],
    [(11, 1, p) for p in FCC.tolist()] + [(17, -1, p) for p in (FCC + 0.5).tolist()],
)
RUTILE = _rutile()
QUARTZ = _quartz()
PEROVSKITE = _perovskite()
SILICON = crystal([3.867, 3.867, 3.867, 60, 60, 60], [(14, 0, [0, 0, 0]), (14, 0, [0.25, 0.25, 0.25])])
MAGNETITE_LIKE = crystal(
    [4.2, 4.2, 4.2, 90, 90, 90],
    [
        (26, 2, [0, 0, 0]),
        (26, 3, [0.5, 0.5, 0.5]),
        (8, -2, [0.5, 0.5, 0]),
        (8, -2, [0.5, 0, 0.5]),
        (9, -1, [0, 0.5, 0.5]),
    ],
)
"""An invented one: one element in two oxidation states."""

KNOWN = {"NaCl": NACL, "TiO2": RUTILE, "SiO2": QUARTZ, "CaTiO3": PEROVSKITE, "Si": SILICON}
"""By reduced formula."""
SPACE_GROUPS = {"NaCl": 225, "TiO2": 136, "SiO2": 152, "CaTiO3": 62, "Si": 227}


def assert_same(one: Crystal, other: Crystal, *, tolerance: float) -> None:
    """Fail unless both hold the same atoms, in any order of sites and any orientation, to within `tolerance` Å."""
    np.testing.assert_allclose(one.lengths_angles[:3], other.lengths_angles[:3], atol=tolerance)
    np.testing.assert_allclose(one.lengths_angles[3:], other.lengths_angles[3:], atol=10 * tolerance)
    assert len(one) == len(other)
    offsets = one.frac_coords[:, None] - other.frac_coords[None, :]
    distances = np.linalg.norm((offsets - np.round(offsets)) @ one.lattice, axis=-1)
    partner = distances.argmin(axis=1)
    assert sorted(partner) == list(range(len(one)))
    assert distances.min(axis=1).max() <= tolerance
    np.testing.assert_array_equal(one.numbers, other.numbers[partner])
    assert_same_states(one, other, partner)


def assert_same_states(one: Crystal, other: Crystal, partner: np.ndarray) -> None:
    """Fail unless both have the same oxidation states, site by site."""
    if one.oxidation_states is None or other.oxidation_states is None:
        assert one.oxidation_states is other.oxidation_states
    else:
        np.testing.assert_array_equal(one.oxidation_states, other.oxidation_states[partner])
