// The secrets of an app: shown once, added with an overlap, ended.

import { context, ofOrg, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { moment, when } from "./format.js";
import { showOnce } from "./once.js";
import { badge, copyButton, download, empty, field, notify, section, table } from "./parts.js";

const DAY = 86_400;
const OVERLAPS = [
  [7 * DAY, "for 7 more days"], [0, "not any more: end them at once"], [3600, "for one more hour"], [DAY, "for one more day"],
  [14 * DAY, "for 14 more days"], [30 * DAY, "for 30 more days"], [90 * DAY, "for 90 more days"],
];

/** Shows how an app calls itself, with a new secret once. */
export function showCredentials(title, app, secret) {
  const lines = [`STATUSPULSE_ISSUER=${location.origin}${context.base}`, `STATUSPULSE_CLIENT_ID=${app.client_id}`];
  if (secret) lines.push(`STATUSPULSE_CLIENT_SECRET=${secret}`);
  return showOnce(title, [
    h("p", { class: "lead" }, secret
      ? "Store the secret now, where your server keeps its secrets. It is shown here and nowhere again; the client id is no secret."
      : "A public app has no secret: the client id is all that it sends, and PKCE proves the rest."),
    shown("Client id", app.client_id), secret ? shown("Client secret", secret) : null,
  ], {
    actions: h("button", { type: "button", class: "button", onclick: () => download(`${fileName(app.name)}.env`, `${lines.join("\n")}\n`) },
      "Download .env"),
    ...(secret ? {} : { done: "Go on", secret: false }),
  });
}

function shown(label, text) {
  return h("div", { class: "once" }, h("p", { class: "name" }, label), h("pre", {}, text), copyButton(text, `Copy ${label.toLowerCase()}`));
}

function fileName(name) {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "app";
}

/** The secrets of a confidential app. `changed(title)` is called after each change, with the section to go on in. */
export function secretsOf(app, mayChange, changed) {
  const isLive = (secret) => !secret.expires_at || new Date(secret.expires_at) > Date.now();
  const live = app.secrets.filter(isLive).length;
  const called = (secret) => secret.label || `Secret …${secret.last4}`;
  const end = (secret) => h("button", { type: "button", class: "button small", onclick: () => revoke(app, secret, called(secret), changed) },
    "Revoke", h("span", { class: "hidden" }, ` ${called(secret)}`));
  const columns = [
    ["Secret", (secret) => [h("span", { class: "name" }, called(secret)), " ", h("code", { class: "whole" }, `sp_cs_…${secret.last4}`)]],
    ["Created", (secret) => [when(secret.created_at),
      secret.created_by.email ? h("div", { class: "quiet" }, `by ${secret.created_by.email}`) : null]],
    ["Last use", (secret) => when(secret.last_used_at, "not used yet")],
    ["Ends", (secret) => (isLive(secret) ? when(secret.expires_at, "has no end") : [badge("ended"), " ", when(secret.expires_at)])],
  ];
  const none = (secret) => h("span", { class: "quiet" }, isLive(secret) ? "the only one" : "–");
  if (mayChange) columns.push(["Action", (secret) => (isLive(secret) && live > 1 ? end(secret) : none(secret))]);
  const add = h("button", { type: "button", class: "button", onclick: () => addSecret(app, changed) }, "Add a secret");
  return section("Secrets", {
    actions: mayChange ? add : null,
    lead: "Several work side by side, so that a new one can be put in place without an outage: add one, deploy it, and revoke the old "
      + "one when its last use stands still.",
  }, app.secrets.length ? table("Secrets of the app", columns, app.secrets) : empty("No secret", "This app can't authenticate."));
}

async function addSecret(app, changed) {
  const answer = await confirm("Add a secret", {
    text: "The new secret works at once, and is shown once.", label: "Add the secret",
    fields: [
      field({ label: "Label", name: "label", maxlength: 100, autocomplete: "off", hint: "For you, such as a year or a place. May be left out." }),
      field({
        label: "The earlier secrets work", name: "overlap_seconds", options: OVERLAPS, value: 7 * DAY,
        hint: "An end that is already set earlier stays.",
      }),
    ],
    act: ({ label, overlap_seconds: overlap }) =>
      post(ofOrg(`/apps/${app.id}/secrets`), { overlap_seconds: Number(overlap), label: label.trim() || null }),
  });
  if (!answer) return;
  await showCredentials("The new secret", app, answer.client_secret);
  changed("Secrets");
}

async function revoke(app, secret, name, changed) {
  const done = await confirm(`Revoke ${name}?`, {
    text: [
      "It stops working at once, on every instance within a second.",
      secret.last_used_at ? `Its last use was ${moment(secret.last_used_at)}. Whatever still sends it is refused.` : "It has not been used yet.",
    ],
    label: "Revoke the secret", danger: true, act: () => remove(ofOrg(`/apps/${app.id}/secrets/${secret.id}`)),
  });
  if (!done) return;
  notify(`${name} is revoked.`);
  changed("Secrets");
}
