// Talks to the server that sent the page, and to no other. Every refusal becomes one ApiError with one clear line.

/** What the server refused, or could not do; `field` is the dotted path of what was wrong, where one thing was. */
class ApiError extends Error {
  constructor(message, field = null, details = [], status = 0) {
    super(message);
    this.status = status;
    this.field = field;
    this.details = details;
  }
}

/** Ask for something. */
export function get(path) {
  return call(path, { method: "GET" });
}

/** Send something, as JSON. */
export function post(path, body = {}) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function call(path, options) {
  const answer = await reach(path, options);
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  const { message, field, details } = body?.error ?? {};
  throw new ApiError(message ?? `the server answered ${answer.status} without saying why`, field, details, answer.status);
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError("the server does not answer; is materium serve still running?");
  }
}

/** Ask until it is there: the worker needs some seconds to load the model. */
export async function getWhenReady(path, attempts = 60) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await get(path);
    } catch (error) {
      if (attempt === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/**
 * Follow a job. Handlers by event: `job`, `crystal`, `progress`, `end`, and `lost` where the connection cannot be had again.
 * Returns a function that stops following; the job goes on.
 */
export function follow(id, handlers) {
  const source = new EventSource(`/jobs/${encodeURIComponent(id)}/events`);
  for (const name of ["job", "crystal", "progress", "end"]) {
    source.addEventListener(name, (event) => handlers[name]?.(JSON.parse(event.data)));
  }
  source.addEventListener("end", () => source.close());
  source.addEventListener("error", () => {
    // The browser tries again by itself, from the last row on, unless the server said no.
    if (source.readyState === EventSource.CLOSED) handlers.lost?.();
  });
  return () => source.close();
}

/** Address of one crystal as a file. */
export function crystalFile(job, id, format, which) {
  return `/jobs/${job}/crystals/${encodeURIComponent(id)}?${new URLSearchParams({ format, which })}`;
}

/** Address of many crystals as a file; no ids: all of them. */
export function jobFile(job, ids, format, which = "made") {
  const query = new URLSearchParams({ format, which });
  if (ids) query.set("ids", ids.join(","));
  return `/jobs/${job}/download?${query}`;
}
