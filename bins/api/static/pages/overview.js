// What needs a look first: alerts, keys, how the service is, and what has changed.

import { get, ofOrg, pageUrl } from "../api.js";
import { h, replace } from "../dom.js";
import { plural, when, words } from "../format.js";
import { badge, empty, loaded, section, status } from "../parts.js";

const SEVERITIES = ["critical", "high", "medium", "low"];
const MOST_ALERTS = 5;
const MOST_KEYS = 3;
/** More than are shown: the changes below are told with the names of these. */
const NAMED_KEYS = 10;

/** The reasons of the inventory, the most pressing first. */
const REASONS = [
  ["ends_within_14_days", "Ending within 14 days", "Rotate, or turn Auto-Rotate on."],
  ["no_allowlist", "Usable from any address", "With an allowlist a stolen key is of no use elsewhere."],
  ["allow_any", "Networks of any width allowed", "Look whether the wide ones are still needed."],
  ["wide_allowlist", "Wide network in the allowlist", "Narrow it to the addresses in use."],
  ["all_scopes", "Every scope", "Take away what isn't needed."],
  ["unused_30_days", "Not used for 30 days", "Disable or revoke what nobody misses."],
  ["never_rotated", "Never rotated", "Better tried once in peace than for the first time in a hurry."],
];

const DONE = {
  "key.create": "created", "key.update": "changed", "key.rotate": "rotated", "key.revoke": "revoked", "key.disable": "disabled",
  "key.enable": "enabled", "key.expire": "ended", "key.claim": "has its successor", "key.leaked": "marked as leaked", "key.explain": "asked about",
};

export function start(main, { role, user }) {
  const isDeveloper = role === "developer";
  const alerts = shared(openAlerts);
  const inventory = shared(() => get(ofOrg("/inventory"), { limit: NAMED_KEYS }));
  // A developer may not read the trail of others.
  const changes = isDeveloper ? null : shared(() => get(ofOrg("/audit/events"), { action: "key.", limit: 10 }));
  const keys = shared(() => get(ofOrg("/keys"), { limit: 10 }));
  const attention = shared(async () => {
    const { reasons, counts } = await inventory();
    const isNew = role !== "auditor" && !(await (changes ? madeBefore({ reasons, counts }, changes) : keys().then(({ items }) => items.some(byPerson))));
    return { reasons, counts, isNew };
  });
  const panels = h("div", { class: "grid overview" }, section("Open alerts", { actions: link("All alerts", "/alerts") }, loaded(alerts, alertList)));
  replace(main, isDeveloper ? null : readiness(), panels);
  // Asked for at once, and put beneath what has its height by then, so that nothing moves.
  const first = Promise.allSettled([alerts()]);
  const above = Promise.allSettled([alerts(), attention(), changes?.()]);
  first.then(() => panels.append(section("Keys that want attention", { actions: link("All keys", "/keys") }, loaded(attention, attentionList))));
  if (changes) {
    above.then(([open, held, read]) => {
      if (read.reason?.status === 403) return;
      main.append(section("Latest changes of keys", { actions: link("The audit trail", "/audit") },
        loaded(changes, ({ items }) => changeList(items, namesOf(open.value, held.value), user))));
    });
  }
}

/** Asks once for several places. A failure is forgotten, so that one can try again. */
function shared(ask) {
  let asked;
  return () => {
    asked ??= ask().catch((error) => {
      asked = undefined;
      throw error;
    });
    return asked;
  };
}

function link(text, path) {
  return h("a", { href: pageUrl(path), class: "button small" }, text);
}

// How the service is

/** One line, whose room is there from the beginning; more only where something is wrong. */
function readiness() {
  const place = h("div", { class: "readiness", role: "status" });
  const say = ({ status: word, reasons = [] }) => (word === "ready"
    ? replace(place, badge("ready", "good"), " ", h("span", { class: "quiet" }, "The service works as it should."))
    : replace(place, h("div", { class: "note warn" },
      h("p", { class: "name" }, word === "degraded" ? "The service works, but something is impaired." : "The service can't judge calls."),
      h("ul", {}, reasons.map(({ code, detail }) => h("li", {}, detail, " ", h("code", {}, code)))))));
  // 503 says why, too.
  get("/readyz").then(say, ({ problem, code, message }) => say({ status: "unavailable", reasons: problem.reasons ?? [{ code, detail: message }] }));
  return place;
}

// Alerts

async function openAlerts() {
  const { items, next_cursor: next } = await get(ofOrg("/alerts"), { status: "open", limit: 100 });
  const rank = (alert) => SEVERITIES.indexOf(alert.severity);
  return { alerts: items.toSorted((one, other) => rank(one) - rank(other)), more: Boolean(next) };
}

