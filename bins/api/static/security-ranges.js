// 'Add a range': to the lists of one key, several keys or all keys of an environment, after a look at what that refuses.

import { entriesOf } from "./allowlist-editor.js";
import { get, ofOrg, post } from "./api.js";
import { open } from "./dialog.js";
import { h, replace, settled } from "./dom.js";
import { country, number, plural, words } from "./format.js";
import { badge, choice, clearErrors, coded, empty, field, list, notify, problem, run, showErrors, table } from "./parts.js";
import { ENVIRONMENTS, atEntries, begun, keyLink, networks, slices } from "./security-parts.js";

const MOST_KEYS = 200;

/** Opens the dialog. `keys` are chosen from the beginning, `create` ticks that keys without a list get one. The promise is
 *  whether anything was changed. */
export async function addRanges({ keys = [], create = false } = {}) {
  let changed = false;
  await open("Add a range", (close, dialog, heading) => {
    const chosen = new Map(keys.map((key) => [key.id, key]));
    let previewed = null;
    let turn = 0;
    const said = problem();
    const shown = h("div", { class: "stack" });
    const told = h("p", { class: "hidden", role: "status" });
    const target = whichKeys(chosen, () => stale());
    const lists = choice({
      name: "create_lists", checked: create, label: "Create lists for keys that have none",
      hint: "Such a key may be used from anywhere today. With its new list it may be used from these ranges only: "
        + "all other callers are refused at once. Without this it stays as it is.",
    });
    const preview = h("button", { type: "submit", class: "button" }, "Preview");
    const add = h("button", { type: "button", class: "button strong", disabled: true, onclick: () => run(add, send, failed) }, "Add");
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); run(preview, look, failed); }, oninput: edited },
      field({
        label: "Ranges", name: "add", rows: 5, required: true, autofocus: true,
        hint: "One a line, with a note behind it if you like: 203.0.113.0/24 build servers. A provider's whole list can be pasted; at most 50.",
      }), target.element, lists, said, told, shown,
      h("div", { class: "actions" }, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), preview, add));
    const failed = (error) => {
      stale();
      showErrors(form, said, error);
    };

    function stale() {
      turn += 1;
      previewed = null;
      add.disabled = true;
      replace(shown);
      replace(told);
    }

    function edited(event) {
      if (event.target.name === "create_lists") draw();
      else if (event.target.name) stale();
    }

    const body = (ranges, keys) => ({ add: ranges.map((range) => range.cidr), ...keys });

    async function look() {
      clearErrors(form, said);
      const ranges = entriesOf(form.elements.add.value);
      const keys = target.value();
      const mine = turn;
      const answer = await asking(ranges, chosen, () => post(ofOrg("/allowlist/preview"), { ...body(ranges, keys), days: 7 }));
      // What is entered now is something else.
      if (mine !== turn) return;
      previewed = { answer, ranges, keys };
      draw();
      add.disabled = false;
      shown.scrollIntoView({ block: "nearest" });
    }

    function draw() {
      if (!previewed) return;
      replace(shown, previewOf(previewed.answer, form.elements.create_lists.checked));
      told.textContent = shown.querySelector(".note")?.textContent ?? "";
    }

    async function send() {
      clearErrors(form, said);
      const { ranges, keys, answer } = previewed;
      const known = new Map(answer.keys.map((key) => [key.id, key]));
      const notes = Object.fromEntries(ranges.filter((range) => range.note).map((range) => [range.cidr, range.note]));
      const request = { ...body(ranges, keys), notes, create_lists: form.elements.create_lists.checked };
      const result = await asking(ranges, known, () => post(ofOrg("/allowlist/add"), request));
      heading.textContent = "Ranges added";
      form.replaceWith(resultOf(result, known, close));
      heading.focus();
      changed = result.changed.length > 0;
      notify(`${plural(result.changed.length, "key")} changed.`);
    }

    return form;
  }, { wide: true });
  return changed;
}

/** What is wrong with a note is said where the ranges stand, too, and of a key which one it is: `known` are keys by their ids. */
async function asking(ranges, known, ask) {
  try {
    return await ask();
  } catch (error) {
    atEntries(error, "add", ranges.map((range) => range.cidr));
    for (const wrong of error.errors ?? []) {
      if (wrong.field.startsWith("notes")) wrong.field = "add";
      const key = known.get(/^keys\.(.+)$/.exec(wrong.field)?.[1]);
      if (key) wrong.detail = `${key.name}: ${wrong.detail}.`;
    }
    throw error;
  }
}

/** The choice between some keys and an environment. */
function whichKeys(chosen, changed) {
  const name = "target";
  const some = choice({ type: "radio", name, value: "keys", checked: true, label: "Chosen keys", onchange: turn });
  const whole = choice({ type: "radio", name, value: "environment", label: "All keys of an environment", onchange: turn });
  const environment = field({ label: "Environment", name: "environment", options: ENVIRONMENTS.map((key) => [key, words(key)]) });
  const picker = pick(chosen, changed);
  environment.hidden = true;
  const radio = whole.querySelector("input");
  function turn() {
    environment.hidden = !radio.checked;
    picker.hidden = radio.checked;
  }
  const element = h("fieldset", { dataset: { field: "keys" } }, h("legend", {}, "To which keys"), some, whole, environment, picker,
    h("p", { class: "field-error" }));
  return {
    element,
    value: () => (radio.checked ? { environment: environment.querySelector("select").value } : { keys: [...chosen.keys()] }),
  };
}

