// What is known of a crystal, as pairs of a name and a value, in words.

import { rounded, titleOf } from "./columns.js";
import { h } from "./dom.js";

/** The facts about a row, of which those that are not known are left out. */
export function factsOf(row, conditions) {
  return [
    ...own(row),
    ...cell(row.structure),
    ...asked(row, conditions),
    ...likelihood(row),
    ...judged(row.verdict),
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

function own(row) {
  return [
    ["ID", row.name ?? row.id],
    ["Atoms in the cell", row.num_sites],
    ["Density", measure(row.density, 3, "g/cm³")],
    ["Volume", measure(row.volume, 2, "Å³")],
    ["Valid", yesNo(row.valid, row.valid === false ? row.reason : null)],
    ["Novelty", noveltyOf(row)],
  ];
}

function noveltyOf({ verdict, novelty }) {
  const found = verdict?.novel !== null && verdict?.novel !== undefined ? verdict : novelty;
  if (!found) return null;
  const nearest = found.nearest_id
    ? ["nearest known ", referenceOf(found.nearest_id), `, distance ${rounded(found.nearest_distance ?? 0, 3)}`]
    : [found.reason];
  const means = found.novel ? novelMeans(novelty) : null;
  const word = found.novelty ?? yesNo(found.novel);
  const because = [means, means && nearest[0] ? "; " : null, ...nearest].filter(Boolean);
  return because.length > 0 && word ? [`${word} (`, ...because, ")"] : (word ?? because);
}

/** A crystal of the reference; those of the Materials Project link to their page there. */
function referenceOf(id) {
  if (!/^mp-\d+$/.test(id)) return id;
  const href = `https://materialsproject.org/materials/${id}`;
  return h("a", { href, target: "_blank", rel: "noopener noreferrer" }, id);
}

/** What novel means: the size of the reference that the crystal was looked for in, to three digits. */
export function novelMeans(novelty) {
  const count = novelty?.known_crystals;
  return count ? `not among ${Number(count.toPrecision(3)).toLocaleString("en")} known crystals` : null;
}

function cell(structure) {
  if (!structure) return [];
  const { a, b, c, alpha, beta, gamma } = structure.parameters;
  return [
    ["a, b, c", `${[a, b, c].map((value) => rounded(value, 3)).join(", ")} Å`],
    ["α, β, γ", `${[alpha, beta, gamma].map((value) => rounded(value, 2)).join(", ")}°`],
  ];
}

function asked(row, conditions) {
  return conditions
    .filter(({ name }) => row.targets?.[name] !== undefined)
    .map(({ name, unit }) => [`${titleOf(name)} asked for`, `${plain(row.targets[name])}${unit ? ` ${unit}` : ""}`]);
}

function plain(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}

function likelihood({ score, log_likelihood: written, num_sites: sites }) {
  const total = score?.log_likelihood ?? written;
  if (total === null || total === undefined) return [];
  const parts =
    score && score.species !== null && score.species !== undefined
      ? `species ${rounded(score.species, 1)}, coordinates ${rounded(score.coordinate, 1)}, lattice ${rounded(score.lattice, 1)}`
      : null;
  return [
    ["ln p", `${rounded(total, 2)}${sites ? `, ${rounded(total / sites, 2)} per atom` : ""}`],
    ["of which", parts],
    [
      "ln p over all orders",
      score?.any_order_log_likelihood
        ? `${rounded(score.any_order_log_likelihood, 2)} ± ${rounded(score.any_order_error ?? 0, 2)}`
        : null,
    ],
  ];
}

function judged(verdict) {
  if (!verdict) return [];
  const group = verdict.space_group_relaxed;
  return [
    ["Energy above hull", measure(verdict.energy_above_hull, 3, "eV/atom") ?? verdict.hull_reason],
    ["Competing compounds", verdict.hull_support],
    ["Stability", stability(verdict)],
    ["Relaxation", relaxation(verdict)],
    ["Energy", measure(verdict.energy, 3, "eV/atom")],
    ["Atoms moved", measure(verdict.rmsd, 3, "Å")],
    ["Space group relaxed", group ? `${group.number} ${group.symbol}` : null],
    ["Unique", yesNo(verdict.unique, verdict.duplicate_of ? `same as ${verdict.duplicate_of}` : null)],
    ["SMACT valid", yesNo(verdict.smact_valid)],
    ["Neutral", yesNo(verdict.neutral)],
    ["Classes", verdict.classes?.join(", ")],
    ["Notes", Array.isArray(verdict.notes) ? verdict.notes.join("; ") : verdict.notes],
  ];
}

function stability({ stable, metastable, sun, msun, unsupported, hull_reason: reason }) {
  if (unsupported) return reason ?? "unsupported";
  if (stable === null || stable === undefined) return null;
  const word = stable ? "on or below the hull" : metastable ? "at most 0.1 eV/atom above" : "not stable";
  return sun || msun ? `${word}; unique and not in the reference` : word;
}

function relaxation({ relax_status: status, relax_steps: steps, relax_reason: reason }) {
  if (!status) return reason;
  const words =
    { converged: "converged", max_steps: "stopped at the step limit", exploded: "fell apart", error: "failed" }[
      status
    ] ?? status;
  return `${words}${steps ? `, ${steps} steps` : ""}${reason ? ` (${reason})` : ""}`;
}

function measure(value, digits, unit) {
  return value === null || value === undefined ? null : `${rounded(value, digits)} ${unit}`;
}

function yesNo(value, because = null) {
  if (value === null || value === undefined) return null;
  return `${value ? "yes" : "no"}${because ? ` (${because})` : ""}`;
}
