// The page and its door: the token, a daemon that stops and comes back, and pages of other sites.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closePages, launch, live, open, picture, sees } from "./browser.js";
import { Daemon } from "./daemon.js";
import { decision } from "./story.js";

const FOREIGN = "rebound.test";
let browser;
before(async () => {
  // Browsers have begun to keep pages from this machine by themselves. Not all do, so here the daemon has to.
  browser = await launch(
    `--host-resolver-rules=MAP ${FOREIGN} 127.0.0.1`,
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
  );
});
afterEach(closePages);
after(() => browser?.close());

test("with a token the page asks for it, keeps it for the tab only, and is live", async () => {
  const daemon = await Daemon.start({
    config: '[query]\ntoken_file = "FOLDER/token"\n',
    files: { token: "open-sesame-1234567890\n" },
  });
  try {
    await daemon.deliver(decision("canary", "APPROVED"));
    const page = await open(browser, daemon.url);
    const ask = page.getByLabel("Token");
    await ask.waitFor();
    assert.equal(await page.getByText("canary").count(), 0);
    await picture(page, "token");
    await ask.fill("wrong");
    await page.getByRole("button", { name: "Use it" }).click();
    await sees(page, "The daemon does not take this token");
    await page.getByLabel("Token").fill("open-sesame-1234567890");
    await page.keyboard.press("Enter");
    await live(page);
    await sees(page, "canary");
    await daemon.call("POST", "/v1/flags", { customerId: "second", flag: true });
    await sees(page, "flag.called");
    // Whoever reloads is not asked again; whoever opens another tab is.
    await page.reload();
    await live(page);
    const kept = await page.evaluate(() => [Object.values(localStorage), document.cookie, location.href].join(" "));
    assert.ok(!kept.includes("sesame"), kept);
    const other = await open(browser, daemon.url);
    await other.getByLabel("Token").waitFor();
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.getByLabel("Token").waitFor();
    page.assertCalm(/status of 401/);
  } finally {
    await daemon.remove();
  }
});

test("when the daemon stops the page says so, and comes back by itself", async () => {
  const daemon = await Daemon.start();
  try {
    await daemon.deliver(decision("before", "APPROVED"));
    const page = await open(browser, daemon.url);
    await live(page);
    await sees(page, "before");
    await daemon.stop();
    await page
      .getByRole("status")
      .getByText(/The daemon has not answered since/)
      .waitFor();
    await page.getByRole("button", { name: "Try now" }).waitFor();
    // What was there is still there.
    await sees(page, "before");
    await picture(page, "stopped");
    await daemon.again();
    await daemon.deliver(decision("afterwards", "REJECTED"));
    await live(page);
    assert.equal(await page.locator("#lost").innerText(), "");
    await sees(page, "afterwards");
    await daemon.deliver(decision("later", "REJECTED"));
    await sees(page, "later");
    page.assertCalm(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/);
  } finally {
    await daemon.remove();
  }
});

test("a door that refuses the stream is told from one that does not answer", async () => {
  const daemon = await Daemon.start();
  try {
    const page = await open(browser, `${daemon.url}page/icon.svg`);
    const refusal = { status: 503, json: { code: "too_many_streams", detail: "too many follow the feed" } };
    let clicked = false;
    await page.route("**/v1/events/stream?*", (route) => (clicked ? route.continue() : route.fulfill(refusal)));
    await page.goto(daemon.url);
    await page.getByRole("status").getByText("for the daemon says: too many follow the feed.").waitFor();
    await page.getByRole("button", { name: "Try now" }).click();
    clicked = true;
    await live(page);
    // The picture alone, with which this began, names no icon, so the browser may ask for /favicon.ico.
    page.assertCalm(/status of 503/, /status of 404/);
  } finally {
    await daemon.remove();
  }
});

/** What a page under another name, pointed at this machine, can read of the door. */
async function read(daemon) {
  const context = await browser.newContext();
  const page = await context.newPage();
  // The name led to the attacker's server when the page was loaded, and leads to this machine from then on.
  await page.route("**/attack", (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>attack</title>" }),
  );
  await page.goto(`http://${FOREIGN}:${daemon.port}/attack`);
  const found = await page.evaluate(async () => {
    const paths = ["/v1/customers", "/v1/events", "/v1/stats", "/", "/page/app.js", "/metrics", "/healthz"];
    return Promise.all(
      paths.map(async (path) => {
        const answer = await fetch(path);
        return [path, answer.status, (await answer.text()).includes("canary")];
      }),
    );
  });
  await context.close();
  return found;
}

test("a page whose name was pointed at this machine reads nothing", async () => {
  const daemon = await Daemon.start();
  // The same daemon without the check: the name is one of its own. If this one gave nothing, the test would prove nothing.
  const open = await Daemon.start({ config: `[query]\nhosts = ["${FOREIGN}"]\n` });
  try {
    await daemon.deliver(decision("canary", "APPROVED"));
    await open.deliver(decision("canary", "APPROVED"));
    for (const [path, status, canary] of await read(daemon)) assert.deepEqual([status, canary], [421, false], path);
    const control = await read(open);
    assert.ok(
      control.every(([, status]) => status === 200),
      JSON.stringify(control),
    );
    assert.deepEqual(
      control.slice(0, 2).map(([, , canary]) => canary),
      [true, true],
    );
  } finally {
    await daemon.remove();
    await open.remove();
  }
});

test("another site can neither read the door nor frame the page", async () => {
  const daemon = await Daemon.start();
  const other = await Daemon.start();
  try {
    await daemon.deliver(decision("canary", "APPROVED"));
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route("**/attack", (route) =>
      route.fulfill({ contentType: "text/html", body: `<!doctype html><iframe src="${daemon.url}"></iframe>` }),
    );
    await page.goto(`${other.url}attack`);
    const outcome = await page.evaluate(
      (url) =>
        fetch(url).then(
          () => "read",
          (error) => error.name,
        ),
      `${daemon.url}v1/customers`,
    );
    assert.equal(outcome, "TypeError");
    const frame = page.frames().find((frame) => frame !== page.mainFrame());
    assert.equal(await frame.locator("main").count(), 0);
    await context.close();
  } finally {
    await daemon.remove();
    await other.remove();
  }
});
