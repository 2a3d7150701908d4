// The audit trail: what has happened, filtered; followed, exported and vouched for.

import { ApiError, context, get, ofOrg } from "../api.js";
import { ACTIONS, actionWords, addressOf, kindWords, knownNames, meant, nameOf, openEvent, place, reasonOf, request } from "../audit-event.js";
import { follower } from "../audit-follow.js";
import { verification } from "../audit-proof.js";
import { h } from "../dom.js";
import { ZONE, when } from "../format.js";
import { escaped, inert } from "../inert.js";
import { clearErrors, empty, field, filters, list, problem, section, showErrors, status, table } from "../parts.js";

const PAGE = 50;
/** A look of the follower: at most so many at once, and so many rows in the end. */
const LOOK = 200;
const MOST = 500;
/** An event may be written a little after a later one. */
const LATE = 10_000;
const RANGES = [["15 minutes", 15], ["1 hour", 60], ["24 hours", 1440], ["7 days", 10_080], ["30 days", 43_200]];
const FORMATS = [["jsonl", "JSONL"], ["ocsf", "OCSF"], ["cef", "CEF"], ["csv", "CSV"]];

/** A time as `datetime-local` holds it, in the reader's zone. */
function local(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** A time of the reader's zone that the address and the API hold in UTC. */
function moment(name, label, hint) {
  const held = h("input", { type: "hidden", name });
  const element = field({
    label, hint, name: "", error: name, type: "datetime-local", step: 1,
    oninput: (event) => { held.value = event.target.value ? new Date(event.target.value).toISOString() : ""; },
  });
  const shown = element.querySelector("input");
  element.append(held);
  element.set = (value) => {
    held.value = value;
    shown.value = value ? local(value) : "";
  };
  element.show = () => element.set(held.value);
  return element;
}

/** What is typed counts when it is whole: every look is an event too. */
function typed(properties) {
  return field({ autocomplete: "off", spellcheck: "false", dataset: { whole: "" }, ...properties });
}

const ownKeys = (known) => known.keys.filter((key) => key.created_by.id === context.user.id);

function actorField(known) {
  if (context.role !== "developer") {
    return typed({ label: "Actor", name: "actor", class: "broad", maxlength: 100, list: "known-actors", placeholder: "An ID" });
  }
  const own = ownKeys(known);
  const asked = new URLSearchParams(location.search).get("actor");
  const options = [["", "Choose a key"], ...own.map((key) => [key.id, `${escaped(key.name)} (${key.hint})`])];
  if (asked && !own.some((key) => key.id === asked)) options.push([asked, asked]);
  const choose = field({ label: "Your key", name: "actor", class: "broad", options });
  return known.more ? [choose, otherKey()] : choose;
}

/** For a key that isn't among the newest. */
function otherKey() {
  return typed({
    label: "Or another key of yours", name: "", maxlength: 100, placeholder: "Its ID",
    onchange: (event) => {
      event.stopPropagation();
      const { form, value } = event.target;
      if (value.trim()) form.narrow("actor", value.trim());
    },
  });
}

function makeFilters(known, changed) {
  const from = moment("from", `From (${ZONE})`, null);
  const to = moment("to", `Until (${ZONE})`, null);
  const quick = (minutes) => {
    from.set(new Date(Date.now() - minutes * 60_000).toISOString());
    to.set("");
    form.requestSubmit();
  };
  const form = filters([
    from, to, actorField(known),
    typed({ label: "Action", name: "action", list: "known-actions", maxlength: 64, placeholder: "key." }),
    field({ label: "Outcome", name: "outcome", options: [["", "Any"], ["allowed", "Allowed"], ["denied", "Denied"], ["failed", "Failed"]] }),
    typed({ label: "IP or network", name: "ip", maxlength: 64, placeholder: "203.0.113.0/24" }),
    typed({ label: "Country", name: "country", maxlength: 2, placeholder: "Two letters" }),
    h("datalist", { id: "known-actions" }, Object.entries(ACTIONS).map(([value, label]) => h("option", { value, label }))),
    h("datalist", { id: "known-actors" }),
    h("div", { class: "filter-actions" },
      h("div", { class: "codes", role: "group", "aria-label": "Quick ranges" },
        RANGES.map(([label, minutes]) => h("button", { type: "button", class: "button small", onclick: () => quick(minutes) }, label))),
      h("div", { class: "codes" }, h("button", { class: "button small" }, "Apply"),
        h("button", { type: "button", class: "button small", onclick: () => form.clear() }, "Clear filters"))),
  ], changed);
  form.clear = () => {
    for (const input of form.elements) if (input.name) input.value = "";
    form.refresh();
    form.requestSubmit();
  };
  /** Shows in the reader's zone what the address says. */
  form.refresh = () => { from.show(); to.show(); };
  /** Narrows by one more value. */
  form.narrow = (name, value) => {
    const input = form.elements[name];
    if (input.tagName === "SELECT" && ![...input.options].some((option) => option.value === value)) input.append(h("option", { value }, value));
    input.value = value;
    form.requestSubmit();
  };
  form.classList.add("compact");
  form.refresh();
  return form;
}

function address(name, value) {
  const url = new URL(location.href);
  url.searchParams.set(name, value);
  return url.href;
}

/** A link to the list narrowed by this, which a press does at once. */
function narrowing(form, name, value, label, ...content) {
  return h("a", {
    href: address(name, value), "aria-label": label,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      form.narrow(name, value);
    },
  }, content);
}

