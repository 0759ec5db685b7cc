// The bytes of an event's body, asked for only when somebody wants to see them.
import { askPayload } from "./api.js";
import { bytes, el, lines } from "./dom.js";

/** Characters that are shown at first, and at most: a browser takes its time with more. */
const SHOWN = 20_000;
const MOST = 300_000;
/** Bytes of a body that is no text. */
const DUMPED = 512;

/** Puts an event's body into `place`. */
export async function payload(seq, place) {
  place.replaceChildren(el("p", { class: "dim" }, "Asking the daemon …"));
  try {
    const body = await askPayload(seq, new AbortController().signal);
    place.replaceChildren(...shown(seq, body));
  } catch (error) {
    const again = el("button", { type: "button", on: { click: () => payload(seq, place) } }, "Try again");
    place.replaceChildren(el("p", { role: "alert" }, `It could not be read: ${error.message} `, again));
  }
}

function shown(seq, body) {
  const save = el("button", { type: "button", on: { click: () => keep(seq, body) } }, "Save the bytes");
  const size = el("span", { class: "dim" }, `${bytes(body.length)} as they arrived. `);
  let raw;
  try {
    raw = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return [el("p", {}, size, save), el("p", {}, "This is no UTF-8 text. It begins:"), lines(dump(body))];
  }
  const place = el("div");
  const indent = raw.length <= MOST ? indented(raw) : null;
  const show = (whole, limit) => {
    const rest = whole.length - limit;
    const most = whole.length > MOST ? " (the first part; save the bytes for all)" : "";
    const more =
      rest > 0 && limit < MOST
        ? el("button", { type: "button", on: { click: () => show(whole, MOST) } }, `Show more${most}`)
        : null;
    place.replaceChildren(
      lines(whole.slice(0, limit)),
      ...(more ? [more] : rest > 0 ? [el("p", { class: "dim" }, "Cut here; save the bytes for all.")] : []),
    );
  };
  let neat = indent !== null;
  const turn = el("button", { type: "button" });
  const draw = () => {
    turn.textContent = neat ? "As it came" : "Indented";
    show(neat ? indent : raw, SHOWN);
  };
  turn.addEventListener("click", () => {
    neat = !neat;
    draw();
  });
  draw();
  return [el("p", {}, size, indent === null ? null : turn, " ", save), place].filter(Boolean);
}

/** JSON with line breaks. Works on the text, so that every digit and every repeated key stays; null of what is no JSON. */
function indented(raw) {
  try {
    JSON.parse(raw);
  } catch {
    return null;
  }
  const [out, stack] = [[], []];
  const line = () => `\n${"  ".repeat(Math.min(stack.length, 20))}`;
  for (const [token] of raw.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "{" || token === "[") {
      stack.push(token);
      out.push(token, line());
    } else if (token === "}" || token === "]") {
      stack.pop();
      if (/^\n *$/.test(out.at(-1)) && /^[{[]$/.test(out.at(-2))) out.pop();
      else out.push(line());
      out.push(token);
    } else if (token === ",") out.push(token, line());
    else out.push(token === ":" ? ": " : token);
  }
  return out.join("");
}

function dump(body) {
  const rows = [];
  for (let at = 0; at < Math.min(body.length, DUMPED); at += 16) {
    const row = [...body.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${letters}`);
  }
  return rows.join("\n");
}

/** Hands the bytes over as a file that no browser opens as a page. */
function keep(seq, body) {
  const url = URL.createObjectURL(new Blob([body], { type: "application/octet-stream" }));
  const link = el("a", { download: `event-${seq}.payload` });
  link.href = url;
  link.click();
  URL.revokeObjectURL(url);
}
