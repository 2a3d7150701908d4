// What the organization asks of its keys, and what opens alerts.

import { get, ofOrg, put } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { number, plural, words } from "./format.js";
import { badge, choice, facts, field, loaded, notify, scopes, section, status, table } from "./parts.js";
import { ENVIRONMENTS, askOver, differing, kept, renew, saveSettings, settings } from "./security-parts.js";

const isAdmin = (context) => ["owner", "admin"].includes(context.role);

/** Lifespans, what developers may hand out, and what the use of an old token leads to. */
export function lifespans(context) {
  const body = context.role === "developer"
    ? h("p", { class: "quiet" }, "Owners, admins and auditors see these settings. How long a key may live at most stands where you make one.")
    : kept(() => {
      const shown = loaded(() => Promise.all([settings(), get("/v1/scopes")]), ([now, matrix]) => parts(context, now, matrix, () => renew(shown)));
      return shown;
    }, "31rem");
  return section("Lifespans", { id: "lifespans", lead: "What the organization asks of its keys, old ones too." }, body);
}

function parts(context, now, matrix, changed) {
  const part = (title, what, change, ...content) => h("div", { class: "setting" },
    h("div", { class: "panel-head" }, h("h3", {}, title), isAdmin(context)
      ? h("button", {
        type: "button", class: "button small", "aria-label": `Change ${what}`,
        onclick: async (event) => { if (await askOver(event.currentTarget, (fresh) => change(fresh, matrix))) changed(); },
      }, "Change") : null),
    content);
  return [
    part("How long a key may live", "lifespans", changeLifespans,
      facts([
        ...ENVIRONMENTS.map((name) => [words(name), plural(now.max_lifespan_days[name], "day"), longest(matrix, name) > now.max_lifespan_days[name]
          ? h("span", { class: "quiet" }, ` of ${longest(matrix, name)}`) : null]),
        ["Keys that nobody uses", now.unused_key_days
          ? `are switched off after ${now.unused_key_days} days, two weeks after a warning` : h("span", { class: "quiet" }, "stay on")],
      ])),
    part("What developers may hand out", "what developers may hand out", changeScopes,
      h("p", { class: "quiet" }, "A developer makes, changes and rotates keys within these scopes. Owners and admins hand out every scope."),
      now.developer_scopes.length ? scopes(now.developer_scopes) : badge("Nothing")),
    part("When a rotated token is used after its end", "what the use of a rotated token leads to", changePolicy,
      facts([[REUSE[now.reuse_policy]?.[0] ?? words(now.reuse_policy), REUSE[now.reuse_policy]?.[1] ?? ""]])),
  ];
}

const longest = (matrix, name) => matrix.environments.find((environment) => environment.name === name)?.max_lifespan_days ?? 0;

function changeLifespans(now, matrix) {
  const days = (name) => field({
    label: words(name), name: `max_lifespan_days.${name}`, type: "number", min: 1, max: longest(matrix, name), inputmode: "numeric",
    value: now.max_lifespan_days[name], hint: `Days; 1 to ${longest(matrix, name)}. Empty: ${longest(matrix, name)}`,
  });
  return confirm("How long a key may live", {
    text: "A shorter span holds for keys that are there, too: counted from when their token was made. "
      + "Keys that would end at once are named before anything is saved.",
    fields: [
      h("div", { class: "pair thirds" }, ENVIRONMENTS.map(days)),
      field({
        label: "Switch off keys that nobody uses, after days", name: "unused_key_days", type: "number", min: 30, max: 365, inputmode: "numeric",
        value: now.unused_key_days ?? "", hint: "30 to 365, with a warning two weeks before. Empty: never",
      }),
    ],
    label: "Save",
    act: (values) => {
      const entered = Object.fromEntries(ENVIRONMENTS.map((name) => [name, count(values[`max_lifespan_days.${name}`])]));
      const lives = differing(entered, now.max_lifespan_days);
      return saveSettings({
        ...(Object.keys(lives).length ? { max_lifespan_days: lives } : {}), ...differing({ unused_key_days: count(values.unused_key_days) }, now),
      });
    },
  });
}

const count = (text) => (text === "" ? null : Number(text));

function changeScopes(now, matrix) {
  const held = new Set(now.developer_scopes);
  const resource = ({ name, description, scopes: of }) => h("fieldset", {}, h("legend", {}, words(name)), h("p", { class: "hint" }, description),
    of.map((scope) => choice({
      name: "scope", value: scope.name, checked: held.has(scope.name), label: h("code", {}, scope.name), hint: scope.description,
    })));
  const standard = choice({
    name: "standard", label: "The service's own choice", hint: "All but the scopes that manage credentials. What is ticked below doesn't count then.",
  });
  return confirm("What developers may hand out", {
    text: "Keys that are there keep what they have. A developer can't rotate a key that holds more than this.",
    fields: [standard, h("div", { class: "field scope-choices", dataset: { field: "developer_scopes" } },
      matrix.resources.map(resource), h("p", { class: "field-error" }))],
    label: "Save", wide: true,
    act: (values, form) => saveSettings({
      developer_scopes: values.standard ? null : [...form.querySelectorAll("[name=scope]:checked")].map((box) => box.value),
    }),
  });
}

