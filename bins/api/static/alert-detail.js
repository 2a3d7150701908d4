// One alert: what was observed, what has become of it since, and the steps of those who look after it.

import { ApiError, context, get, ofOrg, pageUrl, post } from "./api.js";
import { open } from "./dialog.js";
import { h, replace, svg } from "./dom.js";
import { absolute, country, number, plural, when, words } from "./format.js";
import { escaped, inert, json } from "./inert.js";
import { badge, copyButton, facts, field, loaded, problem, run, showErrors, status, table } from "./parts.js";

export const mayChange = context.role === "owner" || context.role === "admin";

/** What is shown apart from the other evidence, or stands elsewhere in the alert. */
const TOLD = new Set(["rule_version", "threshold", "window_seconds", "observed", "peak", "first_seen_at", "last_seen_at", "routes",
  "sources", "events", "control", "deliveries"]);
const MINUTE = 60_000;

/** Where endpoints are, by their ids, when somebody who may see them has asked. */
const endpoints = new Map();

const endpoint = (one) => inert(endpoints.get(one.webhook_id) ?? one.webhook_id, "mono");

const who = (by) => (by ? inert(by.email ?? (by.kind === "operator" ? "an operator" : by.id), "name") : "somebody");

/** What it is about: its name, and our page for it. */
export function subject({ kind, id, name }) {
  const text = [inert(name ?? id, name ? "name" : "mono"), " ", h("span", { class: "quiet" }, words(kind).toLowerCase())];
  if (kind === "key") return h("a", { href: pageUrl(`/keys/${encodeURIComponent(id)}`) }, text);
  if (kind === "app") return h("a", { href: pageUrl("/apps", { app: id }) }, text);
  return h("span", {}, text);
}

/** The events around it. */
function trail(alert) {
  const { kind, id } = alert.subject;
  const from = new Date(new Date(alert.evidence.first_seen_at ?? alert.opened_at) - 2 * MINUTE).toISOString();
  const to = new Date(new Date(alert.last_seen_at).getTime() + MINUTE).toISOString();
  const by = { network: { ip: id }, instance: { action: "audit." }, trail: { action: "audit." }, webhook: { action: "webhook." } }[kind] ?? { actor: id };
  return pageUrl("/audit", { ...by, from, to });
}

function span(seconds) {
  if (!seconds) return "the first happening opens it";
  if (seconds % 3600 === 0) return `within ${plural(seconds / 3600, "hour")}`;
  return seconds % 60 === 0 && seconds > 60 ? `within ${plural(seconds / 60, "minute")}` : `within ${plural(seconds, "second")}`;
}

const codes = (values) => h("ul", { class: "codes unmarked" }, values.map((value) => h("li", {}, h("code", {}, inert(value)))));

/** A fact of the evidence whose shape nobody has told us. */
function shown(name, value) {
  if (value === null || value === "") return h("span", { class: "quiet" }, "none");
  if (typeof value === "number") return number(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") {
    if (name.includes("country") && /^[A-Z]{2}$/.test(value)) return [country(value), " ", h("code", {}, value)];
    if (name.endsWith("_at") && !Number.isNaN(Date.parse(value))) return when(value, "", true);
    return inert(value, /_id$|scope|hash/.test(name) ? "mono" : "");
  }
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) {
    return value.length ? codes(value.map((item) => (name.includes("countr") ? country(item) : item))) : h("span", { class: "quiet" }, "none");
  }
  return h("pre", { dir: "ltr" }, json(value));
}

/** The events of the trail that show it: the API lists at most twenty. */
function witnesses(ids) {
  return h("details", {}, h("summary", {}, `${plural(ids.length, "event")} of the audit trail`),
    h("ul", { class: "unmarked" }, ids.map((id) => h("li", {}, h("a", { class: "mono", href: pageUrl("/audit", { event: id }) }, id)))));
}

function evidence({ evidence: found, control, count }) {
  const listed = (name) => (found[name]?.length ? [[words(name), codes(found[name])]] : []);
  const rest = Object.entries(found).filter(([name]) => !TOLD.has(name)).map(([name, value]) => [words(escaped(name)), shown(name, value)]);
  return facts([
    ["Happenings", number(count), found.peak > 0 && found.peak !== count ? `, at most ${number(found.peak)} ${span(found.window_seconds)}` : ""],
    found.threshold ? ["Threshold", `${number(found.threshold)} ${found.window_seconds ? span(found.window_seconds) : `(${span(0)})`}`,
      found.rule_version ? h("span", { class: "quiet" }, ` version ${found.rule_version} of the rule`) : null] : null,
    found.first_seen_at ? ["First seen", when(found.first_seen_at, "", true)] : null,
    ["Last seen", when(found.last_seen_at ?? null, "", true)],
    ...listed("routes"),
    found.sources?.length ? ["Networks", codes(found.sources)] : null,
    ...rest,
    ["SOC 2 criteria", codes(control)],
    found.events?.length ? ["Events", witnesses(found.events)] : null,
  ]);
}

