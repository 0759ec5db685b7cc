// Reads a customer, again only when it changed. Usage: customer.mjs ID [MIN_SEQ [FOLDER]]. Needs Node 18 or later.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const QUERY = process.env.WALDO_QUERY ?? "http://127.0.0.1:7312";
const [id, minimum = "0", folder = "."] = process.argv.slice(2);
const name = encodeURIComponent(id);
const file = `${folder}/customer-${name}.json`; // the tag and what it stands for, in one file

async function customer(minimum) {
  const known = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  const answer = await fetch(`${QUERY}/v1/customers/${name}?minSeq=${minimum}`, {
    headers: known ? { "If-None-Match": known.etag } : {},
    cache: "no-store", // fetch must not keep a cache of its own in between
    signal: AbortSignal.timeout(15_000),
  });
  if (answer.status === 304) return [304, known.customer]; // what is kept still holds
  if (answer.status === 404) throw new Error("no webhook has named this customer yet");
  if (!answer.ok) throw new Error(`${answer.status}: try again in a second`);
  const fresh = { etag: answer.headers.get("ETag"), customer: await answer.json() };
  writeFileSync(file, JSON.stringify(fresh));
  return [answer.status, fresh.customer];
}

try {
  const [status, found] = await customer(minimum);
  console.log(status, JSON.stringify(found));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
