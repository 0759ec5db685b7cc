// Filters of a list: what is chosen stands in the page's address, so that a list can be sent as a link.
import { params } from "./api.js";
import { el } from "./dom.js";

/** A filter with fixed choices: [value, label] pairs. */
export function choice(name, label, chosen, choices) {
  const options = [["", "any"], ...choices].map(([value, words]) =>
    el("option", { value, selected: value === (chosen ?? "") }, words),
  );
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
