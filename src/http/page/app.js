// Brings it together: which page is shown, when it is read afresh, and what is said of the connection. A hidden tab does
// nothing; a visible one reads at most every REFRESH_GAP_MS, and only what the page at hand shows.
import { ask, askEvents, fetchPath, params, Refused } from "./api.js";
import { recolor } from "./chart.js";
import * as customer from "./customer.js";
import * as customers from "./customers.js";
import { el, plain, swap, text } from "./dom.js";
import * as events from "./events.js";
import * as find from "./find.js";
import { Live } from "./live.js";
import * as overview from "./overview.js";
import * as requests from "./requests.js";
import { now, tick, zone } from "./time.js";
import { form, hasToken, setToken } from "./token.js";

const REFRESH_GAP_MS = 2000;
/** For what changes by the clock alone: ages, deadlines, silence. */
const REFRESH_EVERY_MS = 15_000;
const TICK_MS = 5000;
const RECENT = 10;
const READY_WITHIN_MS = 10_000;

const VIEWS = {
  "": [overview],
  customers: [customers, customer],
  requests: [requests.list, requests.one],
  events: [events.list, events.one],
  find: [find],
};

const at = (id) => document.getElementById(id);
const main = at("main");
/** How the daemon is, and the newest events, the newest first. */
const known = { ready: null, stats: null, recent: [] };
let [route, shown, timer, loading, lastAt] = [null, { page: null, mark: null }, null, null, 0];

/** What an address asks for: view, id and given parameters; the view is null where there is none. */
function read(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const given = Object.fromEntries(new URLSearchParams(query));
  try {
    const [kind, id, ...rest] = path.split("/").map(decodeURIComponent);
    const views = Object.hasOwn(VIEWS, kind) ? VIEWS[kind] : [];
    return { view: (rest.length ? null : views[id === undefined ? 0 : 1]) ?? null, kind, id, given };
  } catch {
    return { view: null, kind: "", given };
  }
}

async function readiness(signal) {
  const answer = await fetchPath("readyz", AbortSignal.any([signal, AbortSignal.timeout(READY_WITHIN_MS)]));
  const body = await answer.json();
  if (!answer.ok && answer.status !== 503) throw new Refused(answer.status, body);
  return { ready: answer.ok, detail: body.detail, details: body.details ?? [] };
}

async function measure(signal) {
  [known.ready, known.stats] = await Promise.all([readiness(signal), ask("v1/stats", signal)]);
}

/** Reads what the page at hand shows and draws it. */
async function show() {
  clearTimeout(timer);
  timer = null;
  loading?.abort();
  const mine = (loading = new AbortController());
  const { signal } = mine;
  const here = route;
  const page = `${here.kind}/${here.id ?? ""}`;
  try {
    if (here.view === overview) await measure(signal);
    const data = here.view ? await here.view.load(here, { signal, ...known }) : null;
    if (signal.aborted) return;
    const other = here.view?.redirect?.(data);
    if (other) location.replace(other);
    else if (here.view) draw(page, here, JSON.stringify([location.hash, data]), () => here.view.draw(data, here), data);
    else
      draw(page, here, "", () => [
        el("h1", { tabindex: "-1" }, "No such page"),
        el("p", {}, el("a", { href: "#/" }, "Overview")),
      ]);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused && error.status === 401) lock();
    else if (error instanceof Refused || shown.page !== page) draw(page, here, "", () => trouble(error, here));
    // Otherwise what is there stays, and the line on top says that it is not live.
  } finally {
    if (loading === mine) loading = null;
    lastAt = Date.now();
  }
}

function draw(page, here, mark, make, data) {
  const [isNew, isFirst] = [shown.page !== page, shown.page === null];
  const reading =
    main.dataset.place === location.hash && !getSelection().isCollapsed && main.contains(getSelection().anchorNode);
  // A list that has not changed is left alone, and so is a text that somebody marks just now.
  const isSame = mark && mark === shown.mark && here.view !== overview;
  if (!isNew && (isSame || reading)) return;
  shown = { page, mark };
  swap(main, make());
  main.dataset.place = location.hash;
  document.title = `${here.view ? plain(here.view.title(here)) : "No such page"} · waldo-syncd`;
  if (isNew) {
    scrollTo(0, 0);
    // Who has just opened the page begins at its top.
    if (!isFirst) main.querySelector("h1")?.focus({ preventScroll: true });
  }
  const aloud = data && here.view?.said?.(data);
  if (aloud) say("said", aloud);
}

