// A job on the page: follow it, show how far it is, cancel it, and print the command line and the Python call that do the same.

import { announce, byId, h, refill } from "./dom.js";
import { follow, post } from "./api.js";

const STAGES = {
  generate: "Generating",
  complete: "Completing",
  read: "Reading",
  score: "Scoring",
  check: "Checking",
  unique: "Comparing with each other",
  novel: "Comparing with what is known",
  relax: "Relaxing",
  unique_relaxed: "Comparing the relaxed ones",
  novel_relaxed: "Comparing the relaxed ones with what is known",
  hull: "Measuring against the hull",
};
const VERBS = { generate: "generated", complete: "generated", score: "scored", evaluate: "judged" };
const ENDS = { done: "Done", cancelled: "Cancelled", failed: "Failed" };

export class JobBar {
  /** `prefix`: of the ids of its elements, so that generating and judging each have a bar of their own. */
  constructor(prefix) {
    this.part = (name) => byId(`${prefix}-${name}`);
    this.stop = () => {};
    this.part("cancel").addEventListener("click", () => this.cancel());
  }

  /** Follow a job; `handlers` get `crystal` and `end`. */
  follow(job, handlers) {
    this.stop();
    this.job = job;
    this.part("bar").hidden = false;
    this.part("error").textContent = "";
    this.showJob(job);
    this.stop = follow(job.id, {
      job: (now) => this.showJob(now),
      progress: (progress) => this.showProgress(progress),
      crystal: (row) => handlers.crystal(row),
      end: (now) => {
        this.showJob(now);
        handlers.end?.(now);
      },
      lost: () => this.fail("The server closed the connection; load the page again to see what there is."),
    });
  }

  async cancel() {
    this.part("cancel").disabled = true;
    try {
      this.showJob((await post(`/jobs/${this.job.id}/cancel`)).job);
    } catch (error) {
      this.fail(error.message);
    }
  }

  showJob(job) {
    this.job = job;
    const over = job.state in ENDS;
    this.part("cancel").hidden = over;
    this.part("cancel").disabled = over;
    this.part("progress").hidden = over;
    if (job.state === "queued") this.part("status").textContent = waiting(job.position);
    else if (over) this.part("status").textContent = summary(job);
    else this.showProgress(job.progress);
    if (over || job.state === "queued") announce(this.part("status").textContent);
    refill(
      this.part("warnings"),
      (job.warnings ?? []).map((line) => h("li", {}, line)),
    );
    if (job.error) this.fail(job.error.message);
  }

  showProgress(progress) {
    if (!progress || this.job.state in ENDS) return;
    const { stage, done, total } = progress;
    const bar = this.part("progress");
    bar.hidden = false;
    if (total > 0) {
      bar.max = total;
      bar.value = done;
    } else bar.removeAttribute("value");
    const text = `${STAGES[stage] ?? stage ?? "Starting"}${total > 0 ? `: ${done} of ${total}` : " …"}`;
    this.part("status").textContent = text;
    if (total > 0 && Math.floor((4 * done) / total) !== Math.floor((4 * (done - 1)) / total)) announce(text); // each quarter
  }

  /** Say that a new request was refused, so that what stands below is of the job before. */
  refused(message) {
    this.part("bar").hidden = false;
    refill(this.part("warnings"));
    this.part("status").textContent = this.job ? "Refused; the crystals below are those of the run before." : "Refused.";
    this.fail(message);
  }

  fail(message) {
    this.part("error").textContent = message;
  }
}

function waiting(position) {
  return position > 0 ? `Waiting: ${position} before it` : "Waiting for the model";
}

function summary({ state, kind, rows, seconds }) {
  const time = seconds === null || seconds === undefined ? "" : ` in ${seconds.toFixed(1)} s`;
  return `${ENDS[state]}: ${rows} ${rows === 1 ? "crystal" : "crystals"} ${VERBS[kind]}${time}`;
}

/** Show the command and the Python call of a job, each with a button that copies it. */
export function showEqual(job) {
  byId("equal").hidden = !(job.command && job.python);
  byId("equal-command").textContent = job.command ?? "";
  byId("equal-python").textContent = job.python ?? "";
}

/** Make the buttons copy what stands beside them, and say that they did. */
export function setUpCopying() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const source = byId(button.dataset.copies);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
  }
}
