// A long list of which only what is seen is on the page: rows of equal height in one or more columns.

import { oncePerFrame } from "./dom.js";

const SPARE = 2; // rows above and below, so that a quick scroll shows no gap

export class VirtualList {
  /**
   * @param {HTMLElement} space  the element as tall as all rows; it may lie in any scrolling element, or in the page
   * @param {{height: number, columns: () => number, make: (index: number) => HTMLElement,
   *          place: (element: HTMLElement, index: number, columns: number) => void,
   *          mounted?: (fresh: [HTMLElement, number][]) => void}} parts
   */
  constructor(space, parts) {
    this.space = space;
    this.parts = parts;
    this.count = 0;
    this.shown = new Map();
    this.kept = null; // the index that has the focus: it stays on the page although it is scrolled away
    this.columns = 1;
    this.width = 0;
    this.update = oncePerFrame(() => this.render());
    document.addEventListener("scroll", this.update, { capture: true, passive: true });
    new ResizeObserver(this.update).observe(space);
  }

  /** Say how many there are, and make those that are seen anew. */
  reset(count) {
    this.count = count;
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
    this.render();
  }

  /** Say that there are more at the end; those before stay as they are. */
  grow(count) {
    this.count = count;
    this.render();
  }

  /** The first and the last index that are in sight, with some spare. */
  range() {
    const scroller = scrollerOf(this.space);
    const box = this.space.getBoundingClientRect();
    const top = Math.max(scroller.top, 0) - box.top;
    const bottom = Math.min(scroller.bottom, window.innerHeight) - box.top;
    const first = Math.max(0, Math.floor(top / this.parts.height) - SPARE);
    const last = Math.ceil(bottom / this.parts.height) + SPARE;
    return [first * this.columns, Math.min(this.count, last * this.columns)];
  }

  render() {
    if (this.space.offsetParent === null) return; // hidden with its view
    const columns = this.parts.columns();
    if (columns !== this.columns || this.space.clientWidth !== this.width) this.rearrange(columns);
    this.space.style.height = `${Math.ceil(this.count / columns) * this.parts.height}px`;
    const [first, last] = this.range();
    for (const [index, element] of this.shown) {
      if ((index < first || index >= last) && index !== this.kept) {
        element.remove();
        this.shown.delete(index);
      }
    }
    const fresh = [];
    for (let index = first; index < last; index += 1) if (this.mount(index)) fresh.push(index);
    this.parts.mounted?.(fresh.map((index) => [this.shown.get(index), index]));
  }

  /** Put what is shown where it belongs now that the width is another; the elements stay, and the focus with them. */
  rearrange(columns) {
    this.columns = columns;
    this.width = this.space.clientWidth;
    const shown = [...this.shown].map(([index, element]) => [element, index]);
    for (const [element, index] of shown) this.parts.place(element, index, columns);
    this.parts.mounted?.(shown);
  }

  mount(index) {
    if (this.shown.has(index)) return false;
    const element = this.parts.make(index);
    this.parts.place(element, index, this.columns);
    this.shown.set(index, element);
    this.space.insertBefore(element, this.after(index));
    return true;
  }

  /** The element that follows an index on the page: what is read aloud comes in order. */
  after(index) {
    let best = null;
    for (const other of this.shown.keys()) if (other > index && (best === null || other < best)) best = other;
    return best === null ? null : this.shown.get(best);
  }

  /** Bring an index into sight and return its element. */
  reveal(index) {
    this.kept = index;
    if (this.mount(index)) this.parts.mounted?.([[this.shown.get(index), index]]);
    const element = this.shown.get(index);
    element.scrollIntoView({ block: "nearest" });
    this.render();
    return element;
  }
}

function scrollerOf(element) {
  for (let parent = element.parentElement; parent && parent !== document.body; parent = parent.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(parent).overflowY)) return parent.getBoundingClientRect();
  }
  return { top: 0, bottom: window.innerHeight };
}