function rows(items, form, known) {
  const at = new Map();
  const remember = (events) => events.forEach((event) => at.set(event.id, event));
  remember(items);
  const show = (event) => openEvent(event.id, { event, names: known.names });
  const element = table("Events, newest first", [
    ["Time", (event) => h("a", {
      class: "row-link", href: address("event", event.id), dataset: { event: event.id },
      onclick: (press) => {
        if (press.ctrlKey || press.metaKey || press.shiftKey) return;
        press.preventDefault();
        show(event);
      },
    }, when(event.occurred_at, "", true)), "at"],
    ["Action", (event) => [actionWords(event.action), h("br"), h("code", {}, inert(event.action))], "what"],
    ["Actor", (event) => {
      const name = nameOf(event.actor, known.names);
      const kind = h("span", { class: "quiet" }, kindWords(event.actor));
      if (!name) return [kind, meant(event, known.names)];
      return [narrowing(form, "actor", event.actor.id, `Only events of ${escaped(name)}`, inert(name, name === event.actor.id ? "mono" : "")), h("br"), kind];
    }, "actor"],
    ["Outcome", (event) => [status(event.outcome), event.reason ? [h("br"), reasonOf(event)] : null]],
    ["Request", (event) => request(event)],
    ["From", (event) => place(event, narrowing(form, "ip", event.ip, `Only events from ${event.ip}`, addressOf(event))), "from"],
  ], items);
  element.classList.add("events");
  // A press anywhere in a row opens it; the link in its head does the same by keyboard.
  element.addEventListener("click", (press) => {
    if (press.target.closest("a, button") || getSelection().toString()) return;
    press.target.closest("tbody tr")?.querySelector(".row-link").click();
  });
  return element;
}

/** A developer has to name an own key before anything can be asked. */
function mustChoose(form) {
  return context.role === "developer" && !form.values().actor;
}

function exports(form, said) {
  const links = FORMATS.map(([format, name]) => h("a", {
    class: "button small", download: true, "aria-label": `Export ${name}`, dataset: { format }, onclick: fetchIt,
  }, name));
  /** A look first: a download could neither ask to sign in again, nor say which filter is wrong. */
  async function fetchIt(event) {
    event.preventDefault();
    const { href } = event.currentTarget;
    clearErrors(form, said);
    try {
      await get(ofOrg("/audit/events"), { ...form.values(), limit: 1 });
      h("a", { href, download: true }).click();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showErrors(form, said, error);
    }
  }
  const element = h("div", { class: "exports" }, h("span", { class: "quiet" }, "Export"), links);
  element.update = () => {
    element.hidden = mustChoose(form);
    for (const link of links) {
      link.href = `${context.base}${ofOrg("/audit/export")}?${new URLSearchParams({ format: link.dataset.format, ...form.values() })}`;
    }
  };
  return element;
}

