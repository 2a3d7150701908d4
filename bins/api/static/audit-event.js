// An event of the audit trail: what it is in words, and all that is known of it.

import { context, get, ofOrg, pageUrl } from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { country, number, when, words } from "./format.js";
import { escaped, inert, json } from "./inert.js";
import { copyButton, facts, loaded, status } from "./parts.js";

/** The closed list of actions; those that end in a dot are families. */
export const ACTIONS = {
  "api.call": "API call",
  "key.": "Anything about keys",
  "key.create": "Key created",
  "key.update": "Key changed",
  "key.rotate": "Key rotated",
  "key.revoke": "Key revoked",
  "key.disable": "Key disabled",
  "key.enable": "Key enabled",
  "key.claim": "New version picked up by the key's holder",
  "key.expire": "Key ended by a change of settings",
  "key.explain": "Asked how a call would be judged",
  "key.leaked": "Leak reported",
  "credential.in_url": "Key sent in a URL",
  "session.": "Anything about sessions",
  "session.login": "Sign-in",
  "session.logout": "Sign-out",
  "user.": "Anything about users",
  "user.create": "User created",
  "user.password_change": "Password changed",
  "member.": "Anything about members",
  "member.add": "Member added",
  "member.change": "Member's role changed",
  "member.remove": "Member removed",
  "app.": "Anything about apps",
  "app.create": "App registered",
  "app.update": "App changed",
  "app.delete": "App deleted",
  "app.secret_create": "App secret created",
  "app.secret_revoke": "App secret ended",
  "oauth.": "Anything of OAuth",
  "oauth.authorize": "Authorization asked for",
  "oauth.token": "Tokens issued",
  "oauth.refresh": "Tokens refreshed",
  "oauth.revoke": "Token or grant ended",
  "oauth.introspect": "Token looked up",
  "settings.": "Anything about settings",
  "settings.create": "Organization created",
  "settings.update": "Settings changed",
  "settings.pepper_rotate": "Pepper rotated",
  "settings.signing_key_rotate": "Signing key rotated",
  "webhook.": "Anything about webhooks",
  "webhook.create": "Webhook created",
  "webhook.update": "Webhook changed",
  "webhook.delete": "Webhook deleted",
  "webhook.secret_rotate": "Webhook secret rotated",
  "webhook.test": "Webhook tried",
  "webhook.retry": "Delivery queued again",
  "webhook.disable": "Webhook switched off by the service",
  "alert.": "Anything about alerts",
  "alert.open": "Alert opened",
  "alert.acknowledge": "Alert acknowledged",
  "alert.resolve": "Alert resolved",
  "audit.": "Anything about the audit trail",
  "audit.read": "Audit trail read",
  "audit.export": "Audit trail exported",
  "audit.gap": "Events lost",
  "audit.fold": "Flood of unknown tokens, counted",
  "audit.recovered": "Recovered after a stop",
  "audit.checkpoint": "Checkpoint signed",
  "audit.erase": "Addresses erased",
  "audit.retention": "Old days removed by retention",
};

const REASONS = {
  missing: "no credential was sent",
  malformed: "not the form of a token",
  unknown: "no such token",
  revoked: "the credential was revoked",
  expired: "the credential has expired",
  disabled: "the key is disabled",
  environment_mismatch: "key of another environment",
  ip_not_allowed: "address not on the allowlist",
  insufficient_scope: "outside of the key's scopes",
  rate_limited: "over the rate limit",
  unavailable: "the service couldn't judge it",
  invalid_credentials: "wrong e-mail or password",
  role_not_sufficient: "the role doesn't allow it",
  session_required: "no session",
  csrf_token_invalid: "CSRF token missing or old",
  not_found: "no such thing",
  changed_meanwhile: "changed by somebody else meanwhile",
};

const KINDS = {
  api_key: "API key", access_token: "Access token", user: "User", app: "App", operator: "Operator", system: "The service", unknown: "Unknown",
};

export function actionWords(action) {
  return ACTIONS[action] ?? words(escaped(action));
}

/** Why it ended as it did, in words and as the code. */
export function reasonOf(event) {
  if (!event.reason) return null;
  return [REASONS[event.reason] ?? words(escaped(event.reason)).toLowerCase(), " ", h("code", {}, inert(event.reason))];
}

export function kindWords(actor) {
  return KINDS[actor.kind] ?? words(escaped(actor.kind));
}

/** What acted: its name when it is known, else its id. */
export function nameOf(actor, names) {
  if (!actor.id) return null;
  return names.get(actor.id) ?? actor.id;
}

