// One crystal: turned round in 3D, with its legend, what is known of it, and its files.

import { byId, formulaOf, h, refill, spaceGroupOf } from "./dom.js";
import { crystalFile } from "./api.js";
import { elementOf } from "./elements.js";
import { factsOf } from "./facts.js";
import { contentOf, variantsOf } from "./structures.js";
import { Viewer, signed } from "./viewer.js";

const FORMATS = { cif: "CIF", poscar: "POSCAR", extxyz: "extxyz" };
const TURNS = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] };

export class Detail {
  /** `actions`: what the buttons do with the open crystal, by the button's id; `closed`: told which one was closed. */
  constructor(store, conditions, actions, closed) {
    this.store = store;
    this.conditions = conditions;
    this.closed = closed;
    this.panel = byId("detail");
    this.which = "made";
    this.viewer = new Viewer(byId("viewer"), (text) => {
      byId("pointed").textContent = text;
    });
    this.setUpControls();
    for (const [id, act] of Object.entries(actions)) byId(id).addEventListener("click", () => act(this.row));
  }

  /** The crystal that is open. */
  get row() {
    return this.store.rows.get(this.store.open);
  }

  setUpControls() {
    byId("detail-close").addEventListener("click", () => this.store.show(null));
    byId("detail-before").addEventListener("click", () => this.store.show(this.store.beside(-1)));
    byId("detail-after").addEventListener("click", () => this.store.show(this.store.beside(1)));
    byId("view-bonds").addEventListener("change", (event) => this.viewer.set("bonds", event.target.checked));
    byId("view-spin").addEventListener("change", (event) => this.viewer.set("spin", event.target.checked));
    byId("view-cells").addEventListener("change", (event) => this.viewer.set("repeat", Number(event.target.value)));
    byId("view-reset").addEventListener("click", () => this.viewer.reset());
    byId("variants").addEventListener("change", (event) => this.variant(event.target.value));
    byId("viewer").addEventListener("keydown", (event) => this.key(event));
    this.panel.addEventListener("keydown", (event) => event.key === "Escape" && this.store.show(null));
  }

  key(event) {
    if (TURNS[event.key]) this.viewer.rotate(...TURNS[event.key]);
    else if (event.key === "+" || event.key === "=") this.viewer.zoom(1.2);
    else if (event.key === "-") this.viewer.zoom(1 / 1.2);
    else return;
    event.preventDefault();
  }

  /** Show the store's open crystal, or close. */
  update() {
    const { row } = this;
    if (!row) {
      this.close();
      return;
    }
    const fresh = row.id !== this.shown;
    const opened = this.panel.hidden;
    this.panel.hidden = false;
    document.body.classList.add("with-detail");
    this.describe(row);
    if (fresh) this.which = "made";
    this.showVariants(row, fresh);
    this.shown = row.id;
    if (opened) byId("detail-title").focus({ preventScroll: false });
  }

  close() {
    if (this.panel.hidden) return;
    this.panel.hidden = true;
    document.body.classList.remove("with-detail");
    this.closed(this.shown);
    this.shown = null;
  }

  describe(row) {
    refill(byId("detail-title"), formulaOf(row.formula ?? "unreadable"));
    const group = row.space_group;
    refill(byId("detail-group"), group ? [`${group.number} `, spaceGroupOf(group.symbol)] : "no space group");
    byId("detail-before").disabled = this.store.beside(-1) === null;
    byId("detail-after").disabled = this.store.beside(1) === null;
    const facts = factsOf(row, this.conditions).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
    refill(byId("facts"), facts.flat());
    byId("detail-problem").textContent = row.structure ? "" : (row.reason ?? "");
  }

  showVariants(row, fresh) {
    const variants = variantsOf(row);
    this.variants = variants;
    const options = variants.map(({ which, name }) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name: "variant", value: which, checked: which === this.which }),
        ` ${name}`,
      ),
    );
    byId("variants").hidden = variants.length < 2;
    refill(byId("variants"), h("legend", { class: "unseen" }, "Structure"), options);
    if (variants.length > 0 && fresh)
      this.variant(variants.some(({ which }) => which === this.which) ? this.which : variants[0].which);
    byId("view-tools").hidden = variants.length === 0;
    byId("viewer").hidden = variants.length === 0;
  }

  variant(which) {
    this.which = which;
    const { structure } = this.variants.find((variant) => variant.which === which);
    this.viewer.show(structure);
    this.legend(structure);
    this.sites(structure);
    const links = Object.entries(FORMATS).map(([format, name]) =>
      h("a", { class: "button", href: crystalFile(this.jobOf(which), this.row.id, format, which), download: "" }, name),
    );
    refill(byId("detail-files"), links);
  }

  /** The relaxed structure lies with the job that relaxed it. */
  jobOf(which) {
    return which === "relaxed" ? (this.row.judged_by ?? this.store.job.id) : this.store.job.id;
  }

  legend(structure) {
    const entries = contentOf(structure).map(({ symbol, count, states }) => {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = elementOf(symbol).color;
      const charges = [...states]
        .filter((state) => state !== 0)
        .sort((one, other) => one - other)
        .map(signed)
        .join(", ");
      return h(
        "li",
        {},
        swatch,
        h("span", {}, elementOf(symbol).name),
        h("span", { class: "quiet" }, `× ${count}${charges ? `, ${charges}` : ""}`),
      );
    });
    refill(byId("legend"), entries);
  }

  sites(structure) {
    const rows = structure.species.map((symbol, site) => {
      const state = structure.oxidation ? signed(structure.oxidation[site]) : "–";
      const place = structure.frac_coords[site].map((value) => h("td", { class: "number" }, value.toFixed(4)));
      return h("tr", {}, h("th", { scope: "row" }, symbol), h("td", { class: "number" }, state), place);
    });
    refill(byId("sites"), rows);
  }

  /** Draw again in the colours of the theme. */
  repaint() {
    if (this.row) this.viewer.repaint();
  }
}
