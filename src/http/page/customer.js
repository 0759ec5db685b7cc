// One customer: how it stands, now or as it was known after an event, and the events that made it so.
import { askEvents, askFor, params, part, pathOf } from "./api.js";
import { el, facts, section, table, text } from "./dom.js";
import { ago, moment } from "./time.js";
import * as timeline from "./timeline.js";
import { badge, eventLink, fieldName, requestLink, value, warning } from "./words.js";

const EVENTS = 50;
const FIELDS = ["externalId", "status", "kyc", "fraudScore", "flagged", "warnings", "decidedBy", "uri"];

export const title = ({ id }) => `Customer ${id}`;
export const refreshes = false;
export const wants = (event, { id }) => event.customerId === id;

export async function load({ id, given }, { signal }) {
  const path = pathOf("customers", id);
  const [present, past, { items, next }] = await Promise.all([
    askFor(path, signal),
    given.asOfSeq ? askFor(`${path}?${params({ asOfSeq: given.asOfSeq })}`, signal) : null,
    askEvents({ customerId: id }, given.from, EVENTS, signal),
  ]);
  // A page may end early; only looking tells whether there is more.
  const more = items.length > 0 && (await askEvents({ customerId: id }, next, 1, signal)).items.length > 0;
  return { present, past, events: items, next: more ? next : null };
}

export function draw({ present, past, events, next }, route) {
  const { id, given } = route;
  const asOf = given.asOfSeq ? Number(given.asOfSeq) : null;
  const place = `#/customers/${part(id)}`;
  return [
    el("p", { class: "crumbs" }, el("a", { href: "#/customers", "data-key": "up" }, "Customers")),
    el("h1", { tabindex: "-1", class: "id" }, text(id)),
    asOf === null ? null : banner(asOf, events, place, given),
    standing(asOf === null ? present : past, present, asOf, events),
    section(
      "Timeline",
      events.length
        ? timeline.draw(events, { place, asOf, from: given.from })
        : el("p", { class: "dim" }, "No event here."),
      turning(place, next, given),
    ),
  ];
}

/** Which moment is shown, and the way back. */
function banner(asOf, events, place, given) {
  const at = events.findIndex(({ seq }) => seq <= asOf);
  const [newer, here, older] = [events[at - 1], events[at], events[at + 1]];
  const to = (event, label) =>
    event && el("a", { href: timeline.pointHref(place, event.seq, given.from), "data-key": label }, label);
  return el(
    "div",
    { class: "banner" },
    el(
      "p",
      {},
      el("strong", {}, `As it was known after event ${asOf}`),
      here?.seq === asOf ? [", ", moment(here.receivedAt)] : "",
      ".",
    ),
    el(
      "p",
      { class: "ways" },
      to(older, "One event earlier"),
      to(newer, "One event later"),
      el("a", { href: given.from ? `${place}?from=${given.from}` : place, "data-key": "now" }, "Back to now"),
    ),
  );
}

function standing(shown, present, asOf, events) {
  if (!shown) {
    if (asOf !== null) return el("p", { class: "panel" }, "The customer was not known then.");
    const words = events.length
      ? "No webhook has told anything of this customer yet; the events below only name it."
      : "No event has ever named this customer. Ids are compared letter by letter; the search above also finds external ids and requests.";
    return el("p", { class: "panel" }, words);
  }
  // What has changed since is told beside the value, where an earlier moment is shown.
  const now = (field) =>
    asOf !== null && present && JSON.stringify(present[field]) !== JSON.stringify(shown[field])
      ? el("span", { class: "since" }, " now: ", ...[value(field, present[field])].flat(9))
      : null;
  const pairs = FIELDS.map((field) => [fieldName(field), [value(field, shown[field]), now(field)]]);
  return el(
    "div",
    { class: "pair" },
    section(
      "Standing",
      facts([
        ...pairs,
        ["First seen", moment(shown.firstSeenAt)],
        ["Last changed", [moment(shown.updatedAt), " by ", eventLink(shown.lastSeq, `event ${shown.lastSeq}`)]],
        ["Version", shown.version],
      ]),
    ),
    el("div", {}, evaluations(shown), warnings(shown)),
  );
}

function evaluations({ evaluations }) {
  const rows = Object.entries(evaluations).map(([type, run]) => [
    text(type, 40),
    badge(run.status),
    run.requestId ? requestLink(run.requestId) : "",
    ago(run.at),
  ]);
  return section(
    "Evaluations",
    rows.length
      ? table("The present run of each evaluation type", ["Type", "Status", "Request", "Since"], rows)
      : el("p", { class: "dim" }, "None is known."),
  );
}

function warnings({ warningTags }) {
  const rows = warningTags.map((tag) => [
    ...[warning(tag)],
    tag.tag ? el("code", {}, text(tag.tag, 60)) : "",
    tag.isDoc === true ? "of a document" : "",
  ]);
  return section(
    "Warnings",
    rows.length ? table("Warnings of Waldo's", ["Warning", "Tag", ""], rows) : el("p", { class: "dim" }, "None."),
  );
}

function turning(place, next, given) {
  const first = given.from ? el("a", { href: place, "data-key": "page first" }, "Newest events") : null;
  const more = next
    ? el("a", { href: `${place}?${params({ ...given, from: next })}`, "data-key": "page next" }, "Earlier events")
    : null;
  return first || more ? el("nav", { class: "pages", "aria-label": "Pages of the timeline" }, first, more) : null;
}
