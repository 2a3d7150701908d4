// 'API Credentials': the keys of the organization.

import { get, ofOrg, pageUrl } from "../api.js";
import { h, replace } from "../dom.js";
import { absolute, plural, relative, short, when } from "../format.js";
import { actionsFor } from "../key-actions.js";
import { createKey } from "../key-create.js";
import { badge, bar, complain, empty, field, filters, list, notify, run, scopes, status, table } from "../parts.js";
import { permissions } from "../scope-matrix.js";

const STATUSES = ["active", "disabled", "expired", "revoked"];
const NAMES = ["environment", "status", "q"];
const DAY = 86_400_000;

export async function start(main, context) {
  const mayChange = context.role !== "auditor";
  const address = new URLSearchParams(location.search);
  let values = Object.fromEntries(NAMES.map((name) => [name, address.get(name)]).filter(([, value]) => value));

  const generate = () => h("button", {
    type: "button", class: "button strong", onclick: (event) => run(event.currentTarget, create, complain),
  }, "Generate New Key");
  const keys = list(
    (cursor) => get(ofOrg("/keys"), { ...values, cursor, limit: 25 }),
    (items) => keyTable(items, mayChange),
    () => (Object.keys(values).length ? nothingMatches() : noKeys()),
  );
  const room = h("div", { class: "filter-room" });
  replace(main, h("div", { class: "panel keys" }, room, keys));
  if (mayChange) {
    const button = generate();
    replace(document.getElementById("actions"), button);
    if (location.hash === "#generate") {
      history.replaceState(null, "", location.pathname + location.search);
      // Where a dialog gives the focus back to.
      button.focus();
      button.click();
    }
  }

  async function create() {
    const made = await createKey();
    if (!made) return;
    notify(`${made.name} is ready to use.`);
    await keys.load();
  }

  const noKeys = () => empty("No keys yet",
    "A key lets a program call the API: with the permissions that you choose, from the networks that you allow, and for a limited time.",
    mayChange ? generate() : null);
  const nothingMatches = () => empty("No key matches", "No key has this name, environment and status.", h("button", {
    type: "button", class: "button", onclick: () => {
      for (const input of form.elements) {
        if (input.type === "radio") input.checked = input.value === "";
        else input.value = "";
      }
      form.requestSubmit();
      form.elements.q.focus();
    },
  }, "Clear the filters"));

  // The list doesn't wait for the names of the environments.
  keys.load();
  // Without those the list is of use, too.
  const environments = await permissions().then((permitted) => permitted.environments, () => []);
  const form = filters([
    environments.length === 0 ? null : h("fieldset", { class: "tabs" }, h("legend", { class: "hidden" }, "Environment"),
      [["", "All"], ...environments.map(({ name }) => [name, name])].map(([value, text]) =>
        h("label", {}, h("input", { type: "radio", name: "environment", value, checked: value === "" }), text))),
    field({ label: "Name or hint", name: "q", type: "search", class: "broad", autocomplete: "off", placeholder: "Jenkins, or sp_live_AbCd…" }),
    field({ label: "Status", name: "status", options: [["", "Any"], ...STATUSES.map((name) => [name, name])] }),
  ], (now) => {
    values = now;
    keys.load();
  });
  replace(room, form);
}

function keyTable(items, mayChange) {
  const element = table("API keys", [
    ["Name", (key) => [
      h("a", { class: "name", href: pageUrl(`/keys/${key.id}`) }, key.name),
      h("div", { class: "beneath" }, h("code", {}, key.hint), ` ${key.environment}`, key.canary ? [" ", badge("canary")] : null),
    ], "wide-cell"],
    ["Status", (key) => [status(key.status), key.successor?.status === "pending" ? [" ", badge("successor waits", "warn")] : null]],
    ["Permissions", (key) => scopes(key.scopes, 2)],
    ["Life", life],
    ["Last use", (key) => when(key.last_used_at), "last-use"],
    ["Auto-Rotate", (key) => (key.auto_rotate ? "On" : h("span", { class: "quiet" }, "Off"))],
    mayChange && ["Actions", (key) => menuOf(key, (now) => changed(key, now)), "act"],
  ].filter(Boolean), items);

  function changed(key, now) {
    const row = element.change({ ...key, ...now });
    // The button that was pressed is gone with its row.
    if (document.activeElement === document.body) (row.querySelector(".menu-button") ?? row.querySelector("a")).focus();
  }
  return element;
}

/** How old a key is, and what is left of its current version's life. */
function life(key) {
  const [from, to, now] = [new Date(key.version_created_at).getTime(), new Date(key.expires_at).getTime(), Date.now()];
  const live = (at) => h("time", { datetime: at, title: absolute(at), dataset: { at } }, relative(at));
  const made = h("div", { class: "until quiet" }, "made ", when(key.created_at));
  if (key.status === "revoked") return [h("div", {}, "revoked ", key.revoked_at ? when(key.revoked_at) : null), made];
  if (to <= now) return [h("div", {}, "ended ", when(key.expires_at)), made];
  const left = (to - now) / DAY;
  const tone = left < 3 ? "bad" : left < 14 ? "warn" : "";
  const words = left < 1 ? ["ends ", live(key.expires_at)] : `${plural(Math.round(left), "day")} left`;
  return h("div", { class: "life" }, tone ? badge(words, tone) : words, bar((to - now) / (to - from), tone),
    h("time", { class: "until quiet", datetime: key.expires_at, title: absolute(key.expires_at) }, short(key.expires_at)), made);
}

/** A button whose menu is made when it is opened. */
function menuOf(key, changed) {
  if (actionsFor(key, changed).length === 0) return null;
  const button = h("button", {
    type: "button", class: "button small menu-button", "aria-label": `Actions for ${key.name}`, "aria-expanded": "false", onclick: show,
    onpointerdown: () => { closing = menu !== null; },
  }, "Actions");
  let menu = null;
  // A press on the button closes the open menu before its click comes here; a key presses without.
  let closing = false;
  function show(event) {
    if (menu || (closing && event.detail > 0)) return;
    menu = h("div", { class: "menu at", popover: "auto", ontoggle: closed }, actionsFor(key, changed));
    // The focus goes back to the button first, so that a dialog gives it back there.
    menu.addEventListener("click", () => {
      menu.hidePopover();
      button.focus();
    }, { capture: true });
    button.after(menu);
    menu.showPopover({ source: button });
    place();
    addEventListener("scroll", place, { passive: true });
    button.setAttribute("aria-expanded", "true");
    menu.querySelector("button").focus({ preventScroll: true });
  }
  function closed(event) {
    if (event.newState !== "closed") return;
    removeEventListener("scroll", place);
    button.setAttribute("aria-expanded", "false");
    menu.remove();
    menu = null;
  }
  /** Below the button, or above it where the window ends. */
  function place() {
    const at = button.getBoundingClientRect();
    const below = at.bottom + menu.offsetHeight + 8 < innerHeight;
    menu.style.setProperty("--top", `${below ? at.bottom + 4 : at.top - menu.offsetHeight - 4}px`);
    menu.style.setProperty("--start", `${Math.max(8, at.right - menu.offsetWidth)}px`);
  }
  return button;
}
