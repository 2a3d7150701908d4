// A token is shown once: nothing of it stays on the page, or anywhere else, after its dialog is closed.

import { context } from "./api.js";
import { h } from "./dom.js";
import { when } from "./format.js";
import { showOnce } from "./once.js";
import { coded, copyButton, download } from "./parts.js";

/** A command for the holder of a key, at this service's own address. */
export function curl(path, token = "$STATUSPULSE_API_KEY", method = "GET") {
  const verb = method === "GET" ? "" : ` -X ${method}`;
  return `curl${verb} -H "Authorization: Bearer ${token}" ${location.origin}${context.base}${path}`;
}

/** Lines to copy. */
export function command(text, label) {
  return h("div", { class: "command" }, h("pre", { tabindex: "0", role: "region", "aria-label": label }, text), copyButton(text, `Copy ${label}`));
}

/** Shows the token of an answer that made one: `{key, token, warnings?, previous_valid_until?}`. Ends when it is stored. */
export async function showToken(answer, { title = "Your new key" } = {}) {
  const { key, token, warnings = [], previous_valid_until: until } = answer;
  const file = `statuspulse-${key.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "key"}.env`;
  await showOnce(title, [
    h("p", {}, "This is the only time that the token is shown. Copy it to where it is used, or to a password manager."),
    h("pre", { class: "secret", id: "token", tabindex: "0", role: "region", "aria-label": `Token of ${key.name}` }, token),
    h("div", { class: "panel-actions" }, copyButton(token), h("button", {
      type: "button", class: "button small", onclick: () => download(file, `STATUSPULSE_API_KEY=${token}\n`),
    }, "Download .env")),
    until ? h("p", { class: "note" },
      new Date(until) > new Date() ? ["The previous token works until ", when(until), "."] : "The previous token has ended.") : null,
    warnings.length ? h("div", { class: "note warn" }, warnings.map((warning) => h("div", {}, coded(warning.detail)))) : null,
    h("p", {}, "Try it (the command holds the token: the history of your shell keeps it):"),
    command(curl("/v1/keys/self", token), "command"),
  ], { wide: true, class: "token" });
  delete answer.token;
}
