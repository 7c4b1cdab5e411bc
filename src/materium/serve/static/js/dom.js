// Makes elements without a template language: text stays text, and nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `on…` keys are listeners, `class` and `data…` as in HTML, booleans switch attributes, null leaves one out. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an element of a drawing. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) set(element, key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "value" || key === "checked") element[key] = value;
  else element.setAttribute(key, value === true ? "" : value);
}

/** Put the children in place of what an element holds. */
export function refill(element, ...children) {
  element.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
}

/** Find the element with an id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/** Return a function that runs at most once a frame, however often it is called. */
export function oncePerFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

/** A formula as it is printed: LiFePO4 with a small, low 4. */
export function formulaOf(text) {
  const parts = text.match(/[A-Z][a-z]?|[\d.]+|[()]/g) ?? [text];
  return h(
    "span",
    { class: "formula" },
    parts.map((part) => (/\d/.test(part) ? h("sub", {}, part) : part)),
  );
}

/** A Hermann-Mauguin symbol as it is printed: I4_1/amd with a low 1, Fm-3m with a bar over the 3. */
export function spaceGroupOf(symbol) {
  const parts = symbol.match(/_\d|-\d|[^_-]+/g) ?? [symbol];
  return h("span", { class: "group" }, parts.map(spaceGroupPart));
}

function spaceGroupPart(part) {
  if (part.startsWith("_")) return h("sub", {}, part.slice(1));
  if (part.startsWith("-")) return h("span", { class: "over-bar" }, part.slice(1));
  return part;
}

/** Do something that takes long, once what was changed before is on the screen. */
export function afterPaint(action) {
  requestAnimationFrame(() => setTimeout(action));
}

/** Tell those who listen to the page; what is said often is told once. */
export function announce(text) {
  const place = byId("announcer");
  if (place.textContent !== text) place.textContent = text;
}