/** The time that an event's id (UUIDv7) carries. */
function momentOf(id) {
  return new Date(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toISOString();
}

/** What has happened to it, oldest first: `{at, what, mark}`. */
function history(alert) {
  const steps = [{ at: alert.opened_at, what: "Opened", mark: "bad" }];
  const { deliveries = [] } = alert.evidence;
  const told = deliveries.filter((one) => one.last_attempt_at);
  for (const one of told) {
    const result = { succeeded: "was told", failed: "could not be told", pending: "could not be told yet" }[one.status] ?? one.status;
    steps.push({ at: one.last_attempt_at, what: [endpoint(one), ` ${result} `, h("code", {}, inert(one.event))], mark: "calls" });
  }
  if (alert.action_taken) steps.push({ at: alert.opened_at, what: `By itself: ${words(alert.action_taken).toLowerCase()}`, mark: "bad" });
  if (alert.last_seen_at !== alert.opened_at) steps.push({ at: alert.last_seen_at, what: alert.resolution ? "Seen for the last time" : "Seen for the last time so far", mark: "bad" });
  if (alert.acknowledged_at) steps.push({ at: alert.acknowledged_at, what: ["Acknowledged by ", who(alert.acknowledged_by)], mark: "warn" });
  const end = alert.resolution;
  if (end) {
    const by = end.kind === "automatic" ? "Resolved by itself: the cause has ceased" : ["Resolved by ", who(end.by)];
    steps.push({ at: end.at, what: [by, end.note ? h("blockquote", { class: "quote" }, inert(end.note)) : null], mark: "good" });
  }
  return steps.sort((one, other) => (one.at < other.at ? -1 : 1));
}

/** The same on a line of time; the list below says it in words. */
function line(alert, steps) {
  const events = (alert.evidence.events ?? []).map(momentOf);
  const first = alert.evidence.first_seen_at ?? alert.opened_at;
  const times = [...events, first, ...steps.map(({ at }) => at)].map((at) => new Date(at).getTime());
  const begin = Math.min(...times);
  const length = Math.max(1, Math.max(...times) - begin);
  // In hundredths of the width, so that nothing is scaled.
  const place = (at) => 3 + ((new Date(at) - begin) / length) * 94;
  const x = (at) => `${place(at)}%`;
  return h("figure", { class: "chart timeline" },
    svg("svg", { "aria-hidden": "true" },
      svg("rect", { x: x(first), y: 12, width: `${Math.max(0.4, place(alert.last_seen_at) - place(first))}%`, height: 12, class: "refused" }),
      svg("line", { x1: 0, x2: "100%", y1: 24, y2: 24, class: "axis" }),
      events.map((at) => svg("line", { x1: x(at), x2: x(at), y1: 2, y2: 12, class: "axis" })),
      steps.map(({ at, mark }) => svg("circle", { cx: x(at), cy: 24, r: 6, class: `moment ${mark}` }))),
    h("p", { class: "ends" }, h("span", {}, absolute(begin)), h("span", {}, absolute(begin + length))),
    h("figcaption", {},
      h("span", { class: "key" }, h("span", { class: "swatch refused" }), "seen"), h("span", { class: "key quiet" }, "│ an event of the trail"),
      [["bad", "opened, seen"], ["calls", "told"], ["warn", "acknowledged"], ["good", "resolved"]]
        .filter(([mark]) => steps.some((step) => step.mark === mark))
        .map(([mark, text]) => h("span", { class: "key" }, h("span", { class: `swatch moment ${mark}` }), text))));
}

function deliveries(list) {
  if (!list?.length) return h("p", { class: "quiet" }, "Nothing was sent of it.");
  return table("Deliveries", [
    ["Endpoint", endpoint],
    ["Event", (one) => h("code", {}, inert(one.event))],
    ["Status", (one) => badge(one.status, { succeeded: "good", failed: "bad", pending: "warn" }[one.status])],
    ["Attempts", (one) => number(one.attempts)],
    ["Last", (one) => [when(one.last_attempt_at, "not tried yet"), one.response_status ? ` answer ${one.response_status}` : null,
      one.error ? [h("br"), inert(one.error)] : null]],
  ], list);
}

/** A step that failed, at its field. Notes are kept and sent on, so a secret in one is refused: says what to write instead. */
function said(form, place, error) {
  for (const wrong of error.errors) {
    if (wrong.code === "holds_secret") wrong.detail += ". The note is kept as evidence and sent on: name the key by its hint or ID instead.";
  }
  showErrors(form, place, error);
}

function steps(alert, changed) {
  if (!mayChange) return h("p", { class: "quiet" }, "Owners and admins acknowledge and resolve alerts.");
  const place = problem();
  const at = ofOrg(`/alerts/${encodeURIComponent(alert.id)}`);
  const failed = (error) => said(form, place, error);
  const mine = alert.acknowledged_by?.id === context.user.id;
  const take = alert.status === "acknowledged" ? "Take over" : "Acknowledge";
  const button = h("button", {
    type: "button", class: "button",
    onclick: () => run(button, async () => changed(await post(`${at}/acknowledge`), "Acknowledged: the alert is yours."), failed),
  }, take);
  const resolve = h("button", { class: "button strong" }, "Resolve");
  const form = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      const note = new FormData(form).get("note");
      run(resolve, async () => changed(await post(`${at}/resolve`, { note }), "Resolved."), failed);
    },
  }, field({
    label: "What came of it", name: "note", rows: 3, required: true, maxlength: 2000,
    hint: "Needed to resolve it: 1 to 2,000 characters, kept as evidence. No keys, no passwords.",
  }),
  place, h("div", { class: "actions" }, mine ? null : button, resolve));
  return [h("h3", {}, "Your step"), form];
}

