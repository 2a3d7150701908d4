// What the sections of 'Security Controls' have in common.

import { ApiError, get, ofOrg, pageUrl, patch } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { complain, notify, run } from "./parts.js";

export const ENVIRONMENTS = ["production", "staging", "analytics"];

/** A part of what is fetched: until it is there `room` is kept for it, so that little moves when it comes. `load()` renews it. */
export function kept(build, room = "8rem") {
  const place = h("div", { class: "kept", style: { "--room": room } }, build());
  place.load = () => place.firstElementChild?.load?.();
  return place;
}

/** A list of the API below a kept part: it asks for its first page at once. */
export function begun(element) {
  element.load();
  return element;
}

/** Renews a part after a change. The button that had the focus is gone then: it goes to the one of the same name, or else to the
 *  heading of the section. */
export async function renew(part) {
  const section = part.closest("section");
  const label = document.activeElement?.getAttribute("aria-label");
  await part.load();
  if (document.activeElement !== document.body) return;
  const same = [...section.querySelectorAll("button[aria-label]")].find((button) => button.getAttribute("aria-label") === label);
  const heading = section.querySelector("h2");
  heading.tabIndex = -1;
  (same ?? heading).focus({ preventScroll: !same });
}

/** Pages of what is here already. */
export function slices(items, size = 25) {
  return async (cursor) => {
    const from = cursor ?? 0;
    const next = from + size;
    return { items: items.slice(from, next), next_cursor: next < items.length ? next : null };
  };
}

export function keyLink(key) {
  return h("a", { class: "name", href: pageUrl(`/keys/${key.id}`) }, key.name);
}

/** Networks with what is noted about them. */
export function networks(list, notes = {}, most = 4) {
  const item = (cidr) => h("li", {}, h("code", {}, cidr), notes[cidr] ? h("span", { class: "quiet" }, ` ${notes[cidr]}`) : null);
  const shown = list.length > most + 1 ? most : list.length;
  return [
    h("ul", { class: "bare" }, list.slice(0, shown).map(item)),
    shown < list.length ? h("details", {}, h("summary", {}, `${list.length - shown} more`),
      h("ul", { class: "bare" }, list.slice(shown).map(item))) : null,
  ];
}

/** Says of each wrong entry which one it is, since all of them stand in one field. */
export function atEntries(error, name, entries) {
  if (!(error instanceof ApiError)) return error;
  error.errors = error.errors.map((wrong) => {
    const at = /^(\w+)\[(\d+)\]$/.exec(wrong.field);
    if (at?.[1] !== name) return wrong;
    const entry = entries[Number(at[2])];
    return { ...wrong, field: name, detail: wrong.detail.includes(entry) ? `${wrong.detail}.` : `${entry}: ${wrong.detail}.` };
  });
  return error;
}

let known = null;

/** The organization's settings, asked for once by all sections. */
export function settings() {
  known ??= get(ofOrg("/settings")).catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

/** Opens a dialog for settings as they are now, asked for anew: it begins with what somebody else has changed meanwhile. The
 *  promise is what `ask(now)` comes to, or `undefined`. */
export async function askOver(button, ask) {
  let now;
  await run(button, async () => {
    known = null;
    now = await settings();
  }, complain);
  return now && ask(now);
}

/** What of an object of changes differs from `now`, so that nobody's change of something else is undone. */
export function differing(change, now) {
  return Object.fromEntries(Object.entries(change).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(now[name] ?? null)));
}

/** Changes settings. When keys would end at once by it, they are named and somebody has to say so once more. */
export async function saveSettings(change) {
  if (!Object.keys(change).length) {
    notify("Nothing was changed.");
    return settings();
  }
  let saved;
  try {
    saved = await patch(ofOrg("/settings"), change);
  } catch (error) {
    if (error.code !== "confirmation_required") throw error;
    saved = await confirmEnds(change, error.problem.keys ?? []);
    if (!saved) throw new ApiError({ status: 409, detail: "Nothing was changed." });
  }
  known = Promise.resolve(saved);
  const ended = saved.ended_keys?.length ?? 0;
  notify(ended ? `Saved. ${plural(ended, "key")} ended.` : "Saved.");
  return saved;
}

function confirmEnds(change, keys) {
  const count = plural(keys.length, "key");
  return confirm(`End ${count} now?`, {
    text: [
      `With this change ${count} ${keys.length === 1 ? "is" : "are"} older than a key may be: `
        + `calls with ${keys.length === 1 ? "it" : "them"} are refused at once.`,
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Keys that would end" },
        h("ul", { class: "bare roomy" }, keys.map((key) => h("li", {}, keyLink(key))))),
      "Rotate first what is still needed.",
    ],
    label: `Save and end ${count}`, danger: true, act: () => patch(ofOrg("/settings"), { ...change, confirm: true }),
  });
}
