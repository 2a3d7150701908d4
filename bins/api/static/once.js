// What is shown once: it stays until somebody says that it is stored, and leaving the page is asked about.

import { open } from "./dialog.js";
import { h } from "./dom.js";

const hold = (event) => event.preventDefault();

/** Shows `content` with the buttons `actions` and one that says `done`. Only what is `secret` is lost with the page. */
export async function showOnce(title, content, { actions, done = "I have stored it", secret = true, wide = false, class: name } = {}) {
  if (secret) addEventListener("beforeunload", hold);
  await open(title, (close) => h("div", { class: name }, content, h("div", { class: "actions" }, actions,
    h("button", { type: "button", class: "button strong", onclick: () => close(true) }, done))), { held: true, wide });
  removeEventListener("beforeunload", hold);
}
