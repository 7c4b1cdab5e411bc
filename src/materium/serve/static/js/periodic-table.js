// The periodic table as a field of the form: each element may be allowed, required or forbidden.

import { h, refill } from "./dom.js";
import { allElements, elementOf } from "./elements.js";

const MARKS = {
  allow: { word: "allowed", key: "a" },
  require: { word: "required", key: "r" },
  forbid: { word: "forbidden", key: "f" },
};
const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

export class PeriodicTable {
  /** Fill `grid` with the elements that the model can write, `summary` with what is marked. */
  constructor(grid, summary, mode, known) {
    this.marks = new Map();
    this.summary = summary;
    this.mode = mode; // returns the mark that a click sets
    this.known = new Set(known);
    this.cells = new Map(allElements().map((element) => [element.symbol, this.cell(element)]));
    refill(grid, this.rows());
    this.focusable(allElements().find(({ symbol }) => this.known.has(symbol)).symbol);
    grid.addEventListener("keydown", (event) => this.key(event));
    this.tell();
  }

  /** The symbols with a mark, in the order of the atomic number. */
  marked(mark) {
    return allElements()
      .map(({ symbol }) => symbol)
      .filter((symbol) => this.marks.get(symbol) === mark);
  }

  /** Set all marks: lists of symbols under `allow`, `require` and `forbid`. What is required needs not be allowed as well. */
  setAll(lists) {
    this.marks.clear();
    for (const mark of ["allow", "require", "forbid"]) {
      for (const symbol of lists[mark] ?? []) if (this.cells.has(symbol)) this.marks.set(symbol, mark);
    }
    for (const symbol of this.cells.keys()) this.paint(symbol);
    this.tell();
  }

  rows() {
    const rows = [];
    for (let row = 1; row <= 9; row += 1) {
      const cells = allElements()
        .filter((element) => element.row === row)
        .map(({ symbol }) => this.cells.get(symbol));
      rows.push(h("div", { role: "row", class: `period period-${row}` }, cells));
    }
    return rows;
  }

  cell({ symbol, name, column }) {
    const known = this.known.has(symbol);
    const button = h(
      "button",
      {
        type: "button",
        class: "element",
        tabindex: "-1",
        "data-symbol": symbol,
        title: name,
        "aria-label": `${symbol}, ${name}${known ? "" : ", not known to the model"}`,
        "aria-disabled": known ? null : "true",
        onclick: () => this.toggle(symbol, this.mode()),
      },
      symbol,
    );
    return h("div", { role: "gridcell", class: `place column-${column}` }, button);
  }

  button(symbol) {
    return this.cells.get(symbol).firstChild;
  }

  toggle(symbol, mark) {
    if (!this.known.has(symbol)) return;
    if (this.marks.get(symbol) === mark) this.marks.delete(symbol);
    else this.marks.set(symbol, mark);
    this.focusable(symbol);
    this.paint(symbol);
    this.tell();
  }

  paint(symbol) {
    if (!this.known.has(symbol)) return;
    const mark = this.marks.get(symbol);
    const button = this.button(symbol);
    button.dataset.mark = mark ?? "";
    button.setAttribute("aria-label", `${symbol}, ${elementOf(symbol).name}` + (mark ? `, ${MARKS[mark].word}` : ""));
  }

  key(event) {
    const symbol = event.target.dataset.symbol;
    if (!symbol) return;
    const mark = Object.keys(MARKS).find((name) => MARKS[name].key === event.key);
    const step = STEPS[event.key];
    if (mark && !event.ctrlKey && !event.metaKey && !event.altKey) this.toggle(symbol, mark);
    else if (step) this.move(symbol, step);
    else return;
    event.preventDefault();
  }

  /** Move the focus to the next element in a direction, over the gaps of the table. */
  move(symbol, [down, right]) {
    let { row, column } = elementOf(symbol);
    while (row >= 1 && row <= 9 && column >= 1 && column <= 18) {
      row += down;
      column += right;
      const next = allElements().find((element) => element.row === row && element.column === column);
      if (!next) continue;
      this.focusable(next.symbol);
      this.button(next.symbol).focus();
      return;
    }
  }

  /** One element at a time is reached by the tabulator; from there the arrows lead on. */
  focusable(symbol) {
    for (const other of this.cells.keys()) this.button(other).tabIndex = other === symbol ? 0 : -1;
  }

  tell() {
    const parts = Object.keys(MARKS)
      .map((mark) => [MARKS[mark].word, this.marked(mark)])
      .filter(([, list]) => list.length > 0);
    const text = parts.map(([word, list]) => `${word}: ${list.join(", ")}`).join(" · ");
    this.summary.textContent = text || "All elements may occur.";
  }
}
