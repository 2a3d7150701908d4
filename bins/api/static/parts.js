// What the pages are made of.

import { ApiError } from "./api.js";
import { h, replace, uid } from "./dom.js";

/** A labelled input; with `options` (`[value, text]`) a select, with `rows` a text area. `hint` explains it; what is wrong with
 *  it is shown below it, by `showErrors`. All other properties belong to the input. */
export function field({ label, name, hint, options, rows, error = name, class: extra = "", ...properties }) {
  const id = uid("field");
  const hintId = hint ? `${id}-hint` : null;
  const given = { id, name, "aria-describedby": [hintId, `${id}-error`].filter(Boolean).join(" "), ...properties };
  let input;
  if (options) {
    const { value, ...rest } = given;
    input = h("select", rest, options.map(([key, text, off]) => h("option", { value: key, selected: String(key) === String(value ?? ""), disabled: off }, text)));
  } else if (rows) {
    input = h("textarea", { rows, spellcheck: "false", ...given });
  } else {
    input = h("input", { type: "text", ...given });
  }
  return h("div", { class: `field ${extra}`, dataset: { field: error } }, h("label", { for: id }, label), input,
    hint ? h("p", { class: "hint", id: hintId }, hint) : null, h("p", { class: "field-error", id: `${id}-error` }));
}

/** A checkbox or radio button with its words. */
export function choice({ label, hint, type = "checkbox", class: extra = "", ...properties }) {
  const id = uid("choice");
  return h("div", { class: `choice ${extra}` },
    h("input", { type, id, "aria-describedby": hint ? `${id}-hint` : null, ...properties }),
    h("label", { for: id }, label), hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null);
}

/** The API puts names between backticks. */
export function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** The place where a form says what went wrong as a whole. */
export function problem() {
  return h("p", { class: "problem", role: "alert", hidden: true });
}

/** Says at the fields what is wrong with them, in the API's words, and all else in `place`: that of fields out of sight, too. */
export function showErrors(form, place, error) {
  clearErrors(form, place);
  const placeOf = (name) => [...form.querySelectorAll(`[data-field="${CSS.escape(name)}"]`)].find((one) => !one.closest("[hidden]"));
  const rest = [];
  let first;
  for (const wrong of error.errors ?? []) {
    const name = wrong.field.split(/[.[]/)[0];
    const at = placeOf(wrong.field) ?? placeOf(name);
    const text = at?.querySelector(".field-error");
    if (!text) {
      rest.push(`${wrong.field}: ${wrong.detail}`);
      continue;
    }
    text.append(text.hasChildNodes() ? " " : "", ...coded(wrong.detail));
    const input = at.querySelector("input, select, textarea");
    input?.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if (!first || rest.length) {
    const said = rest.length ? rest.join(" ") : error.message;
    replace(place, coded(said), error.requestId && error.status >= 500 ? ` (request ${error.requestId})` : "");
    place.hidden = false;
  }
  first?.focus();
}

export function clearErrors(form, place) {
  for (const text of form.querySelectorAll(".field-error")) text.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  if (place) place.hidden = true;
}

/** Does something for a button that can't be pressed again meanwhile; after a second it shows that it goes on. */
export async function run(button, act, failed) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  const slow = setTimeout(() => button.classList.add("slow"), 1000);
  try {
    await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    failed(error);
  } finally {
    clearTimeout(slow);
    button.classList.remove("slow");
    button.removeAttribute("aria-busy");
  }
}

/** Says for a moment what has been done. */
export function notify(text) {
  const place = document.getElementById("notices");
  const notice = h("p", { class: "notice" }, text);
  place.append(notice);
  setTimeout(() => notice.remove(), 6000);
}

/** Says at once what a press that has no form came to. */
export function complain(error) {
  notify([coded(error.message), error.requestId && error.status >= 500 ? ` (request ${error.requestId})` : ""]);
}

/** A word in a pill. `tone`: good, warn, bad, or none. */
export function badge(text, tone = "") {
  return h("span", { class: `badge ${tone}` }, text);
}

const TONES = { active: "good", disabled: "warn", expired: "", revoked: "bad", open: "bad", acknowledged: "warn", resolved: "good", suspended: "warn",
  allowed: "good", denied: "bad", failed: "warn", critical: "bad", high: "bad", medium: "warn", low: "" };

/** The status of something, in its usual colour; the word says it too. */
export function status(name) {
  return badge(name, TONES[name] ?? "");
}

/** Scopes as a row of code. */
export function scopes(names, most = Infinity) {
  const shown = names.slice(0, most);
  const rest = names.length - shown.length;
  return h("span", { class: "codes" }, shown.map((name) => h("code", {}, name)), rest > 0 ? h("span", { class: "quiet" }, `+${rest} more`) : null);
}

/** A button that copies a text, and says so. */
export function copyButton(text, label = "Copy") {
  const button = h("button", {
    type: "button", class: "button small",
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it and copy by hand";
      }
      setTimeout(() => { button.textContent = label; }, 2500);
    },
  }, label);
  return button;
}

/** A part of a page under a heading. */
export function section(title, { actions, lead, id } = {}, ...children) {
  const heading = uid("section");
  return h("section", { class: "panel", "aria-labelledby": heading, id },
    h("header", { class: "panel-head" }, h("h2", { id: heading }, title), actions ? h("div", { class: "panel-actions" }, actions) : null),
    lead ? h("p", { class: "lead" }, lead) : null, children);
}