function trouble(error, { kind }) {
  const missing = error.status === 404;
  const title = missing
    ? `No such ${kind.replace(/s$/, "")}`
    : error instanceof Refused
      ? "The daemon refused this"
      : "The daemon does not answer";
  const words = error instanceof Refused ? error.message : "It may be stopped or busy. This page goes on trying.";
  return [
    el("h1", { tabindex: "-1" }, title),
    el("p", { class: "panel" }, text(words, 600)),
    el("p", {}, el("button", { type: "button", on: { click: show } }, "Try again")),
  ];
}

function soon() {
  timer ??= loading
    ? setTimeout(soonAgain, REFRESH_GAP_MS)
    : setTimeout(show, Math.max(0, lastAt + REFRESH_GAP_MS - Date.now()));
}

function soonAgain() {
  timer = null;
  soon();
}

/** The token is asked for; nothing else is shown meanwhile. */
function lock() {
  live.stop();
  said("locked");
  shown = { page: null, mark: null };
  swap(
    main,
    form(() => {
      at("forget").hidden = false;
      swap(main, el("p", { class: "dim" }, "Asking the daemon …"));
      live.start();
    }),
  );
  main.querySelector("input").focus();
}

let lostAt = null;
function said(state, why) {
  // A new try says nothing until it has come to something.
  if (state === "joining" && (lostAt || at("live").dataset.state === "flood")) return;
  if (state === "away") lostAt ??= now();
  if (state === "live") lostAt = null;
  const words = {
    live: "Live",
    joining: "Connecting …",
    away: "Not live",
    flood: "Many events at once: shown every few seconds",
    locked: "Not live: a token is needed",
  };
  at("live").dataset.state = state;
  say("live", words[state]);
  const since = new Date(lostAt).toLocaleTimeString();
  const lost = why
    ? `Not live since ${since}, for the daemon says: ${plain(why, 300)}.`
    : `The daemon has not answered since ${since}.`;
  say("lost", state === "away" ? `${lost} What is shown is from before; this page goes on trying.` : "");
  at("again").hidden = state !== "away";
}

/** Changes a text only where it is another one: what stays the same is not said aloud again. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

const live = new Live({
  async join(signal) {
    await measure(signal);
    known.recent = (await askEvents({}, null, RECENT, signal)).items;
    overview.forget();
    await show();
    return known.stats.projectedSeq;
  },
  heard(event) {
    if (event.seq) known.recent = [event, ...known.recent].slice(0, RECENT);
    if (route.view?.wants(event, route)) soon();
  },
  state(state, why) {
    if (state === "locked") lock();
    else said(state, why);
  },
});

function go() {
  // Other hashes are none of ours.
  if (location.hash && !location.hash.startsWith("#/")) return;
  route = read(location.hash);
  for (const link of at("nav").children) {
    const current = read(link.hash).kind === route.kind;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (at("live").dataset.state !== "locked") show();
}

function look() {
  if (document.hidden) {
    live.stop();
    loading?.abort();
    clearTimeout(timer);
    timer = null;
  } else {
    tick();
    live.start();
  }
}

function themes() {
  const theme = at("theme");
  theme.value = document.documentElement.dataset.theme ?? "";
  theme.addEventListener("change", () => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("waldo-syncd-theme", theme.value);
    } catch {
      // Without storage it holds until a reload.
    }
    recolor();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
}

at("skip").addEventListener("click", () => main.focus());
at("again").addEventListener("click", () => live.nudge());
at("forget").hidden = !hasToken();
at("forget").addEventListener("click", () => {
  setToken(null);
  location.reload();
});
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const q = new FormData(event.currentTarget).get("q").trim();
  if (q) location.hash = `#/find?${params({ q })}`;
});
at("place").textContent = `Times are in ${zone()}. This page only reads.`;
themes();
addEventListener("hashchange", go);
document.addEventListener("visibilitychange", look);
setInterval(() => document.hidden || tick(), TICK_MS);
setInterval(
  () => document.hidden || !route.view?.refreshes || at("live").dataset.state !== "live" || soon(),
  REFRESH_EVERY_MS,
);
route = read(location.hash);
go();
look();
