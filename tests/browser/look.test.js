// How it looks and how it is worked with: dark, narrow, by keyboard, by names that a screen reader says.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closePages, launch, live, open, picture, sees, visit } from "./browser.js";
import { Daemon } from "./daemon.js";
import { ADA, BEN, tell } from "./story.js";

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

const PLACES = [
  "#/",
  "#/customers",
  `#/customers/${ADA}`,
  `#/customers/${ADA}?asOfSeq=8`,
  "#/requests",
  "#/requests/k7Qm2ZtX9a",
  "#/events",
  "#/events/8",
  "#/find?q=nobody",
];
/** The browser logs each 404; a search asks for several things of which most are not there. */
const NOT_FOUND = /status of 404/;
const settled = (page) => page.locator("main h1").waitFor();

/** Relative luminance of a color that the browser names as rgb(…). */
function luminance(color) {
  const channels = color
    .match(/[\d.]+/g)
    .slice(0, 3)
    .map((channel) => {
      const part = Number(channel) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
  return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
}

/** The least contrast of any text on the page with what is behind it. */
async function leastContrast(page) {
  const pairs = await page.evaluate(() => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (
        !walker.currentNode.data.trim() ||
        element.closest(".unseen, noscript, script, .skip") ||
        !element.checkVisibility()
      )
        continue;
      let behind = element;
      while (behind && /^rgba\(.*, 0\)$/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
      found.push([
        getComputedStyle(element).color,
        getComputedStyle(behind ?? document.body).backgroundColor,
        walker.currentNode.data.trim().slice(0, 30),
      ]);
    }
    return found;
  });
  assert.ok(pairs.length > 10);
  return pairs
    .map(([ink, paper, words]) => {
      const [a, b] = [luminance(ink), luminance(paper)].sort((a, b) => b - a);
      return [(a + 0.05) / (b + 0.05), `${words}: ${ink} on ${paper}`];
    })
    .sort(([a], [b]) => a - b)[0];
}

for (const colorScheme of ["light", "dark"]) {
  test(`every text stands out in the ${colorScheme} theme`, async () => {
    const page = await open(browser, daemon.url, { colorScheme });
    await live(page);
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(luminance(paper) < 0.2, colorScheme === "dark", paper);
    for (const place of PLACES) {
      await visit(page, place);
      const [contrast, where] = await leastContrast(page);
      assert.ok(contrast >= 4.5, `${place}: ${contrast.toFixed(2)} ${where}`);
    }
    await visit(page, "#/");
    await picture(page, `overview-${colorScheme}`);
    page.assertCalm(NOT_FOUND);
  });
}

test("the switch goes before the system's choice, and stays", async () => {
  const page = await open(browser, daemon.url, { colorScheme: "light" });
  await live(page);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.getByLabel("Colours").selectOption("dark");
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.reload();
  await settled(page);
  assert.equal(await paper(), dark);
  await page.getByLabel("Colours").selectOption("");
  assert.equal(await paper(), light);
  page.assertCalm();
});

test("at 360 pixels nothing is scrolled sideways", async () => {
  const long = "x".repeat(3000);
  await daemon.deliver({
    event: "onboard",
    customerId: long,
    externalId: long,
    validation: { status: long, kyc: "PASSED" },
  });
  const page = await open(browser, daemon.url, { viewport: { width: 360, height: 740 } });
  await live(page);
  for (const place of [...PLACES, `#/customers/${long}`]) {
    await visit(page, place);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${place.slice(0, 40)} is ${wide} wide`);
    const cut = await page.evaluate(() =>
      [...document.querySelectorAll("main *")]
        .filter(
          (element) =>
            element.checkVisibility() &&
            !element.closest(".unseen, thead, .chart, pre") &&
            element.getBoundingClientRect().right > innerWidth + 1,
        )
        .map((element) => element.outerHTML.slice(0, 120)),
    );
    assert.deepEqual(cut, [], place.slice(0, 40));
  }
  await visit(page, `#/customers/${ADA}`);
  await picture(page, "customer-narrow", { fullPage: true });
  page.assertCalm(NOT_FOUND);
});

test("everything is reached by keyboard, and what has the focus is seen", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  await sees(page, BEN);
  // From the top: the skip button comes first and leads past the header.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  assert.ok((await page.locator("#skip").boundingBox()).y >= 0, "it is seen while it has the focus");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  // Each thing that can be worked with gets its turn, and shows it.
  const wanted = await page.evaluate(
    () =>
      [...document.querySelectorAll("a[href], button, input, select, summary, pre[tabindex]")].filter((element) =>
        element.checkVisibility(),
      ).length,
  );
  let [seen, unseen] = [0, []];
  await page.locator("#skip").focus();
  for (let turn = 1; turn <= wanted; turn += 1) {
    const [inside, outline, name] = await page.evaluate(() => {
      const element = document.activeElement;
      return [element !== document.body, getComputedStyle(element).outlineStyle, element.outerHTML.slice(0, 80)];
    });
    if (inside) seen += 1;
    if (inside && turn > 1 && outline === "none") unseen.push(name);
    await page.keyboard.press("Tab");
  }
  assert.equal(seen, wanted);
  assert.deepEqual(unseen, []);
  // A walk through: search, open a customer, pick a point, open a payload.
  await page.getByRole("searchbox").focus();
  await page.keyboard.type(ADA);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: ADA }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  await page
    .getByRole("article", { name: "Event 8", exact: true })
    .getByRole("link", { name: "Customer after this" })
    .focus();
  await page.keyboard.press("Enter");
  await sees(page, "As it was known after event 8");
  await page.getByRole("article", { name: "Event 8", exact: true }).locator("summary").focus();
  await page.keyboard.press("Enter");
  await sees(page, '"fraudScore": "high"');
  page.assertCalm(NOT_FOUND);
});

test("landmarks, headings, tables and controls have names", async () => {
  const page = await open(browser, daemon.url);
  await live(page);
  for (const place of PLACES) {
    await visit(page, place);
    for (const role of ["banner", "navigation", "main", "contentinfo", "search"])
      assert.ok((await page.getByRole(role).count()) >= 1, `${place}: ${role}`);
    assert.equal(await page.getByRole("heading", { level: 1 }).count(), 1, place);
    assert.match(await page.title(), /. · waldo-syncd$/);
    const nameless = await page.evaluate(() => {
      const named = (element) =>
        element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim();
      const controls = [...document.querySelectorAll("a, button, input, select")].filter((element) => !named(element));
      const tables = [...document.querySelectorAll("table")].filter(
        (table) => !table.caption?.textContent.trim() || table.querySelector("thead th:not([scope])"),
      );
      const sections = [...document.querySelectorAll("section")].filter(
        (section) => !document.getElementById(section.getAttribute("aria-labelledby"))?.textContent,
      );
      const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
      return [
        ...[...controls, ...tables, ...sections].map((element) => element.outerHTML.slice(0, 80)),
        ...ids.filter((id, at) => ids.indexOf(id) !== at),
      ];
    });
    assert.deepEqual(nameless, [], place);
  }
  page.assertCalm(NOT_FOUND);
});
