// The results: three views of the same crystals, what can be done with them, and their files.

import { byId, h, oncePerFrame, refill } from "./dom.js";
import { jobFile } from "./api.js";
import { Gallery } from "./gallery.js";
import { headingOf } from "./columns.js";
import { Scatter } from "./scatter.js";
import { setUpFilters } from "./filters.js";
import { setUpTabs } from "./tabs.js";
import { Table } from "./table.js";

const FILES = { zip: "Everything (zip)", cif: "CIF", poscar: "POSCAR", extxyz: "extxyz", csv: "Table (CSV)" };

export class Results {
  constructor(store) {
    this.store = store;
    this.view = "gallery-panel";
    this.gallery = new Gallery(byId("gallery"), store);
    this.table = new Table(byId("table-head"), byId("table-body"), store);
    this.scatter = new Scatter(byId("plot"), store);
    this.fresh = true;
    this.update = oncePerFrame(() => this.draw());
    store.addEventListener("rows", () => this.changed(true));
    store.addEventListener("more", () => this.changed(false));
    store.addEventListener(
      "chosen",
      oncePerFrame(() => this.showChoice()),
    );
    store.addEventListener("open", () => this.mark());
    setUpFilters(store);
    setUpTabs(byId("views"), (panel) => {
      this.view = panel;
      this.changed(true);
    });
    byId("sort").addEventListener("change", (event) => store.sortBy(event.target.value, store.sort.down));
    byId("sort-down").addEventListener("click", () => store.sortBy(store.sort.key, !store.sort.down));
  }

  changed(fresh) {
    this.fresh ||= fresh;
    this.update();
  }

  draw() {
    const views = { "gallery-panel": this.gallery, "table-panel": this.table, "plot-panel": this.scatter };
    views[this.view].update(this.fresh);
    this.fresh = false;
    const [seen, all] = [this.store.seen.length, this.store.rows.size];
    byId("count").textContent =
      seen === all ? `${all} ${all === 1 ? "crystal" : "crystals"}` : `${seen} of ${all} crystals`;
    byId("nothing").hidden = all > 0;
    byId("nothing-passes").hidden = all === 0 || seen > 0;
    byId("tools").hidden = all === 0;
    this.showSorting();
    this.mark();
  }

  showSorting() {
    const select = byId("sort");
    const { key, down } = this.store.sort;
    refill(
      select,
      h("option", { value: "" }, "by number"),
      this.store.columns.map((column) => h("option", { value: column.key }, headingOf(column))),
    );
    select.value = key;
    byId("sort-down").textContent = down ? "↓" : "↑";
    byId("sort-down").setAttribute("aria-label", down ? "Largest first; turn round" : "Smallest first; turn round");
  }

  showChoice() {
    const chosen = this.store.chosen.size;
    const count = this.store.subjects.length;
    byId("subjects").textContent = chosen > 0 ? `${chosen} chosen` : "all that are shown";
    byId("choose-none").hidden = chosen === 0;
    byId("judge").disabled = count === 0;
    if (this.store.job) this.showFiles();
  }

  showFiles() {
    const { job, chosen, seen, rows } = this.store;
    const ids = chosen.size === 0 && seen.length === rows.size ? null : this.store.subjects;
    const links = Object.entries(FILES).map(([format, name]) =>
      h("a", { href: jobFile(job.id, ids, format), download: "", "data-format": format }, name),
    );
    refill(
      byId("files"),
      links.map((link) => h("li", {}, link)),
    );
  }

  mark() {
    for (const view of [this.gallery, this.table, this.scatter]) view.mark();
  }

  /** Put the focus back on a crystal. */
  focus(id) {
    if (this.view === "gallery-panel") this.gallery.focus(id);
    else
      document
        .querySelector(`#results [data-id="${CSS.escape(id)}"] button, #results circle[data-id="${CSS.escape(id)}"]`)
        ?.focus();
  }

  /** Draw the pictures again, in the colours of the theme. */
  repaint() {
    this.changed(true);
  }
}