function content(alert, changed) {
  const past = history(alert);
  return [
    h("p", { class: "links" }, status(alert.severity), status(alert.status), subject(alert.subject), h("code", {}, inert(alert.rule))),
    alert.action_taken ? h("p", { class: "note warn" }, `Done by itself when it opened: ${words(alert.action_taken).toLowerCase()}.`) : null,
    h("p", {}, h("b", {}, "What to do: "), alert.advice),
    h("p", { class: "links" }, h("a", { class: "button small", href: trail(alert) }, "See the events around it"), copyButton(alert.id, "Copy alert ID")),
    alert.status === "resolved" ? null : steps(alert, changed),
    h("h3", {}, "History"), line(alert, past),
    h("ol", { class: "history" }, past.map(({ at, what }) => h("li", {}, h("div", {}, what), when(at, "", true)))),
    h("h3", {}, "Evidence"), evidence(alert),
    h("h3", {}, "Deliveries"), deliveries(alert.evidence.deliveries),
  ];
}

/** Opens an alert. The address names it as long as it is open; `changed` is called when a step was taken. */
export async function openAlert(id, changed) {
  const address = (value) => {
    const url = new URL(location.href);
    if (value) url.searchParams.set("alert", value);
    else url.searchParams.delete("alert");
    window.history.replaceState(null, "", url);
  };
  address(id);
  const path = ofOrg(`/alerts/${encodeURIComponent(id)}`);
  let touched = false;
  await open("Alert", (close, dialog, heading) => {
    const done = h("p", { class: "note", role: "status", hidden: true });
    const body = loaded(() => get(path), build);
    function build(alert) {
      heading.textContent = alert.title;
      return h("div", { class: "alert-detail" }, content(alert, (next, text) => {
        touched = true;
        // The answer tells of the step; what was sent of it stands in the alert.
        const note = body.querySelector("[name=note]")?.value;
        replace(body, build({ ...next, evidence: { ...alert.evidence, ...next.evidence } }));
        const again = body.querySelector("[name=note]");
        if (again) again.value = note;
        done.textContent = text;
        done.hidden = false;
        heading.focus();
      }));
    }
    return [done, body];
  }, { wide: true });
  address(null);
  if (touched) changed(id);
}

/** Whether it is known that nobody is told of alerts. */
export async function nobodyIsTold() {
  if (context.role === "developer") return false;
  try {
    const { items } = await get(ofOrg("/webhooks"), { limit: 200 });
    for (const hook of items) endpoints.set(hook.id, new URL(hook.url).host);
    return !items.some((hook) => hook.status === "active" && !hook.key_id && hook.events.includes("alert.opened"));
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}
