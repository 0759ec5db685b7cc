// Follows what is decided on Waldo's dashboard. Usage: follow.mjs [FILE]. Needs Node 18 or later.
// ROUNDS ends it after so many pages, for tests.
import { readFile, rename, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const QUERY = process.env.WALDO_QUERY ?? "http://127.0.0.1:7312";
const WAIT = Number(process.env.WAIT ?? 30);
const file = process.argv[2] ?? "app.json";

// One file in place of a database: the cursor and what was made of the events are replaced together, by rename.
async function load() {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return { next: 0, accounts: {} };
    throw error;
  }
}

async function save(state) {
  const handle = await open(`${file}.new`, "w");
  await handle.writeFile(JSON.stringify(state));
  await handle.sync();
  await handle.close();
  await rename(`${file}.new`, file);
}

// Your work: changes the state that is saved with the cursor, and gives what was news.
function handle(state, event) {
  const status = event.changes.find((change) => change.field === "status")?.to;
  if (status === undefined || state.accounts[event.customerId] === status) return []; // known already
  state.accounts[event.customerId] = status;
  return [`${event.seq} ${event.customerId} ${status}`];
}

for (let rounds = Number(process.env.ROUNDS ?? -1); rounds !== 0; rounds--) {
  const state = await load();
  const url = `${QUERY}/v1/events?after=${state.next}&origin=dashboard&disposition=applied&wait=${WAIT}`;
  let page;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout((WAIT + 15) * 1000) });
    if (!answer.ok) throw Object.assign(new Error(answer.statusText), { retry: answer.headers.get("Retry-After") });
    page = await answer.json();
  } catch (error) { // not there, 503, broken off: try again
    await sleep(Number(error.retry ?? 1) * 1000);
    continue;
  }
  const news = page.items.flatMap((event) => handle(state, event));
  state.next = page.next;
  await save(state);
  for (const line of news) console.log(line);
}
