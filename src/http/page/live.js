// Follows the event stream. Read with fetch rather than EventSource, so that it can carry a token. After each loss it
// joins again where the log stands then: what is on the page is read afresh anyway.
import { fetchPath, light, Refused } from "./api.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;
/** The daemon says something every 15 s; after so long without a word the connection is dead. */
const DEAD_AFTER_MS = 40_000;
/** With more events a second the page steps aside and looks again later. */
const FLOOD = 200;
const FLOOD_PAUSE_MS = 3000;
/** Characters of one event; bodies are 1 MiB at most by default, and JSON within JSON grows little. */
const LARGEST = 1 << 25;

/**
 * Follows until the signal. `join` reads what is to be shown and gives the seq to follow from; `heard` gets each event;
 * `state` gets "joining", "live", "away", "flood" or "locked", and what the daemon said if it refused. `nudge()` ends a wait.
 */
export class Live {
  #stop = null;
  #wake = () => {};

  constructor({ join, heard, state }) {
    Object.assign(this, { join, heard, state });
  }

  start() {
    if (this.#stop) return;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
    this.#wake();
  }

  nudge() {
    this.#wake();
  }

  async #run(signal) {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      let [flood, why] = [false, null];
      try {
        this.state("joining");
        const after = await this.join(signal);
        flood = await this.#follow(after, signal, () => {
          wait = FIRST_WAIT_MS;
          this.state("live");
        });
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 401) {
          this.#stop = null;
          this.state("locked");
          return;
        }
        why = error instanceof Refused ? error.message : null;
      }
      if (signal.aborted) return;
      this.state(flood ? "flood" : "away", why);
      await this.#pause(flood ? FLOOD_PAUSE_MS : wait * (0.8 + 0.4 * Math.random()));
      if (!flood) wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Reads one stream to its end; true when events came too fast to be shown. */
  async #follow(after, signal, opened) {
    const ours = new AbortController();
    const answer = await fetchPath(`v1/events/stream?after=${after}`, AbortSignal.any([signal, ours.signal]));
    if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let [buffer, second, inSecond] = ["", 0, 0];
    let dead = setTimeout(() => ours.abort(), DEAD_AFTER_MS);
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return false;
        clearTimeout(dead);
        dead = setTimeout(() => ours.abort(), DEAD_AFTER_MS);
        const blocks = (buffer + value).split("\n\n");
        buffer = blocks.pop();
        if (buffer.length > LARGEST) throw new Error("an event is too large to be followed");
        for (const event of blocks.map(read).filter(Boolean)) {
          if (Math.floor(Date.now() / 1000) !== second) [second, inSecond] = [Math.floor(Date.now() / 1000), 0];
          inSecond += 1;
          if (inSecond > FLOOD) return true;
          this.heard(event);
        }
      }
    } finally {
      clearTimeout(dead);
      ours.abort();
    }
  }
}

/** The event of one block of the stream; null of a comment. */
function read(block) {
  const data = block.split("\n").find((line) => line.startsWith("data:"));
  if (data === undefined) return null;
  try {
    return light(JSON.parse(data.slice(5)));
  } catch {
    // Nested deeper than this browser reads; that something came is known all the same.
    return {};
  }
}
