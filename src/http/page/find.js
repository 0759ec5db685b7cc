// Finds what somebody pasted: a customer's id, an external id, a request's id, or an event's number.
import { ask, askEvents, askFor, params, part } from "./api.js";
import { el, section, text } from "./dom.js";
import { list } from "./customers.js";
import { customerLink, eventLink, place, requestLink } from "./words.js";

const LIMIT = 50;

export const title = ({ given }) => `Find ${given.q ?? ""}`;
export const refreshes = false;
export const wants = () => false;

export async function load({ given }, { signal }) {
  const q = given.q ?? "";
  const id = part(q);
  if (id === null) return { q, impossible: true };
  const [customer, others, request, named, event] = await Promise.all([
    askFor(`v1/customers/${id}`, signal),
    ask(`v1/customers?${params({ externalId: q, limit: LIMIT, order: "desc" })}`, signal),
    askFor(`v1/requests/${id}`, signal),
    askEvents({ customerId: q }, null, 1, signal),
    /^[1-9][0-9]{0,14}$/.test(q) ? askFor(`v1/events/${q}`, signal) : null,
  ]);
  return {
    q,
    customer,
    others: others.items,
    more: others.next !== null,
    request,
    named: named.items.length > 0,
    event: event && event.seq,
  };
}

/** The place to go to at once, where only one thing was found. */
export function redirect({ q, customer, others = [], request, named, event }) {
  const places = [...new Set([customer || named ? q : null, ...others.map(({ customerId }) => customerId)])]
    .filter((id) => id !== null)
    .map((id) => place("customers", id));
  if (request) places.push(place("requests", q));
  if (event) places.push(`#/events/${event}`);
  return places.length === 1 ? places[0] : null;
}

export function draw({ q, impossible, customer, others, more, request, named, event }) {
  const title = el("h1", { tabindex: "-1" }, "Found for ", text(q, 80));
  if (impossible)
    return [title, el("p", { class: "panel" }, "This is too long, or nothing that an id can be in a request.")];
  const nothing = !customer && !others.length && !request && !named && !event;
  if (nothing) {
    return [
      title,
      el(
        "p",
        { class: "panel" },
        "Nothing. Ids are compared letter by letter, as a whole. A customer is known once a webhook has named it; ",
        el("a", { href: "#/customers" }, "all customers"),
        " or ",
        el("a", { href: "#/events" }, "all events"),
        ".",
      ),
    ];
  }
  return [
    title,
    customer ? section("Customer with this id", list([customer])) : null,
    !customer && named ? section("Events name a customer with this id", el("p", {}, customerLink(q))) : null,
    others.length
      ? section(
          "Customers with this external id",
          list(others),
          more ? el("p", {}, el("a", { href: `#/customers?${params({ externalId: q })}` }, "All of them")) : null,
        )
      : null,
    request ? section("Request", el("p", {}, requestLink(q))) : null,
    event ? section("Event", el("p", {}, eventLink(event))) : null,
  ];
}
