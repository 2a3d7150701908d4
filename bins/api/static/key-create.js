// 'Generate New Key': one dialog for everything that a key is made of.

import { compared } from "./allowlist-compare.js";
import { allowlistEditor } from "./allowlist-editor.js";
import { context, get, ofOrg, pageUrl, post } from "./api.js";
import { open } from "./dialog.js";
import { h, replace, uid } from "./dom.js";
import { moment, plural } from "./format.js";
import { showToken } from "./key-token.js";
import { choice, field, problem, run, showErrors } from "./parts.js";
import { permissions, scopeMatrix } from "./scope-matrix.js";

const QUICK_DAYS = [7, 30, 60, 90, 180, 365];
const DAY = 86_400_000;

/** A random key for `Idempotency-Key`, also where the page isn't a secure context and has no `crypto.randomUUID`. */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Whether the role may say that networks of any width are meant, and where successors are sealed to. */
export const mayDecide = () => context.role === "owner" || context.role === "admin";

/** Asks for a new key, makes it and shows its token. Gives the key, or `undefined` when it was left. */
export async function createKey() {
  // The organization may have lowered the longest life; developers can't read that, and are told by the API.
  const [permitted, settings] = await Promise.all([permissions(), mayDecide() ? get(ofOrg("/settings")) : null]);
  const longest = (environment) => Math.min(environment.max_lifespan_days, settings?.max_lifespan_days?.[environment.name] ?? Infinity);
  const environments = permitted.environments.map((environment) => ({ ...environment, longest: longest(environment) }));
  const answer = await open("Generate New Key", (close) => form(permitted, environments, close), { wide: true });
  if (!answer) return undefined;
  await showToken(answer, { title: `The token of ${answer.key.name}` });
  return answer.key;
}

function form(permitted, environments, close) {
  const once = idempotencyKey();
  let environment = environments[0];
  const matrix = scopeMatrix(permitted, { environment });
  const life = lifespan();
  const allowlist = allowlistEditor({
    mayAllowAny: mayDecide(),
    preview: () => post(ofOrg("/allowlist/preview"), { environment: environment.name, days: 7 }),
    tell: (answer, cidrs) => compared(answer, cidrs, environment.name),
  });
  const said = problem();
  const button = h("button", { type: "submit", class: "button strong" }, "Generate the key");

  const pick = (next) => {
    environment = next;
    matrix.within(next);
    life.within(next);
    allowlist.outdated();
  };
  life.within(environment);

  function body(values) {
    const from = allowlist.value();
    return {
      name: values.name, environment: environment.name, scopes: matrix.value(),
      ...(from.allowed_cidrs ? { allowed_cidrs: from.allowed_cidrs } : {}),
      ...(Object.keys(from.allowlist_notes).length ? { allowlist_notes: from.allowlist_notes } : {}),
      ...(from.allow_any ? { allow_any: true } : {}),
      ...(life.value() ? { expires_in_days: life.value() } : {}),
      ...(values.auto_rotate ? { auto_rotate: true } : {}),
      ...(values.rate_limit_per_minute ? { rate_limit_per_minute: Number(values.rate_limit_per_minute) } : {}),
      ...(values.successor_public_key?.trim() ? { successor_public_key: values.successor_public_key.trim() } : {}),
      ...(values.canary ? { canary: true } : {}),
    };
  }

  return h("form", {
    class: "sheet",
    onsubmit: async (event) => {
      event.preventDefault();
      const own = event.currentTarget;
      await run(button, async () => {
        const values = Object.fromEntries(new FormData(own));
        close(await post(ofOrg("/keys"), body(values), { headers: { "idempotency-key": once } }));
      }, (error) => {
        showErrors(own, said, error);
        if (isDelivered(error)) explainDelivered(said, error);
        openHidden(own);
      });
    },
  },
  h("div", { class: "sheet-body" }, field({
    label: "Name", name: "name", required: true, maxlength: 100, autocomplete: "off", autofocus: true, placeholder: "Jenkins deploy",
    hint: "What uses the key, so that everyone knows what ends when it does.",
  }),
  part("Environment", environments.map((one, index) => choice({
    type: "radio", name: "environment", value: one.name, checked: index === 0, class: "card", label: one.name, onchange: () => pick(one),
    hint: `${one.prefix}… · ${one.read_only ? "only reads" : "reads and writes"} · lives ${plural(one.longest, "day")} at most`,
  })), "environment", "cards"),
  part("Permissions", matrix.element, "scopes"),
  part("Where it may be used", allowlist.element),
  part("Lifespan", life.element),
  part("Auto-Rotate", [choice({
    name: "auto_rotate", label: "Prepare a successor before the end", role: "switch",
    hint: "A successor is ready 7 days before the end (half of the life, for short ones). The holder picks it up with the old key, " +
      "which works until its end.",
  })]),
  h("details", {}, h("summary", {}, "More: rate limit, sealed successors, canary"),
    rateLimit(),
    mayDecide() ? field({
      label: "Public key for successors", name: "successor_public_key", autocomplete: "off", spellcheck: "false", placeholder: "age1…", class: "code",
      hint: "An age recipient. Successors are then sealed to it and sent by webhook, and only its private key opens them.",
    }) : null,
    choice({
      name: "canary", label: "A canary",
      hint: "The key never works. Whoever tries it opens a critical alert: leave it where only an intruder would look.",
    }))),
  h("div", { class: "actions foot" }, said, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), button));
}