/** The list with its follower. */
function explorer(form, known, asked, said) {
  let shown = null;
  let ids = [];
  let newest = null;
  let oldest = null;
  let refused = false;

  function begin() {
    ids = [];
    newest = null;
    oldest = null;
    shown = null;
  }

  function note(events) {
    for (const { occurred_at: at } of events) {
      if (!newest || at > newest) newest = at;
      if (!oldest || at < oldest) oldest = at;
    }
  }

  async function fetchPage(cursor) {
    clearErrors(form, said);
    refused = false;
    if (mustChoose(form)) return { items: [], next_cursor: null };
    try {
      const [page] = await Promise.all([get(ofOrg("/audit/events"), { ...form.values(), limit: PAGE, cursor }), asked]);
      return page;
    } catch (error) {
      if (cursor || !error.errors?.length) throw error;
      // Told at the filter: once is enough, and what was shown before isn't what is asked for now.
      showErrors(form, said, error);
      refused = true;
      return { items: [], next_cursor: null };
    }
  }

  /** Only of a page that is shown: what was asked for before may come later. */
  function accepted(page, cursor) {
    if (!cursor) begin();
    ids.push(...page.items.map((event) => event.id));
    note(page.items);
  }

  function none() {
    if (mustChoose(form)) {
      const text = ownKeys(known).length || known.more ? "Choose one of your keys above to see its events." : "You have made no key yet.";
      return empty("As a developer you see the events of your own keys", `${text} An owner, admin or auditor sees everything.`);
    }
    if (refused) return empty("Nothing was looked for", "Correct the filter that is marked above, or clear the filters.");
    const filtered = Object.keys(form.values()).length > 0;
    return empty(filtered ? "No event matches" : "Nothing has happened yet", filtered ? "Widen the time or take a filter away." : null,
      filtered ? h("button", { type: "button", class: "button", onclick: () => form.clear() }, "Clear filters") : null);
  }

  const events = list(fetchPage, (items) => (shown = rows(items, form, known)), none, accepted);

  /** The reader's own looks are events too; they would fill the list by themselves. */
  function isOwnLook(event) {
    return event.action === "audit.read" && event.actor.id === context.user.id && !form.values().action?.startsWith("audit.");
  }

  function trim() {
    const body = shown.querySelector("tbody");
    while (body.rows.length > MOST) {
      body.rows[body.rows.length - 1].remove();
      events.trimmed = true;
    }
    ids = ids.slice(0, MOST * 2);
  }

  async function look() {
    if (events.hasAttribute("aria-busy")) return 0;
    const values = form.values();
    const since = newest && new Date(new Date(newest) - LATE).toISOString();
    const from = since && (!values.from || new Date(values.from) < new Date(since)) ? since : values.from;
    const mine = newest;
    const page = await get(ofOrg("/audit/events"), { ...values, from, limit: LOOK });
    // Something else was asked for meanwhile.
    if (mine !== newest || events.hasAttribute("aria-busy")) return 0;
    const held = new Set(ids);
    if (page.next_cursor && !page.items.some((event) => held.has(event.id))) {
      await events.load();
      return null;
    }
    // What lies behind the end of the list comes by "Show more".
    const fresh = page.items.filter((event) => !held.has(event.id) && (!oldest || event.occurred_at >= oldest));
    const told = fresh.filter((event) => !isOwnLook(event));
    if (told.length && !shown) {
      await events.load();
      return told.length;
    }
    ids.unshift(...fresh.map((event) => event.id));
    note(fresh);
    if (!told.length) return 0;
    for (const row of shown.querySelectorAll(".fresh")) row.classList.remove("fresh");
    shown.add(told, "prepend");
    for (const row of [...shown.querySelector("tbody").rows].slice(0, told.length)) row.classList.add("fresh");
    trim();
    return told.length;
  }

  const live = follower(look, () => {
    events.classList.remove("following");
    // What was cut off at the end is asked for again, so that "Show more" goes on where the list ends.
    if (events.trimmed) events.load();
    events.trimmed = false;
  });
  live.addEventListener("change", (event) => events.classList.toggle("following", event.target.checked));
  events.follow = live;
  events.allowFollowing = () => live.allow(
    mustChoose(form) ? "Choose a key to follow it." : form.values().to ? "Following needs an open end: clear “Until” first." : null);
  return events;
}

export async function start(main) {
  const known = { names: new Map([[context.user.id, context.user.email]]), keys: [] };
  const asked = knownNames().then((answer) => Object.assign(known, answer));
  // A developer's key has to be chosen before anything can be asked.
  if (context.role === "developer") await asked;
  const said = problem();
  const form = makeFilters(known, () => {
    exported.update();
    events.allowFollowing();
    events.load();
  });
  const exported = exports(form, said);
  const events = explorer(form, known, asked, said);
  exported.update();
  events.allowFollowing();
  main.replaceChildren(
    h("p", { class: "lead" }, "Every judged call, sign-in and change, with who, from where and what came of it. Looking here is an event too."),
    ...(context.role === "developer" ? [] : [verification()]),
    section("Events", { actions: exported }, form, said,
      h("div", { class: "under-filters" }, events.follow,
        h("p", { class: "hint" }, "An export holds all that the filters let through, oldest first. While you follow, your own looking isn't added.")),
      events));
  const opened = new URLSearchParams(location.search).get("event");
  const names = asked.then(() => known.names);
  if (opened) openEvent(opened, { names });
  await Promise.all([asked, events.load()]);
  form.querySelector("#known-actors").append(...[...known.names].map(([value, label]) => h("option", { value, label: escaped(label) })));
}
