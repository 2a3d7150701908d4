// The webhooks of the organization, or of one of its keys.

import { context, get, ofOrg, pageUrl, patch, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h, replace } from "./dom.js";
import { when } from "./format.js";
import { badge, complain, empty, list, notify, run, scopes } from "./parts.js";
import { deliveries } from "./webhook-deliveries.js";
import { createWebhook, editWebhook, showSecret } from "./webhook-form.js";

const REASONS = { person: "Somebody switched it off.", gone: "It answered that it is gone (410).", failing: "It failed for five days." };

/** The list of endpoints with all that can be done about them; with `keyId` those of this key alone. Owners and admins change
 *  them, auditors read them. */
export function webhooks({ keyId } = {}) {
  if (context.role === "developer") return h("p", { class: "quiet" }, "Webhooks are kept by the owners and admins of the organization.");
  const changeable = context.role !== "auditor";
  const add = h("button", {
    type: "button", class: "button",
    onclick: async () => {
      const webhook = await createWebhook(keyId);
      if (!webhook) return;
      notify("The webhook is added. Send a test to see whether it works.");
      rows.load();
    },
  }, "Add webhook");
  const gone = (card) => {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    if (next) add.focus();
    else rows.load().then(() => add.focus());
  };
  const render = (items) => {
    const element = h("ul", { class: "cards" });
    element.add = (more) => element.append(...more.map((webhook) => card(webhook, { changeable, gone, keyId })));
    element.add(items);
    return element;
  };
  const rows = list((cursor) => page(keyId, cursor), render, () => empty(keyId ? "No webhooks for this key alone" : "No webhooks yet",
    "A webhook tells a service of yours, or a Slack channel, what happens to keys: that one expires soon, was rotated, or has leaked."));
  rows.classList.add("short");
  rows.load();
  return h("div", { class: "webhooks" }, changeable ? h("div", { class: "webhook-add" }, add) : null, rows);
}

/** A page of endpoints. The API doesn't filter by key, so pages that hold none of this key's are passed over. */
async function page(keyId, cursor) {
  let answer = { items: [], next_cursor: cursor };
  do {
    answer = await get(ofOrg("/webhooks"), { cursor: answer.next_cursor, limit: keyId ? 200 : 20 });
    if (keyId) answer.items = answer.items.filter((webhook) => webhook.key_id === keyId);
  } while (!answer.items.length && answer.next_cursor);
  return answer;
}

const names = new Map();
let turn = Promise.resolve();

/** A link to a key, with its name as soon as that is there. Names are asked for one after the other. */
function keyLink(id) {
  const link = h("a", { href: pageUrl(`/keys/${id}`) }, "one key");
  if (!names.has(id)) {
    turn = turn.then(() => get(ofOrg(`/keys/${id}`))).then((key) => key.name, () => "one key");
    names.set(id, turn);
  }
  names.get(id).then((name) => { link.textContent = name; });
  return link;
}

/** One endpoint. Its buttons stay where they are when it changes, and keep the focus. */
function card(first, { changeable, gone, keyId }) {
  let webhook = first;
  const path = ofOrg(`/webhooks/${webhook.id}`);
  const head = h("div", {});
  const button = (text, act, extra = "") => {
    const element = h("button", { type: "button", class: `button small ${extra}`, onclick: () => act(element) }, text);
    return element;
  };
  const changed = (now) => {
    webhook = now;
    draw();
  };

  const sent = deliveries(webhook, changeable);
  sent.hidden = true;
  const toggle = button("Deliveries", () => {
    sent.hidden = !sent.hidden;
    toggle.setAttribute("aria-expanded", String(!sent.hidden));
    if (!sent.hidden) sent.load();
  });
  toggle.setAttribute("aria-expanded", "false");
  const test = button("Send a test", (element) => run(element, async () => {
    await post(`${path}/test`);
    notify("A test is on its way.");
    sent.hidden = false;
    toggle.setAttribute("aria-expanded", "true");
    sent.follow(async () => changed(await get(path))).catch(complain);
  }, complain));
  const edit = button("Edit", async () => {
    const now = await editWebhook(webhook);
    if (!now) return;
    changed(now);
    notify("The webhook is changed.");
  });
  const power = button("", (element) => (webhook.status === "active" ? disable() : run(element, async () => {
    changed(await patch(path, { status: "active" }));
    notify("The webhook is enabled.");
  }, complain)));
  const disable = () => confirm("Disable webhook", {
    text: "It gets no events until it is enabled. Events of that time are not sent later.", label: "Disable",
    act: async () => {
      changed(await patch(path, { status: "disabled" }));
      notify("The webhook is disabled.");
    },
  });
  const rotate = button("Rotate secret", async () => {
    const answer = await confirm("Rotate signing secret", {
      text: "You get a new signing secret. For 24 hours messages are signed with the old one too, so that you can change your endpoint without a gap.",
      label: "Rotate secret",
      act: () => post(`${path}/rotate-secret`),
    });
    if (!answer) return;
    await showSecret(answer.signing_secret, "New signing secret");
    changed(answer.webhook);
    rotate.focus();
  });
  const erase = button("Delete", async () => {
    const done = await confirm("Delete webhook", {
      text: [h("p", {}, "Events are no longer sent to ", h("b", { class: "name" }, webhook.url), ", and its deliveries can't be looked at any more."), "This can't be undone."],
      label: "Delete", danger: true, act: () => remove(path),
    });
    if (!done) return;
    notify("The webhook is deleted.");
    gone(element);
  });

  function draw() {
    const on = webhook.status === "active";
    replace(head, h("h3", { class: "mono" }, webhook.url), summary(webhook, keyId));
    power.textContent = on ? "Disable" : "Enable";
    test.hidden = !on;
    rotate.hidden = webhook.kind === "slack";
  }
  draw();
  const element = h("li", {}, head, h("div", { class: "panel-actions", role: "group", "aria-label": `Actions for ${webhook.url}` },
    changeable ? [toggle, test, edit, power, rotate, erase] : toggle), sent);
  return element;
}

function summary(webhook, keyId) {
  const failing = webhook.status === "active" && webhook.failing_since;
  const told = () => (webhook.key_id ? ["events of ", keyLink(webhook.key_id)] : "events of all keys");
  return h("div", { class: "stack" },
    h("p", { class: "line" }, failing ? badge("failing", "warn") : badge(webhook.status, webhook.status === "active" ? "good" : "warn"),
      badge(webhook.kind === "slack" ? "Slack" : "Standard"),
      keyId ? null : h("span", { class: "quiet" }, told()),
      h("span", { class: "quiet" }, "added ", when(webhook.created_at))),
    failing ? h("p", {}, "It began to fail ", when(webhook.failing_since), ". After five days it is disabled.") : null,
    webhook.status === "disabled" ? h("p", {}, REASONS[webhook.disabled_reason] ?? "It gets no events.") : null,
    webhook.previous_secret_until ? h("p", { class: "quiet" }, "The old signing secret stops signing ", when(webhook.previous_secret_until), ".") : null,
    scopes(webhook.events));
}