const REUSE = {
  alert: ["Open an alert", "The call is refused and an alert names both versions. The current token goes on working."],
  kill: ["Revoke the key", "The call is refused, an alert is opened, and the current token is revoked as well: "
    + "whoever has the old one may have the new one. Callers that weren't told of the rotation can end a key so."],
};

function changePolicy(now) {
  return confirm("When a rotated token is used after its end", {
    text: "It may be a caller that was forgotten, or somebody who has stolen it.",
    fields: h("fieldset", { class: "field", dataset: { field: "reuse_policy" } }, h("legend", {}, "What then"),
      Object.entries(REUSE).map(([value, [label, hint]]) =>
        choice({ type: "radio", name: "reuse_policy", value, checked: now.reuse_policy === value, label, hint })),
      h("p", { class: "field-error" })),
    label: "Save", act: (values) => saveSettings({ reuse_policy: values.reuse_policy }),
  });
}

const ACTIONS = { none: "Nothing by itself", disable_key: "Disable the key", limit_rate: "Limit the key's calls" };

/** Every rule that opens alerts, with what is in force. */
export function alertRules(context) {
  const body = kept(() => {
    const shown = loaded(() => get(ofOrg("/alert-rules")), ({ items }) => table("Alert rules", [
      ["Rule", (rule) => [h("span", { class: "name" }, rule.title),
        h("details", {}, h("summary", {}, "What to do"), h("p", { class: "quiet" }, rule.advice))]],
      ["Severity", (rule) => status(rule.severity), "one-line"],
      ["Opens at", opensAt],
      ["Then", (rule) => [actionOf(rule),
        rule.keys.length ? h("div", { class: "quiet" }, plural(rule.keys.length, "key has its own setting", "keys have their own settings")) : null]],
      ...(isAdmin(context) ? [["Actions", (rule) => (rule.takes_threshold || rule.takes_action ? h("button", {
        type: "button", class: "button small", "aria-label": `Edit: ${rule.title}`, onclick: async () => { if (await editRule(rule)) renew(shown); },
      }, "Edit") : h("span", { class: "quiet" }, "fixed")), "end"]] : []),
    ], items));
    return shown;
  });
  return section("Alert rules", {
    id: "alert-rules", lead: "What opens an alert, and what that does to the key by itself. Alerts never refuse a call unless you say so here.",
  }, body);
}

/** Thresholds that aren't a number of calls or happenings. */
const UNITS = { rate_above_usual: "times the usual" };

function opensAt(rule) {
  const own = rule.threshold === rule.default_threshold ? null : h("div", { class: "quiet" }, `instead of ${number(rule.default_threshold)}`);
  if (!rule.window_seconds) return "the first time";
  return [UNITS[rule.rule] ? `${number(rule.threshold)} ${UNITS[rule.rule]}` : `${number(rule.threshold)} in ${span(rule.window_seconds)}`, own];
}

function span(seconds) {
  if (seconds % 86_400 === 0) return plural(seconds / 86_400, "day");
  if (seconds % 3_600 === 0) return plural(seconds / 3_600, "hour");
  return seconds % 60 === 0 ? plural(seconds / 60, "minute") : plural(seconds, "second");
}

function actionOf(rule) {
  if (rule.action === "none") return h("span", { class: "quiet" }, rule.takes_action ? "nothing by itself" : "people are told");
  return [badge(ACTIONS[rule.action] ?? words(rule.action), "warn"),
    rule.action_limit ? h("div", { class: "quiet" }, `to ${number(rule.action_limit)} a minute`) : null];
}

function editRule(rule) {
  const limit = field({
    label: "Calls a minute", name: "action_limit", type: "number", min: 1, inputmode: "numeric", value: rule.action_limit ?? "",
    hint: "To which the key is narrowed until somebody lifts it",
  });
  const show = (action) => { limit.hidden = action !== "limit_rate"; };
  show(rule.action);
  const fields = [
    rule.takes_threshold ? field({
      label: UNITS[rule.rule] ? `Threshold: ${UNITS[rule.rule]}` : `Threshold within ${span(rule.window_seconds)}`,
      name: "threshold", type: "number", min: 1, inputmode: "numeric",
      value: rule.threshold === rule.default_threshold ? "" : rule.threshold, placeholder: String(rule.default_threshold),
      hint: `Empty: the rule's own, ${number(rule.default_threshold)}`,
    }) : null,
    rule.takes_action ? [field({
      label: "When it opens", name: "action", options: Object.entries(ACTIONS), value: rule.action, onchange: (event) => show(event.target.value),
      hint: "Calls with a disabled key are refused until somebody enables it.",
    }), limit] : null,
  ];
  return confirm(rule.title, {
    text: h("p", { class: "quiet" }, "For the whole organization; keys with a setting of their own keep it."), fields, label: "Save",
    act: async (values) => {
      const change = {};
      if (rule.takes_threshold) change.threshold = count(values.threshold);
      if (rule.takes_action) change.action = values.action;
      if (values.action === "limit_rate") change.action_limit = count(values.action_limit);
      const saved = await put(ofOrg(`/alert-rules/${encodeURIComponent(rule.rule)}`), change);
      notify("Saved.");
      return saved;
    },
  });
}