/** Keys with checkboxes. What is chosen stays chosen while others are looked for. */
function pick(chosen, changed) {
  const said = h("p", { class: "chosen", role: "status" });
  const tell = () => {
    const names = [...chosen.values()].slice(0, 5).map((key) => key.name).join(", ");
    replace(said, chosen.size ? `${plural(chosen.size, "key")} chosen: ${names}${chosen.size > 5 ? ", …" : ""} ` : "No key chosen ",
      chosen.size ? h("button", { type: "button", class: "button small", onclick: none }, "Choose none") : null);
  };
  const chose = () => {
    tell();
    changed();
  };
  const boxes = (items) => {
    const place = h("div", { class: "picks", role: "group", "aria-label": "Keys" });
    place.add = (more) => place.append(...more.map((key) => choice({
      label: [key.name, " ", h("span", { class: "quiet" },
        `${words(key.environment)} · ${key.allowed_cidrs ? plural(key.allowed_cidrs.length, "range") : "no list"}`)],
      checked: chosen.has(key.id), dataset: { key: key.id },
      onchange: (event) => {
        if (event.target.checked) chosen.set(key.id, key);
        else chosen.delete(key.id);
        chose();
      },
    })));
    place.add(items);
    return place;
  };
  function none() {
    chosen.clear();
    for (const box of found.querySelectorAll("input:checked")) box.checked = false;
    chose();
    search.querySelector("input").focus();
  }
  const again = () => found.load();
  const search = field({ label: "Search keys", type: "search", oninput: settled(again) });
  const within = field({ label: "In environment", options: [["", "All"], ...ENVIRONMENTS.map((key) => [key, words(key)])], onchange: again });
  const found = list((cursor) => get(ofOrg("/keys"), {
    q: search.querySelector("input").value, environment: within.querySelector("select").value, status: "active", limit: 20, cursor,
  }), boxes, () => empty("No key found", "Look for another part of the name."));
  const element = h("div", { class: "picker field" }, h("div", { class: "pair" }, search, within), found,
    said, h("p", { class: "hint" }, `At most ${MOST_KEYS}; more of them by their environment.`));
  tell();
  found.load();
  return element;
}

/** A key without a list is counted by the preview as if it got one, so it only counts when it does. */
function previewOf(answer, create) {
  const counts = (key) => key.had_list || create;
  const keys = answer.keys.map((key) => ({ ...key, refused: counts(key) ? key.would_be_blocked : 0 })).sort((a, b) => b.refused - a.refused);
  const refused = keys.reduce((sum, key) => sum + key.refused, 0);
  const left = keys.filter((key) => !counts(key)).length;
  const summary = h("p", { class: refused ? "note warn" : "note" },
    h("b", {}, `In the last 7 days these lists would have refused ${number(refused)} of ${plural(answer.calls, "call")}. `),
    left ? `${plural(left, "key")} without a list ${left === 1 ? "stays" : "stay"} as ${left === 1 ? "it is" : "they are"}.` : "");
  if (!keys.length) return empty("No living key there", "Choose other keys, or another environment.");
  return [h("h3", {}, "Preview"), summary, begun(list(slices(keys), (items) => table("What the ranges would do", [
    ["Key", keyLink],
    ["Environment", (key) => words(key.environment)],
    ["List", (key) => listOf(key, create)],
    ["Calls", (key) => number(key.calls), "end"],
    ["Would refuse", (key) => (key.refused ? badge(number(key.refused), "warn") : "0"), "end"],
    ["From where", (key) => sourcesOf(key, counts(key))],
  ], items), () => null))];
}

function listOf(key, create) {
  if (!key.had_list && !create) return h("span", { class: "quiet" }, "none, and gets none");
  return [key.had_list ? null : badge("New list", "warn"), key.allowed_cidrs ? networks(key.allowed_cidrs, {}, 2) : "any address"];
}

function sourcesOf(key, counts) {
  if (!key.sources.length) return h("span", { class: "quiet" }, "no calls");
  const line = (source) => h("li", {}, h("code", {}, source.network ?? "unknown address"), source.country ? ` ${country(source.country)}` : "",
    `: ${plural(source.calls, "call")}`, counts && source.blocked ? h("b", {}, `, ${number(source.blocked)} refused`) : "");
  return h("details", {}, h("summary", {}, plural(key.sources.length, "network")), h("ul", { class: "bare" }, key.sources.map(line)));
}

const UNCHANGED = {
  no_list: "It has no list and may be used from anywhere; lists were not to be created.",
  already_listed: "Its list has these ranges already.",
  allows_any: "Its list may hold networks of any width; it is changed on the key's own page.",
};

function resultOf({ changed, unchanged }, known, close) {
  const named = (entry) => keyLink({ name: entry.id, ...known.get(entry.id), ...entry });
  return h("div", { class: "stack" },
    h("p", { class: "note" },
      `${plural(changed.length, "key")} changed, ${number(unchanged.length)} left as ${unchanged.length === 1 ? "it was" : "they were"}.`),
    changed.length ? [h("h3", {}, "Changed"), begun(list(slices(changed), (items) => table("Changed keys", [
      ["Key", named],
      ["Allowed from", (key) => networks(key.allowed_cidrs ?? [], key.allowlist_notes, 3)],
      ["Look again", (key) => ((key.warnings ?? []).length ? h("ul", { class: "bare" }, key.warnings.map((warning) => h("li", {}, coded(warning.detail)))) : h("span", { class: "quiet" }, "nothing"))],
    ], items), () => null))] : null,
    unchanged.length ? [h("h3", {}, "Left as they were"), begun(list(slices(unchanged), (items) => table("Unchanged keys", [
      ["Key", named],
      ["Why", (entry) => UNCHANGED[entry.reason] ?? words(entry.reason)],
    ], items), () => null))] : null,
    h("div", { class: "actions" }, h("button", { type: "button", class: "button strong", onclick: () => close(true) }, "Done")));
}
