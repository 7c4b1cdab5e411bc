// The elements: name, place in the periodic table, colour (Jmol's) and covalent radius in Å (Cordero's), from elements.json.

let table = new Map();

/** Load the table; everything else here needs it. */
export async function loadElements() {
  const answer = await fetch("/static/elements.json");
  if (!answer.ok) throw new Error(`elements.json: ${answer.status}`);
  table = new Map((await answer.json()).map((element) => [element.symbol, element]));
}

/** Every element in the order of the atomic number. */
export function allElements() {
  return [...table.values()];
}

/** Facts about one element, by its symbol. */
export function elementOf(symbol) {
  const element = table.get(symbol);
  if (!element) throw new Error(`${symbol} is no element`);
  return element;
}

/** Whether a text is an element's symbol. */
export function isElement(symbol) {
  return table.has(symbol);
}

/** Radius at which an atom is drawn, in Å: small enough to see the bonds, and different enough to tell atoms apart. */
export function drawnRadius(symbol) {
  return 0.22 + 0.22 * elementOf(symbol).radius;
}
