// The form: a field for each condition of the model, built from what the server says of them, and the settings of sampling.

import { byId, h } from "./dom.js";
import { titleOf } from "./columns.js";
import { PeriodicTable } from "./periodic-table.js";

const COMPOSITION = ["reduced_formula", "chemical_system", "num_sites"];
const PLACEHOLDERS = {
  space_group: "Fm-3m, or 225",
  num_sites: "8, or 4..12",
  formula: "LiFePO4",
  elements: "Li-Fe-P-O",
  category: "number",
  number: "value, or 1..2",
};
const NUMBERS = ["n", "seed", "temperature", "geometry_temperature", "top_p", "guidance", "symmetrize"];
const TEXTS = ["z", "cell_formula"];
const SWITCHES = ["neutral", "soft", "lattice_first"];

export class Form {
  /** Build the fields from the answer of GET /conditions. */
  constructor({ conditions, elements, orders, space_groups: groups, defaults, limits }) {
    this.defaults = defaults;
    this.conditions = conditions;
    for (const condition of conditions) this.addCondition(condition);
    byId("groups").append(...groups.map(({ number, symbol }) => h("option", { value: symbol }, `${number}`)));
    byId("order").append(...orders.map((order) => h("option", { value: order }, ORDERS[order] ?? order)));
    byId("n").max = limits.crystals;
    const mode = () => document.querySelector('input[name="mark"]:checked').value;
    this.table = new PeriodicTable(byId("elements"), byId("elements-summary"), mode, elements);
    this.fill({});
  }

  addCondition(condition) {
    const { name, kind, unit } = condition;
    const id = `condition-${name}`;
    const input = h("input", {
      id,
      type: "text",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": `${id}-hint`,
      placeholder: PLACEHOLDERS[name] ?? PLACEHOLDERS[kind],
      list: name === "space_group" ? "groups" : null,
      oninput: () => this.check(condition),
    });
    const title = titleOf(name);
    const label = h(
      "label",
      { for: id },
      title,
      unit && !title.endsWith(unit) ? h("span", { class: "unit" }, ` ${unit}`) : null,
    );
    const hint = h("p", { class: "hint", id: `${id}-hint` }, hintOf(condition));
    const field = h("div", { class: "field" }, label, input, hint, h("p", { class: "problem", id: `${id}-problem` }));
    const place = byId(COMPOSITION.includes(name) ? "composition-conditions" : "property-conditions");
    place.insertBefore(field, place.querySelector(".last"));
  }

  /** Say at once when a value lies outside of what the model was trained on; it may be asked for all the same. */
  check({ name, kind, trained }) {
    const id = `condition-${name}`;
    const outside =
      kind === "number" && trained ? numbersIn(byId(id).value).some((v) => v < trained.low || v > trained.high) : false;
    this.problem(id, outside ? "Outside of what the model was trained on." : "", false);
  }

  /** The body of POST /generate. */
  read() {
    const body = { conditions: {} };
    for (const { name, kind } of this.conditions) {
      const text = byId(`condition-${name}`).value.trim();
      if (text) body.conditions[name] = targetOf(text, kind);
    }
    for (const name of NUMBERS) body[name] = numberOf(byId(name));
    for (const name of TEXTS) body[name] = byId(name).value.trim() || null;
    for (const name of SWITCHES) body[name] = byId(name).checked;
    body.order = byId("order").value;
    return { ...body, ...this.elements() };
  }

  /** What the table of elements asks for: a required element is allowed as well where only some are. */
  elements() {
    const [allow, require, forbid] = ["allow", "require", "forbid"].map((mark) => this.table.marked(mark));
    return { elements: allow.length > 0 ? [...allow, ...require] : [], require, forbid };
  }

  /** Fill in a request: a preset's, or an earlier one. What it leaves out gets its default. */
  fill(request) {
    const whole = { ...this.defaults, ...request };
    for (const { name } of this.conditions) byId(`condition-${name}`).value = textOf(whole.conditions?.[name]);
    for (const name of [...NUMBERS, ...TEXTS]) byId(name).value = textOf(whole[name]);
    for (const name of SWITCHES) byId(name).checked = Boolean(whole[name]);
    byId("order").value = whole.order;
    const required = whole.require ?? [];
    this.table.setAll({ allow: whole.elements, require: required, forbid: whole.forbid });
    this.clearProblems();
  }

  /** Show an error of the server at the field that it is about; false where the form has no such field. */
  show(error) {
    const [first, second] = (error.field ?? "").split(".");
    const id = first === "conditions" && second ? `condition-${second}` : (FIELDS[first] ?? first);
    const field = id && document.getElementById(id);
    if (!field) return false;
    field.closest("details")?.setAttribute("open", "");
    return this.problem(id, error.message, true);
  }

  problem(id, message, wrong) {
    const line = document.getElementById(`${id}-problem`);
    if (!line) return false;
    line.textContent = message;
    line.classList.toggle("wrong", wrong);
    const field = document.getElementById(id);
    if (wrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
    if (wrong) field.focus();
    return true;
  }

  clearProblems() {
    for (const field of document.querySelectorAll("#ask [aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const line of document.querySelectorAll("#ask .problem")) line.textContent = "";
  }
}

const ORDERS = {
  high: "heaviest element first",
  low: "lightest element first",
  xyz: "by position",
  random: "random",
  electronegativity: "by electronegativity",
};
const FIELDS = { elements: "elements-field", require: "elements-field", forbid: "elements-field" };

function hintOf({ name, description, trained, adherence, kind, classes }) {
  const parts = [description[0].toUpperCase() + description.slice(1)];
  if (kind === "number" && trained) parts.push(`trained on ${short(trained.low)} to ${short(trained.high)}`);
  if (kind === "number" && !trained) parts.push("training saw no label of it");
  if (kind === "category" && classes) parts.push(`1 to ${name === "num_sites" && trained ? trained.high : classes}`);
  if (adherence) parts.push(`${Math.round(100 * adherence.share)} % of crystals meet it`);
  return `${parts.join("; ")}.`;
}

function short(value) {
  return String(Number(value.toPrecision(3)));
}

function numbersIn(text) {
  return (text.match(/-?\d+(\.\d+)?/g) ?? []).map(Number);
}

/** A number, a text such as a range, or a list of these where several are given. */
function targetOf(text, kind) {
  if (kind === "formula" || kind === "elements") {
    const several = kind === "formula" ? text.split(/[\s,;]+/).filter(Boolean) : text.split(/[\s;]+/).filter(Boolean);
    return several.length > 1 ? several : several[0];
  }
  const values = text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map((word) => (/^-?\d+(\.\d+)?(e-?\d+)?$/i.test(word) ? Number(word) : word));
  return values.length > 1 ? values : values[0];
}

/** A target, or several, as it is typed into a field. */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(textOf).join(" ");
  if (typeof value === "object") return `${value.low ?? ""}..${value.high ?? ""}`;
  return String(value);
}

function numberOf(input) {
  return input.value.trim() === "" ? null : input.valueAsNumber;
}
