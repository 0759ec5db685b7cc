// The page as people use it: what it shows, that it stays up to date, finding, filters, one customer's story.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closePages, launch, live, open, picture, sees, visit } from "./browser.js";
import { Daemon } from "./daemon.js";
import { ADA, BEN, decision, tell } from "./story.js";

let browser, daemon;
before(async () => {
  [browser, daemon] = await Promise.all([launch(), Daemon.start()]);
  await tell(daemon);
});
afterEach(closePages);
after(async () => {
  await browser?.close();
  await daemon?.remove();
});

const at = (hash) => `${daemon.url}${hash}`;

test("an empty log says what to do next", async () => {
  const empty = await Daemon.start();
  try {
    const page = await open(browser, empty.url);
    await live(page);
    await sees(page, "Ready for the first webhook");
    await sees(page, "waldo-syncd send onboard --customer c-1 --status APPROVED");
    await sees(page, "https://YOUR-NAME/webhooks/waldo/SECRET");
    for (const [hash, words] of [
      ["#/customers", "No customer is known yet"],
      ["#/requests", "No request is known yet"],
      ["#/events", "No event is known yet"],
    ]) {
      await visit(page, hash);
      await sees(page, words);
    }
    // What it advises works: the first event comes by the advice, and the page shows it by itself.
    await visit(page, "#/");
    await sees(page, "First steps");
    await empty.deliver(decision("c-1", "APPROVED"));
    await sees(page, "All is well");
    await page.getByRole("heading", { name: "First steps" }).waitFor({ state: "detached" });
    page.assertCalm();
  } finally {
    await empty.remove();
  }
});

test("the overview says in words how it is", async () => {
  const page = await open(browser, at(""));
  await live(page);
  await sees(page, "Webhooks are coming in");
  await sees(page, "1 event in quarantine");
  await sees(page, "Coverage 100 %");
  await sees(page, "No backup yet");
  await sees(page, "the body is not JSON");
  await sees(page, "Of the newest 200 requests");
  assert.match(await page.locator("footer").innerText(), /Europe\/Berlin \(GMT\+[12]\)/);
  assert.equal(await page.getByRole("img", { name: /Events in the last hour: \d+ in all/ }).count(), 1);
  assert.equal(await page.locator("canvas").count(), 2);
  // One deadline passes by the clock alone; the page notices by itself.
  await sees(page, "1 request is overdue");
  await picture(page, "overview", { fullPage: true });
  page.assertCalm();
});

test("a webhook appears by itself, and only what is shown is asked for", async () => {
  const page = await open(browser, at(""));
  await live(page);
  const asked = page.asked.length;
  const begun = Date.now();
  const seq = await daemon.deliver(decision("live-1", "REJECTED"));
  await page.getByRole("link", { name: String(seq), exact: true }).waitFor();
  await sees(page, "live-1");
  // Counts and lists agree, whatever kind of event it was.
  await daemon.deliver("no json either");
  await sees(page, "2 events in quarantine");
  await page
    .locator("section", { has: page.getByRole("heading", { name: "Not understood" }) })
    .locator("tbody tr")
    .nth(2)
    .waitFor();
  const since = page.asked.slice(asked);
  // The clock has the page ask too, for some four things in 15 s.
  const seconds = (Date.now() - begun) / 1000;
  assert.ok(since.length <= 20 + Math.floor(seconds / 15) * 4, since.join(" "));
  page.assertCalm();
});

test("a burst is not answered by a burst of questions", async () => {
  const page = await open(browser, at(""));
  await live(page);
  const asked = page.asked.length;
  let seq;
  const begun = Date.now();
  for (let turn = 0; turn < 300; turn += 1)
    seq = await daemon.deliver(decision(`burst-${turn % 3}`, turn % 2 ? "APPROVED" : "REJECTED"));
  await page.getByRole("link", { name: String(seq), exact: true }).waitFor();
  const seconds = (Date.now() - begun) / 1000;
  const since = page.asked.slice(asked).length;
  // A round of questions is at most eight, and there is one in two seconds; the first and the last come on top.
  assert.ok(since <= (seconds / 2 + 3) * 8, `${since} questions in ${seconds} s`);
  page.assertCalm();
});

test("with more events than can be shown the page steps aside, and comes back", async () => {
  const page = await open(browser, at(""));
  await live(page);
  const one = JSON.stringify(await daemon.call("GET", "/v1/events/8"));
  let streams = 0;
  await page.route("**/v1/events/stream?*", (route) => {
    streams += 1;
    return streams === 1
      ? route.fulfill({ contentType: "text/event-stream", body: `id:8\ndata:${one}\n\n`.repeat(1000) })
      : route.continue();
  });
  await page.reload();
  await page.getByText("Many events at once").waitFor();
  await live(page);
  assert.equal(streams, 2);
  page.assertCalm();
});