/** A group of the form under its legend. `name` is the field of the API whose errors belong to it as a whole. */
export function part(title, content, name, kind = "") {
  return h("fieldset", { dataset: name ? { field: name } : {} }, h("legend", {}, title), name ? h("p", { class: "field-error" }) : null,
    h("div", { class: kind }, content));
}

/** The field of a key's limit. */
export function rateLimit(value = "") {
  return field({
    label: "Rate limit (accepted calls per minute)", name: "rate_limit_per_minute", type: "number", min: 1, max: 1_000_000, step: 1,
    inputmode: "numeric", value, hint: "Empty: no limit.",
  });
}

/** An error in a folded part must be seen. */
export function openHidden(form) {
  for (const wrong of form.querySelectorAll("details [aria-invalid]")) {
    wrong.closest("details").open = true;
  }
  form.querySelector("[aria-invalid]")?.focus();
}

/** An earlier try with the same `Idempotency-Key` has done it, and its answer was lost on the way; perhaps what was asked for has
 *  been changed since. */
export function isDelivered(error) {
  return error.code === "already_delivered" || error.errors?.some((wrong) => wrong.code === "idempotency_key_reused");
}

function explainDelivered(place, { problem: { key_id: id } }) {
  replace(place, "The key was made by your first try, as it was entered then, but the answer was lost on the way. Its token can't be shown again: ",
    h("a", { href: pageUrl(id ? `/keys/${id}` : "/keys") }, id ? "open the key" : "look for it in the list"),
    " and rotate it for a new token, or revoke it.");
}

/** Days, with the environment's longest as the default: only what was chosen is sent. */
function lifespan() {
  let longest = 1;
  let chosen = false;
  const quick = h("div", { class: "presets", role: "group", "aria-label": "Quick choices of the lifespan" });
  const until = h("p", { class: "hint", role: "status" });
  const id = uid("days");
  const input = h("input", {
    id, name: "days", type: "number", min: 1, step: 1, required: true, inputmode: "numeric", "aria-describedby": `${id}-error`,
    oninput: () => { chosen = true; draw(); },
  });
  const set = (days) => {
    chosen = days !== longest;
    input.value = days;
    draw();
  };
  function draw() {
    const days = Number(input.value);
    for (const button of quick.children) button.setAttribute("aria-pressed", String(Number(button.value) === days));
    until.textContent = days >= 1 && days <= longest ? `Ends ${moment(Date.now() + days * DAY)}.` : `1 to ${plural(longest, "day")}.`;
  }
  function within(environment) {
    longest = environment.longest;
    input.max = longest;
    const days = [...QUICK_DAYS.filter((one) => one < longest), longest];
    replace(quick, days.map((one) => h("button", { type: "button", class: "button small", value: one, onclick: () => set(one) },
      one === longest ? `${plural(one, "day")} (longest)` : plural(one, "day"))));
    if (!chosen || Number(input.value) > longest) set(longest);
    draw();
  }
  const element = h("div", { class: "field", dataset: { field: "expires_in_days" } }, h("label", { for: id }, "Days"),
    h("div", { class: "lifespan" }, input, quick), until, h("p", { class: "field-error", id: `${id}-error` }));
  return { element, within, value: () => (chosen ? Number(input.value) : null) };
}
