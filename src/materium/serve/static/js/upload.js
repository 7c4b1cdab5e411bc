// A structure of one's own: score it, judge it, or let the model complete it.

import { byId } from "./dom.js";
import { post } from "./api.js";

export class Upload {
  /** `started` is told of every job that begins, `limits` are the server's, `relax` tells whether it can relax. */
  constructor(limits, relax, started) {
    this.limits = limits;
    this.relax = relax;
    this.started = started;
    this.source = null;
    const input = byId("upload-files");
    input.addEventListener("change", () => this.take([...input.files]));
    this.setUpDropping(byId("upload-drop"));
    byId("upload-score").addEventListener("click", () => this.send("/score", {}));
    byId("upload-judge").addEventListener("click", () => this.send("/evaluate", { relax: this.relax() }));
    byId("complete-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send("/complete", this.completion());
    });
  }

  setUpDropping(area) {
    area.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.classList.add("over");
    });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over");
      this.take([...event.dataTransfer.files]);
    });
  }

  /** Read files as text; what is too large is not read. */
  async take(files) {
    this.fail("");
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    if (files.length === 0) return;
    if (bytes > this.limits.body_bytes) {
      this.fail(
        `${megabytes(bytes)} MB are too much; the server takes ${megabytes(this.limits.body_bytes)} MB at a time.`,
      );
      return;
    }
    const texts = await Promise.all(files.map(async (file) => ({ name: file.name, text: await file.text() })));
    this.use({ files: texts }, files.map((file) => file.name).join(", "));
  }

  /** Take a crystal of the gallery as the structure. */
  takeCrystal(job, row) {
    this.use({ job: job.id, ids: [row.id] }, `${row.formula} (${row.id})`);
    byId("complete-add").focus();
  }

  use(source, name) {
    this.source = source;
    byId("upload-name").textContent = name;
  }

  completion() {
    return {
      add: byId("complete-add").value.trim(),
      n: byId("complete-n").valueAsNumber || null,
      seed: byId("complete-seed").valueAsNumber || 0,
      keep_lattice: byId("complete-keep").checked,
      temperature: byId("complete-temperature").valueAsNumber || null,
    };
  }

  async send(path, settings) {
    this.fail("");
    if (!this.source) {
      this.fail("Choose a file first: CIF, POSCAR or extxyz.");
      byId("upload-files").focus();
      return;
    }
    try {
      this.started((await post(path, { source: this.source, ...given(settings) })).job);
    } catch (error) {
      this.fail(error.message);
    }
  }

  fail(message) {
    byId("upload-error").textContent = message;
  }
}

function given(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null));
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