test("a hidden tab does nothing, and catches up when it is looked at", async () => {
  const page = await open(browser, at(""));
  await live(page);
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const left = page.waitForEvent("requestfailed", (request) => request.url().includes("/v1/events/stream"));
  await hide(true);
  await left;
  const asked = page.asked.length;
  const seq = await daemon.deliver(decision("hidden-1", "APPROVED"));
  assert.deepEqual(page.asked.slice(asked), []);
  await hide(false);
  await page.getByRole("link", { name: String(seq), exact: true }).waitFor();
  page.assertCalm();
});

test("what is pasted is found: customer, external id, request, event", async () => {
  const page = await open(browser, at(""));
  await live(page);
  const find = async (q) => {
    await page.getByRole("searchbox").fill(q);
    await page.getByRole("button", { name: "Find" }).click();
  };
  await find(ADA);
  await page.getByRole("heading", { level: 1, name: ADA }).waitFor();
  assert.ok(page.url().endsWith(`#/customers/${ADA}`), page.url());
  await find("crm-1002");
  await page.getByRole("heading", { level: 1, name: BEN }).waitFor();
  await find("k7Qm2ZtX9a");
  await page.getByRole("heading", { level: 1, name: "k7Qm2ZtX9a" }).waitFor();
  await find("3");
  await page.getByRole("heading", { level: 1, name: "Event 3" }).waitFor();
  await find("nobody");
  await sees(page, "Nothing. Ids are compared letter by letter");
  await daemon.deliver({ ...decision("twin-1", "APPROVED"), externalId: "twins" });
  await daemon.deliver({ ...decision("twin-2", "APPROVED"), externalId: "twins" });
  await find("twins");
  await sees(page, "twin-1");
  await sees(page, "twin-2");
  // The browser logs each 404 that was asked for.
  page.assertCalm(/status of 404/);
});

test("customers are filtered, and the address keeps the filter", async () => {
  const page = await open(browser, at("#/customers"));
  await sees(page, BEN);
  await page.getByLabel("Status").selectOption("REVIEW");
  await page.getByText(ADA).waitFor({ state: "detached" });
  await sees(page, BEN);
  assert.ok(page.url().endsWith("#/customers?status=REVIEW"), page.url());
  await page.getByLabel("External id (exactly)").fill("crm-9");
  await page.getByRole("button", { name: "Show" }).click();
  await sees(page, "No customer fits these filters");
  const other = await open(browser, at("#/customers?evaluation=fraud%3Acompleted&flagged=false"));
  await sees(other, ADA);
  assert.equal(await other.getByText(BEN).count(), 0);
  assert.equal(await other.getByLabel("Flag").inputValue(), "false");
  page.assertCalm();
  other.assertCalm();
});

test("events and requests are filtered and paged through", async () => {
  const page = await open(browser, at("#/events?disposition=quarantined"));
  await sees(page, "the body is not JSON");
  assert.equal(
    await page.locator("tbody tr").count(),
    await page.locator("tbody").getByText("the body is not JSON").count(),
  );
  await visit(page, "#/events");
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "From the beginning" }).waitFor();
  const first = await page.locator("tbody tr").count();
  assert.ok(first > 0);
  await visit(page, "#/requests?state=completed");
  await sees(page, "k7Qm2ZtX9a");
  assert.equal(await page.getByText("Bw4sN0eR8c").count(), 0);
  await page.getByRole("link", { name: "k7Qm2ZtX9a" }).click();
  await sees(page, "a webhook that names it");
  await sees(page, '"order": 4711');
  page.assertCalm();
});

test("a customer's timeline tells what each event changed, who did it and how that is known", async () => {
  const page = await open(browser, at(`#/customers/${ADA}`));
  const entry = (seq) => page.getByRole("article", { name: `Event ${seq}`, exact: true });
  await entry(8).waitFor();
  const words = (seq) => entry(seq).innerText();
  assert.match(await words(4), /own call/);
  assert.match(await words(4), /it carries the id of a request/);
  assert.match(await words(6), /a call that sets this flag was noted/);
  assert.match(await words(7), /It repeats event 6/);
  assert.match(await words(8), /dashboard/);
  assert.match(await words(8), /nothing points to a call of your own/);
  assert.match(await words(8), /Status\s+! REVIEW\s+→ ✕ REJECTED/);
  assert.match(await words(8), /validation\.fraudScore: expected a number/);
  assert.match(await words(10), /Fraud score\s+0\.41\s+→ 0\.82/);
  await sees(page, "Politically exposed person (not passed)");
  assert.equal(
    await page
      .getByRole("link", { name: `https://app.waldo.ai/customers/${ADA}` })
      .first()
      .getAttribute("rel"),
    "noopener noreferrer",
  );
  // A new event joins in on top while an open payload stays open.
  await entry(8).getByText("Payload").click();
  await entry(8).getByText('"fraudScore": "high"').waitFor();
  const seq = await daemon.deliver(decision(ADA, "REVIEW"));
  await entry(seq).waitFor();
  assert.equal(await entry(8).getByText('"fraudScore": "high"').isVisible(), true);
  await daemon.deliver(decision(ADA, "APPROVED", { fraudScore: 0.82 }));
  await picture(page, "customer", { fullPage: true });
  page.assertCalm();
});

