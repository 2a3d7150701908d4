// The dialogs of webhooks: a new endpoint, a change of one, and the signing secret that is shown once.

import { get, ofOrg, patch, post } from "./api.js";
import { open } from "./dialog.js";
import { h, replace, settled, uid } from "./dom.js";
import { showOnce } from "./once.js";
import { choice, copyButton, field, problem, run, showErrors } from "./parts.js";

/** What an endpoint can be told: by subject, `[event, what it tells, whether one key's endpoint gets it]`. */
const EVENTS = [
  ["Keys", [
    ["key.created", "A key was made", false],
    ["key.rotated", "A key has a new version", true],
    ["key.revoked", "A key was ended for good", true],
    ["key.disabled", "A key was switched off", true],
    ["key.expiring", "A key ends in 30, 14, 7, 3 or 1 days", true],
    ["key.expired", "A key has reached its end", true],
    ["key.unused", "Nobody uses a key; it is switched off in two weeks", true],
    ["key.leaked", "A live key was reported as leaked", true],
    ["key.successor_ready", "Auto-Rotate has prepared the next version", true],
    ["key.successor_claimed", "The next version was picked up", true],
    ["key.recipient_changed", "The public key that next versions are sealed to has changed", true],
  ]],
  ["Alerts", [
    ["alert.opened", "Something needs a look", true],
    ["alert.resolved", "An alert is over", true],
  ]],
  ["Apps and audit", [
    ["app.secret_expiring", "A client secret of an app ends in 7 days or 1 day", false],
    ["oauth.refresh_reuse_detected", "A refresh token was used twice", false],
    ["audit.checkpoint", "A checkpoint of the audit log was signed", false],
  ]],
];
const FIRST_CHOSEN = ["key.expiring", "key.expired", "key.leaked", "alert.opened"];
const SLACK = "Messages in a channel. In Slack, open your app's settings, switch on Incoming Webhooks, choose Add New Webhook to Workspace, "
  + "pick the channel, and copy the webhook URL.";
const PLACEHOLDERS = { standard: "https://example.com/hooks/statuspulse", slack: "https://hooks.slack.com/services/…" };

/** Asks for a new endpoint, for one key if `keyId` says which; the promise is the endpoint, or `undefined`. */
export function createWebhook(keyId) {
  return ask("Add webhook", { keyId }, "Add webhook", async (values) => {
    const { webhook, signing_secret: secret } = await post(ofOrg("/webhooks"), values);
    return { webhook, secret };
  }).then(async (answer) => {
    if (answer?.webhook.kind === "standard") await showSecret(answer.secret, "Webhook added");
    return answer?.webhook;
  });
}

/** Asks for what of an endpoint can be changed. */
export function editWebhook(webhook) {
  return ask("Edit webhook", { webhook, keyId: webhook.key_id }, "Save", ({ url, events }) =>
    // An address that stays needn't be looked up again.
    patch(ofOrg(`/webhooks/${webhook.id}`), { url: url === webhook.url ? undefined : url, events }));
}

/** The secret, until somebody says that they have it. */
export function showSecret(secret, title) {
  return showOnce(title, [
    h("p", {}, "Your endpoint checks with this signing secret that a message comes from StatusPulse (Standard Webhooks). It is shown this once."),
    h("pre", { tabindex: "0", role: "region", "aria-label": "Signing secret" }, secret),
  ], { actions: copyButton(secret, "Copy signing secret") });
}

