// Events of one customer, the newest first: what each changed, who did it, its payload on demand.
import { params } from "./api.js";
import { el, table, text } from "./dom.js";
import { payload } from "./payload.js";
import { moment } from "./time.js";
import { badge, became, because, eventLink, eventName, fieldName, originOf, requestLink, value } from "./words.js";

/** Entries that were drawn already: an open payload stays open when an event comes in. */
const drawn = new Map();
const MOST_DRAWN = 400;

/** The address of the customer as it was known after an event. */
export const pointHref = (place, seq, from) => `${place}?${params({ from, asOfSeq: seq })}`;

/** The list. `asOf` is the point that is picked. */
export function draw(events, { place, asOf, from }) {
  if (drawn.size > MOST_DRAWN) drawn.clear();
  return el(
    "ol",
    { class: "timeline", reversed: true },
    ...events.map((event) => entry(event, pointHref(place, event.seq, from), event.seq === asOf)),
  );
}

function entry(event, href, picked) {
  const mark = JSON.stringify([event, href, picked]);
  const known = drawn.get(event.seq);
  if (known?.mark === mark) return known.item;
  const point = el(
    "a",
    { href, "data-key": `point ${event.seq}`, "aria-current": picked ? "true" : null, class: "point" },
    picked ? "Shown above" : "Customer after this",
  );
  const item = el(
    "li",
    { class: picked ? "entry picked" : "entry" },
    el(
      "article",
      { "aria-label": `Event ${event.seq}` },
      head(event),
      ...details(event),
      el("div", { class: "ways" }, point, eventLink(event.seq), body(event)),
    ),
  );
  drawn.set(event.seq, { mark, item });
  return item;
}

function head(event) {
  const by = el(
    "span",
    { class: event.origin === "api" ? "origin own" : "origin" },
    event.disposition === "erased" ? "erased" : originOf(event),
  );
  return el(
    "p",
    { class: "entry-head" },
    el("strong", {}, eventName(event)),
    " ",
    badge(event.disposition),
    " ",
    by,
    " ",
    moment(event.receivedAt),
  );
}

/** What is told of an event wherever it is shown: cause, changes, problems. */
export function details(event) {
  const changes = event.changes.map(({ field, from, to }) => [
    fieldName(field),
    value(field, from),
    [el("span", { "aria-hidden": "true", class: "dim" }, "→ "), value(field, to)],
  ]);
  return [
    changes.length
      ? table(`What event ${event.seq} changed`, ["Changed", "From", "To"], changes)
      : el("p", { class: "dim" }, nothing(event)),
    event.duplicateOf
      ? el("p", {}, "It repeats ", eventLink(event.duplicateOf, `event ${event.duplicateOf}`), ".")
      : null,
    event.problems.length
      ? el(
          "ul",
          { class: "problems", "aria-label": "Problems" },
          ...event.problems.map((problem) => el("li", {}, text(problem, 400))),
        )
      : null,
    el("p", { class: "why" }, because(event), event.requestId ? [" Request ", requestLink(event.requestId), "."] : ""),
  ].filter(Boolean);
}

function nothing(event) {
  if (event.disposition !== "applied") return `Changed nothing: ${became(event)}.`;
  return "Changed nothing in the customer: it confirmed what was known, or concerns a request.";
}

function body(event) {
  if (!event.hasPayload) return el("span", { class: "dim" }, "Its payload was taken out.");
  const place = el("div");
  const open = (toggled) => toggled.currentTarget.open && !place.firstChild && payload(event.seq, place);
  return el(
    "details",
    { "data-key": `payload ${event.seq}`, on: { toggle: open } },
    el("summary", { "data-key": `payload of ${event.seq}` }, "Payload"),
    place,
  );
}
