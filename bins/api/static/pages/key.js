// One key: what it is and may do, what it did, and what can be done about it.

import { ApiError, get, ofOrg, pageUrl } from "../api.js";
import { h, replace } from "../dom.js";
import { number, plural, when } from "../format.js";
import { actionsFor } from "../key-actions.js";
import { explainer } from "../key-explain.js";
import { suggestions } from "../key-suggestions.js";
import { curl } from "../key-token.js";
import { usage } from "../key-usage.js";
import { badge, bar, copyButton, empty, facts, list, scopes as codes, section, status, table } from "../parts.js";
import { webhooks } from "../webhooks.js";

const DAY = 86_400_000;
const CANARY = "A trap: nobody should use it, and any call with it opens an alert.";

export async function start(main) {
  const crumbs = h("nav", { class: "crumbs", "aria-label": "Breadcrumb" },
    h("a", { href: pageUrl("/keys") }, "API Credentials"), h("span", { "aria-hidden": "true" }, "›"), h("span", { "aria-current": "page" }, "…"));
  document.querySelector(".head").before(crumbs);
  const id = decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1));
  // Nothing stands below the heading until that has the key's name, which may need several lines.
  main.setAttribute("aria-busy", "true");
  try {
    const [key, catalog] = await Promise.all([get(ofOrg(`/keys/${encodeURIComponent(id)}`)), get("/v1/scopes")]);
    show(main, crumbs, key, descriptionsOf(catalog));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    name(crumbs, "Key not found");
    replace(main, section("There is no such key here", {}, empty("Nothing in this organization has this address.",
      "The key may belong to another organization, or the address is incomplete. You can change the organization in the menu at the top.",
      h("a", { class: "button strong", href: pageUrl("/keys") }, "Go to API Credentials"))));
  } finally {
    main.removeAttribute("aria-busy");
  }
}

/** What each scope of the catalog is for. */
function descriptionsOf(catalog) {
  return new Map(catalog.resources.flatMap((resource) => resource.scopes.map((scope) => [scope.name, scope.description])));
}

/** The page's name: heading, title and last crumb. */
function name(crumbs, text) {
  document.querySelector("h1").textContent = text;
  document.title = `${text} · StatusPulse`;
  crumbs.lastElementChild.textContent = text;
}

/** The buttons above are made anew when the key changes: once all dialogs are closed the focus goes to the one at the place of
 *  the pressed one, or to the heading. */
function focusKeeper() {
  const actions = document.getElementById("actions");
  const heading = document.querySelector("h1");
  let pressed = -1;
  heading.tabIndex = -1;
  actions.addEventListener("click", (event) => { pressed = [...actions.children].indexOf(event.target.closest("#actions > *")); });
  return function keepFocus() {
    const dialog = document.querySelector("dialog[open]");
    if (dialog) dialog.addEventListener("close", () => setTimeout(keepFocus));
    else if (document.activeElement === document.body) (actions.children[pressed] ?? heading).focus();
  };
}

function show(main, crumbs, first, descriptions) {
  const id = first.id;
  const keepFocus = focusKeeper();
  let key = first;
  const record = h("div", {});
  const history = versions(id);
  // What follows from the key is asked for again when it has changed; its usage and its webhooks stay as they are.
  const changed = (now) => {
    key = now;
    draw();
    keepFocus();
    history.load();
    advice.load();
  };
  const advice = suggestions(() => key, changed);
  const draw = () => {
    name(crumbs, key.name);
    replace(document.getElementById("actions"), actionsFor(key, changed));
    replace(record, notes(key), h("div", { class: "grid key-record" }, details(key), rights(key, descriptions)));
  };
  draw();
  replace(main, record, usage(() => key), advice, explainer(id), section("Versions", {
    lead: "Each rotation makes a new version of the key. Name, scopes, allowlist and webhooks stay the same.",
  }, history), section("Webhooks of this key", {
    lead: ["These endpoints get only the events of this key. Endpoints for all keys are in ", h("a", { href: pageUrl("/security") }, "Security Controls"), "."],
  }, webhooks({ keyId: id })));
}

/** What somebody who opens the page should know first. */
function notes(key) {
  const left = new Date(key.expires_at) - Date.now();
  const note = (...children) => h("div", { class: "note warn" }, children);
  if (key.status === "revoked") {
    return note("This key was revoked ", key.revoked_at ? [when(key.revoked_at)] : null, key.revoke_reason ? `: ${key.revoke_reason}` : "",
      ". It can't be used again.");
  }
  if (key.status === "expired") return note("This key expired ", when(key.expires_at), ". Make a new one to replace it.");
  if (key.successor) return successor(key);
  if (key.status === "disabled") {
    return note("This key was disabled", key.disabled_at ? [" (", when(key.disabled_at), ")"] : null, ". All its calls are refused until it is enabled.");
  }
  if (left < 14 * DAY && !key.auto_rotate) {
    return note("This key expires ", when(key.expires_at), ". Rotate it before then, or switch Auto-Rotate on.");
  }
  return null;
}

