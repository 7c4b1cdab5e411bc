// The columns: what the table shows, what the gallery is sorted by, what the plot has on its axes. One entry each.

import { formulaOf, spaceGroupOf } from "./dom.js";

/** @typedef {{key: string, label: string, unit?: string, kind: "number"|"text"|"flag", get: (row: object) => unknown,
 *             show?: (row: object) => Node|string, digits?: number, width?: number}} `width`: CSS pixels in the table Column */

const number = (key, label, unit, digits, get) => ({ key, label, unit, kind: "number", digits, get });
const flag = (key, label, get) => ({ key, label, kind: "flag", get });

/** @type {Column[]} What decides comes first: it is to be seen without scrolling. */
const FIXED = [
  { ...number("index", "Number", "", 0, (row) => row.index + 1), width: 74 },
  {
    key: "formula",
    label: "Formula",
    kind: "text",
    width: 140,
    get: (row) => row.formula,
    show: (row) => formulaOf(row.formula ?? "unreadable"),
  },
  {
    key: "space_group",
    label: "Space group",
    kind: "number",
    digits: 0,
    width: 136,
    get: (row) => row.space_group?.number ?? null,
    show: (row) => (row.space_group ? spaceGroupCell(row.space_group) : "–"),
  },
  { ...number("num_sites", "Atoms", "", 0, (row) => row.num_sites), width: 66 },
  number("hull", "Above hull", "eV/atom", 3, supportedHeight),
  { key: "stability", label: "Stability", kind: "text", width: 112, get: stability },
  { key: "novel", label: "Novelty", kind: "text", width: 240, get: novelty },
  number("density", "Density", "g/cm³", 2, (row) => row.density),
  number("per_atom", "ln p per atom", "", 2, perAtom),
  flag("valid", "Valid", (row) => row.valid),
  number("log_likelihood", "ln p", "", 1, (row) => row.score?.log_likelihood ?? row.log_likelihood),
  number("volume", "Volume", "Å³", 1, (row) => row.volume),
  number(
    "distance",
    "Distance to known",
    "",
    3,
    (row) => row.verdict?.nearest_distance ?? row.novelty?.nearest_distance ?? null,
  ),
  number("support", "Competing compounds", "", 0, (row) => row.verdict?.hull_support ?? null),
  number("rmsd", "Moved in relaxing", "Å", 3, (row) => row.verdict?.rmsd ?? null),
  flag("unique", "Unique", (row) => row.verdict?.unique ?? null),
  flag("smact", "SMACT valid", (row) => row.verdict?.smact_valid ?? null),
];

function perAtom(row) {
  const total = row.score?.log_likelihood ?? row.log_likelihood;
  return total === null || total === undefined || !row.num_sites ? null : total / row.num_sites;
}

function novelty(row) {
  return row.verdict?.novelty ?? row.novelty?.novelty ?? null;
}

/** The energy above hull, where the hull can tell: what is unsupported has no place in an order or a plot. */
function supportedHeight({ verdict }) {
  return verdict?.unsupported ? null : (verdict?.energy_above_hull ?? null);
}

function stability({ verdict }) {
  if (verdict?.stable === null || verdict?.stable === undefined) return null;
  if (verdict.unsupported) return "unsupported";
  return verdict.stable ? "stable" : verdict.metastable ? "metastable" : "not stable";
}

function spaceGroupCell(group) {
  const cell = document.createElement("span");
  cell.append(`${group.number} `, spaceGroupOf(group.symbol));
  return cell;
}

/**
 * The columns for some rows: the fixed ones, leaving out what no row has, and one for every number that was asked for.
 * @param {object[]} rows
 * @param {{name: string, unit: string, kind: string}[]} conditions
 * @returns {Column[]}
 */
export function columnsFor(rows, conditions) {
  const told = new Set(rows.flatMap((row) => Object.keys(row.targets ?? {})));
  const asked = conditions
    .filter(({ name, kind }) => told.has(name) && kind !== "formula" && kind !== "elements")
    .map(({ name, unit, kind }) => {
      const digits = kind === "category" ? 0 : 3;
      return number(`asked.${name}`, `${titleOf(name)} asked`, unit, digits, (row) => row.targets?.[name] ?? null);
    });
  const optional = new Set(["hull", "stability", "support", "rmsd", "unique", "smact", "distance"]);
  const kept = FIXED.filter((column) => !optional.has(column.key) || rows.some((row) => column.get(row) !== null));
  return [...kept, ...asked];
}

const TITLES = {
  reduced_formula: "Formula",
  num_sites: "Number of atoms",
  mag_density: "Magnetic density",
  hhi: "Scarcity (HHI)",
};

/** A property's name as a label; a property that is not in the list above gets its own name. */
export function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return TITLES[name] ?? words[0].toUpperCase() + words.slice(1);
}

/** The label with its unit. */
export function headingOf(column) {
  return column.unit ? `${column.label} (${column.unit})` : column.label;
}

/** What stands in a cell. */
export function shown(column, row) {
  if (column.show) return column.show(row);
  const value = column.get(row);
  if (value === null || value === undefined) return "–";
  if (column.kind === "flag") return value ? "yes" : "no";
  return column.kind === "number" ? rounded(value, column.digits) : String(value);
}

/** A number with a true minus sign. */
export function rounded(value, digits) {
  return Number(value).toFixed(digits).replace("-", "−");
}
