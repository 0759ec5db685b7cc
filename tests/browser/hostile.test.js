// Whatever stands in a payload is text on the page: no script of it runs, no markup of it is taken up, nothing of it
// leads anywhere, and no character of it turns the words around it.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closePages, launch, live, open, sees, visit } from "./browser.js";
import { Daemon } from "./daemon.js";

const MARKUP = [
  "<script>window.taken=1</script>",
  "<img src=x onerror=window.taken=1>",
  "<svg onload=window.taken=1>",
  "<iframe srcdoc='<script>parent.taken=1</script>'></iframe>",
  '"><a href=javascript:window.taken=1 autofocus onfocus=window.taken=1>x</a>',
  "</style><style>*{display:none}</style>",
  "<form action=https://evil.example><button autofocus>x</button></form>",
  "<base href=https://evil.example/>",
  "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
  "{{constructor.constructor('window.taken=1')()}}",
];
const OVERRIDE = "\u202egnp.exe\u2066\u200b\u0007";
const PLACES = [
  "__proto__",
  "constructor",
  "../../v1/stats",
  "..",
  ".",
  "a/b?c#d&e=f%00%2e%2e",
  "#/events",
  "javascript:window.taken=1",
  "\ud800",
];

/** As it stands in an address: half a character cannot. */
const encoded = (text) => encodeURIComponent(text.replaceAll(/[\ud800-\udfff]/g, "\ufffd"));

let browser, daemon, seqs;
before(async () => {
  [browser, daemon] = await Promise.all([launch(), Daemon.start()]);
  seqs = [];
  const tell = async (body) => seqs.push(await daemon.deliver(body));
  for (const text of [...MARKUP, OVERRIDE, ...PLACES]) {
    await tell({
      event: "onboard",
      customerId: text,
      externalId: text,
      requestId: text,
      uri: text,
      evaluation: { type: text, status: text },
      validation: {
        status: text,
        kyc: text,
        warnings: 1,
        warningTags: [{ tag: text, label: text, passed: false, isDoc: true }],
      },
    });
    await tell({ event: text, customerId: text });
    await tell({
      event: "onboard",
      customerId: "one",
      externalId: text,
      uri: `javascript:${text}`,
      validation: { status: text, [text]: text, fraudScore: text },
    });
    await tell(`${text}`);
  }
  await tell({ event: "onboard", customerId: "one", uri: "data:text/html,<script>window.taken=1</script>" });
  const long = "<b>".repeat(330_000);
  await tell({
    event: "onboard",
    customerId: "long",
    externalId: long.slice(0, 300_000),
    uri: long.slice(0, 300_000),
    validation: { status: long.slice(0, 300_000) },
  });
  await tell({ event: long.slice(0, 400_000), customerId: long.slice(0, 400_000) });
  await tell(`{"event":"flag","customerId":"deep","flag":true,"x":${"[".repeat(200_000)}${"]".repeat(200_000)}}`);
  await daemon.call("POST", "/v1/requests", {
    requestId: "context",
    operation: "other",
    customerId: "one",
    context: { [MARKUP[0]]: MARKUP[1] },
  });
});
afterEach(closePages);
after(async () => {
  await browser?.close();
  await daemon?.remove();
});

/** What only our own markup may hold. */
async function assertInert(page, place) {
  const found = await page.evaluate(() => ({
    taken: window.taken,
    scripts: [...document.scripts].map((script) => script.getAttribute("src")),
    strange: [
      ...document.querySelectorAll(
        "img, svg, iframe, base, meta[http-equiv], style, object, embed, b, link:not([rel=icon], [rel=stylesheet])",
      ),
    ].map((element) => element.outerHTML.slice(0, 80)),
    handlers: [...document.querySelectorAll("*")].flatMap((element) =>
      element
        .getAttributeNames()
        .filter((name) => /^on|^style$|^srcdoc$/.test(name) && !element.closest(".u-wrap, .uplot, .bar-of")),
    ),
    links: [...document.querySelectorAll("[href], [action], [src]")]
      .flatMap((element) => ["href", "action", "src"].map((name) => element.getAttribute(name)))
      .filter((to) => to !== null && !/^(#\/|page\/|https:\/\/)/.test(to)),
    overrides: /[\u202a-\u202e\u2066-\u2069\u200b\u0007]/.test(document.title + document.body.textContent),
    hash: location.hash,
    host: location.host,
    proto: Object.keys(Object.prototype).length,
  }));
  assert.equal(found.taken, undefined, place);
  assert.deepEqual(found.scripts, ["page/theme.js", "page/uPlot.js", "page/app.js"], place);
  assert.deepEqual(found.strange, [], place);
  assert.deepEqual(found.handlers, [], place);
  assert.deepEqual(found.links, [], place);
  assert.equal(found.overrides, false, place);
  assert.equal(`http://${found.host}/`, daemon.url, place);
  assert.equal(found.proto, 0, place);
  page.assertCalm(/status of 40[04]/, /status of 431/);
}

test("this test would see a script that runs", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.setContent(`<div id=a></div>`);
  await page.evaluate((text) => (document.getElementById("a").innerHTML = text), MARKUP[1]);
  await page.waitForFunction(() => window.taken === 1);
});

test("the policy itself refuses markup made from text", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  const refused = await page.evaluate((text) => {
    try {
      document.createElement("div").innerHTML = text;
      return false;
    } catch (error) {
      return error instanceof TypeError;
    }
  }, MARKUP[1]);
  assert.equal(refused, true);
});

