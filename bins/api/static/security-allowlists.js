// From where keys may be used: the organization's list, the lists of keys, and keys that want a look.

import { entriesOf } from "./allowlist-editor.js";
import { ApiError, get, ofOrg } from "./api.js";
import { confirm } from "./dialog.js";
import { h, replace } from "./dom.js";
import { number, plural, when, words } from "./format.js";
import { badge, complain, empty, field, filters, list, loaded, notify, run, section, table } from "./parts.js";
import { ENVIRONMENTS, askOver, atEntries, begun, keyLink, kept, networks, renew, saveSettings, settings, slices } from "./security-parts.js";

/** The list to which all keys are held, whatever their own says. */
export function organizationList(context) {
  const actions = h("div", { class: "panel-actions" });
  const mayChange = ["owner", "admin"].includes(context.role);
  const body = context.role === "developer"
    ? h("p", { class: "quiet" }, "Owners, admins and auditors see this list.")
    : kept(() => {
      const shown = loaded(settings, ({ allowed_cidrs: cidrs }) => {
        if (mayChange) replace(actions, listButtons(context, cidrs, () => renew(shown)));
        return cidrs
          ? networks(cidrs, {}, 12)
          : h("p", {}, badge("No list"), " Each key may be used from wherever its own list allows.");
      });
      return shown;
    }, "2.5rem");
  return section("Organization's allowlist", {
    id: "organization-list", actions,
    lead: "Holds every key of the organization: a call has to come from this list and from the key's own. "
      + "It doesn't hold sign-ins to this dashboard.",
  }, body);
}

function listButtons(context, cidrs, changed) {
  const change = h("button", { type: "button", class: "button", onclick: async (event) => {
    if (await askOver(event.currentTarget, (now) => changeList(context, now.allowed_cidrs))) changed();
  } }, cidrs ? "Change the list" : "Set a list");
  const drop = cidrs && h("button", { type: "button", class: "button", onclick: async () => { if (await dropList()) changed(); } }, "Remove the list");
  return [change, drop];
}

function changeList(context, cidrs) {
  return confirm("Organization's allowlist", {
    text: h("p", { class: "note warn" }, h("b", {}, "A wrong list locks callers out. "),
      "As soon as it is saved, a call with any key of the organization from any other address is refused with 403, ",
      "even where the key's own list allows the address."),
    fields: field({
      label: "Networks, one a line", name: "allowed_cidrs", rows: 6, value: (cidrs ?? []).join("\n"), required: true, autofocus: true,
      hint: "IPv4 or IPv6 with a prefix length, such as 203.0.113.0/24 or 2001:db8::/48; single addresses too. At most 50.",
    }),
    typed: context.org, label: "Save the list", danger: true,
    act: async (values) => {
      const entries = withoutNotes(entriesOf(values.allowed_cidrs));
      try {
        return await saveSettings({ allowed_cidrs: entries });
      } catch (error) {
        throw atEntries(error, "allowed_cidrs", entries);
      }
    },
  });
}

/** The networks; this list has no place for a note, so that one isn't lost in silence. */
function withoutNotes(entries) {
  const errors = entries.filter(({ note }) => note)
    .map(({ cidr, note }) => ({ field: "allowed_cidrs", detail: `${cidr}: notes aren't kept in this list. Take “${note}” away.` }));
  if (errors.length) throw new ApiError({ status: 422, detail: "Notes aren't kept in this list.", errors });
  return entries.map(({ cidr }) => cidr);
}

function dropList() {
  return confirm("Remove the organization's allowlist?", {
    text: "Then only the keys' own lists hold. Keys without a list may be used from anywhere.",
    label: "Remove the list", danger: true, act: () => saveSettings({ allowed_cidrs: null }),
  });
}

/** All keys with their lists. `add({keys})` opens the dialog that adds ranges to them. */
export function keyLists(context, add) {
  const lists = kept(() => {
    const found = list((cursor) => get(ofOrg("/keys"), { status: "active", ...form.values(), limit: 10, cursor }),
      (items) => table("Keys and their allowlists", columns(context, add), items),
      () => empty("No key found", "Look for another part of the name, or in another environment."));
    const form = filters([
      field({ label: "Search", name: "q", type: "search", hint: "Part of a name, a whole id or hint", class: "broad" }),
      field({ label: "Environment", name: "environment", options: [["", "All"], ...ENVIRONMENTS.map((name) => [name, words(name)])] }),
      field({ label: "Status", name: "status", options: [["active", "Active"], ["disabled", "Disabled"]] }),
    ], () => found.load());
    const part = h("div", {}, form, begun(found));
    part.load = found.load;
    return part;
  }, "45rem");
  const element = section("Allowlists of keys", {
    id: "key-lists", lead: "A key with a list is refused from any other address, before anything else of it is looked at.",
  }, lists);
  element.load = lists.load;
  return element;
}