function ask(title, { webhook, keyId }, label, send) {
  return open(title, (close) => {
    const said = problem();
    const button = h("button", { type: "submit", class: "button strong" }, label);
    const url = field({
      label: "URL", name: "url", type: "url", required: true, autocomplete: "off",
      value: webhook?.url ?? "", placeholder: PLACEHOLDERS[webhook?.kind ?? "standard"],
    });
    const which = webhook || keyId ? null : keyChoice(() => redraw());
    const chosen = new Set(webhook?.events ?? FIRST_CHOSEN);
    const events = h("div", {});
    const redraw = () => replace(events, checkboxes(chosen, Boolean(keyId ?? which?.isOne())));
    redraw();
    const kinds = webhook ? null : kindChoice((kind) => { url.querySelector("input").placeholder = PLACEHOLDERS[kind]; });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const kept = (webhook?.events ?? []).filter((name) => !form.querySelector(`input[name="events"][value="${CSS.escape(name)}"]`));
        const values = new FormData(form);
        const wanted = {
          url: values.get("url").trim(), kind: values.get("kind"), events: [...values.getAll("events"), ...kept], key_id: keyId ?? values.get("key_id"),
        };
        await run(button, async () => close(await send(wanted)), (error) => showErrors(form, said, error));
      },
      // What is chosen stays chosen when the list of events is drawn anew.
      onchange: ({ target }) => { if (target.name === "events") chosen[target.checked ? "add" : "delete"](target.value); },
    }, kinds, url, which?.element,
    h("fieldset", { dataset: { field: "events" } }, h("legend", {}, "Events"), events, h("p", { class: "field-error" })),
    said, h("div", { class: "actions" }, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), button));
  }, { wide: true });
}

function kindChoice(changed) {
  const option = (value, label, hint, checked) => choice({ type: "radio", name: "kind", value, label, hint, checked, onchange: () => changed(value) });
  return h("fieldset", { dataset: { field: "kind" } }, h("legend", {}, "Kind"),
    option("standard", "Standard", "Signed JSON for a service of your own (Standard Webhooks).", true),
    option("slack", "Slack", SLACK, false),
    h("p", { class: "field-error" }));
}

function checkboxes(chosen, oneKey) {
  const offered = EVENTS.map(([subject, events]) => [subject, events.filter(([, , ofKey]) => ofKey || !oneKey)]);
  return offered.filter(([, events]) => events.length).map(([subject, events]) => {
    const id = uid("events");
    return h("div", { role: "group", "aria-labelledby": id }, h("p", { id, class: "quiet part" }, subject), h("div", { class: "pair" },
      events.map(([name, text]) => choice({ name: "events", value: name, checked: chosen.has(name), label: h("code", {}, name), hint: text }))));
  });
}

/** All keys, or one that is looked for by its name. */
function keyChoice(changed) {
  const found = field({ label: "Key", name: "key_id", options: [["", "Type a name first", true]], required: true });
  const select = found.querySelector("select");
  const nothing = (text) => h("option", { value: "", disabled: true, selected: true }, text);
  const some = (keys) => keys.map((key) => h("option", { value: key.id }, `${key.name} · ${key.environment} · ${key.hint}`));
  let asked = "";
  const search = settled(async (text) => {
    asked = text;
    const options = await get(ofOrg("/keys"), { q: text, limit: 20 }).then(
      ({ items }) => (items.length ? some(items) : nothing("No key has this in its name")), (error) => nothing(error.message));
    // A slow answer must not take the place of a later one.
    if (asked === text) replace(select, options);
  });
  const one = h("div", { class: "pair", hidden: true },
    field({
      label: "Find a key", name: "", type: "search", hint: "A part of its name, its ID or its hint", autocomplete: "off",
      oninput: (event) => search(event.target.value),
    }), found);
  select.disabled = true;
  const pick = (isOne) => {
    one.hidden = !isOne;
    select.disabled = !isOne;
    if (isOne) search("");
    changed();
  };
  const element = h("div", {}, h("fieldset", {}, h("legend", {}, "Events of"),
    choice({ type: "radio", name: "of", value: "all", label: "All keys and apps", checked: true, onchange: () => pick(false) }),
    choice({ type: "radio", name: "of", value: "one", label: "One key", onchange: () => pick(true) })), one);
  return { element, isOne: () => !one.hidden };
}
