// The plot: any two columns against each other. A point opens its crystal; the arrow keys go from point to point.

import { byId, h, refill, svg } from "./dom.js";
import { headingOf, rounded } from "./columns.js";
import { offer } from "./filters.js";

const MARGIN = { left: 62, right: 16, top: 14, bottom: 46 };
const HEIGHT = 420;

export class Scatter {
  constructor(container, store) {
    this.container = container;
    this.store = store;
    this.selects = [byId("plot-x"), byId("plot-y")];
    for (const select of this.selects) select.addEventListener("change", () => this.update());
    container.addEventListener("keydown", (event) => this.key(event));
    this.width = 0;
    new ResizeObserver(() => container.clientWidth !== this.width && this.update()).observe(container);
  }

  /** Draw what the store holds now. */
  update() {
    if (this.container.clientWidth === 0) return;
    const columns = this.store.columns;
    offer(this.selects[0], columns, "density");
    offer(this.selects[1], columns, "per_atom");
    const [x, y] = this.selects.map((select) => columns.find((column) => column.key === select.value));
    this.draw(x, y, this.pointsOf(x, y));
  }

  pointsOf(x, y) {
    const points = this.store.seen.map((row) => ({ row, x: x.get(row), y: y.get(row) }));
    const known = points.filter((point) => [point.x, point.y].every((value) => value !== null && value !== undefined));
    return known.sort((one, other) => one.x - other.x || one.y - other.y);
  }

  draw(x, y, points) {
    const width = this.container.clientWidth;
    this.width = width;
    const across = axis(
      points.map((point) => point.x),
      MARGIN.left,
      width - MARGIN.right,
    );
    const up = axis(
      points.map((point) => point.y),
      HEIGHT - MARGIN.bottom,
      MARGIN.top,
    );
    const dots = points.map((point) => this.dot(point, across.at(point.x), up.at(point.y), x, y));
    if (dots.length > 0) dots[0].setAttribute("tabindex", "0");
    const drawing = svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${HEIGHT}`,
        width,
        height: HEIGHT,
        role: "group",
        "aria-label": `${points.length} crystals: ${y.label} against ${x.label}. Arrow keys go from point to point, Enter opens.`,
      },
      frame(across, up, width),
      label(headingOf(x), (MARGIN.left + width) / 2, HEIGHT - 8),
      upright(headingOf(y)),
      dots,
    );
    const missing = this.store.seen.length - points.length;
    const note =
      missing > 0
        ? h("p", { class: "hint" }, `${missing} of ${this.store.seen.length} are not drawn: a value is not known.`)
        : null;
    refill(this.container, drawing, note);
  }

  dot({ row }, cx, cy, x, y) {
    const text = `${row.formula}: ${x.label} ${rounded(x.get(row), x.digits)}, ${y.label} ${rounded(y.get(row), y.digits)}`;
    return svg(
      "circle",
      {
        cx,
        cy,
        r: 5,
        class: `dot${row.valid === false ? " hollow" : ""}${row.id === this.store.open ? " open" : ""}`,
        role: "button",
        tabindex: "-1",
        "aria-label": text,
        "data-id": row.id,
        onclick: () => this.store.show(row.id),
      },
      svg("title", {}, text),
    );
  }

  key(event) {
    const dots = [...this.container.querySelectorAll(".dot")];
    const place = dots.indexOf(document.activeElement);
    if (place < 0) return;
    if (event.key === "Enter" || event.key === " ") this.store.show(dots[place].dataset.id);
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const next = dots[place + (step ?? 0)];
    if (!next || !step) return;
    dots[place].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  /** Mark the open crystal. */
  mark() {
    for (const dot of this.container.querySelectorAll(".dot"))
      dot.classList.toggle("open", dot.dataset.id === this.store.open);
  }
}

/** Round ticks for some values, and where a value falls between two pixels. */
function axis(values, from, to) {
  const [low, high] = values.length > 0 ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const span = high - low || Math.abs(high) || 1;
  const step = niceStep(span / 5);
  const first = Math.floor((low - 0.02 * span) / step) * step;
  const last = Math.ceil((high + 0.02 * span) / step) * step;
  const ticks = [];
  for (let tick = first; tick <= last + step / 2; tick += step) ticks.push(tick);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { ticks, digits, at: (value) => from + ((value - first) / (last - first)) * (to - from) };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function frame(across, up, width) {
  const [bottom, right] = [HEIGHT - MARGIN.bottom, width - MARGIN.right];
  const every = Math.max(1, Math.ceil(across.ticks.length / Math.max(2, Math.floor(width / 70))));
  return svg(
    "g",
    { "aria-hidden": "true" },
    across.ticks.map((tick) =>
      svg("line", { class: "grid", x1: across.at(tick), x2: across.at(tick), y1: MARGIN.top, y2: bottom }),
    ),
    up.ticks.map((tick) =>
      svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: up.at(tick), y2: up.at(tick) }),
    ),
    across.ticks
      .filter((_, place) => place % every === 0)
      .map((tick) => label(rounded(tick, across.digits), across.at(tick), bottom + 18)),
    up.ticks.map((tick) => label(rounded(tick, up.digits), MARGIN.left - 8, up.at(tick) + 4, "end")),
  );
}

function label(text, x, y, anchor = "middle") {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

function upright(text) {
  const middle = (HEIGHT - MARGIN.bottom) / 2;
  return svg("text", { x: -middle, y: 15, "text-anchor": "middle", transform: "rotate(-90)" }, text);
}
