// The gallery: a card for each crystal, of which only those in sight are on the page.

import { formulaOf, h, spaceGroupOf } from "./dom.js";
import { rounded } from "./columns.js";
import { novelMeans } from "./facts.js";
import { drawable } from "./structures.js";
import { drawThumbnail } from "./thumbnail.js";
import { VirtualList } from "./virtual.js";

const HEIGHT = 236; // CSS pixels, with the gap below
const LEAST_WIDTH = 140;
const GAP = 12;

export class Gallery {
  constructor(space, store) {
    this.space = space;
    this.store = store;
    this.rows = [];
    this.list = new VirtualList(space, {
      height: HEIGHT,
      columns: () => Math.max(1, Math.floor((space.clientWidth + GAP) / (LEAST_WIDTH + GAP))),
      make: (index) => this.card(index),
      place: (card, index, columns) => this.place(card, index, columns),
      mounted: (fresh) => this.pictures(fresh),
    });
    space.addEventListener("keydown", (event) => this.key(event));
    space.addEventListener("focusin", (event) => {
      this.list.kept = indexOf(event.target);
    });
  }

  /** Show the store's rows; `fresh`: in another order, or changed. */
  update(fresh) {
    const before = this.rows;
    this.rows = this.store.seen;
    const grown = !fresh && before.every((row, index) => row === this.rows[index]);
    if (grown) this.list.grow(this.rows.length);
    else this.again();
  }

  /** Make the cards in sight anew, and leave the focus where it was. */
  again() {
    const focused = this.space.contains(document.activeElement) ? document.activeElement : null;
    const id = focused?.closest("[data-id]")?.dataset.id;
    this.list.reset(this.rows.length);
    if (id)
      this.space
        .querySelector(`[data-id="${CSS.escape(id)}"] ${focused.matches("input") ? "input" : "button"}`)
        ?.focus();
  }

  place(card, index, columns) {
    const width = (this.space.clientWidth - GAP * (columns - 1)) / columns;
    card.style.width = `${width}px`;
    card.style.height = `${HEIGHT - GAP}px`;
    card.style.transform = `translate(${(index % columns) * (width + GAP)}px, ${Math.floor(index / columns) * HEIGHT}px)`;
  }

  card(index) {
    const row = this.rows[index];
    const choose = h("input", {
      type: "checkbox",
      checked: this.store.chosen.has(row.id),
      "aria-label": `Choose ${row.formula ?? row.id}`,
      onchange: (event) => this.store.choose(row.id, event.target.checked),
    });
    const open = h(
      "button",
      {
        type: "button",
        class: "card-open",
        "aria-current": row.id === this.store.open ? "true" : null,
        onclick: () => this.store.show(row.id),
      },
      h("canvas", { class: "thumbnail", "aria-hidden": "true" }),
      h("span", { class: "card-name" }, formulaOf(row.formula ?? "unreadable")),
      caption(row),
    );
    return h(
      "div",
      {
        class: "card",
        role: "listitem",
        "data-id": row.id,
        "data-index": index,
        "aria-posinset": index + 1,
        "aria-setsize": this.rows.length,
      },
      open,
      h("span", { class: "choose" }, choose),
    );
  }

  /** Draw the pictures of new cards; all are measured before one is drawn, so that the page is laid out once. */
  pictures(fresh) {
    const canvases = fresh.map(([card]) => card.querySelector("canvas"));
    const sizes = canvases.map((canvas) => ({ width: canvas.clientWidth, height: canvas.clientHeight }));
    const ink = canvases.length > 0 ? getComputedStyle(canvases[0]).color : "";
    fresh.forEach(([, index], place) => {
      const { structure } = this.rows[index];
      if (structure) drawThumbnail(canvases[place], drawable(structure), sizes[place], ink);
    });
  }

  key(event) {
    const index = indexOf(event.target);
    if (index === null || event.target.matches("input")) return;
    const columns = this.list.columns;
    const next = {
      ArrowRight: index + 1,
      ArrowLeft: index - 1,
      ArrowDown: index + columns,
      ArrowUp: index - columns,
      Home: 0,
      End: this.rows.length - 1,
    }[event.key];
    if (next === undefined || next < 0 || next >= this.rows.length) return;
    event.preventDefault();
    this.list.reveal(next).querySelector("button").focus({ preventScroll: true });
  }

  /** Mark the open crystal, and keep it in sight when the view of it takes room. */
  mark() {
    if (this.store.open && this.store.open !== this.marked) requestAnimationFrame(() => this.reveal(this.store.open));
    this.marked = this.store.open;
    for (const card of this.space.querySelectorAll(".card")) {
      const button = card.querySelector("button");
      if (card.dataset.id === this.store.open) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  /** Put the focus back on a crystal's card, as when the view of it is closed. */
  focus(id) {
    this.reveal(id)?.querySelector("button").focus();
  }

  reveal(id) {
    const index = this.rows.findIndex((row) => row.id === id);
    return index >= 0 && this.space.offsetParent ? this.list.reveal(index) : null;
  }
}

function indexOf(target) {
  const card = target.closest?.("[data-index]");
  return card ? Number(card.dataset.index) : null;
}

function caption(row) {
  const group = row.space_group
    ? [`${row.space_group.number} `, spaceGroupOf(row.space_group.symbol)]
    : ["no space group"];
  if (!row.structure) return h("span", { class: "card-facts" }, h("span", { class: "why" }, row.reason ?? ""));
  const hull = row.verdict?.energy_above_hull;
  const judged = hull !== null && hull !== undefined && !row.verdict.unsupported;
  const note = judged ? `${rounded(hull, 3)} eV/atom above hull` : densityOf(row);
  return h(
    "span",
    { class: "card-facts" },
    h("span", {}, group),
    h("span", {}, note),
    h("span", { class: "tags" }, tagsOf(row)),
  );
}

function densityOf(row) {
  return row.density === null || row.density === undefined ? "" : `${rounded(row.density, 2)} g/cm³`;
}

function tagsOf(row) {
  const novel = row.verdict?.novel ?? row.novelty?.novel;
  const tags = [];
  if (row.valid === false) tags.push(h("span", { class: "tag bad" }, "not valid"));
  if (novel === true) {
    const means = [novelMeans(row.novelty), row.verdict?.novelty ?? row.novelty?.novelty].filter(Boolean).join("; ");
    tags.push(h("span", { class: "tag", title: means }, "not in reference"));
  }
  if (novel === false) tags.push(h("span", { class: "tag" }, "in reference"));
  if (row.verdict?.metastable)
    tags.push(h("span", { class: "tag good" }, row.verdict.stable ? "stable" : "metastable"));
  if (row.verdict?.unsupported)
    tags.push(h("span", { class: "tag bad", title: row.verdict.hull_reason ?? "" }, "unsupported"));
  if (["exploded", "error"].includes(row.verdict?.relax_status))
    tags.push(h("span", { class: "tag bad" }, "not relaxed"));
  return tags;
}