/** What stands where nothing is, with what to do about it. */
export function empty(title, text, action) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text ? h("p", { class: "quiet" }, text) : null, action ?? null);
}

/** Names and values. Values may be nodes. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A table that becomes a list of blocks where it is narrow. `columns`: `[title, cell(item), class?]`; the first is the row's head.
 *  `add(items)` puts more rows behind, or before the others with "prepend"; `change(item)` draws the row of that `id` anew and
 *  gives it back. */
export function table(caption, columns, items, { rowClass } = {}) {
  const body = h("tbody", { role: "rowgroup" });
  const element = h("table", { class: "rows", role: "table" }, h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(([title, , name]) => h("th", { scope: "col", role: "columnheader", class: name }, title)))), body);
  const row = (item) => h("tr", { role: "row", class: rowClass?.(item), dataset: { id: item.id ?? "" } }, columns.map(([title, cell, name], index) =>
    h(index ? "td" : "th", { role: index ? "cell" : "rowheader", scope: index ? null : "row", class: name, dataset: { label: title } }, h("div", {}, cell(item)))));
  element.add = (more, how = "append") => body[how](...more.map(row));
  element.change = (item) => {
    const drawn = row(item);
    body.querySelector(`[data-id="${CSS.escape(item.id)}"]`)?.replaceWith(drawn);
    return drawn;
  };
  element.add(items);
  return element;
}

/** A list of the API that grows by a press. `fetchPage(cursor)` asks for a page, `render(items)` makes an element that has `add`,
 *  `none()` what stands where nothing is; `accepted(page, cursor)` is told of each page that is shown. The element has `load()`,
 *  which begins anew; what was shown stays until the answer. */
export function list(fetchPage, render, none, accepted) {
  const place = h("div", {});
  const more = h("button", { type: "button", class: "button", hidden: true, onclick: () => next() }, "Show more");
  const said = problem();
  const element = h("div", { class: "list", "aria-busy": "true" }, place, said, h("div", { class: "more" }, more));
  let cursor = null;
  let shown = null;
  let turn = 0;
  async function take(from) {
    turn += 1;
    const mine = turn;
    element.setAttribute("aria-busy", "true");
    try {
      const page = await fetchPage(from);
      if (mine !== turn) return;
      said.hidden = true;
      accepted?.(page, from);
      if (from && shown) shown.add(page.items);
      else if (page.items.length) replace(place, shown = render(page.items));
      else replace(place, none());
      cursor = page.next_cursor;
      more.hidden = !cursor;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      if (mine === turn) {
        replace(said, coded(error.message), " ", h("button", { type: "button", class: "button small", onclick: () => take(from) }, "Try again"));
        said.hidden = false;
      }
    } finally {
      if (mine === turn) element.removeAttribute("aria-busy");
    }
  }
  const next = () => run(more, () => take(cursor), () => {});
  element.load = () => take(null);
  return element;
}

/** What is fetched for a part of a page: a still placeholder, then what `build` makes of the answer, or the reason and a button.
 *  The element has `load()`; only the answer to the last one counts. */
export function loaded(fetchIt, build) {
  const element = h("div", { class: "loading", "aria-busy": "true" });
  let turn = 0;
  element.load = async () => {
    turn += 1;
    const mine = turn;
    element.setAttribute("aria-busy", "true");
    try {
      const answer = await fetchIt();
      if (mine !== turn) return;
      replace(element, build(answer));
      element.classList.remove("loading");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (mine !== turn) return;
      element.classList.remove("loading");
      replace(element, h("p", { class: "problem", role: "alert" }, coded(error.message), " ",
        h("button", { type: "button", class: "button small", onclick: () => element.load() }, "Try again")));
    } finally {
      if (mine === turn) element.removeAttribute("aria-busy");
    }
  };
  element.load();
  return element;
}

/** A filter form whose values live in the address, so that a view can be kept and sent on. `changed(values)` is called at the
 *  beginning of a change. A choice counts at once, what is typed after a moment, and an input with `data-whole` when it is left,
 *  or by Enter: for what means nothing in parts. */
export function filters(fields, changed) {
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); apply(); } }, fields);
  const query = new URLSearchParams(location.search);
  for (const input of form.elements) {
    if (!input.name || !query.has(input.name)) continue;
    if (input.type === "radio") input.checked = input.value === query.get(input.name);
    else input.value = query.get(input.name);
  }
  const values = () => Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  let timer;
  function apply() {
    clearTimeout(timer);
    const now = values();
    const address = new URLSearchParams(location.search);
    for (const input of form.elements) if (input.name) address.delete(input.name);
    for (const [name, value] of Object.entries(now)) address.set(name, value);
    const text = address.toString();
    history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}`);
    changed(now);
  }
  const soon = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(apply, milliseconds);
  };
  form.addEventListener("input", (event) => { if (!("whole" in event.target.dataset)) soon(250); });
  form.addEventListener("change", (event) => { if ("whole" in event.target.dataset || event.target.matches("select, [type=radio]")) soon(0); });
  form.values = values;
  return form;
}

/** A bar for a share from 0 to 1. The words beside it say the same. */
export function bar(share, tone = "") {
  return h("span", { class: `bar ${tone}`, "aria-hidden": "true" }, h("span", { style: { "--share": String(Math.max(0, Math.min(1, share))) } }));
}

/** Hands a text over as a file. */
export function download(name, text, type = "text/plain") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
