// The first page: how the daemon is, what comes in, what is waited for, what was not understood.
import { ask, askEvents } from "./api.js";
import { histogram, rates } from "./chart.js";
import { MADE_UP } from "./forms.js";
import { bytes, count, el, facts, many, section, table, text } from "./dom.js";
import { findings, headline } from "./summary.js";
import { ago, moment, now } from "./time.js";
import { badge, became, customerLink, eventLink, eventName, MARKS, originOf, requestLink } from "./words.js";

const LISTED = 8;
/** The newest requests whose settle times are shown. */
const SETTLE_TIMES_OF = 200;
const SETTLE_TIMES_EVERY_MS = 30_000;
const STEPS = [
  [1, "under 1 s"],
  [10, "1 to 10 s"],
  [60, "10 to 60 s"],
  [300, "1 to 5 min"],
  [900, "5 to 15 min"],
  [3600, "15 to 60 min"],
  [86_400, "1 to 24 h"],
  [Infinity, "over a day"],
];

// Lists that only change with these counts are not asked for again while the counts stand.
const kept = new Map();
async function keep(name, mark, load, forMs = 0) {
  const known = kept.get(name);
  if (known && (known.mark === mark || Date.now() - known.at < forMs)) return known.value;
  const value = await load();
  kept.set(name, { mark, value, at: Date.now() });
  return value;
}

export const title = () => "Overview";
/** Ages grow and deadlines pass without any event. */
export const refreshes = true;
export const wants = () => true;

export async function load(_, { signal, ready, stats, recent }) {
  const states = stats.requests.byState;
  const waiting = async (filter, number) =>
    number ? (await ask(`v1/requests?${filter}&limit=${LISTED}`, signal)).items : [];
  const oddOnes = (disposition) => {
    const number = stats.events.byDisposition[disposition] ?? 0;
    return number
      ? keep(disposition, number, async () => (await askEvents({ disposition }, null, LISTED, signal)).items)
      : [];
  };
  const [overdue, pending, running, settled, quarantined, unrecognised] = await Promise.all([
    waiting("overdue=true", stats.overdue),
    waiting("state=pending&overdue=false", states.pending),
    waiting("state=in_progress&overdue=false", states.in_progress),
    keep("settled", JSON.stringify(states), () => settleTimes(signal), SETTLE_TIMES_EVERY_MS),
    oddOnes("quarantined"),
    oddOnes("unrecognised"),
  ]);
  const open = [...pending, ...running].slice(0, LISTED);
  return { ready, stats, overdue, open, settled, quarantined, unrecognised, recent: [...recent].slice(0, LISTED) };
}

async function settleTimes(signal) {
  const { items } = await ask(`v1/requests?order=desc&limit=${SETTLE_TIMES_OF}`, signal);
  const known = items.filter(({ registeredAt, settledAt }) => registeredAt && settledAt);
  // An outcome may be here before the registration.
  return known.map(
    ({ registeredAt, settledAt }) => Math.max(0, Date.parse(settledAt) - Date.parse(registeredAt)) / 1000,
  );
}

export function draw(data) {
  const { ready, stats } = data;
  const found = findings(stats, ready, now());
  const head = headline(found, stats);
  return [
    el(
      "h1",
      { tabindex: "-1", class: `verdict ${head.level}` },
      el("span", { class: "mark", "aria-hidden": "true" }, MARKS[head.level]),
      " ",
      head.title,
    ),
    el("ul", { class: "findings" }, ...found.map(finding)),
    stats.events.total === 0 ? firstWebhook() : null,
    section(
      "Traffic",
      el(
        "div",
        { class: "pair" },
        rates("Events in the last hour", "minute", stats.rates.lastHour),
        rates("Events in the last day", "hour", stats.rates.lastDay),
      ),
    ),
    el("div", { class: "pair" }, requests(data), settleSection(data.settled)),
    latest(data),
    oddSection(data),
    el("div", { class: "pair" }, customers(stats), el("div", {}, backupSection(stats), fileSection(stats))),
  ];
}

/** What is said aloud when it changes. */
export const said = ({ stats, ready }) => headline(findings(stats, ready, now()), stats).title;

function finding({ level, title, text: words, href }) {
  const name = href ? el("a", { href, "data-key": `finding ${href}` }, title) : title;
  return el(
    "li",
    { class: `finding ${level}` },
    el("span", { class: "mark", "aria-hidden": "true" }, MARKS[level]),
    el("div", {}, el("strong", {}, name), el("p", {}, text(words, 600))),
  );
}

function firstWebhook() {
  const step = (words, command) => el("li", {}, words, el("pre", { tabindex: "0" }, command));
  return section(
    "First steps",
    el(
      "ol",
      { class: "panel steps" },
      step("Post a made-up webhook. It appears on this page.", MADE_UP),
      step(
        "Prove the path that Waldo takes, secret included.",
        `curl -sS "$(waldo-syncd webhook-url)" -H 'Content-Type: application/json' \\\n  -d '{"event":"onboard","customerId":"c-1","validation":{"status":"APPROVED"}}'`,
      ),
      step(
        "Give Waldo the URL, on its dashboard under API Integration. It looks like https://YOUR-NAME/webhooks/waldo/SECRET; a TLS proxy stands in front.",
        "waldo-syncd webhook-url --public https://YOUR-NAME",
      ),
    ),
  );
}

