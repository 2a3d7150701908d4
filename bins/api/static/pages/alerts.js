// Alerts: what is open first, then what somebody looks after, then what is over.

import { mayChange, nobodyIsTold, openAlert, subject } from "../alert-detail.js";
import { get, ofOrg, pageUrl } from "../api.js";
import { h } from "../dom.js";
import { number, when, words } from "../format.js";
import { inert } from "../inert.js";
import { empty, field, filters, list, section, status, table } from "../parts.js";

const GROUPS = [
  ["open", "Open", "Nothing is open", "All is quiet. What the rules find shows up here."],
  ["acknowledged", "Acknowledged", "Nobody is looking into anything", null],
  ["resolved", "Resolved", "Nothing was resolved yet", null],
];
const SEVERITIES = ["critical", "high", "medium", "low"];
const PAGE = 25;

function makeFilters(changed) {
  const asked = new URLSearchParams(location.search).get("rule");
  const rule = field({ label: "Rule", name: "rule", class: "broad", options: [["", "Any"], ...(asked ? [[asked, asked]] : [])] });
  const form = filters([
    field({ label: "Status", name: "status", options: [["", "Any, open first"], ...GROUPS.map(([name, title]) => [name, title])] }),
    field({ label: "Severity", name: "severity", options: [["", "Any"], ...SEVERITIES.map((name) => [name, words(name)])] }),
    rule,
    field({
      label: "Subject", name: "subject", class: "broad", maxlength: 200, autocomplete: "off", spellcheck: "false", dataset: { whole: "" },
      placeholder: "ID of a key or app, or a network",
    }),
  ], changed);
  form.classList.add("compact");
  /** The rules, as the API names them. */
  form.offer = (rules) => {
    const select = rule.querySelector("select");
    const { value } = select;
    select.replaceChildren(h("option", { value: "" }, "Any"), ...rules.map((one) => h("option", { value: one.rule }, one.title)));
    select.value = value;
  };
  return form;
}

function rows(items, changed) {
  const show = (alert) => openAlert(alert.id, changed);
  const element = table("Alerts", [
    ["Alert", (alert) => [h("a", {
      class: "row-link", href: pageUrl("/alerts", { alert: alert.id }), dataset: { alert: alert.id },
      onclick: (press) => {
        if (press.ctrlKey || press.metaKey || press.shiftKey) return;
        press.preventDefault();
        show(alert);
      },
    }, alert.title), h("br"), h("code", {}, inert(alert.rule))], "what"],
    ["Severity, status", (alert) => [status(alert.severity), " ", status(alert.status)], "state"],
    ["Subject", (alert) => subject(alert.subject), "subject"],
    ["Opened", (alert) => when(alert.opened_at), "seen"],
    ["Last seen", (alert) => when(alert.last_seen_at), "seen"],
    ["Count", (alert) => number(alert.count), "count end"],
  ], items);
  element.classList.add("events", "alerts");
  element.addEventListener("click", (press) => {
    if (press.target.closest("a, button") || getSelection().toString()) return;
    press.target.closest("tbody tr")?.querySelector(".row-link").click();
  });
  return element;
}

export async function start(main) {
  const form = makeFilters(() => show());
  const groups = GROUPS.map(([name, title, nothing, text]) => {
    const none = () => {
      const { status: only, ...others } = form.values();
      return Object.keys(others).length ? empty(`No ${name} alert matches`, null) : empty(nothing, text);
    };
    const alerts = list((cursor) => get(ofOrg("/alerts"), { ...form.values(), status: name, limit: PAGE, cursor }),
      (items) => rows(items, changed), none);
    const element = section(title, { id: name }, alerts);
    element.hidden = true;
    return { name, alerts, element };
  });
  const visible = () => groups.filter(({ name }) => [undefined, name].includes(form.values().status));
  const reload = () => Promise.all(visible().map(({ alerts }) => alerts.load()));
  /** The row that the focus came from has gone to another list. */
  async function changed(id) {
    await reload();
    if (document.activeElement === document.body) main.querySelector(`[data-alert="${CSS.escape(id)}"]`)?.focus();
  }
  /** A list that comes for the first time waits for those above it, so that nothing that is read moves. */
  async function show() {
    const wanted = visible();
    for (const group of groups) group.element.hidden ||= !wanted.includes(group);
    wanted[0].element.hidden = false;
    await reload();
    for (const group of visible()) group.element.hidden = false;
  }
  // Below the lists, since it comes after them: nothing has to make room.
  const told = h("div", {});
  main.replaceChildren(
    h("p", { class: "lead" }, "One alert for each rule and subject while it isn't resolved. It refuses no call, unless its rule was given an action.",
      mayChange ? "" : " Owners and admins take and close them."),
    form, h("div", { class: "alert-lists" }, groups.map(({ element }) => element)), told);
  const opened = new URLSearchParams(location.search).get("alert");
  if (opened) openAlert(opened, changed);
  const [rules, silent] = await Promise.all([get(ofOrg("/alert-rules")).catch(() => ({ items: [] })), nobodyIsTold(), show()]);
  form.offer(rules.items);
  if (silent) {
    told.append(h("p", { class: "note" }, "Nobody is told of alerts yet: no webhook or Slack endpoint gets ", h("code", {}, "alert.opened"),
      mayChange ? ". Add one in " : ". An owner or admin adds one in ", h("a", { href: `${pageUrl("/security")}#webhooks` }, "Security Controls"), "."));
  }
}