function alertList({ alerts, more }) {
  if (!alerts.length) return empty("No open alert", "When something looks wrong with a key or an app, it stands here.");
  const rest = alerts.length - MOST_ALERTS;
  return [
    h("ul", { class: "lines" }, alerts.slice(0, MOST_ALERTS).map((alert) => h("li", {},
      h("div", {}, status(alert.severity), " ", h("a", { href: pageUrl("/alerts", { alert: alert.id }), class: "name" }, alert.title)),
      h("div", { class: "quiet" }, h("bdi", {}, alert.subject.name ?? alert.subject.id), " · last seen ", when(alert.last_seen_at))))),
    rest > 0 ? h("p", {}, h("a", { href: pageUrl("/alerts", { status: "open" }) }, `${more ? "More than " : ""}${plural(rest, "more open alert")}`)) : null,
  ];
}

// Keys

const byPerson = (key) => key.created_by?.kind === "user";

/** Whether somebody has made a key here, as far as what was asked for anyway tells. */
async function madeBefore({ reasons, counts }, changes) {
  // Where there are more than were asked for, nobody needs first steps.
  if (Object.values(counts).some((count) => count > NAMED_KEYS)) return true;
  if (Object.values(reasons).some((keys) => keys.some(byPerson))) return true;
  return changes().then(({ items }) => items.some(({ actor }) => actor.kind === "user" || actor.kind === "api_key"), () => true);
}

function attentionList({ reasons, counts, isNew }) {
  const found = REASONS.filter(([name]) => reasons[name]?.length);
  return [
    isNew ? firstSteps() : null,
    found.length ? h("ul", { class: "lines" }, found.map(([name, title, advice]) => reasonLine(name, title, advice, reasons[name], counts[name])))
      : isNew ? null : empty("No key wants attention", "All have an allowlist, are in use, and end late enough."),
  ];
}

function reasonLine(reason, title, advice, keys, count) {
  const rest = count - MOST_KEYS;
  return h("li", {},
    h("div", {}, badge(plural(count, "key"), "warn"), " ", h("span", { class: "name" }, title)), h("div", { class: "quiet" }, advice),
    h("div", { class: "names" }, keys.slice(0, MOST_KEYS).map(keyLink), rest > 0 ? h("a", { href: `${pageUrl("/security")}#attention-${reason}` }, `and ${rest} more`) : null));
}

function keyLink({ id, name }) {
  return h("a", { href: pageUrl(`/keys/${id}`) }, h("bdi", {}, name));
}

function firstSteps() {
  return h("div", { class: "first-steps" }, h("h3", {}, "First steps"),
    h("ol", {}, h("li", {}, "Generate a key with the scopes that your program needs, and no more."),
      h("li", {}, "Store it where your program keeps its secrets. It is shown once."),
      h("li", {}, "Give it an allowlist, and turn Auto-Rotate on.")),
    h("p", {}, h("a", { href: `${pageUrl("/keys")}#generate`, class: "button strong" }, "Generate New Key")));
}

// Changes

/** Names of keys and people, as far as the rest of the page tells them. */
function namesOf(open, held) {
  const known = new Map();
  for (const { subject } of open?.alerts ?? []) if (subject.name) known.set(subject.id, subject.name);
  for (const key of Object.values(held?.reasons ?? {}).flat()) {
    known.set(key.id, key.name);
    if (key.created_by?.email) known.set(key.created_by.id, key.created_by.email);
  }
  return known;
}

function changeList(events, known, user) {
  if (!events.length) return empty("No change yet", "When a key is created, changed or revoked, it stands here.");
  return h("ul", { class: "lines" }, events.map((event) => h("li", {}, changed(event, known), " ", by(event.actor, known, user), " ",
    event.outcome === "allowed" ? null : [status(event.outcome), " "], h("span", { class: "quiet" }, "· ", when(event.occurred_at)))));
}

function changed({ action, detail }, known) {
  const done = DONE[action] ?? words(action).toLowerCase();
  const id = detail?.key_id;
  return id ? [keyLink({ id, name: known.get(id) ?? `key …${id.slice(-8)}` }), ` ${done}`] : `A key ${done}`;
}

function by({ kind, id }, known, user) {
  if (kind === "system") return "by the service";
  if (kind === "user" && id === user.id) return "by you";
  return ["by ", h("bdi", {}, known.get(id) ?? `${words(kind).toLowerCase()}${id ? ` …${id.slice(-8)}` : ""}`)];
}
