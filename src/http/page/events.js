// The feed as a list with filters, and one event.
import { ask, askEvents, light } from "./api.js";
import { count, el, facts, section, table, text } from "./dom.js";
import { choice, filters, MADE_UP, none, pages, words } from "./forms.js";
import { payload } from "./payload.js";
import { ago, moment } from "./time.js";
import { details } from "./timeline.js";
import { badge, became, customerLink, eventLink, eventName, originOf, place, requestLink } from "./words.js";

const LIMIT = 50;
const BECAME = ["applied", "duplicate", "stale", "unrecognised", "quarantined", "erased"];
const SOURCES = ["webhook", "gateway", "poll", "control"];

export const list = {
  title: () => "Events",
  refreshes: false,
  wants: (_, { given }) => !given.from,

  load({ given }, { signal }) {
    const { from, ...asked } = given;
    return askEvents(asked, from, LIMIT, signal);
  },

  draw({ items, next }, { given }) {
    const rows = items.map((event) => [
      eventLink(event.seq, count(event.seq)),
      ago(event.receivedAt),
      eventName(event),
      event.customerId ? customerLink(event.customerId, 40) : "",
      originOf(event),
      event.source,
      badge(event.disposition),
      event.problems.map((problem) => el("div", {}, text(problem, 200))),
    ]);
    // Everything down to `next` was looked at; before event 1 there is nothing.
    const more = next > 1 ? next : null;
    return [
      el("h1", { tabindex: "-1" }, "Events"),
      filters(
        "#/events",
        choice("disposition", "Became", given.disposition, BECAME),
        choice("origin", "By", given.origin, [
          ["dashboard", "dashboard"],
          ["api", "own call"],
        ]),
        choice("source", "Source", given.source, SOURCES),
        words("event", "Event name", given.event),
        words("customerId", "Customer id", given.customerId),
        words("requestId", "Request id", given.requestId),
      ),
      rows.length
        ? table(
            "Events, the newest first",
            ["Seq", "Received", "Event", "Customer", "By", "Source", "Became", "Problems"],
            rows,
          )
        : none(given, more, "event", `Post a made-up one: ${MADE_UP}`),
      pages("#/events", given, given.from, more),
    ];
  },
};

export const one = {
  title: ({ id }) => `Event ${id}`,
  refreshes: false,
  wants: () => false,

  async load({ id }, { signal }) {
    return light(await ask(`v1/events/${encodeURIComponent(id)}`, signal));
  },

  draw(event) {
    const after = event.customerId && place("customers", event.customerId);
    const body = el("div");
    if (event.hasPayload) payload(event.seq, body);
    else body.append(el("p", { class: "dim" }, "It was taken out."));
    return [
      el("p", { class: "crumbs" }, el("a", { href: "#/events", "data-key": "up" }, "Events")),
      el("h1", { tabindex: "-1" }, `Event ${count(event.seq)}`),
      facts([
        ["Name", eventName(event)],
        ["Received", [moment(event.receivedAt), " (", ago(event.receivedAt), ")"]],
        ["Became", [badge(event.disposition), " ", el("span", { class: "dim" }, became(event))]],
        ["Customer", event.customerId ? customerLink(event.customerId) : null],
        ["External id", event.externalId === null ? null : text(event.externalId)],
        ["Request", event.requestId ? requestLink(event.requestId, 160) : null],
        ["Customer after it", after ? el("a", { href: `${after}?asOfSeq=${event.seq}` }, "show") : null],
      ]),
      section("What it did", ...details(event)),
      section("Payload", body),
      section(
        "Proof",
        facts([
          ["SHA-256 of the body", el("code", {}, text(event.digest))],
          ["Link in the chain", el("code", {}, text(event.chain))],
        ]),
      ),
    ];
  },
};
