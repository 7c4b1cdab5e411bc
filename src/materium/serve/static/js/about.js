// What the model is: a line in the head of the page, and its facts and card in a dialog.

import { byId, h, refill } from "./dom.js";

/** Show the answer of GET /model. */
export function showModel(model) {
  byId("model-line").textContent =
    `${millions(model.parameters)} million parameters, primitive cells of up to ${model.max_sites} atoms`;
  refill(
    byId("model-facts"),
    model.facts.flatMap(({ name, value }) => [h("dt", {}, name), h("dd", {}, value)]),
  );
  refill(byId("model-card"), cardOf(model.card));
  const dialog = byId("about");
  byId("about-open").addEventListener("click", () => dialog.showModal());
  byId("about-close").addEventListener("click", () => dialog.close());
}

function millions(count) {
  return (count / 1e6).toFixed(1);
}

/** The card's Markdown as elements: headings, lists, tables and paragraphs, which is all that it has. */
function cardOf(text) {
  const blocks = text
    .split(/\n(?=#)|\n{2,}/)
    .map((block) => block.trim())
    .filter(Boolean);
  return blocks.flatMap((block) => blockOf(block));
}

function blockOf(block) {
  const [first, ...rest] = block.split("\n");
  const heading = first.match(/^#+\s+(.*)/);
  if (heading) return [h("h3", {}, heading[1]), ...(rest.length > 0 ? blockOf(rest.join("\n").trim()) : [])];
  if (first.startsWith("|"))
    return [
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of the card" },
        tableOf([first, ...rest]),
      ),
    ];
  if (/^- /.test(first))
    return [
      h(
        "ul",
        {},
        block.split(/\n(?=- )/).map((item) => h("li", {}, plain(item.slice(2)))),
      ),
    ];
  return [h("p", {}, plain(block))];
}

function tableOf(lines) {
  const rows = lines
    .filter((line) => !/^\|[\s|:-]+\|$/.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => plain(cell.trim())),
    );
  const [head, ...body] = rows;
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head.map((cell) => h("th", { scope: "col" }, cell)),
      ),
    ),
    h(
      "tbody",
      {},
      body.map((row) =>
        h(
          "tr",
          {},
          row.map((cell) => h("td", {}, cell)),
        ),
      ),
    ),
  );
}

/** Without the marks of emphasis, code and links. */
function plain(text) {
  return text
    .replace(/\*\*|`/g, "")
    .replace(/\[([^\]]+)\]\([^)]+\)/g, "$1")
    .replace(/\s+/g, " ");
}
