// The list of customers, by filters that stand in the page's address.
import { ask, params } from "./api.js";
import { el, table, text } from "./dom.js";
import { choice, filters, MADE_UP, none, pages, words } from "./forms.js";
import { ago } from "./time.js";
import { badge, customerLink, value } from "./words.js";

const LIMIT = 50;
const STATUSES = ["APPROVED", "REVIEW", "REJECTED", "PENDING"];
const KYC = ["PASSED", "REVIEW", "REJECTED", "PENDING"];
const RUNS = ["kyc", "fraud", "document"].flatMap((type) =>
  ["initiated", "in_progress", "completed", "failed"].map((status) => `${type}:${status}`),
);

export const title = () => "Customers";
export const refreshes = false;
/** A list that was paged through stands still. */
export const wants = (event, { given }) => !given.from && event.customerId !== null;

export async function load({ given }, { signal }) {
  const { from, ...asked } = given;
  return ask(`v1/customers?${params({ order: "desc", ...asked, cursor: from, limit: LIMIT })}`, signal);
}

export function draw({ items, next }, { given }) {
  const known = (list, word) => (word && !list.includes(word) ? [...list, word] : list);
  return [
    el("h1", { tabindex: "-1" }, "Customers"),
    filters(
      "#/customers",
      choice("status", "Status", given.status, known(STATUSES, given.status)),
      choice("kyc", "KYC", given.kyc, known(KYC, given.kyc)),
      choice("flagged", "Flag", given.flagged, [
        ["true", "flagged"],
        ["false", "not flagged"],
      ]),
      choice(
        "evaluation",
        "Present evaluation",
        given.evaluation,
        known(RUNS, given.evaluation).map((run) => [run, run.replace(":", " ")]),
      ),
      words("externalId", "External id (exactly)", given.externalId),
    ),
    items.length
      ? list(items)
      : none(given, next, "customer", `The first webhook that names one makes it known: ${MADE_UP}`),
    pages("#/customers", given, given.from, next),
  ];
}

/** A table of customers. */
export function list(items) {
  const rows = items.map((customer) => [
    customerLink(customer.customerId, 60),
    customer.externalId === null ? "" : text(customer.externalId, 60),
    badge(customer.status),
    badge(customer.kyc),
    customer.fraudScore ?? "",
    customer.flagged === null ? "" : value("flagged", customer.flagged),
    value("decidedBy", customer.decidedBy),
    ago(customer.updatedAt),
  ]);
  return table(
    "Customers, the last changed first",
    ["Customer", "External id", "Status", "KYC", "Fraud score", "Flag", "Decided by", "Changed"],
    rows,
  );
}
