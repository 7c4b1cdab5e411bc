// From lattice and fractional coordinates to atoms, bonds and edges in Å. Lattice vectors are rows.

import { elementOf } from "./elements.js";

const EDGE = 1e-3; // an atom this close to a face, in fractions, is drawn on the opposite face too
const STRETCH = 1.15; // atoms within so many times the sum of their covalent radii are joined
const LEAST_BOND = 0.4; // Å

/** Cartesian position of a point of the cell. */
function cartesian(lattice, [u, v, w]) {
  return [0, 1, 2].map((axis) => u * lattice[0][axis] + v * lattice[1][axis] + w * lattice[2][axis]);
}

/**
 * Atoms of `repeat` × `repeat` × `repeat` cells, those on a face, an edge or a corner with their images on the others.
 * Each knows its site in the structure.
 */
export function atomsOf(structure, repeat) {
  const atoms = [];
  structure.frac_coords.forEach((frac, site) => {
    for (const shift of shiftsOf(frac, repeat)) {
      const place = frac.map((value, axis) => wrapped(value) + shift[axis]);
      atoms.push({ site, symbol: structure.species[site], position: cartesian(structure.lattice, place) });
    }
  });
  return atoms;
}

function wrapped(value) {
  const inside = value - Math.floor(value);
  return inside > 1 - EDGE ? inside - 1 : inside;
}

function shiftsOf(frac, repeat) {
  const [a, b, c] = frac.map((value) => {
    const count = repeat + (wrapped(value) < EDGE ? 1 : 0);
    return Array.from({ length: count }, (_, shift) => shift);
  });
  return a.flatMap((x) => b.flatMap((y) => c.map((z) => [x, y, z])));
}

/** Pairs of atoms that are joined. Ions of like charge are not, however close their radii bring them. */
export function bondsOf(atoms, oxidation) {
  const radii = atoms.map((atom) => elementOf(atom.symbol).radius);
  const pairs = [];
  for (let i = 0; i < atoms.length; i += 1) {
    for (let j = i + 1; j < atoms.length; j += 1) {
      const most = STRETCH * (radii[i] + radii[j]);
      const distance = distanceBelow(atoms[i].position, atoms[j].position, most);
      if (distance > LEAST_BOND && !alike(oxidation, atoms[i].site, atoms[j].site)) pairs.push([i, j]);
    }
  }
  return pairs;
}

/** The distance where it is below a bound, else 0. */
function distanceBelow(first, second, most) {
  const [x, y, z] = [0, 1, 2].map((axis) => first[axis] - second[axis]);
  if (Math.abs(x) > most || Math.abs(y) > most || Math.abs(z) > most) return 0;
  const distance = Math.hypot(x, y, z);
  return distance < most ? distance : 0;
}

function alike(oxidation, first, second) {
  return Boolean(oxidation) && oxidation[first] * oxidation[second] > 0;
}

/** The edges of every cell as pairs of points; those that cells share occur once. */
export function edgesOf(lattice, repeat) {
  const edges = [];
  const steps = Array.from({ length: repeat + 1 }, (_, step) => step);
  for (const i of steps) {
    for (const j of steps) {
      edges.push(
        [
          [0, i, j],
          [repeat, i, j],
        ],
        [
          [i, 0, j],
          [i, repeat, j],
        ],
        [
          [i, j, 0],
          [i, j, repeat],
        ],
      );
    }
  }
  return edges.map((ends) => ends.map((end) => cartesian(lattice, end)));
}