function latest({ recent }) {
  const rows = recent.map((event) => [
    eventLink(event.seq, count(event.seq)),
    ago(event.receivedAt),
    eventName(event),
    event.customerId ? customerLink(event.customerId, 40) : "",
    originOf(event),
    badge(event.disposition),
  ]);
  const none = el("p", { class: "dim" }, "None yet.");
  const content = rows.length
    ? table("Latest events", ["Seq", "Received", "Event", "Customer", "By", "Became"], rows)
    : none;
  return section(
    "Latest events",
    content,
    el("p", {}, el("a", { href: "#/events", "data-key": "all events" }, "All events")),
  );
}

function customers({ customers: { total, byStatus } }) {
  const byNumber = Object.entries(byStatus).sort(([, a], [, b]) => b - a);
  const rows = byNumber.map(([status, number]) => [
    status.startsWith("(")
      ? text(status)
      : el(
          "a",
          { href: `#/customers?${new URLSearchParams({ status })}`, "data-key": `status ${status}` },
          badge(status),
        ),
    number,
  ]);
  const content = rows.length
    ? histogram("Customers by status", ["Status", "Customers"], rows)
    : el("p", { class: "dim" }, "None yet. The first webhook that names one makes it known.");
  return section(
    "Customers",
    content,
    el(
      "p",
      {},
      el("a", { href: "#/customers", "data-key": "all customers" }, total ? `All ${count(total)}` : "Customers"),
    ),
  );
}

function requests({ overdue, open, stats }) {
  const row = (request) => [
    requestLink(request.requestId),
    request.operation ?? "",
    request.customerId ? customerLink(request.customerId, 40) : "",
    request.overdue ? badge("overdue") : badge(request.state),
    ago(request.registeredAt ?? request.firstEventAt),
  ];
  const rows = [...overdue, ...open].map(row);
  const none = stats.requests.total
    ? "None: every known request is settled."
    : "No request is known. Calls through the gateway, and those registered with waldo-syncd track, are waited for here.";
  const content = rows.length
    ? table("Requests that are waited for", ["Request", "Operation", "Customer", "State", "Registered"], rows)
    : el("p", { class: "dim" }, none);
  const all = el(
    "a",
    { href: "#/requests", "data-key": "all requests" },
    stats.requests.total ? `All ${count(stats.requests.total)}` : "Requests",
  );
  return section("Waiting for", content, el("p", {}, all));
}

function settleSection(seconds) {
  const rows = STEPS.map(([end, name], at) => [
    name,
    seconds.filter((time) => time < end && time >= (STEPS[at - 1]?.[0] ?? 0)).length,
  ]);
  const content = seconds.length
    ? histogram("Requests by the time from registration to outcome", ["Time to settle", "Requests"], rows)
    : el("p", { class: "dim" }, "No request has been registered and settled yet.");
  return section(
    "Settle times",
    content,
    el("p", { class: "dim" }, `Of the newest ${count(SETTLE_TIMES_OF)} requests, those registered and settled.`),
  );
}

function oddSection({ quarantined, unrecognised }) {
  const rows = [...quarantined, ...unrecognised]
    .sort((a, b) => b.seq - a.seq)
    .slice(0, LISTED)
    .map((event) => [
      eventLink(event.seq, count(event.seq)),
      ago(event.receivedAt),
      eventName(event),
      badge(event.disposition),
      event.problems.length ? event.problems.map((problem) => el("div", {}, text(problem, 300))) : became(event),
    ]);
  const content = rows.length
    ? table("Events that were not understood", ["Seq", "Received", "Event", "Became", "Why"], rows)
    : el("p", { class: "dim" }, "Every event was understood.");
  return section("Not understood", content);
}

function fileSection({ files, projectedSeq, lag, queue, outbound, events }) {
  return section(
    "Daemon",
    facts([
      ["Events in the log", count(events.total)],
      ["Shown up to event", lag ? `${count(projectedSeq)}, ${many(lag, "event")} behind` : count(projectedSeq)],
      ["Database", `${bytes(files.databaseBytes)}, and ${bytes(files.walBytes)} not yet moved into it`],
      ["Queue", `${count(queue.events)} of ${count(queue.maxEvents)}`],
      [
        "Calls to Waldo",
        outbound
          ? `made by an outbound process${outbound.polling ? ", which asks about overdue requests" : ""}`
          : "none: no outbound process is here",
      ],
      ["Gateway", outbound?.gateway ? text(outbound.gateway) : null],
      ["Waldo last answered", outbound?.lastPollAt ? ago(outbound.lastPollAt) : null],
    ]),
  );
}

function backupSection({ lastBackup }) {
  if (!lastBackup) {
    return section(
      "Backup",
      el("p", {}, "None has been made. One file with everything, checked, while the daemon works:"),
      el("pre", { tabindex: "0" }, "waldo-syncd backup /mnt/backups/"),
      el("p", { class: "dim" }, "With [backup] dir and every in the configuration they are made by themselves."),
    );
  }
  return section(
    "Backup",
    facts([
      ["Made", [moment(lastBackup.at), " (", ago(lastBackup.at), ")"]],
      ["File", text(lastBackup.path, 300)],
      ["Events", count(lastBackup.events)],
      ["Checked", lastBackup.verified ? "yes: read again as a whole" : badge("no", "bad")],
      ["Head of the chain", el("code", {}, text(lastBackup.head, 64))],
    ]),
  );
}

/** Nothing is kept: another daemon may be there. */
export const forget = () => kept.clear();