test("a point of the timeline shows the customer as it was known then, and is a link to send", async () => {
  const page = await open(browser, at(`#/customers/${ADA}`));
  const standing = page.locator("section", { has: page.getByRole("heading", { name: "Standing" }) });
  await standing.getByText("APPROVED").waitFor();
  await page
    .getByRole("article", { name: "Event 8", exact: true })
    .getByRole("link", { name: "Customer after this" })
    .click();
  await sees(page, "As it was known after event 8");
  const words = await standing.innerText();
  assert.match(words, /Status\s+✕ REJECTED now: ✓ APPROVED/);
  assert.match(words, /Flagged\s+! flagged now: not flagged/);
  // Whoever works with the keyboard keeps the place.
  assert.equal(await page.evaluate(() => document.activeElement.dataset.key), "point 8");
  const other = await open(browser, page.url());
  await sees(other, "As it was known after event 8");
  await other.getByRole("link", { name: "One event earlier" }).click();
  await sees(other, "As it was known after event 7");
  await sees(other, "REVIEW");
  await other.getByRole("link", { name: "Back to now" }).click();
  await other.getByText("As it was known").waitFor({ state: "detached" });
  await visit(other, `#/customers/${ADA}?asOfSeq=1`);
  await sees(other, "The customer was not known then");
  page.assertCalm();
  // The browser logs each 404 that was asked for.
  other.assertCalm(/status of 404/);
});

test("a payload is asked for on demand, shown with every digit, and saved byte for byte", async () => {
  const body = '{"event":"onboard","customerId":"digits","n":12345678901234567890.10,"n":1e400,"empty":{},"list":[]}';
  const seq = await daemon.deliver(body);
  const page = await open(browser, at("#/customers/digits"));
  const path = `/v1/events/${seq}/payload`;
  await page.getByText("Payload").waitFor();
  assert.ok(!page.asked.includes(path));
  await page.getByText("Payload").click();
  await sees(page, "12345678901234567890.10");
  assert.equal(page.asked.filter((asked) => asked === path).length, 1);
  const shown = await page.locator("details pre").innerText();
  assert.equal(shown.replaceAll(/\s/g, ""), body);
  await page.getByRole("button", { name: "As it came" }).click();
  assert.equal(await page.locator("details pre").innerText(), body);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save the bytes" }).click(),
  ]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), body);
  const binary = await daemon.deliver(new Uint8Array([0xff, 0xfe, 0x41, 0x00]));
  await visit(page, `#/events/${binary}`);
  await sees(page, "This is no UTF-8 text");
  await sees(page, "ff fe 41 00");
  page.assertCalm();
});

test("times are in the viewer's zone, with the exact UTC at hand", async () => {
  const page = await open(browser, at("#/events/3"), { timezoneId: "Asia/Tokyo" });
  const time = page.locator("main time").first();
  await time.waitFor();
  const exact = await time.getAttribute("datetime");
  assert.match(await time.getAttribute("title"), new RegExp(exact.replaceAll(".", "\\.")));
  const hour = new Date(exact).toLocaleTimeString("en-GB", { timeZone: "Asia/Tokyo" });
  assert.ok((await time.innerText()).includes(hour), `${await time.innerText()} has no ${hour}`);
  assert.match(await page.locator("footer").innerText(), /Asia\/Tokyo \(GMT\+9\)/);
  page.assertCalm();
});

test("what is wrong is said in words", async () => {
  const stats = await daemon.call("GET", "/v1/stats");
  const since = new Date(Date.now() - 7_200_000).toISOString();
  const page = await open(browser, `${daemon.url}page/icon.svg`);
  await page.route("**/v1/stats", (route) =>
    route.fulfill({
      json: {
        ...stats,
        silence: { silent: true, since },
        coverage: { ...stats.coverage, ratio: 0.98, settled: 50, byWebhook: 49, byPoll: 1 },
        lastBackup: { at: "2020-01-01T00:00:00.000Z", path: "/mnt/b.db", events: 7, head: "ab", verified: false },
        queue: { ...stats.queue, events: 9000 },
      },
    }),
  );
  await page.goto(daemon.url);
  for (const words of [
    "Webhooks have fallen silent",
    "no webhook has come for 2 h",
    "Coverage 98.0 %",
    "asking Waldo 1",
    "not checked",
    "The queue is more than half full",
  ])
    await sees(page, words);
  await page.route("**/readyz", (route) =>
    route.fulfill({ status: 503, json: { code: "not_ready", detail: "the disk is full" } }),
  );
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Not ready" }).waitFor();
  await sees(page, "the disk is full");
});
