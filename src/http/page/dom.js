// Makes elements. What comes from outside becomes text nodes, never markup; characters that cannot be seen, or that turn
// the text around them, are shown by their number.

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
const UNSEEN_BUT_LINES = /(?![\n\r\t])[\p{C}\p{Zl}\p{Zp}]/gu;
/** Characters of one text that are shown where no other bound is given. */
const SHOWN = 160;

/** An element. Attributes that are null or false stay out; `on` holds listeners. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key === "href") element.setAttribute("href", address(value));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** Children as nodes: texts stay texts, what is null stays out. */
export function nodes(children) {
  return [children].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A link goes to a place of this page or to a site with TLS, never to anything that would run here. */
function address(text) {
  if (text.startsWith("#/")) return text;
  const url = new URL(text);
  if (url.protocol !== "https:") throw new Error("no link leads there");
  return url.href;
}

/** A text from outside, set apart from the text around it, cut when it is long. */
export function text(value, shown = SHOWN) {
  const whole = String(value);
  const cut = whole.length > shown ? whole.slice(0, shown).replace(/[\ud800-\udbff]$/, "") : whole;
  const rest = whole.length > shown ? el("span", { class: "dim" }, ` … (${count(whole.length)} characters)`) : null;
  return el("bdi", { class: "outside" }, ...seen(cut, UNSEEN), ...nodes(rest));
}

/** A text from outside where there is no place for marks: short, and without characters that cannot be seen. */
export const plain = (value, shown = 80) => value.replaceAll(UNSEEN, "\ufffd").slice(0, shown);

/** Lines of text from outside, as they are. */
export function lines(value) {
  return el("pre", { tabindex: "0" }, ...seen(value, UNSEEN_BUT_LINES));
}

function seen(value, unseen) {
  const parts = [];
  let from = 0;
  for (const match of value.matchAll(unseen)) {
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(
      value.slice(from, match.index),
      el("span", { class: "code", title: "a character that cannot be seen" }, `U+${code}`),
    );
    from = match.index + match[0].length;
  }
  parts.push(value.slice(from));
  return parts.filter((part) => part !== "");
}

/** A link to a place of this page, around a text from outside. */
export function link(href, value, attributes = {}) {
  const label = value instanceof Node ? value : text(value);
  // A place that no link can name is shown without one.
  return href === null ? label : el("a", { href, ...attributes }, label);
}

/** Puts nodes in the place of what is there; whoever works with the keyboard keeps the place. */
export function swap(root, ...children) {
  const held = root.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = new Set([...root.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  root.replaceChildren(...nodes(children));
  for (const details of root.querySelectorAll("details[data-key]"))
    if (open.has(details.dataset.key)) details.open = true;
  if (held)
    [...root.querySelectorAll("[data-key]")]
      .find((element) => element.dataset.key === held)
      ?.focus({ preventScroll: true });
}

/** A table. Columns are their titles; on a narrow screen each row becomes a block and each cell is led by its title. */
export function table(caption, columns, rows) {
  const head = columns.map((title) => el("th", { scope: "col", role: "columnheader" }, title));
  const filled = (cell) => nodes(cell).some((part) => part !== "");
  const cell = (content, at) =>
    el("td", { role: "cell", "data-label": columns[at] }, filled(content) ? el("span", {}, ...nodes(content)) : null);
  const body = rows.map((cells) => el("tr", { role: "row" }, ...cells.map(cell)));
  // The roles are those that the elements have; the narrow screen's blocks would lose them.
  return el(
    "table",
    { role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)),
    el("tbody", { role: "rowgroup" }, ...body),
  );
}

/** Pairs of a name and a value. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el(
    "dl",
    { class: "facts" },
    ...shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...nodes(value)))),
  );
}

/** A part of the page under its title. */
export function section(title, ...children) {
  const id = `title-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...nodes(children));
}

const numbers = new Intl.NumberFormat("en");
/** A number with its thousands apart. */
export const count = (number) => numbers.format(number);

/** A number of things in words. */
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

/** A size in the largest unit that leaves a number over one. */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(Math.max(number, 1)) / 10), units.length - 1);
  return `${(number / 1024 ** power).toLocaleString("en", { maximumFractionDigits: power ? 1 : 0 })} ${units[power]}`;
}
