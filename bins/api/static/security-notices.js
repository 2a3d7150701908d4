// What people and programs are told, and whether anybody would hear it.

import { all, ofOrg } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { badge, loaded, table } from "./parts.js";

const NOTICES = [
  ["A key ends", "key.expiring", "30, 14, 7, 3 and 1 days before the end of its token"],
  ["A key has ended", "key.expired", "at once"],
  ["Nobody uses a key", "key.unused", "two weeks before it is switched off, where the organization does that"],
  ["The next token waits", "key.successor_ready", "with Auto-Rotate: 7 days before the end, or half of a shorter life"],
  ["A credential was found in public", "key.leaked", "at once"],
  ["An app's client secret ends", "app.secret_expiring", "7 and 1 days before"],
  ["An alert was opened", "alert.opened", "at once; again after 15 minutes to a day, by severity, while nobody takes it"],
];

/** What is told when; for those who may see the endpoints, who hears it. */
export function notices(context) {
  if (context.role === "developer") return noticeTable();
  return loaded(() => all(ofOrg("/webhooks")), (endpoints) => {
    const listening = endpoints.filter((endpoint) => endpoint.status === "active" && !endpoint.key_id);
    const hears = (event) => listening.filter((endpoint) => endpoint.events.includes(event)).length;
    return [hears("key.expiring") ? null : unheard(context), noticeTable(hears)];
  });
}

function unheard(context) {
  return h("p", { class: "note warn" }, h("b", {}, "Nobody would hear that a key ends. "),
    ["owner", "admin"].includes(context.role)
      ? "Add an endpoint or a Slack channel below, and choose key.expiring for it."
      : "An owner or admin can add an endpoint or a Slack channel for key.expiring.");
}

function noticeTable(hears) {
  return table("What is told when", [
    ["What", ([title]) => title],
    ["When", ([, , text]) => text],
    ["Event", ([, event]) => h("code", { class: "one-line" }, event)],
    ...(hears ? [["Heard by", ([, event]) => (hears(event) ? plural(hears(event), "endpoint") : badge("nobody", "warn"))]] : []),
  ], NOTICES);
}
