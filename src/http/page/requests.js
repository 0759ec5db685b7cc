// Calls to Waldo that are waited for: a list with filters, and one of them.
import { ask, askEvents, params, pathOf } from "./api.js";
import { el, facts, lines, section, table, text } from "./dom.js";
import { choice, filters, none, pages, words } from "./forms.js";
import { ago, duration, moment } from "./time.js";
import { badge, customerLink, eventLink, eventName, originOf, requestLink } from "./words.js";

const LIMIT = 50;
const EVENTS = 100;
const STATES = ["pending", "in_progress", "completed", "failed", "expired"];
const OPERATIONS = ["onboard", "fraud", "document", "flag", "other"];
const SETTLED_BY = {
  webhook: "a webhook that names it",
  inferred: "a webhook that fits it, or Waldo's answer to the call",
  poll: "asking Waldo: a webhook was missed",
  manual: "hand",
};

const state = (request) => [badge(request.state), request.overdue ? [" ", badge("overdue")] : ""];
const took = ({ registeredAt, settledAt }) =>
  registeredAt && settledAt ? duration(Math.max(0, Date.parse(settledAt) - Date.parse(registeredAt))) : null;

export const list = {
  title: () => "Requests",
  /** Deadlines pass without any event. */
  refreshes: true,
  wants: (event, { given }) => !given.from && event.requestId !== null,

  load({ given }, { signal }) {
    const { from, ...asked } = given;
    return ask(`v1/requests?${params({ order: "desc", ...asked, cursor: from, limit: LIMIT })}`, signal);
  },

  draw({ items, next }, { given }) {
    const rows = items.map((request) => [
      requestLink(request.requestId),
      request.operation ?? "",
      request.customerId ? customerLink(request.customerId, 40) : "",
      state(request),
      request.settledBy ?? "",
      ago(request.registeredAt ?? request.firstEventAt),
      took(request) ?? "",
    ]);
    return [
      el("h1", { tabindex: "-1" }, "Requests"),
      filters(
        "#/requests",
        choice("state", "State", given.state, STATES),
        choice("overdue", "Overdue", given.overdue, [
          ["true", "overdue"],
          ["false", "not overdue"],
        ]),
        choice("operation", "Operation", given.operation, OPERATIONS),
        words("customerId", "Customer id", given.customerId),
      ),
      rows.length
        ? table(
            "Requests, the newest first",
            ["Request", "Operation", "Customer", "State", "Settled by", "First heard of", "Took"],
            rows,
          )
        : none(
            given,
            next,
            "request",
            "Calls through the gateway are known by themselves; others are registered on the control socket: waldo-syncd track REQUEST_ID --operation onboard",
          ),
      pages("#/requests", given, given.from, next),
    ];
  },
};

export const one = {
  title: ({ id }) => `Request ${id}`,
  refreshes: true,
  wants: (event, { id }) => event.requestId === id,

  async load({ id }, { signal }) {
    const [request, events] = await Promise.all([
      ask(pathOf("requests", id), signal),
      askEvents({ requestId: id }, null, EVENTS, signal),
    ]);
    return { request, events: events.items };
  },

  draw({ request, events }) {
    const runs = Object.entries(request.evaluations).map(([type, status]) => [
      text(type, 40),
      badge(status),
      request.expects?.includes(type) ? "yes" : "",
    ]);
    for (const type of request.expects ?? [])
      if (!(type in request.evaluations)) runs.push([text(type, 40), "nothing heard yet", "yes"]);
    const rows = events.map((event) => [
      eventLink(event.seq),
      ago(event.receivedAt),
      eventName(event),
      originOf(event),
      badge(event.disposition),
    ]);
    return [
      el("p", { class: "crumbs" }, el("a", { href: "#/requests", "data-key": "up" }, "Requests")),
      el("h1", { tabindex: "-1", class: "id" }, text(request.requestId)),
      facts([
        ["State", state(request)],
        ["Operation", request.operation],
        ["Customer", request.customerId ? customerLink(request.customerId) : null],
        ["External id", request.externalId === null ? null : text(request.externalId)],
        ["Settled by", request.settledBy ? (SETTLED_BY[request.settledBy] ?? text(request.settledBy)) : null],
        ["Registered", request.registeredAt ? moment(request.registeredAt) : "never: first seen in a webhook"],
        ["First event", moment(request.firstEventAt)],
        ["Due", request.deadlineAt ? [moment(request.deadlineAt), " (", ago(request.deadlineAt), ")"] : null],
        ["Settled", moment(request.settledAt)],
        ["Took", took(request)],
      ]),
      section(
        "Evaluations",
        runs.length
          ? table("Evaluations of the request", ["Type", "Status", "Expected"], runs)
          : el("p", { class: "dim" }, "None is known."),
      ),
      section(
        "Events",
        rows.length
          ? table("Events of the request, the newest first", ["Event", "Received", "Name", "By", "Became"], rows)
          : el("p", { class: "dim" }, "None."),
      ),
      request.context === null || request.context === undefined
        ? null
        : section(
            "Context",
            el("p", { class: "dim" }, "The app's own note."),
            lines(JSON.stringify(request.context, null, 2)),
          ),
    ];
  },
};
