// Filters of a list: what is chosen stands in the page's address, so that a list can be sent as a link.
import { params } from "./api.js";
import { el } from "./dom.js";

/** The command that makes a first event. */
export const MADE_UP = "waldo-syncd send onboard --customer c-1 --status APPROVED";

/** A filter with fixed choices: words, or pairs of a word and what is shown for it. */
export function choice(name, label, chosen, choices) {
  const options = [["", "any"], ...choices].map((choice) => {
    const [value, words] = Array.isArray(choice) ? choice : [choice, choice];
    return el("option", { value, selected: value === (chosen ?? "") }, words);
  });
  return field(label, el("select", { name, id: `filter-${name}`, "data-key": `filter ${name}` }, ...options));
}

/** A filter that takes a text. */
export function words(name, label, given) {
  return field(
    label,
    el("input", {
      name,
      id: `filter-${name}`,
      value: given ?? "",
      "data-key": `filter ${name}`,
      autocomplete: "off",
      spellcheck: "false",
    }),
  );
}

function field(label, control) {
  return el("span", { class: "field" }, el("label", { for: control.id }, label), control);
}

/** The filters of the list at `place`. */
export function filters(place, ...fields) {
  const go = (form) => {
    const given = params(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])));
    location.hash = given ? `${place}?${given}` : place;
  };
  const on = {
    submit(event) {
      event.preventDefault();
      go(event.currentTarget);
    },
    change: (event) => go(event.currentTarget),
  };
  return el(
    "form",
    { class: "filters", on },
    ...fields,
    el("button", { type: "submit", "data-key": "filter go" }, "Show"),
    el("a", { href: place, "data-key": "filter none" }, "No filter"),
  );
}

/** What stands in the place of an empty list; `first` says how the first one comes. */
export function none(given, more, thing, first) {
  if (more) return el("p", { class: "panel" }, "None among those looked at so far; there are more on the next page.");
  const asked = Object.keys(given).length > 0;
  return el("p", { class: "panel" }, asked ? `No ${thing} fits these filters.` : `No ${thing} is known yet. ${first}`);
}

/** Where a list goes on. */
export function pages(place, given, from, next) {
  const to = (more) => {
    const query = params({ ...given, ...more });
    return query ? `${place}?${query}` : place;
  };
  const first = from ? el("a", { href: to({ from: null }), "data-key": "page first" }, "From the beginning") : null;
  const onward = next ? el("a", { href: to({ from: next }), "data-key": "page next" }, "Next page") : null;
  return first || onward ? el("nav", { class: "pages", "aria-label": "Pages of the list" }, first, onward) : null;
}
