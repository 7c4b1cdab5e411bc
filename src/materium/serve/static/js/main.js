// Joins the parts: what the server offers becomes the form, a request becomes a job, its crystals fill the results.

import { byId, h, refill } from "./dom.js";
import { get, getWhenReady, jobFile, post } from "./api.js";
import { Detail } from "./detail.js";
import { Form, textOf } from "./form.js";
import { JobBar, setUpCopying, showEqual } from "./run.js";
import { Results } from "./results.js";
import { Store } from "./store.js";
import { Upload } from "./upload.js";
import { loadElements } from "./elements.js";
import { titleOf } from "./columns.js";
import { setUpTabs } from "./tabs.js";
import { setUpTheme } from "./theme.js";
import { showModel } from "./about.js";

class Page {
  constructor(offer, presets) {
    this.store = new Store();
    this.store.conditions = offer.conditions;
    this.limits = offer.limits;
    this.relax = true;
    this.results = new Results(this.store);
    this.detail = new Detail(this.store, offer.conditions, this.actions(), (id) => this.results.focus(id));
    this.form = new Form(offer);
    this.making = new JobBar("making");
    this.judging = new JobBar("judging");
    this.ask = setUpTabs(byId("asks"));
    this.upload = new Upload(
      offer.limits,
      () => this.relax,
      (job) => this.begin(job),
    );
    this.store.addEventListener("open", () => this.detail.update());
    this.setUpForm(presets);
    this.setUpTools();
  }

  setUpForm(presets) {
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.generate();
    });
    byId("form-reset").addEventListener("click", () => this.form.fill({}));
    const buttons = presets.map(({ title, description, request }) =>
      h("button", { type: "button", class: "preset", title: description, onclick: () => this.preset(request) }, title),
    );
    refill(byId("presets"), buttons);
  }

  preset(request) {
    this.form.fill(request);
    byId("form-error").textContent = "";
    byId("go").focus();
  }

  setUpTools() {
    byId("judge").addEventListener("click", () =>
      this.examine("/evaluate", this.store.subjects, { relax: this.relax }),
    );
    byId("choose-none").addEventListener("click", () => this.store.chooseAll(false));
    byId("history").addEventListener("change", (event) => this.reopen(event.target.value));
    addEventListener("hashchange", () => this.reopen(location.hash.slice(1)));
    setUpMenus();
    setUpCopying();
    setUpTheme(() => {
      this.results.repaint();
      this.detail.repaint();
    });
  }

  actions() {
    return {
      "detail-judge": (row) => this.examine("/evaluate", [row.id], { relax: this.relax }),
      "detail-score": (row) => this.examine("/score", [row.id], {}),
      "detail-complete": (row) => {
        this.ask("upload-panel");
        byId("ask").scrollIntoView({ block: "start" });
        this.upload.takeCrystal(this.store.job, row);
      },
    };
  }

  async generate() {
    this.form.clearProblems();
    byId("form-error").textContent = "";
    byId("go").disabled = true;
    try {
      this.begin((await post("/generate", this.form.read())).job);
    } catch (error) {
      const shown = this.form.show(error);
      byId("form-error").textContent = shown ? "" : error.message;
      this.making.refused(error.message);
    } finally {
      byId("go").disabled = false;
    }
  }

  /** Show a job's crystals as they come. */
  begin(job) {
    this.store.show(null);
    this.store.clear(job);
    byId("judging-bar").hidden = true;
    showEqual(job);
    history.replaceState(null, "", `#${job.id}`);
    this.making.follow(job, { crystal: (row) => this.store.add(row), end: (now) => this.ended(now) });
    if (matchMedia("(max-width: 900px)").matches) byId("results").scrollIntoView();
    this.listJobs();
  }

  ended(job) {
    showEqual(job);
    this.listJobs();
  }

  /** Have crystals scored, or relaxed and judged; what is found out joins what is known of them. */
  async examine(path, ids, settings) {
    byId("tools-error").textContent = "";
    const merge = (row) => this.store.merge(row, this.judging.job);
    try {
      const { job } = await post(path, { source: { job: this.store.job.id, ids }, ...settings });
      this.judging.follow(job, { crystal: merge, end: (now) => this.examined(now) });
    } catch (error) {
      byId("tools-error").textContent = error.message;
      byId("tools-error").scrollIntoView({ block: "nearest" });
    }
  }

  examined(job) {
    const link =
      job.kind === "evaluate"
        ? h("a", { href: jobFile(job.id, null, "csv"), download: "" }, "All verdicts (CSV)")
        : null;
    refill(byId("verdicts"), link);
    this.listJobs();
  }

  async listJobs() {
    const { jobs } = await get("/jobs");
    const options = jobs.map((job) => h("option", { value: job.id }, nameOf(job)));
    const none = this.store.job ? null : h("option", { value: "", selected: true }, "Earlier runs");
    refill(byId("history"), none, options);
    byId("history-field").hidden = jobs.length === 0;
    if (this.store.job) byId("history").value = this.store.job.id;
  }

  async reopen(id) {
    if (!id || document.getElementById(id) || id === this.store.job?.id) return;
    byId("page-error").textContent = "";
    try {
      if (!/^[0-9a-f]+$/.test(id)) throw new Error(`The address ends in #${id.slice(0, 40)}, which names no run.`);
      const { job } = await get(`/jobs/${id}?limit=0`);
      if (job.kind === "generate") this.form.fill(job.request);
      this.begin(job);
    } catch (error) {
      const gone = error.status === 404;
      byId("page-error").textContent = gone
        ? `There is no run ${id} on this server: it forgets its runs when it is stopped, and the oldest of many.`
        : error.message;
    }
  }

  model(facts) {
    showModel(facts);
    this.relax = facts.extras.chgnet;
    if (this.relax) return;
    byId("judge").textContent = "Judge without relaxing";
    byId("judge-note").textContent = "Relaxing needs CHGNet on the server: 'materium doctor' says there how to install it.";
  }
}

/** Menus close after a choice, a click elsewhere, or Escape. */
function setUpMenus() {
  for (const menu of document.querySelectorAll("details.menu")) {
    menu.addEventListener("click", (event) => event.target.closest("a") && menu.removeAttribute("open"));
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => menu.contains(event.target) || menu.removeAttribute("open"));
  }
}

function nameOf({ kind, created, rows, state, request }) {
  const time = new Date(1000 * created).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const asked = Object.entries(request?.conditions ?? {}).map(([name, value]) => `${titleOf(name)} ${textOf(value)}`);
  const added = kind === "complete" ? `+ ${request.add}` : "";
  const count = state === "running" ? "" : `${rows} ${rows === 1 ? "crystal" : "crystals"}`;
  return [time, kind, asked.join(", "), added, count, state === "done" ? "" : state]
    .filter(Boolean)
    .join(" · ");
}

async function start() {
  const [offer, { presets }] = await Promise.all([get("/conditions"), get("/presets"), loadElements()]);
  const page = new Page(offer, presets);
  if (matchMedia("(max-width: 900px)").matches) {
    for (const part of document.querySelectorAll("#form > details[open]")) part.removeAttribute("open");
    document.querySelector("#form > details").setAttribute("open", "");
  }
  document.body.dataset.ready = "";
  await page.listJobs();
  await page.reopen(location.hash.slice(1));
  page.model(await getWhenReady("/model"));
}

start().catch((error) => {
  byId("page-error").textContent = error.message;
});