test("lists show hostile text as text", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const place of [
    "#/",
    "#/customers",
    "#/events",
    "#/events?disposition=quarantined",
    "#/events?disposition=unrecognised",
    "#/requests",
  ]) {
    await visit(page, place);
    await assertInert(page, place);
  }
  // Every event of the log, page by page.
  await visit(page, "#/events");
  for (;;) {
    await page.locator("main h1").waitFor();
    await assertInert(page, page.url());
    const next = page.getByRole("link", { name: "Next page" });
    if (!(await next.count())) break;
    const before = await page.locator("tbody a").first().textContent();
    await next.click();
    await page.waitForFunction((before) => document.querySelector("tbody a")?.textContent !== before, before);
  }
});

test("a customer made of hostile text is shown with its timeline, and its link comes back to it", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const text of [...MARKUP, OVERRIDE, ...PLACES]) {
    await visit(page, `#/customers?externalId=${encoded(text)}`);
    await page.getByRole("heading", { level: 1, name: "Customers" }).waitFor();
    await assertInert(page, text);
    const link = page.locator(`tbody a[href="#/customers/${encoded(text)}"]`);
    // A path cannot hold an id of dots alone; it is shown, without a link.
    if (text === "." || text === ".." || text === "\ud800") continue;
    await link.click();
    await page.getByRole("heading", { name: "Timeline" }).waitFor();
    assert.equal(new URL(page.url()).hash, `#/customers/${encodeURIComponent(text)}`, text);
    for (const summary of await page.locator("summary").all()) await summary.click();
    await page.locator("details pre").first().waitFor();
    await assertInert(page, text);
  }
  await visit(page, "#/customers/one");
  await page.getByRole("heading", { name: "Timeline" }).waitFor();
  await assertInert(page, "one");
});

test("events, requests and searches of hostile text are inert", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const seq of seqs.slice(0, 44)) {
    await visit(page, `#/events/${seq}`);
    await page.locator("main pre").first().waitFor();
    await assertInert(page, `event ${seq}`);
  }
  for (const text of [...MARKUP, OVERRIDE, ...PLACES]) {
    await visit(page, `#/find?q=${encoded(text)}`);
    await assertInert(page, `find ${text}`);
  }
  await visit(page, "#/requests/context");
  await sees(page, MARKUP[1]);
  await assertInert(page, "context");
});

test("addresses made by somebody else lead to nothing", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const hash of [
    "#/<img src=x onerror=window.taken=1>",
    "#/__proto__",
    "#/constructor/x",
    "#/customers/%",
    "#/customers/a/b",
    "#/events/<svg onload=window.taken=1>",
    "#/customers?status=<script>window.taken=1</script>&x=y",
    "#/customers?__proto__=1",
  ]) {
    await visit(page, hash);
    await assertInert(page, hash);
  }
  for (const dots of ["#/customers/..", "#/requests/."]) {
    await visit(page, dots);
    await sees(page, "No path can hold this id.");
  }
  // What is no place of ours is passed over.
  await page.evaluate(() => (location.hash = "javascript:window.taken=1"));
  await sees(page, "No path can hold this id.");
  await assertInert(page, "javascript");
});

test("texts of a megabyte are cut and do not hold up the page", async () => {
  const page = await open(browser, `${daemon.url}#/customers/long`);
  await page.getByRole("heading", { name: "Timeline" }).waitFor();
  await sees(page, "(300,000 characters)");
  const size = await page.evaluate(() => document.body.textContent.length);
  assert.ok(size < 20_000, `${size} characters`);
  await page.getByText("Payload").first().click();
  await page.locator("details pre").first().waitFor();
  await page.getByRole("button", { name: /Show more/ }).click();
  await page.getByText("Cut here; save the bytes for all.").waitFor();
  await assertInert(page, "long");
  await visit(page, "#/customers/deep");
  await page.getByRole("heading", { name: "Timeline" }).waitFor();
  await page.getByText("Payload").first().click();
  await page.locator("details pre").first().waitFor();
  await assertInert(page, "deep");
});

test("hostile text that comes by the stream is inert too", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const text of [...MARKUP, OVERRIDE]) {
    const seq = await daemon.deliver({ event: "onboard", customerId: `live ${text}`, validation: { status: text } });
    await page.getByRole("link", { name: new Intl.NumberFormat("en").format(seq), exact: true }).waitFor();
    await assertInert(page, text);
  }
});

test("a payload that is opened as a page of its own runs nothing", async () => {
  for (const seq of seqs.slice(0, 12)) {
    const context = await browser.newContext();
    const page = await context.newPage();
    // What a browser cannot show it offers as a download, which ends the navigation.
    await page
      .goto(`${daemon.url}v1/events/${seq}/payload`)
      .catch((error) => assert.match(error.message, /Download|ERR_ABORTED/));
    assert.equal(await page.evaluate(() => window.taken), undefined);
    await context.close();
  }
});
