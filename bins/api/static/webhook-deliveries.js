// What an endpoint was sent, and what became of it.

import { get, ofOrg, post } from "./api.js";
import { h } from "./dom.js";
import { plural, when, words } from "./format.js";
import { badge, complain, empty, field, list, notify, run, table } from "./parts.js";

const STATUSES = { succeeded: ["delivered", "good"], pending: ["on its way", ""], failed: ["failed", "bad"] };
const ERRORS = {
  timeout: "no answer in time", connect_failed: "could not connect", address_not_allowed: "the address is not allowed", tls_failed: "no trusted TLS connection",
  no_answer: "no answer", redirect: "answered with a redirect", gone: "answered that it is gone", bad_status: "answered with an error",
};

/** The deliveries of an endpoint, newest first. The element has `load()`, and `follow(meanwhile)` for when something was queued:
 *  it looks again until there can be an answer. */
export function deliveries(webhook, changeable) {
  let wanted = "";
  const path = ofOrg(`/webhooks/${webhook.id}/deliveries`);
  const columns = [
    ["Event", (item) => [h("code", {}, item.type), h("br", {}), when(item.created_at)]],
    ["Status", state],
    ["Attempts", (item) => [plural(item.attempts, "attempt"), item.last_attempt_at ? [", last ", when(item.last_attempt_at)] : null]],
    ["Answer", answer],
    ["Next attempt", (item) => (item.next_attempt_at ? when(item.next_attempt_at) : h("span", { class: "quiet" }, "none"))],
  ];
  if (changeable) columns.push(["Action", (item) => retryButton(item)]);
  const rows = list((cursor) => get(path, { cursor, limit: 20, status: wanted }), (items) => table(`Deliveries to ${webhook.url}`, columns, items),
    () => empty("No deliveries", wanted ? "None has this status." : "Send a test to see the first one."));
  rows.classList.add("short");
  // The endpoint's answer takes a moment.
  const follow = async (meanwhile) => {
    rows.load();
    for (const wait of [1500, 3500]) {
      await new Promise((go) => setTimeout(go, wait));
      if (!rows.isConnected) return;
      rows.load();
      await meanwhile?.();
    }
  };
  function retryButton(item) {
    const button = h("button", {
      type: "button", class: "button small", "aria-label": `Retry ${item.type}`,
      onclick: () => run(button, async () => {
        await post(`${path}/${item.id}/retry`);
        notify(`${item.type} is sent again.`);
        select.focus();
        follow().catch(complain);
      }, complain),
    }, "Retry");
    return button;
  }
  const filter = field({
    label: "Deliveries", name: "", options: [["", "All"], ["pending", "On their way"], ["succeeded", "Delivered"], ["failed", "Failed"]],
    onchange: (event) => {
      wanted = event.target.value;
      rows.load();
    },
  });
  const select = filter.querySelector("select");
  const element = h("div", { class: "deliveries" }, h("div", { class: "filters" }, filter,
    h("button", { type: "button", class: "button", onclick: () => rows.load() }, "Refresh")), rows);
  return Object.assign(element, { load: rows.load, follow });
}

function state({ status, error }) {
  if (status === "pending" && error) return badge("waits to retry", "warn");
  return badge(...(STATUSES[status] ?? [status, ""]));
}

function answer(item) {
  const error = item.error ? ERRORS[item.error] ?? words(item.error) : null;
  if (!item.response_status && !error) return h("span", { class: "quiet" }, "none yet");
  return [[item.response_status, error].filter(Boolean).join(", "),
    item.response_excerpt ? h("details", {}, h("summary", {}, "What it said"), h("pre", {}, item.response_excerpt)) : null];
}
