// What there is to say about the daemon, from its own numbers: a list of findings, the gravest first, and a headline.
// Knows neither the page nor the network.
import { bytes, count, many } from "./dom.js";
import { duration, since } from "./time.js";

const HOUR_MS = 3_600_000;
const OLD_BACKUP_MS = 7 * 24 * HOUR_MS;
/** A lag of fewer events is gone before anybody has read of it. */
const LAG_WORTH_A_WORD = 1000;
const GRAVITY = ["bad", "warn", "note", "good"];

/** Findings: `level` (bad, warn, note, good), `title`, `text`, and `href` where there is more to see. */
export function findings(stats, ready, nowMs) {
  const found = [
    ...readiness(ready),
    webhooks(stats, nowMs),
    requests(stats),
    coverage(stats),
    ...odd(stats),
    backup(stats, nowMs),
    ...load(stats),
  ];
  return found.sort((a, b) => GRAVITY.indexOf(a.level) - GRAVITY.indexOf(b.level));
}

/** How it is, in one line. */
export function headline(found, stats) {
  const bad = found.find(({ level }) => level === "bad");
  if (bad) return { level: "bad", title: bad.title };
  const wanting = found.filter(({ level }) => level === "warn").length;
  if (wanting) return { level: "warn", title: `${many(wanting, "thing needs", "things need")} a look` };
  if (stats.events.total === 0) return { level: "note", title: "Ready for the first webhook" };
  return { level: "good", title: "All is well" };
}

function readiness(ready) {
  if (!ready.ready) return [{ level: "bad", title: "Not ready", text: ready.detail }];
  const details = ready.details.map((text) => ({ level: "warn", title: "Works, but", text }));
  return [...details, { level: "good", title: "Ready", text: "Events can be taken and shown." }];
}

function webhooks({ silence, lastWebhookAt }, nowMs) {
  if (silence.silent) {
    return {
      level: "warn",
      title: "Webhooks have fallen silent",
      text: `Requests wait, and no webhook has come for ${duration(nowMs - Date.parse(silence.since))}. Look at the URL on Waldo's dashboard, the secret in it, and the proxy.`,
    };
  }
  if (!lastWebhookAt) return { level: "note", title: "No webhook yet", text: "None has ever come." };
  const last = `The last one came ${since(lastWebhookAt)}.`;
  if (nowMs - Date.parse(lastWebhookAt) < HOUR_MS)
    return { level: "good", title: "Webhooks are coming in", text: last };
  return {
    level: "note",
    title: "No webhook in the last hour",
    text: `${last} No request has waited for one too long.`,
  };
}

function requests({ overdue, oldestOpenAt, requests: { byState } }) {
  const open = (byState.pending ?? 0) + (byState.in_progress ?? 0);
  const expired = byState.expired ? ` ${many(byState.expired, "has", "have")} been given up.` : "";
  const oldest = oldestOpenAt ? `The oldest open one was registered ${since(oldestOpenAt)}.` : "";
  if (overdue) {
    return {
      level: "warn",
      title: `${many(overdue, "request is", "requests are")} overdue`,
      text: `${oldest}${expired}`,
      href: "#/requests?overdue=true",
    };
  }
  if (open)
    return {
      level: "good",
      title: `${many(open, "request is", "requests are")} open`,
      text: `None is overdue. ${oldest}`,
      href: "#/requests",
    };
  return { level: "good", title: "No request waits", text: "Every known request is settled, or none is known." };
}

function coverage({ coverage: { ratio, settled, byWebhook, inferred, byPoll, manual, days } }) {
  if (ratio === null)
    return { level: "note", title: "No coverage yet", text: `No request was settled in the last ${days} days.` };
  const percent = ratio === 1 ? "100" : (Math.floor(ratio * 1000) / 10).toFixed(1);
  const told = `Of ${many(settled, "request")} settled in ${days} days, webhooks told ${count(byWebhook + inferred)}`;
  const rest = [byPoll ? `asking Waldo ${count(byPoll)}` : null, manual ? `a person ${count(manual)}` : null]
    .filter(Boolean)
    .join(", ");
  return {
    level: ratio === 1 ? "good" : "warn",
    title: `Coverage ${percent} %`,
    text: rest ? `${told}, ${rest}.` : `${told}.`,
  };
}

function odd({ events: { byDisposition } }) {
  const { quarantined = 0, unrecognised = 0 } = byDisposition;
  return [
    quarantined && {
      level: "note",
      title: `${many(quarantined, "event")} in quarantine`,
      text: "Bodies that are no JSON object, or too large. Kept as they came.",
      href: "#/events?disposition=quarantined",
    },
    unrecognised && {
      level: "note",
      title: `${many(unrecognised, "event")} not recognised`,
      text: "They name no customer, or no event that is known: tests from the dashboard, or events that Waldo has added.",
      href: "#/events?disposition=unrecognised",
    },
  ].filter(Boolean);
}

function backup({ lastBackup }, nowMs) {
  if (!lastBackup)
    return {
      level: "note",
      title: "No backup yet",
      text: "waldo-syncd backup makes one; [backup] in the configuration makes them by itself.",
    };
  const old = nowMs - Date.parse(lastBackup.at) > OLD_BACKUP_MS;
  const checked = lastBackup.verified ? "read again and checked" : "not checked";
  return {
    level: old || !lastBackup.verified ? "warn" : "good",
    title: `Last backup ${since(lastBackup.at)}`,
    text: `${many(lastBackup.events, "event")}, ${checked}.`,
  };
}

function load({ lag, queue }) {
  const found = [];
  if (lag >= LAG_WORTH_A_WORD)
    found.push({
      level: "warn",
      title: `${many(lag, "event")} not yet shown`,
      text: "They are stored; the tables are being brought up to date.",
    });
  if (queue.events * 2 > queue.maxEvents || queue.bytes * 2 > queue.maxBytes) {
    found.push({
      level: "warn",
      title: "The queue is more than half full",
      text: `${many(queue.events, "delivery", "deliveries")}, ${bytes(queue.bytes)}. When it is full, webhooks are answered 503.`,
    });
  }
  return found;
}