function columns(context, add) {
  const actions = ["Actions", (key) => h("button", {
    type: "button", class: "button small", "aria-label": `Add a range to ${key.name}`, onclick: () => add({ keys: [key] }),
  }, "Add a range"), "end"];
  return [
    ["Key", (key) => [keyLink(key), h("br"), h("code", {}, key.hint)]],
    ["Environment", (key) => words(key.environment)],
    ["Allowed from", (key) => allowed(key)],
    ["Last used", (key) => [when(key.last_used_at),
      key.last_used_ips.length ? h("div", { class: "quiet" }, `from ${key.last_used_ips.slice(0, 2).join(", ")}`) : null]],
    ...(context.role === "auditor" ? [] : [actions]),
  ];
}

function allowed(key) {
  if (!key.allowed_cidrs) return badge("Any address", "warn");
  return [key.allow_any ? badge("Networks of any width", "warn") : null, networks(key.allowed_cidrs, key.allowlist_notes, 3)];
}

/** Why a key wants a look: title, what it means and what to do, and what to say beside each key. */
const REASONS = {
  no_allowlist: ["No allowlist", "Whoever gets hold of the token can use it from anywhere. Give the key a list.",
    (key) => [when(key.last_used_at), " last used"]],
  allow_any: ["Networks of any width", "Somebody has allowed this key a list of any width, which may let in everybody. Narrow it when you can.",
    (key) => [number(key.allowed_cidrs?.length ?? 0), " in the list"]],
  wide_allowlist: ["A wide allowlist", "The list lets in far more addresses than one caller has. Narrow it to those that the key is used from.",
    (key) => h("code", {}, key.allowed_cidrs?.[0] ?? "")],
  all_scopes: ["Every scope", "The key may do all that its environment allows. Take away what its caller doesn't need.",
    (key) => plural(key.scopes.length, "scope")],
  unused_30_days: ["Not used for 30 days", "Revoke what nobody needs any more.", (key) => ["last used ", when(key.last_used_at)]],
  ends_within_14_days: ["Ends within 14 days", "Rotate the key before its end: its callers are refused from then on.",
    (key) => ["ends ", when(key.expires_at)]],
  never_rotated: ["Never rotated", "The key still has the token that it was made with. Rotate it, or switch Auto-Rotate on.",
    (key) => ["made ", when(key.created_at)]],
};

/** Keys that want a look, by reason. */
export function attention(context, add) {
  // The keys themselves are asked for where a reason is opened.
  const found = kept(() => loaded(() => get(ofOrg("/inventory"), { limit: 1 }), ({ counts }) => {
    const names = [...new Set([...Object.keys(REASONS), ...Object.keys(counts)])];
    const some = names.filter((name) => counts[name]);
    const none = names.filter((name) => counts[name] === 0).map((name) => (REASONS[name]?.[0] ?? words(name)).toLowerCase());
    if (!some.length) return empty("Nothing to do", "No key stands out.");
    return [
      some.map((name) => reason(context, add, name, counts[name])),
      none.length ? h("p", { class: "quiet" }, `No key stands under: ${none.join(", ")}.`) : null,
    ];
  }), "17rem");
  const element = section("Keys that want a look", { id: "attention", lead: "A key stands under each of its reasons." }, found);
  element.load = found.load;
  return element;
}

const MOST = 200;
/** What was opened by the address. */
const opened = new Set();

function reason(context, add, name, count) {
  const [title, advice, fact] = REASONS[name] ?? [words(name), "", () => null];
  const shown = h("div", {});
  const item = (key) => h("li", {}, keyLink(key), " ", h("span", { class: "quiet" }, words(key.environment), " · ", fact(key)));
  const wanting = async () => {
    const { reasons, counts } = await get(ofOrg("/inventory"), { reason: name, limit: MOST });
    return { keys: reasons[name], all: counts[name] };
  };
  const start = () => {
    if (shown.hasChildNodes()) return;
    const rows = (items) => {
      const place = h("ul", { class: "bare roomy" });
      place.add = (more) => place.append(...more.map(item));
      place.add(items);
      return place;
    };
    shown.append(loaded(wanting, ({ keys, all }) => [begun(list(slices(keys), rows, () => empty("None is left", "Somebody has seen to them meanwhile."))),
      all > keys.length ? h("p", { class: "quiet" }, `These are the newest ${number(keys.length)} of ${number(all)}.`) : null]));
  };
  const give = name === "no_allowlist" && context.role !== "auditor"
    ? h("p", {}, h("button", {
      type: "button", class: "button small",
      onclick: async (event) => {
        let keys;
        await run(event.currentTarget, async () => { ({ keys } = await wanting()); }, complain);
        if (keys?.length) await add({ keys, create: true });
        else if (keys) notify("No key is without a list any more.");
      },
    }, count > MOST ? `Give the newest ${MOST} a list` : "Give them a list"))
    : null;
  const id = `attention-${name}`;
  const element = h("details", { class: "fold", id, ontoggle: start },
    h("summary", {}, h("span", { class: "name" }, title), " ", badge(plural(count, "key"), name === "never_rotated" ? "" : "warn")),
    h("p", { class: "quiet" }, advice), give, shown);
  // The address may name it: the overview does. What is closed by hand stays so when the list is drawn anew.
  if (location.hash.slice(1) === id && !opened.has(id)) {
    opened.add(id);
    element.open = true;
    requestAnimationFrame(() => element.scrollIntoView());
  }
  return element;
}