/** Whom a sign-in that failed was for. */
export function meant({ detail }, names) {
  return detail.user_id ? [h("br"), h("span", { class: "quiet" }, "meant "), inert(names.get(detail.user_id) ?? detail.user_id)] : null;
}

/** Names by ids, of what a page of keys and one of members tell; all others keep their ids. Not to know them is no error. `more`
 *  says that there are other keys. */
export async function knownNames() {
  const names = new Map([[context.user.id, context.user.email]]);
  const page = (path) => get(ofOrg(path), { limit: 200 }).catch(() => ({ items: [] }));
  const [{ items: keys, next_cursor: cursor }, { items: members }] = await Promise.all([page("/keys"), page("/members")]);
  for (const key of keys) names.set(key.id, key.name);
  for (const member of members) names.set(member.id, member.email);
  return { names, keys, more: Boolean(cursor) };
}

const nothing = (text = "none") => h("span", { class: "quiet" }, text);

export function addressOf(event) {
  return h("bdi", { class: "mono" }, event.ip);
}

/** The address, in the form that is given, with its country. */
export function place(event, at = addressOf(event)) {
  if (!event.ip) return nothing("no address");
  return [at, event.country ? [" ", country(event.country), " ", h("code", {}, inert(event.country))] : null];
}

/** What was asked, and the answer's status. */
export function request({ method, route, status: answer }) {
  if (!method && !route && !answer) return nothing();
  return [method ? [inert(method, "mono"), " "] : null, answer ? h("span", { class: "quiet" }, `→ ${answer}`) : null, h("br"),
    route ? inert(route, "mono") : null];
}

const code = (text, none) => (text === null || text === undefined ? nothing(none) : h("span", { class: "mono" }, inert(text)));
const copied = (text, what, none) => (text ? h("span", { class: "copyable" }, code(text), copyButton(text, `Copy ${what}`)) : nothing(none));

/** What the event is about, where we have a page for it. */
function subjects({ detail, actor }) {
  const key = detail.key_id ?? (actor.kind === "api_key" ? actor.id : null);
  return [
    key && h("a", { href: pageUrl(`/keys/${encodeURIComponent(key)}`) }, "The key"),
    detail.app_id && h("a", { href: pageUrl("/apps", { app: detail.app_id }) }, "The app"),
    detail.alert_id && h("a", { href: pageUrl("/alerts", { alert: detail.alert_id }) }, "The alert"),
    actor.id && h("a", { href: pageUrl("/audit", { actor: actor.id }) }, "All events of this actor"),
  ].filter(Boolean);
}

function content(event, names) {
  const { actor } = event;
  const name = nameOf(actor, names);
  const prove = `statuspulse-admin audit prove ${event.id} --output proof.json`;
  return h("div", { class: "event-detail" },
    facts([
      ["Time", when(event.occurred_at, "", true)],
      ["Action", actionWords(event.action), " ", h("code", {}, inert(event.action))],
      ["Outcome", status(event.outcome), " ", reasonOf(event)],
      ["Actor", kindWords(actor), name ? null : meant(event, names), name && name !== actor.id ? [" ", inert(name, "name")] : null,
        actor.id ? [h("br"), code(actor.id)] : null, actor.version ? ` version ${number(actor.version)}` : null],
      ["Request", request(event)],
      ["From", place(event)],
      ["User agent", code(event.user_agent, "none, or erased")],
      ["Fingerprint", copied(event.fingerprint, "fingerprint"),
        event.fingerprint ? h("p", { class: "hint" }, "The same for requests that look the same.") : null],
      ["Request ID", copied(event.request_id, "request ID")],
      ["Event ID", copied(event.id, "event ID")],
      ["Stream", code(event.stream), h("br"), `sequence ${number(event.sequence)}`],
    ]),
    h("h3", {}, "Detail"), h("pre", { dir: "ltr" }, json(event.detail)),
    h("h3", {}, "Prove it"),
    h("p", { class: "quiet" }, "An operator makes a proof of this event that can be checked without the trail, once a checkpoint covers it."),
    h("p", { class: "copyable" }, h("code", {}, prove), copyButton(prove, "Copy command")),
    h("p", { class: "links" }, subjects(event)));
}

/** Opens an event: as it is at hand, or asked for by its id. The address names it as long as it is open. */
export async function openEvent(id, { event, names }) {
  const address = (value) => {
    const url = new URL(location.href);
    if (value) url.searchParams.set("event", value);
    else url.searchParams.delete("event");
    history.replaceState(null, "", url);
  };
  address(id);
  const asked = async () => [event ?? await get(ofOrg(`/audit/events/${encodeURIComponent(id)}`)), await names];
  await open("Event", () => loaded(asked, ([found, known]) => content(found, known)), { wide: true });
  address(null);
}
