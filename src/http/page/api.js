// Asks the query door. Every question has an end in time, and none is asked twice by itself.
import { noteClock } from "./time.js";
import { credentials } from "./token.js";

const WITHIN_MS = 15_000;
/** Longer ids do not fit into a request's head. */
const LONGEST_PART = 8000;

/** What the daemon answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the daemon answered ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

/** An id as a part of a path, or null where no path can hold it. */
export function part(id) {
  const encoded = encodeURIComponent(String(id).toWellFormed());
  return encoded === "" || encoded === "." || encoded === ".." || encoded.length > LONGEST_PART ? null : encoded;
}

/** The path of one thing. */
export function pathOf(kind, id) {
  const name = part(id);
  if (name === null) throw new Refused(404, { detail: "No path can hold this id." });
  return `v1/${kind}/${name}`;
}

/** The answer to a GET, whatever its status. */
export async function fetchPath(path, signal) {
  // Relative to the page, so that it works below another path too.
  const answer = await fetch(new URL(path, document.baseURI), {
    headers: credentials(),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal,
  });
  noteClock(answer.headers.get("Date"));
  return answer;
}

/** The JSON at a path. */
export async function ask(path, signal) {
  const answer = await fetchPath(path, AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]));
  if (answer.ok) return answer.json();
  throw new Refused(answer.status, await answer.json().catch(() => ({})));
}

/** The JSON at a path, or null where there is nothing. */
export async function askFor(path, signal) {
  try {
    return await ask(path, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Events, newest first, without their payloads: `payload` says only whether there is one. */
export async function askEvents(filters, before, limit, signal) {
  const query = params({ ...filters, order: "desc", after: before, limit });
  const { items, next } = await ask(`v1/events?${query}`, signal);
  return { items: items.map(light), next };
}

/** An event without its payload. */
export function light({ payload, payloadBase64, ...event }) {
  return { ...event, hasPayload: payloadBase64 !== undefined || (payload !== null && payload !== undefined) };
}

/** Parameters as they stand in a URL; those without a value stay out. */
export function params(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

/** The bytes of an event's body. */
export async function askPayload(seq, signal) {
  const answer = await fetchPath(`v1/events/${seq}/payload`, AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]));
  if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  throw new Refused(answer.status, await answer.json().catch(() => ({})));
}
