// What the page holds: the crystals of one run, which of them are seen and in what order, which are chosen, which is open.

import { columnsFor } from "./columns.js";
import { matches } from "./filters.js";

export class Store extends EventTarget {
  constructor() {
    super();
    this.conditions = [];
    this.clear(null);
    this.sort = { key: "", down: false }; // no key: by number
    this.filter = {};
  }

  /** Begin with the crystals of another job. */
  clear(job) {
    this.job = job;
    this.rows = new Map();
    this.chosen = new Set();
    this.open = null;
    this.touch("rows");
  }

  /** Take a crystal in; one that is there already gets what is new of it. */
  add(row) {
    const known = this.rows.get(row.id);
    this.rows.set(row.id, known ? { ...known, ...row } : row);
    this.touch(known ? "rows" : "more");
  }

  /** Merge what another job found out about a crystal: its verdict or its score. */
  merge(row, job) {
    const known = this.rows.get(row.id);
    if (!known) return;
    const found = Object.entries(row).filter(([key, value]) => ["verdict", "score"].includes(key) && value !== null);
    const judge = row.verdict ? { judged_by: job.id } : {};
    this.rows.set(row.id, { ...known, ...Object.fromEntries(found), ...judge });
    this.touch("rows");
    if (row.id === this.open) this.dispatchEvent(new Event("open"));
  }

  /** The columns that the rows have now. */
  get columns() {
    this.knownColumns ??= columnsFor([...this.rows.values()], this.conditions);
    return this.knownColumns;
  }

  /** The rows that pass the filter, sorted. */
  get seen() {
    this.knownSeen ??= this.sorted([...this.rows.values()].filter((row) => matches(row, this.filter, this.columns)));
    return this.knownSeen;
  }

  sorted(rows) {
    const column = this.columns.find(({ key }) => key === this.sort.key);
    if (!column) return rows.sort((one, other) => (this.sort.down ? -1 : 1) * (one.index - other.index));
    const sign = this.sort.down ? -1 : 1;
    const keyed = rows.map((row) => [column.get(row), row]);
    keyed.sort(([one, first], [other, second]) => compare(one, other, sign) || first.index - second.index);
    return keyed.map(([, row]) => row);
  }

  /** Sort by a column; by the same one again turns the order round. */
  sortBy(key, down = this.sort.key === key && !this.sort.down) {
    this.sort = { key, down };
    this.touch("rows");
  }

  /** Show only what passes. */
  filterBy(filter) {
    this.filter = filter;
    this.touch("rows");
  }

  /** Choose a crystal, or no longer. */
  choose(id, yes) {
    if (yes) this.chosen.add(id);
    else this.chosen.delete(id);
    this.dispatchEvent(new Event("chosen"));
  }

  /** Choose every crystal that is seen, or none. */
  chooseAll(yes) {
    this.chosen = new Set(yes ? this.seen.map((row) => row.id) : []);
    this.touch("rows");
  }

  /** The ids that an action is for: those chosen, else those seen. */
  get subjects() {
    return this.chosen.size > 0 ? [...this.chosen] : this.seen.filter((row) => row.structure).map((row) => row.id);
  }

  /** Open a crystal, or close (null). */
  show(id) {
    this.open = id;
    this.dispatchEvent(new Event("open"));
  }

  /** The crystal beside the open one, as they are seen. */
  beside(step) {
    const place = this.seen.findIndex((row) => row.id === this.open);
    return this.seen[place + step]?.id ?? null;
  }

  touch(what) {
    this.knownColumns = null;
    this.knownSeen = null;
    this.dispatchEvent(new Event(what));
    this.dispatchEvent(new Event("chosen"));
  }
}

/** What is not known comes last, whichever way the rest is sorted. */
function compare(one, other, sign) {
  const [first, second] = [one ?? null, other ?? null];
  if (first === null || second === null) return (first === null) - (second === null);
  if (typeof first === "string") return sign * first.localeCompare(second);
  return sign * (Number(first) - Number(second));
}
