// The 3D view, drawn by 3Dmol.js. Without the library, or without WebGL, it says so and shows the still picture.

import { drawnRadius, elementOf } from "./elements.js";
import { atomsOf, bondsOf, edgesOf } from "./geometry.js";
import { afterPaint, h, refill } from "./dom.js";
import { drawThumbnail } from "./thumbnail.js";

const STICK = 0.09; // Å
const EDGE = 0.03;
const FILL = 0.84; // of the view are the cell and its letters; the rest is for the atoms about its corners
const LABEL = 1.3; // Å beyond the end of a lattice vector
const AXES = ["a", "b", "c"];
const LETTERS = { fontSize: 16, showBackground: false, inFront: true };

export class Viewer {
  /** Fill a container with the view; `say` is told of the atom under the pointer. */
  constructor(container, say) {
    this.container = container;
    this.say = say;
    this.options = { repeat: 1, bonds: true, spin: false };
    this.structure = null;
    this.screen = null; // of 3Dmol's, where there is one
    this.tried = false;
    new ResizeObserver(() => this.resize()).observe(container);
  }

  /** Show a structure, seen from the front; the facts about it need not wait for the picture. */
  show(structure) {
    this.structure = structure;
    afterPaint(() => {
      if (this.structure !== structure) return; // another one was opened meanwhile
      this.open();
      this.draw();
      this.reset();
    });
  }

  /** Change `repeat`, `bonds` or `spin`; the point of view stays unless the number of cells changes. */
  set(name, value) {
    this.options[name] = value;
    if (!this.tried) return;
    if (name === "spin") this.turn();
    else this.draw();
    if (name === "repeat") this.reset();
  }

  /** Look at the whole of it from where it is recognised best. */
  reset() {
    if (!this.screen) return;
    this.screen.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    this.screen.zoomTo();
    this.screen.rotate(-25, "y");
    this.screen.rotate(15, "x");
    this.screen.render();
    this.fit();
    this.turn();
  }

  /** Come as near as all of it can be seen. */
  fit() {
    const corners = edgesOf(this.structure.lattice, this.options.repeat).flat().map(point);
    const seen = this.screen.modelToScreen([...corners, ...this.letters()]);
    const box = this.container.getBoundingClientRect();
    const wide = 2 * farthest(seen.map(({ x }) => x - scrollX - box.left - box.width / 2));
    const high = 2 * farthest(seen.map(({ y }) => y - scrollY - box.top - box.height / 2));
    const { clientWidth, clientHeight } = this.container;
    if (wide > 0 && high > 0) this.zoom(FILL * Math.min(clientWidth / wide, clientHeight / high));
  }

  /** Draw again, in the colours of the theme that holds now. */
  repaint() {
    if (this.tried) this.draw();
  }

  /** Start or stop turning. */
  turn() {
    this.screen?.spin(this.options.spin ? "y" : false, 0.6);
  }

  /** Turn by hand: degrees about an axis of the screen. */
  rotate(degrees, axis) {
    this.screen?.rotate(degrees, axis);
    this.screen?.render();
  }

  /** Come nearer by a factor, or go away. */
  zoom(factor) {
    this.screen?.zoom(factor);
    this.screen?.render();
  }

  resize() {
    if (!this.tried) return;
    if (this.screen && this.container.clientWidth > 0) this.screen.resize();
    else if (!this.screen) this.still();
  }

  open() {
    this.tried = true;
    if (this.screen || !globalThis.$3Dmol || !hasWebGL()) return;
    refill(this.container);
    this.screen = globalThis.$3Dmol.createViewer(this.container, {
      backgroundAlpha: 0,
      antialias: true,
      disableFog: true,
    });
    this.screen.setHoverDuration(80);
  }

  draw() {
    if (!this.screen) {
      this.still();
      return;
    }
    const { repeat, bonds } = this.options;
    const atoms = atomsOf(this.structure, repeat);
    const pairs = bonds ? bondsOf(atoms, this.structure.oxidation) : [];
    this.screen.removeAllModels();
    this.screen.removeAllShapes();
    this.screen.removeAllLabels();
    this.addAtoms(atoms, pairs);
    this.addCell(repeat);
    this.screen.render();
  }

  addAtoms(atoms, pairs) {
    const model = this.screen.addModel();
    const specs = atoms.map(({ site, symbol, position: [x, y, z] }) => ({
      elem: symbol,
      x,
      y,
      z,
      bonds: [],
      bondOrder: [],
      properties: { site },
    }));
    for (const [i, j] of pairs) {
      join(specs[i], j);
      join(specs[j], i);
    }
    model.addAtoms(specs);
    for (const symbol of new Set(this.structure.species)) {
      const { color } = elementOf(symbol);
      model.setStyle(
        { elem: symbol },
        { sphere: { radius: drawnRadius(symbol), color }, stick: { radius: STICK, color } },
      );
    }
    model.setHoverable(
      {},
      true,
      (atom) => this.say(this.describe(atom.properties.site)),
      () => this.say(""),
    );
  }

  addCell(repeat) {
    const color = hexOf(getComputedStyle(this.container).color);
    for (const [start, end] of edgesOf(this.structure.lattice, repeat)) {
      this.screen.addCylinder({ start: point(start), end: point(end), radius: EDGE, color, fromCap: 1, toCap: 1 });
    }
    this.letters().forEach((position, axis) => {
      this.screen.addLabel(AXES[axis], {
        position,
        fontColor: hexOf(getComputedStyle(document.body).color),
        alignment: "center",
        ...LETTERS,
      });
    });
  }

  /** Where the letters of the axes stand: beyond the ends of the lattice vectors, clear of the atoms there. */
  letters() {
    const { repeat } = this.options;
    return this.structure.lattice.map((vector) => {
      const away = 1 + LABEL / repeat / Math.hypot(...vector);
      return point(vector.map((value) => value * repeat * away));
    });
  }

  describe(site) {
    const state = this.structure.oxidation?.[site];
    const charge = state === undefined || state === null ? "" : ` (${signed(state)})`;
    const place = this.structure.frac_coords[site].map((value) => value.toFixed(3)).join(", ");
    return `${elementOf(this.structure.species[site]).name}${charge} at ${place}`;
  }

  still() {
    const canvas = h("canvas", { class: "still", role: "img", "aria-label": "Still picture of the crystal" });
    const missing = globalThis.$3Dmol
      ? "This browser offers no WebGL"
      : "The 3D viewer is not set up (make serve fetches it)";
    refill(this.container, canvas, h("p", { class: "notice" }, `${missing}; this is a still picture.`));
    drawThumbnail(
      canvas,
      this.structure,
      { width: canvas.clientWidth, height: canvas.clientHeight },
      getComputedStyle(canvas).color,
    );
  }
}

/** A charge as it is written: 2+, 1-, 0. */
export function signed(state) {
  if (state === 0) return "0";
  return `${Math.abs(state)}${state > 0 ? "+" : "−"}`;
}

/** A colour as the browser writes it, rgb(1, 2, 3), in the form that the viewer reads. */
function hexOf(color) {
  const channels = color.match(/\d+(\.\d+)?/g).slice(0, 3);
  return `#${channels.map((value) => Math.round(Number(value)).toString(16).padStart(2, "0")).join("")}`;
}

function farthest(distances) {
  return Math.max(...distances.map(Math.abs));
}

const point = ([x, y, z]) => ({ x, y, z });

function join(spec, other) {
  spec.bonds.push(other);
  spec.bondOrder.push(1);
}

let webgl = null;

function hasWebGL() {
  webgl ??= Boolean(document.createElement("canvas").getContext("webgl2"));
  return webgl;
}
