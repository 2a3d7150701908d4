// The editor of an allowlist: from anywhere, or from networks with notes. See docs/spec/policy.md, §4 for what is accepted.

import { ApiError } from "./api.js";
import { h, replace, settled, uid } from "./dom.js";
import { country, number, plural } from "./format.js";
import { choice, field, problem, run, showErrors } from "./parts.js";

const MOST = 50;

/** The bits of an IPv4 address in strict notation, or `null`. */
export function ipv4(text) {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return null;
  return parts.reduce((bits, part) => bits * 256 + Number(part), 0);
}

/** Whether a text has the shape of an IPv6 address. */
export function ipv6(text) {
  const groups = text.split(":");
  return groups.length >= 3 && groups.length <= 9 && /^[0-9a-f:.]+$/i.test(text) && text.split("::").length <= 2 && !text.includes(":::")
    && groups.every((group) => group.length <= 4 || ipv4(group) !== null);
}

/** What is wrong with the shape of an entry, as `{text, better?}`; the server has the last word. */
export function wrongWith(entry) {
  const [address, length, more] = entry.split("/");
  const bits = ipv4(address);
  if (more !== undefined || (bits === null && !ipv6(address))) {
    return { text: "This isn't an address or a network such as 203.0.113.0/24 or 2001:db8::/32." };
  }
  const full = bits === null ? 128 : 32;
  if (length === undefined) return null;
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > full) return { text: `The length behind the slash is a number from 0 to ${full}.` };
  if (bits === null) return null;
  const size = 2 ** (32 - Number(length));
  if (bits % size === 0) return null;
  const base = bits - (bits % size);
  const better = `${[24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".")}/${length}`;
  return { text: "There are bits set behind the length.", better };
}

/** Entries of pasted text: `CIDR note` by lines, or networks separated by commas, semicolons or blanks. What doesn't begin with an address is
 *  the note of the entry before it, or an entry of its own, so that nothing of it is lost in silence. */
