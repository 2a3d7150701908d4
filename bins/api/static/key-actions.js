// What can be done with a key, for the list and for the page of one key.

import { ApiError, context, get, ofOrg, patch, post } from "./api.js";
import { confirm, open } from "./dialog.js";
import { h } from "./dom.js";
import { moment, plural, when } from "./format.js";
import { idempotencyKey, isDelivered } from "./key-create.js";
import { editKey } from "./key-edit.js";
import { command, curl, showToken } from "./key-token.js";
import { badge, choice, complain, field, notify, run } from "./parts.js";

export { editKey, showToken };

/** Buttons for what the role can do with a key in its state. `changed(key)` is called with what the key has become. */
export function actionsFor(key, changed) {
  if (context.role === "auditor" || key.status === "revoked") return [];
  const button = (label, act, extra = "") => h("button", {
    type: "button", class: `button ${extra}`,
    onclick: (event) => run(event.currentTarget, () => act(key, changed), complain),
  }, label);
  const living = key.status !== "expired";
  return [
    living && button("Rotate", rotate),
    living && key.successor?.status === "pending" && button("Pick up the successor", explainPickUp),
    living && button("Edit", editKey),
    living && button(key.auto_rotate ? "Switch Auto-Rotate off" : "Switch Auto-Rotate on", switchAutoRotate),
    living && (key.status === "disabled" ? button("Enable", enable) : button("Disable", disable)),
    button("Revoke", revoke, "danger"),
  ].filter(Boolean);
}

const OVERLAPS = [
  [0, "At once", "The token in use now is refused from the next call on."],
  [3600, "1 hour"],
  [86_400, "24 hours"],
  [604_800, "7 days", "The longest."],
  ["own", "Another time"],
];

const LOST = "Your first try has rotated the key, and its answer was lost on the way. The token can't be shown again: close this and rotate once more.";

/** A new token for the same key. */
export async function rotate(key, changed) {
  const once = idempotencyKey();
  const own = field({
    label: "Hours", name: "hours", type: "number", min: 1, max: 168, step: 1, value: 48, error: "overlap_seconds", class: "inset",
  });
  own.hidden = true;
  const hours = own.querySelector("input");
  hours.disabled = true;
  const picked = (value) => {
    own.hidden = value !== "own";
    hours.disabled = own.hidden;
  };
  const radio = ([value, label, hint], index) => choice({
    type: "radio", name: "overlap", value, label, hint, checked: index === 0, onchange: () => picked(value),
  });
  let current = key;
  const answer = await confirm(`Rotate ${key.name}`, {
    text: [
      `The key gets a new token, shown once, and version ${key.version + 1}. Its name, permissions, allowlist and limit stay, and ` +
        "webhook endpoints stay active with their secrets.",
      key.successor?.status === "pending" ? "The successor that waits becomes this new version: nobody can pick it up any more." : null,
      key.status === "disabled" ? "The key is disabled, and its new token will be too." : null,
    ].filter(Boolean),
    fields: [h("fieldset", {}, h("legend", {}, `How long version ${key.version} still works`), OVERLAPS.map(radio), own,
      h("p", { class: "hint" }, `Never beyond its own end ${moment(key.expires_at)}. A version that is older still ends at once.`))],
    label: "Rotate",
    act: async (values) => {
      const seconds = values.overlap === "own" ? Number(values.hours) * 3600 : Number(values.overlap);
      try {
        return await post(ofOrg(`/keys/${key.id}/rotate`), seconds ? { overlap_seconds: seconds } : {}, {
          headers: { "if-match": `"${current.version}"`, "idempotency-key": once },
        });
      } catch (error) {
        if (isDelivered(error)) {
          throw new ApiError({ ...error.problem, errors: [], detail: LOST });
        }
        if (error.code !== "version_mismatch") throw error;
        current = await get(ofOrg(`/keys/${key.id}`));
        changed(current);
        const detail = `Somebody has rotated this key meanwhile: version ${current.version} is in use now. Press Rotate again to replace that one.`;
        throw new ApiError({ ...error.problem, detail });
      }
    },
  });
  if (!answer) return;
  changed(answer.key);
  await showToken(answer, { title: `The new token of ${answer.key.name}` });
}

