"use strict";
// Shows what the sandbox holds. Text from outside goes in as text only, never as markup.
const SHOWN = 50;
const EVERY_MS = 1000;
const ACTIONS = ["approve", "reject", "review", "check-fraud"];
const seen = { customers: "", deliveries: "" };

function cell(row, text, className) {
  const cell = row.insertCell();
  cell.textContent = text === null || text === undefined ? "" : String(text);
  if (className) cell.className = className;
  return cell;
}

function tone(word) {
  if (["APPROVED", "PASSED", "delivered"].includes(word)) return "good";
  if (["REJECTED", "lost", "failed"].includes(word)) return "bad";
  return "";
}

function fill(name, items, write) {
  const now = JSON.stringify(items);
  if (now === seen[name]) return;
  seen[name] = now;
  const table = document.getElementById(name);
  const held = document.activeElement && document.activeElement.dataset.key;
  table.hidden = items.length === 0;
  document.getElementById(name + "-none").hidden = items.length > 0;
  const body = document.createElement("tbody");
  for (const item of items) write(body.insertRow(), item);
  table.tBodies[0].replaceWith(body);
  // Whoever works with the keyboard keeps the place.
  if (held) for (const button of table.querySelectorAll("button")) if (button.dataset.key === held) button.focus();
}

function button(cell, id, action) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action;
  button.setAttribute("aria-label", action + " " + id);
  button.dataset.key = id + " " + action;
  button.addEventListener("click", () => act(id, action));
  cell.append(button);
}

function customer(row, one) {
  cell(row, one.customerId, "id");
  cell(row, one.externalId, "free");
  cell(row, one.status + (one.flagged ? ", flagged" : ""), tone(one.status));
  cell(row, one.kyc, tone(one.kyc));
  cell(row, one.fraudScore);
  cell(row, one.running.map((run) => run.type + " " + run.status).join(", "), "free");
  const decide = row.insertCell();
  for (const action of ACTIONS) button(decide, one.customerId, action);
  button(decide, one.customerId, one.flagged ? "unflag" : "flag");
}

function delivery(row, one) {
  const run = one.evaluation;
  cell(row, one.number);
  cell(row, one.event, "free");
  cell(row, run ? run.type + " " + run.status : "");
  cell(row, one.customerId, "id");
  cell(row, one.requestId, "id");
  cell(row, one.cause);
  cell(row, one.fate + (one.status ? " " + one.status : "") + (one.error ? ": " + one.error : ""), tone(one.fate));
  cell(row, one.mischief.join(", ") + (one.duplicateOf ? " of " + one.duplicateOf : ""), "free");
}

function say(text) {
  document.getElementById("state").textContent = text;
}

async function act(id, action) {
  const path = "/sandbox/customers/" + encodeURIComponent(id) + "/" + action;
  try {
    const answer = await fetch(path, { method: "POST" });
    say(answer.ok ? "" : (await answer.json()).detail);
  } catch {
    say("The sandbox does not answer.");
  }
  await look();
}

async function ask(path) {
  const answer = await fetch(path + "?last=" + SHOWN);
  if (!answer.ok) throw new Error(path);
  return answer.json();
}

async function look() {
  try {
    const [customers, deliveries] = await Promise.all([ask("/sandbox/customers"), ask("/sandbox/deliveries")]);
    document.getElementById("customers-count").textContent = customers.total > SHOWN ? "(the newest " + SHOWN + " of " + customers.total + ")" : "";
    fill("customers", customers.customers.reverse(), customer);
    fill("deliveries", deliveries.deliveries.reverse(), delivery);
    return true;
  } catch {
    say("The sandbox does not answer.");
    return false;
  }
}

let quiet = true;
async function follow() {
  if (!document.hidden) {
    const well = await look();
    if (well && !quiet) say("");
    quiet = well;
  }
  setTimeout(follow, EVERY_MS);
}
follow();