export function entriesOf(text) {
  const entries = [];
  for (const line of text.split(/\r?\n/)) {
    let last = null;
    for (const part of line.split(/[,;]/).map((one) => one.trim()).filter(Boolean)) {
      const said = part.split(/\s+/);
      const note = (words) => words.replace(/^(#|\/\/|-)+\s*/, "");
      if (/^[0-9a-f:.]+(\/\d+)?$/i.test(said[0]) && /[.:]/.test(said[0])) {
        do entries.push(last = { cidr: said.shift(), note: "" }); while (said.length && wrongWith(said[0]) === null);
        last.note = note(said.join(" "));
      } else if (last) last.note = [last.note, note(part)].filter(Boolean).join(", ");
      else if (!part.startsWith("#")) entries.push({ cidr: part, note: "" });
    }
  }
  return entries;
}

/** `cidrs` are those of the key (`null`: any address), `notes` theirs. `mayAllowAny`: whether the role may have networks of any
 *  width. `preview(cidrs)` asks what the list would have refused, `tell(answer, cidrs)` says it. Gives `element`, `value()` as the
 *  API takes it, and `outdated()`, which takes away what a preview has said. */
export function allowlistEditor({ cidrs = null, notes = {}, allowAny = false, mayAllowAny = false, preview, tell = refusals, anywhere = true } = {}) {
  const rows = h("ul", { class: "cidrs" });
  const count = h("p", { class: "hint", role: "status" });
  const group = uid("from");
  const previewed = h("div", { role: "status" });
  let turn = 0;
  const outdated = () => {
    turn += 1;
    replace(previewed);
  };

  const filled = () => [...rows.children].filter((row) => row.cidr.value.trim());
  const listed = () => !anywhere || element.querySelector(`[name="${group}"][value="list"]`).checked;
  const any = mayAllowAny ? choice({
    label: "Allow networks of any width", checked: allowAny,
    hint: "Without this, networks wider than /8 (IPv4) or /32 (IPv6) are refused. Such keys stand in the list of Security Controls.",
  }) : null;

  function tally(news = "") {
    const held = filled().length;
    count.textContent = `${held} of at most ${plural(MOST, "network")}${news}`;
    add.disabled = rows.children.length >= MOST;
  }

  function row({ cidr = "", note = "" } = {}) {
    const id = uid("cidr");
    const wrong = h("p", { class: "field-error", id });
    const network = h("input", {
      value: cidr, placeholder: "203.0.113.0/24", "aria-label": "Network", "aria-describedby": id, class: "mono",
      autocomplete: "off", spellcheck: "false",
      oninput: () => { name(); later(); }, onchange: () => check(), onpaste: paste,
    });
    const words = h("input", { value: note, placeholder: "Jenkins", "aria-label": "Note", maxlength: 100, autocomplete: "off" });
    const away = h("button", { type: "button", class: "icon", onclick: () => leave() }, "×");
    const item = h("li", {}, network, words, away, wrong);
    const name = () => { away.setAttribute("aria-label", `Remove ${network.value.trim() || "this row"}`); };
    function check() {
      const entry = network.value.trim();
      const found = entry ? wrongWith(entry) : null;
      const use = found?.better ? `Use ${found.better}` : "";
      const said = [found?.text ?? "", use].filter(Boolean).join(" ");
      // A press on the button leaves the field first: when that made the button anew, the press would go nowhere.
      if (wrong.textContent !== said) {
        replace(wrong, found?.text ?? "", use ? [" ", h("button", {
          type: "button", class: "button small",
          onclick: () => { network.value = found.better; outdated(); check(); network.focus(); },
        }, use)] : null);
      }
      if (found) network.setAttribute("aria-invalid", "true");
      else network.removeAttribute("aria-invalid");
      tally();
    }
    const later = settled(check, 400);
    function paste(event) {
      const text = event.clipboardData.getData("text");
      if (!/[\n,;\s]/.test(text.trim())) return;
      event.preventDefault();
      if (!network.value.trim()) item.remove();
      insert(entriesOf(text));
    }
    function leave() {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      outdated();
      tally();
      (next?.cidr ?? add).focus();
    }
    item.cidr = network;
    item.note = words;
    item.check = check;
    name();
    return item;
  }

  function insert(entries) {
    const known = new Set(filled().map((one) => one.cidr.value.trim()));
    const fresh = entries.filter((entry) => !known.has(entry.cidr));
    const taken = fresh.slice(0, MOST - filled().length);
    for (const one of [...rows.children]) if (!one.cidr.value.trim() && taken.length) one.remove();
    rows.append(...taken.map(row));
    outdated();
    for (const one of rows.children) one.check();
    rows.lastElementChild?.cidr.focus();
    const [twice, above] = [entries.length - fresh.length, fresh.length - taken.length];
    tally(`: ${taken.length} added${twice ? `, ${twice} already there` : ""}${above ? `, ${above} too many left out` : ""}`);
  }

  const add = h("button", { type: "button", class: "button small", onclick: () => {
    rows.append(row());
    rows.lastElementChild.cidr.focus();
    tally();
  } }, "Add a network");
  const many = field({
    label: "Networks and notes", name: "", rows: 5, placeholder: "203.0.113.0/24 Jenkins\n2001:db8:42::/48 Vercel",
    hint: "One per line: network, blank, note. Or separated by commas.",
  });
  const pasted = h("details", {}, h("summary", {}, "Paste many lines"), many, h("button", { type: "button", class: "button small", onclick: () => {
    const area = many.querySelector("textarea");
    insert(entriesOf(area.value));
    area.value = "";
    pasted.open = false;
  } }, "Add these"));
  const list = h("div", { class: "cidr-list" }, rows, h("div", { class: "panel-actions" }, add), count, pasted, any, preview ? previewer() : null);

  function previewer() {
    const said = problem();
    const button = h("button", { type: "button", class: "button small", onclick: () => run(button, async () => {
      said.hidden = true;
      outdated();
      const mine = turn;
      const { allowed_cidrs: asked } = value();
      if (!asked?.length) throw new ApiError({ detail: "Enter a network first." });
      const answer = await preview(asked);
      // The list is another one now.
      if (mine === turn) replace(previewed, tell(answer, asked));
    }, (error) => {
      showErrors(element, said, error);
    }) }, "What would this have refused in the last 7 days?");
    return h("div", { class: "preview" }, button, said, previewed);
  }

  /** Also tells each field's place in the list, so that the API's words find it. */
  function value() {
    if (!listed()) return { allowed_cidrs: null, allowlist_notes: {}, allow_any: false };
    const kept = {};
    for (const item of rows.children) delete item.dataset.field;
    const entries = filled().map((item, index) => {
      const entry = item.cidr.value.trim();
      item.dataset.field = `allowed_cidrs[${index}]`;
      if (item.note.value.trim()) kept[entry] = item.note.value.trim();
      return entry;
    });
    return { allowed_cidrs: entries, allowlist_notes: kept, allow_any: any ? any.querySelector("input").checked : allowAny };
  }

  const show = () => {
    list.hidden = !listed();
    if (!list.hidden && !rows.children.length) rows.append(row());
    tally();
  };
  const from = anywhere ? [
    choice({
      type: "radio", name: group, value: "any", checked: cidrs === null, onchange: show,
      label: "From anywhere", hint: "Whoever has the key can use it, wherever they are.",
    }),
    choice({
      type: "radio", name: group, value: "list", checked: cidrs !== null, onchange: show,
      label: "Only from these networks", hint: "Calls from other addresses are refused before anything else is looked at.",
    }),
  ] : null;
  const element = h("div", { class: "allowlist", dataset: { field: "allowed_cidrs" }, oninput: outdated }, h("p", { class: "field-error" }), from, list);
  rows.append(...(cidrs ?? []).map((cidr) => row({ cidr, note: notes[cidr] ?? "" })));
  show();
  return { element, value, outdated };
}

/** What a preview answered. */
function refusals({ calls, would_be_blocked: blocked, sources }) {
  if (!calls) return h("p", {}, "There were no calls in the last 7 days, so nothing would have been refused.");
  const refused = sources.filter((source) => source.blocked).sort((one, other) => other.blocked - one.blocked);
  return [
    h("p", { class: blocked ? "note warn" : "note" }, `${blocked ? number(blocked) : "None"} of ${plural(calls, "call")} would have been refused.`),
    refused.length ? h("table", { class: "plain" }, h("caption", { class: "hidden" }, "Networks that would have been refused"),
      h("thead", {}, h("tr", {}, ["Network", "Country", "Refused", "Calls"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, refused.slice(0, 20).map((source) => h("tr", {}, h("th", { scope: "row" }, source.network ?? "unknown address"),
        h("td", {}, country(source.country)), h("td", {}, number(source.blocked)), h("td", {}, number(source.calls)))))) : null,
  ];
}