async function switchAutoRotate(key, changed) {
  const on = !key.auto_rotate;
  const answer = await confirm(`Switch Auto-Rotate ${on ? "on" : "off"}`, {
    text: on
      ? `A successor of ${key.name} will be ready 7 days before its end (half of the life, for short ones). ` +
        "The holder picks it up with the old token, which works until its end."
      : `No successor of ${key.name} will be made.${key.successor?.status === "pending" ? " The one that waits is taken away." : ""} ` +
        `The key ends ${moment(key.expires_at)} unless somebody rotates it.`,
    label: on ? "Switch on" : "Switch off",
    act: () => patch(ofOrg(`/keys/${key.id}`), { auto_rotate: on }),
  });
  if (!answer) return;
  changed(answer);
  notify(`Auto-Rotate of ${key.name} is ${on ? "on" : "off"}.`);
}

async function disable(key, changed) {
  const answer = await confirm(`Disable ${key.name}`, {
    text: "Every call with this key is refused until somebody enables it again. Its token stays the same.",
    label: "Disable", act: () => post(ofOrg(`/keys/${key.id}/disable?wait=5s`), {}),
  });
  await tell(answer, changed, `${key.name} is disabled`);
}

async function enable(key, changed) {
  const answer = await confirm(`Enable ${key.name}`, {
    text: "Calls with this key are accepted again.",
    label: "Enable", act: () => post(ofOrg(`/keys/${key.id}/enable?wait=5s`), {}),
  });
  await tell(answer, changed, `${key.name} is enabled`);
}

async function revoke(key, changed) {
  const answer = await confirm(`Revoke ${key.name}`, {
    text: "All its tokens are refused at once, and for ever: a revoked key can't come back. To replace a token, rotate the key instead.",
    fields: [field({ label: "Reason (optional)", name: "reason", maxlength: 500, autocomplete: "off", hint: "It stands in the audit trail." })],
    typed: key.name, label: "Revoke", danger: true,
    act: ({ reason }) => post(ofOrg(`/keys/${key.id}/revoke?wait=5s`), reason.trim() ? { reason: reason.trim() } : {}),
  });
  if (!answer) return;
  changed(answer.key);
  await receipt(answer);
}

/** Says what has been done; in a dialog when an instance hasn't done it yet. */
async function tell(answer, changed, text) {
  if (!answer) return;
  changed(answer.key);
  notify(`${text}${answer.pending.length ? "" : " everywhere"}.`);
  if (answer.pending.length) await receipt(answer);
}

/** Which instances judge by the key's new state. */
function receipt({ key, applied, pending }) {
  const rows = [
    ...applied.map((one) => [one.instance, badge("applied", "good"), when(one.applied_at)]),
    ...pending.map((one) => [one.instance, badge("not yet", "warn"), ["last seen ", when(one.last_seen_at)]]),
  ];
  return open(`${key.name} is ${key.status}`, (close) => h("div", {},
    h("p", { class: pending.length ? "note warn" : "note" }, pending.length
      ? `${plural(pending.length, "instance")} did not answer within 5 seconds. An instance that can't learn of it stops judging keys by itself.`
      : applied.length === 1 ? "The one instance that runs judges by it now." : `All ${plural(applied.length, "instance")} judge by it now.`),
    rows.length ? h("table", { class: "plain" }, h("caption", { class: "hidden" }, "Instances"),
      h("thead", {}, h("tr", {}, ["Instance", "State", "Time"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map(([instance, state, at]) => h("tr", {},
        h("th", { scope: "row" }, h("code", {}, instance)), h("td", {}, state), h("td", {}, at))))) : null,
    h("div", { class: "actions" }, h("button", { type: "button", class: "button strong", onclick: () => close() }, "Close"))));
}

/** How the holder of a key fetches the successor that waits. */
function explainPickUp(key) {
  return open("Pick up the successor", (close) => h("div", {},
    h("p", {}, `A successor of ${key.name} waits until `, when(key.successor.available_until),
      ". Its token is made when the holder asks for it with the token in use, from an allowed address, and only once:"),
    command(curl("/v1/keys/self/successor", undefined, "POST"), "command"),
    h("p", {}, "Both tokens then work until the old one's end. Answers to calls of the key carry ", h("code", {}, "X-Key-Successor: pending"),
      " while it waits, so that a client can do this by itself."),
    key.successor_public_key ? h("p", {}, "It was also sealed to the key's public key and sent by webhook.") : null,
    h("p", {}, "Nobody there to ask for it? Rotate the key here: that takes the waiting successor's place."),
    h("div", { class: "actions" }, h("button", { type: "button", class: "button strong", onclick: () => close() }, "Close"))));
}
