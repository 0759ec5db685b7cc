// A real Chromium, and pages that are watched: whatever a page logs as an error, asks of another host, runs against its
// policy or shows as a dialog ends its test.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const WITHIN_MS = 20_000;
const pictures = fileURLToPath(new URL("../../target/browser/", import.meta.url));
mkdirSync(pictures, { recursive: true });

/** A browser with an empty profile of its own. */
export function launch(...flags) {
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    ...flags,
  ];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args });
}

const opened = [];

/** Closes the pages of a test. */
export const closePages = () => Promise.all(opened.splice(0).map((context) => context.close()));

/** A page, and `assertCalm`, which holds that nothing went wrong in it up to now. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  opened.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN_MS);
  const wrong = [];
  const home = new URL(url).origin;
  page.asked = [];
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && wrong.push(`console: ${message.text()}`),
  );
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  context.on("request", (request) => {
    page.asked.push(new URL(request.url()).pathname);
    if (new URL(request.url()).origin !== home) wrong.push(`asked another host: ${request.url()}`);
  });
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
  page.assertCalm = (...expected) => {
    const unexpected = wrong.filter((line) => !expected.some((pattern) => pattern.test(line)));
    assert.deepEqual(unexpected, []);
  };
  await page.goto(url);
  return page;
}

/** Waits until the page follows the stream. */
export const live = (page) => page.locator('#live[data-state="live"]').waitFor();

/** Goes to a place of the page and waits until it is shown. */
export async function visit(page, hash) {
  await page.evaluate((hash) => (location.hash = hash), hash);
  await page.waitForFunction(() => document.querySelector("main").dataset.place === location.hash);
}

/** Waits until a text is on the page. */
export const sees = (page, text) => page.locator("main").getByText(text).first().waitFor();

/** Keeps a picture for people to look at. */
export const picture = (page, name, options = {}) =>
  page.screenshot({ path: join(pictures, `${name}.png`), ...options });

/** Asks again until it is so. */
export async function until(what, ask) {
  const end = Date.now() + WITHIN_MS;
  while (!(await ask())) {
    assert.ok(Date.now() < end, `waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
