// A small still picture of a crystal on a plain canvas: quick enough for a gallery, and there without WebGL.

import { drawnRadius, elementOf } from "./elements.js";
import { atomsOf, bondsOf, edgesOf } from "./geometry.js";

const TURN = 0.42; // radians about the upright axis, so that no lattice vector points at the eye
const TILT = 0.28;
const MARGIN = 10; // CSS pixels

/** Draw a structure to fill a canvas of a size in CSS pixels, with lines in the colour `ink`. */
export function drawThumbnail(canvas, structure, { width, height }, ink) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  paint(context, sceneOf(structure), width, height, ink);
}

function sceneOf(structure) {
  const turned = orientation(structure.lattice);
  const atoms = atomsOf(structure, 1).map((atom) => ({ ...atom, at: turned(atom.position) }));
  const bonds = bondsOf(atoms, structure.oxidation).map(([i, j]) => [atoms[i], atoms[j]]);
  const edges = edgesOf(structure.lattice, 1).map((ends) => ends.map(turned));
  return { atoms, bonds, edges };
}

/** A rotation that lays a to the right and b upwards, then turns the cell a little. */
function orientation([a, b]) {
  const x = unit(a);
  const z = unit(cross(a, b));
  const y = cross(z, x);
  const [ct, st, cp, sp] = [Math.cos(TURN), Math.sin(TURN), Math.cos(TILT), Math.sin(TILT)];
  return (point) => {
    const [u, v, w] = [dot(point, x), dot(point, y), dot(point, z)];
    const [u2, w2] = [ct * u + st * w, ct * w - st * u];
    return [u2, cp * v - sp * w2, sp * v + cp * w2];
  };
}

const dot = (p, q) => p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
const unit = (p) => p.map((value) => value / Math.hypot(...p));

function paint(context, scene, width, height, ink) {
  const project = projection(scene, width, height);
  context.clearRect(0, 0, width, height);
  context.strokeStyle = ink;
  context.globalAlpha = 0.45;
  for (const [from, to] of scene.edges) line(context, project.at(from), project.at(to), 1);
  context.globalAlpha = 1;
  const items = [
    ...scene.bonds.map((bond) => ({ depth: (bond[0].at[2] + bond[1].at[2]) / 2 - 0.2, bond })),
    ...scene.atoms.map((atom) => ({ depth: atom.at[2], atom })),
  ].sort((one, other) => one.depth - other.depth);
  for (const item of items) {
    if (item.atom) sphere(context, item.atom, project, ink);
    else stick(context, item.bond, project);
  }
}

/** Where a point falls on the canvas, and how many pixels an Å has. */
function projection(scene, width, height) {
  const points = [...scene.edges.flat(), ...scene.atoms.map((atom) => atom.at)];
  const [left, right] = extent(points, 0);
  const [low, high] = extent(points, 1);
  const scale = Math.min((width - 2 * MARGIN) / (right - left + 1), (height - 2 * MARGIN) / (high - low + 1), 26);
  const at = ([x, y]) => [width / 2 + scale * (x - (left + right) / 2), height / 2 - scale * (y - (low + high) / 2)];
  return { at, scale };
}

function extent(points, axis) {
  const values = points.map((point) => point[axis]);
  return [Math.min(...values), Math.max(...values)];
}

function line(context, [x1, y1], [x2, y2], width) {
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function stick(context, [first, second], project) {
  const [start, end] = [project.at(first.at), project.at(second.at)];
  const middle = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
  const width = Math.max(1.5, 0.16 * project.scale);
  context.strokeStyle = elementOf(first.symbol).color;
  line(context, start, middle, width);
  context.strokeStyle = elementOf(second.symbol).color;
  line(context, middle, end, width);
}

function sphere(context, atom, project, ink) {
  const [x, y] = project.at(atom.at);
  const radius = Math.max(2.5, drawnRadius(atom.symbol) * project.scale);
  const { color } = elementOf(atom.symbol);
  const shade = context.createRadialGradient(x - radius / 3, y - radius / 3, radius / 10, x, y, radius);
  shade.addColorStop(0, "#ffffff");
  shade.addColorStop(0.35, color);
  shade.addColorStop(1, color);
  context.fillStyle = shade;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  context.strokeStyle = ink;
  context.globalAlpha = 0.55;
  context.lineWidth = 0.7;
  context.stroke();
  context.globalAlpha = 1;
}