/** The next version, and how its holder gets it. */
function successor(key) {
  const { status: state, available_until: until } = key.successor;
  if (state === "claimed") {
    return h("div", { class: "note" }, "The next version has been picked up. The one before stops working ", when(until), ".");
  }
  const command = curl("/v1/keys/self/successor", undefined, "POST");
  return h("div", { class: "note" },
    h("p", { class: "name" }, "The next version is ready to be picked up"),
    h("p", {}, "Your client fetches it with the present key, once. The answer holds the new key; the present one works until it expires. ",
      "The offer ends ", when(until), "."),
    h("pre", { tabindex: "0", role: "region", "aria-label": "Command that picks up the next version" }, command), copyButton(command, "Copy the command"),
    key.successor_public_key
      ? h("p", { class: "hint" }, "It was also sent, sealed to the key's public key, with the webhook event ", h("code", {}, "key.successor_ready"), ".") : null);
}

function details(key) {
  return section("Details", {}, facts([
    ["Status", status(key.status), key.canary ? [" ", badge("canary", "warn"), h("p", { class: "hint" }, CANARY)] : null],
    ["Key", h("code", {}, key.hint)],
    ["Environment", key.environment],
    ["Expires", when(key.expires_at), key.status === "revoked" || key.status === "expired" ? null : lifeLeft(key)],
    ["Auto-Rotate", key.auto_rotate ? "On: the next version is prepared before this one expires" : "Off"],
    ["Rate limit", key.rate_limit_per_minute ? `${number(key.rate_limit_per_minute)} calls a minute` : "None"],
    ["Last used", when(key.last_used_at), codes(key.last_used_ips)],
    ["Created", when(key.created_at), h("p", { class: "quiet" }, "by ", creator(key.created_by))],
    ["Version", String(key.version)],
    ["ID", h("span", { class: "copied" }, h("code", {}, key.id), copyButton(key.id, "Copy ID"))],
  ]));
}

function creator({ kind, email, id }) {
  return email ?? (kind === "operator" ? "an operator" : `user ${id}`);
}

/** How much of the life of the current version is left. */
function lifeLeft({ version_created_at: begin, expires_at: end }) {
  const whole = Math.max(1, new Date(end) - new Date(begin));
  const left = Math.max(0, new Date(end) - Date.now());
  const tone = left < 3 * DAY ? "bad" : left < 14 * DAY ? "warn" : "";
  return h("div", { class: "life" }, bar(left / whole, tone),
    h("p", { class: "hint" }, `${Math.round((left / whole) * 100)}% of ${plural(Math.round(whole / DAY), "day")} left`));
}

/** What the key may do, and from where. */
function rights(key, descriptions) {
  return h("div", { class: "stack" },
    section("Scopes", {}, h("ul", { class: "plain-list" }, key.scopes.map((scope) =>
      h("li", {}, h("code", {}, scope), " ", h("span", { class: "quiet" }, descriptions.get(scope) ?? "no longer in the catalog"))))),
    section("Allowlist", {}, key.allowed_cidrs
      ? h("ul", { class: "plain-list" }, key.allowed_cidrs.map((range) => h("li", {}, h("code", {}, range), " ", h("span", { class: "quiet" }, key.allowlist_notes[range]))))
      : h("p", {}, "Any address may use this key.")));
}

const STATES = {
  current: ["current", "good"], overlap: ["overlap", "warn"], pending: ["waits to be picked up", ""], ended: ["ended", ""],
};

/** The versions, newest first. */
function versions(id) {
  const fetchPage = (cursor) => get(ofOrg(`/keys/${id}/versions`), { cursor });
  const element = list(fetchPage, (items) => table("Versions, newest first", [
    ["Version", (item) => String(item.version)],
    ["Key", (item) => (item.hint ? h("code", {}, item.hint) : h("span", { class: "quiet" }, "made when it is picked up"))],
    ["State", (item) => badge(...(STATES[item.state] ?? [item.state, ""]))],
    ["Created", (item) => when(item.created_at)],
    ["Works until", (item) => when(item.valid_until)],
    ["Picked up", (item) => (item.claimed_at ? when(item.claimed_at) : h("span", { class: "quiet" }, "–"))],
  ], items), () => empty("No versions", "There is nothing to show yet."));
  element.classList.add("short");
  element.load();
  return element;
}
