// The token of a door that asks for one. It stays in this tab and goes nowhere but to this door.
import { el } from "./dom.js";

const KEY = "waldo-syncd-token";
let token = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** What a request says of who asks. */
export const credentials = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** Whether there is one. */
export const hasToken = () => token !== null;

/** Takes a token, or forgets it. */
export function setToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Without storage it is asked for again after a reload.
  }
}

/** Asks for the token. */
export function form(done) {
  const input = el("input", {
    type: "password",
    name: "token",
    id: "token",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
  });
  const submit = (event) => {
    event.preventDefault();
    // Header values are ASCII here; anything else could not be sent at all.
    if (/^[\x21-\x7e]+$/.test(input.value.trim())) {
      setToken(input.value.trim());
      done();
    } else {
      input.setCustomValidity("A token has no spaces and no letters beyond ASCII.");
      input.reportValidity();
    }
  };
  const explained = hasToken()
    ? "The daemon does not take this token."
    : "This door asks for a token. It is the one line of the file that [query] token_file names.";
  return el(
    "form",
    { class: "panel narrow", on: { submit } },
    el("h1", { tabindex: "-1" }, "Token"),
    el("p", { role: "alert" }, explained),
    el(
      "p",
      { class: "ways" },
      el("label", { for: "token" }, "Token"),
      input,
      el("button", { type: "submit" }, "Use it"),
    ),
    el("p", { class: "dim" }, "It is kept in this tab until the tab is closed, and sent to this daemon only."),
  );
}
