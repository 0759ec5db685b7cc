// Times as the viewer reads them: in the viewer's zone, with the exact UTC at hand; ages by the daemon's clock.
import { el } from "./dom.js";

const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const zoneName = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" })
  .formatToParts()
  .find((part) => part.type === "timeZoneName");
/** Clocks of two machines that differ by less count as the same. */
const SAME_CLOCK_MS = 2000;
let ahead = 0;

/** Notes what time the daemon says it is; its answers have whole seconds. */
export function noteClock(date) {
  const apart = Date.parse(date) + 500 - Date.now();
  if (!Number.isNaN(apart)) ahead = Math.abs(apart) < SAME_CLOCK_MS ? 0 : apart;
}

/** Now, by the daemon's clock, in milliseconds. */
export const now = () => Date.now() + ahead;

/** The viewer's zone in words. */
export const zone = () => `${Intl.DateTimeFormat().resolvedOptions().timeZone} (${zoneName?.value ?? "UTC"})`;

/** A moment. */
export function moment(at) {
  return at ? el("time", { datetime: at, title: `${at} (UTC)` }, format.format(new Date(at))) : null;
}

/** How long ago something was; kept up to date by `tick`. */
export function ago(at) {
  return at
    ? el("time", { datetime: at, title: `${format.format(new Date(at))}, ${at} (UTC)`, class: "ago" }, since(at))
    : null;
}

/** How long ago, in words. */
export function since(at) {
  const ms = now() - Date.parse(at);
  if (ms < -SAME_CLOCK_MS) return `in ${duration(-ms)}`;
  return ms < 1000 ? "just now" : `${duration(ms)} ago`;
}

/** A stretch of time in its largest fitting unit. */
export function duration(ms) {
  const units = [
    [86_400_000, "day"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
  ];
  const [size, name] = units.find(([size]) => ms >= size * (size === 86_400_000 ? 2 : 1)) ?? [1, "ms"];
  return `${Math.floor(ms / size)} ${name === "day" ? "days" : name}`;
}

/** Brings all ages on the page up to date. */
export function tick() {
  for (const time of document.querySelectorAll("time.ago")) {
    const text = since(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}
