// Which crystals are seen: a text, valid ones, novel ones, and a range of any column.

import { byId, h, refill } from "./dom.js";
import { isElement } from "./elements.js";
import { headingOf } from "./columns.js";

/** Whether a row passes a filter. */
export function matches(row, filter, columns) {
  if (filter.valid && row.valid !== true) return false;
  if (filter.novel && (row.verdict?.novel ?? row.novelty?.novel) !== true) return false;
  if (filter.text && !says(row, filter.text)) return false;
  return inRange(row, filter, columns);
}

/** `Li` or `Li, O` asks for elements, anything else for a part of the formula, the space group or the id. */
function says(row, text) {
  const words = text.split(/[\s,-]+/).filter(Boolean);
  if (words.every(isElement)) return words.every((word) => row.elements?.includes(word));
  const all = `${row.formula} ${row.space_group?.symbol} ${row.id}`.toLowerCase();
  return all.includes(text.trim().toLowerCase());
}

function inRange(row, { key, low, high }, columns) {
  if (low === undefined && high === undefined) return true;
  const value = columns.find((column) => column.key === key)?.get(row) ?? null;
  return value !== null && (low === undefined || value >= low) && (high === undefined || value <= high);
}

/** Join the fields of the filter with the store. */
export function setUpFilters(store) {
  const fields = ["filter-text", "filter-valid", "filter-novel", "filter-column", "filter-low", "filter-high"].map(
    byId,
  );
  const [text, valid, novel, column, low, high] = fields;
  const apply = () =>
    store.filterBy({
      text: text.value.trim(),
      valid: valid.checked,
      novel: novel.checked,
      key: column.value,
      low: bound(low),
      high: bound(high),
    });
  for (const field of fields) field.addEventListener("input", apply);
  byId("filter-none").addEventListener("click", () => {
    for (const field of [text, low, high]) field.value = "";
    for (const field of [valid, novel]) field.checked = false;
    apply();
  });
  store.addEventListener("rows", () => offer(column, store.columns));
  store.addEventListener("more", () => offer(column, store.columns));
}

function bound(field) {
  return field.value === "" || Number.isNaN(field.valueAsNumber) ? undefined : field.valueAsNumber;
}

/** Offer the numeric columns in a list, and keep what was chosen. */
export function offer(select, columns, fallback = "density") {
  const offered = columns.filter((column) => column.kind === "number");
  const keys = offered.map((column) => column.key).join();
  if (select.dataset.keys === keys) return;
  const before = select.value || fallback;
  select.dataset.keys = keys;
  refill(
    select,
    offered.map((column) => h("option", { value: column.key }, headingOf(column))),
  );
  select.value = offered.some((column) => column.key === before) ? before : offered[0].key;
}
