// A real daemon in a temporary folder on free ports. Nothing here waits for a time to pass: a start waits for the ready
// file or the process's end, a stop for its end.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.WALDO_SYNCD ?? join(root, "target/debug/waldo-syncd");
const START_LIMIT_MS = 30_000;
const CALL_LIMIT_MS = 20_000;

export class Daemon {
  #child = null;
  #folder = mkdtempSync(join(tmpdir(), "waldo-syncd-"));
  #arguments = [];

  /** Starts one; `config` is the text of its configuration, `files` are written beside it. */
  static async start({ config = "", files = {} } = {}) {
    const daemon = new Daemon();
    for (const [name, text] of Object.entries(files)) writeFileSync(daemon.file(name), text, { mode: 0o600 });
    writeFileSync(daemon.file("config.toml"), config.replaceAll("FOLDER", daemon.#folder));
    daemon.#arguments = [
      "serve",
      "--config",
      daemon.file("config.toml"),
      "--data-dir",
      daemon.file("data"),
      "--control",
      daemon.file("control.sock"),
    ];
    await daemon.#run("127.0.0.1:0", "127.0.0.1:0");
    return daemon;
  }

  file(name) {
    return join(this.#folder, name);
  }

  async #run(ingest, query) {
    const ready = this.file("ready.json");
    rmSync(ready, { force: true });
    this.log = "";
    const child = spawn(program, [...this.#arguments, "--ingest", ingest, "--query", query, "--ready-file", ready], {
      cwd: this.#folder,
      env: { PATH: process.env.PATH, HOME: this.#folder },
    });
    this.#child = child;
    const ended = new Promise((resolve) => child.on("exit", resolve));
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (this.log += data));
    this.ended = ended;
    const end = Date.now() + START_LIMIT_MS;
    while (!existsSync(ready)) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`the daemon did not start:\n${this.log}`);
      await Promise.race([sleep(10), ended]);
    }
    this.doors = JSON.parse(readFileSync(ready, "utf8"));
    this.secret = readFileSync(this.file("data/webhook-secret"), "utf8").split("\n")[0];
  }

  get url() {
    return `http://${this.doors.query}/`;
  }

  get port() {
    return Number(this.doors.query.split(":").at(-1));
  }

  /** Posts a body as Waldo would; its seq, once it is visible. */
  async deliver(body) {
    const bytes = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
    const answer = await fetch(`http://${this.doors.ingest}/webhooks/waldo/${this.secret}`, {
      method: "POST",
      body: bytes,
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    if (answer.status !== 200) throw new Error(`the webhook was answered ${answer.status}`);
    const { seq } = await answer.json();
    await this.call("GET", `/v1/stats?minSeq=${seq}`);
    return seq;
  }

  /** Speaks to the control socket. */
  call(method, path, body) {
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.doors.control, path, method, timeout: CALL_LIMIT_MS };
      const request = http.request(options, (answer) => {
        let text = "";
        answer.on("data", (data) => (text += data));
        answer.on("end", () =>
          answer.statusCode < 300 ? resolve(JSON.parse(text)) : reject(new Error(`${answer.statusCode} ${text}`)),
        );
      });
      request.on("error", reject);
      request.on("timeout", () => request.destroy(new Error(`${method} ${path} took too long`)));
      request.end(body && JSON.stringify(body));
    });
  }

  async stop() {
    this.#child?.kill("SIGTERM");
    await this.ended;
    this.#child = null;
  }

  /** Again on the same ports and the same data. */
  again() {
    return this.#run(this.doors.ingest, this.doors.query);
  }

  async remove() {
    this.#child?.kill("SIGKILL");
    await this.ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
