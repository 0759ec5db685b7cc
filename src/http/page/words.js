// The API's words as a person reads them. What they mean is in docs/RULES.md.
import { el, link, text } from "./dom.js";
import { part } from "./api.js";

const EVIDENCE = {
  request_id: "it carries the id of a request, and Waldo gives those to API calls only",
  pending_request: "exactly one open request of this customer waited for this evaluation",
  own_flag_call: "a call that sets this flag was noted at most 15 minutes before",
  gateway_answer: "it is Waldo's answer to a call that the gateway forwarded",
  none: "nothing points to a call of your own",
};

const SOURCE = {
  webhook: "a webhook",
  gateway: "Waldo's answer, seen by the gateway",
  poll: "Waldo's answer when it was asked",
};

const BECAME = {
  applied: "it changed the customer or a request, or confirmed them",
  duplicate: "the same content had come before; kept, not applied",
  stale: "a later status was known already; kept, not applied",
  unrecognised: "it names no customer, or no event that is known; kept, not applied",
  quarantined: "its body is no JSON object, or too large; kept as it came",
  erased: "it was about a customer who was erased; only its place is left",
};

const FIELDS = {
  externalId: "External id",
  uri: "Page at Waldo",
  status: "Status",
  kyc: "KYC",
  fraudScore: "Fraud score",
  flagged: "Flagged",
  warnings: "Warnings",
  warningTags: "Warning tags",
  decidedBy: "Decided by",
};

const TONES = {
  good: ["APPROVED", "PASSED", "completed", "applied"],
  bad: ["REJECTED", "failed", "quarantined"],
  warn: ["REVIEW", "expired", "unrecognised", "overdue"],
};

/** The marks that stand before a word, so that its colour is not alone in telling. */
export const MARKS = { good: "✓", bad: "✕", warn: "!", note: "·" };

/** A word with its tone: mark and colour. */
export function badge(word, tone = toneOf(word)) {
  if (word === null || word === undefined) return el("span", { class: "dim" }, "unknown");
  const mark = tone === "note" ? null : el("span", { "aria-hidden": "true" }, `${MARKS[tone]} `);
  return el("span", { class: `badge ${tone}` }, mark, text(word));
}

function toneOf(word) {
  return Object.keys(TONES).find((tone) => TONES[tone].includes(word)) ?? "note";
}

/** Who caused an event. */
export const originOf = (event) => (event.origin === "api" ? "own call" : "dashboard");

/** Who caused an event, how that is known, and how it came. */
export function because(event) {
  if (event.disposition === "erased") return "Erased.";
  if (event.source === "control") return "An app of yours told this on the control socket.";
  const who = event.origin === "api" ? "Your own call" : "The dashboard";
  return `${who}: ${EVIDENCE[event.originEvidence] ?? event.originEvidence}. It came as ${SOURCE[event.source] ?? event.source}.`;
}

/** What became of an event. */
export const became = (event) => `${BECAME[event.disposition] ?? event.disposition}`;

/** An event's name; one without any is told by what it is. */
export function eventName(event) {
  const name =
    event.event === null || event.event === undefined
      ? el("span", { class: "dim" }, "(no name)")
      : text(event.event, 60);
  const run = event.evaluation ? [" ", text(event.evaluation.type, 30), " ", text(event.evaluation.status, 30)] : [];
  return el("span", {}, name, ...run);
}

/** A member of a customer. */
export function fieldName(field) {
  if (field.startsWith("evaluations.")) return ["Evaluation ", text(field.slice("evaluations.".length), 40)];
  return FIELDS[field] ?? text(field, 40);
}

/** A value of a member of a customer, in few words. */
export function value(field, given) {
  if (given === null || given === undefined) return el("span", { class: "dim" }, "unknown");
  if (field === "status" || field === "kyc") return badge(given);
  if (field === "flagged") return given ? badge("flagged", "warn") : "not flagged";
  if (field === "decidedBy") return given === "api" ? "own call" : text(given, 40);
  if (field === "uri") return page(given);
  if (field === "warningTags") return given.length ? given.map((tag, at) => [at ? ", " : "", warning(tag)]) : "none";
  if (field.startsWith("evaluations."))
    return [badge(given.status), given.requestId ? [" of ", requestLink(given.requestId)] : ""];
  if (typeof given === "object") return text(JSON.stringify(given));
  return text(given);
}

/** One warning in words. */
export function warning(tag) {
  const outcome = tag.passed === true ? "passed" : tag.passed === false ? "not passed" : null;
  return [text(tag.label ?? tag.tag ?? "(no name)", 80), outcome ? ` (${outcome})` : ""];
}

/** Waldo's page of a customer: a link only where it leads to a site with TLS. */
function page(uri) {
  if (!URL.canParse(uri) || new URL(uri).protocol !== "https:") return text(uri);
  return el("a", { href: uri, target: "_blank", rel: "noopener noreferrer" }, text(uri));
}

/** A link to a customer's page. */
export const customerLink = (id, shown) =>
  link(place("customers", id), text(id, shown), { "data-key": `customer ${id}` });

/** A link to a request's page. */
export const requestLink = (id, shown = 40) =>
  link(place("requests", id), text(id, shown), { "data-key": `request ${id}` });

/** A link to an event's page. */
export const eventLink = (seq, label = `Event ${seq}`) =>
  el("a", { href: `#/events/${seq}`, "data-key": `event ${seq}` }, label);

/** The place of one thing on this page, or null where its id does not fit into a link. */
export function place(kind, id) {
  const name = part(id);
  return name === null ? null : `#/${kind}/${name}`;
}
