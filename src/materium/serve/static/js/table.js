// The table: the same crystals, a row each, sorted by a click on a heading. Only the rows in sight are on the page.

import { h, refill } from "./dom.js";
import { headingOf, shown } from "./columns.js";
import { VirtualList } from "./virtual.js";

const HEIGHT = 37; // CSS pixels of a row
const WIDTH = 96; // of a column that says nothing else

export class Table {
  constructor(head, body, store) {
    this.head = head;
    this.store = store;
    this.table = head.closest('[role="table"]');
    this.list = new VirtualList(body, {
      height: HEIGHT,
      columns: () => 1,
      make: (index) => this.row(index),
      place: (element, index) => {
        element.style.transform = `translateY(${index * HEIGHT}px)`;
      },
    });
  }

  /** Show what the store holds now. */
  update() {
    this.columns = this.store.columns;
    this.table.setAttribute("aria-rowcount", this.store.seen.length + 1);
    this.table.style.setProperty(
      "--template",
      `38px ${this.columns.map((column) => `${column.width ?? WIDTH}px`).join(" ")}`,
    );
    const focused = this.head.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    refill(
      this.head,
      this.chooser(),
      this.columns.map((column) => this.heading(column)),
    );
    if (focused) this.head.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    this.list.reset(this.store.seen.length);
  }

  chooser() {
    const all = this.store.seen.length > 0 && this.store.seen.every((row) => this.store.chosen.has(row.id));
    const box = h("input", {
      type: "checkbox",
      checked: all,
      "aria-label": "Choose all that are shown",
      onchange: (event) => this.store.chooseAll(event.target.checked),
    });
    return h("div", { role: "columnheader", class: "cell" }, box);
  }

  heading(column) {
    const { key, down } = this.store.sort;
    const order = column.key === key ? (down ? "descending" : "ascending") : "none";
    const button = h(
      "button",
      { type: "button", "data-key": column.key, onclick: () => this.store.sortBy(column.key) },
      headingOf(column),
      h("span", { class: "arrow", "aria-hidden": "true" }, { ascending: "▲", descending: "▼", none: "" }[order]),
    );
    return h("div", { role: "columnheader", class: cellClass(column), "aria-sort": order }, button);
  }

  row(index) {
    const row = this.store.seen[index];
    const choose = h("input", {
      type: "checkbox",
      checked: this.store.chosen.has(row.id),
      "aria-label": `Choose ${row.formula ?? row.id}`,
      onchange: (event) => this.store.choose(row.id, event.target.checked),
    });
    return h(
      "div",
      {
        role: "row",
        class: "row",
        "data-id": row.id,
        "aria-rowindex": index + 2,
        onclick: (event) => event.target.matches("input") || this.store.show(row.id),
      },
      h("div", { role: "cell", class: "cell" }, choose),
      this.columns.map((column) => this.cell(column, row)),
    );
  }

  cell(column, row) {
    const content = shown(column, row);
    const inner = column.key === "formula" ? h("button", { type: "button", class: "link" }, content) : content;
    return h("div", { role: "cell", class: cellClass(column) }, inner);
  }

  /** Mark the open crystal. */
  mark() {
    for (const row of this.list.shown.values()) row.classList.toggle("open", row.dataset.id === this.store.open);
  }
}

/** Numbers stand on the right, unless words follow them. */
function cellClass(column) {
  return column.kind === "number" && !column.show ? "cell number" : "cell";
}
