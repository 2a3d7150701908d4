// The Developer Portal: the organization's apps, and one of them by `?app=`.

import { get, ofOrg, pageUrl, patch, post, remove } from "../api.js";
import { failuresOf } from "../app-failures.js";
import { appForm, catalog } from "../app-form.js";
import { secretsOf, showCredentials } from "../app-secrets.js";
import { endpointsOf } from "../app-try.js";
import { confirm, open } from "../dialog.js";
import { h, replace } from "../dom.js";
import { plural, when } from "../format.js";
import { badge, complain, copyButton, empty, facts, field, filters, list, loaded, notify, run, scopes, section, status, table } from "../parts.js";

const KINDS = { confidential: "Confidential", public: "Public" };

export function start(main, { role }) {
  const id = new URLSearchParams(location.search).get("app");
  if (id) showApp(main, id, role);
  else showApps(main, role);
}

// The list

function showApps(main, role) {
  const registerButton = () =>
    h("button", { type: "button", class: "button strong", onclick: (event) => register(event.currentTarget) }, "Register an app");
  const mayRegister = role !== "auditor";
  if (mayRegister) document.getElementById("actions").append(registerButton());
  const form = filters([
    field({ label: "Search", name: "q", type: "search", class: "broad", placeholder: "Name or client id", autocomplete: "off" }),
    field({ label: "Kind", name: "kind", options: [["", "All"], ...Object.entries(KINDS)] }),
    field({ label: "Status", name: "status", options: [["", "All"], ["active", "Active"], ["suspended", "Suspended"]] }),
  ], () => apps.load());
  const none = () => (Object.keys(form.values()).length
    ? empty("No app fits", "Change or clear the filters.")
    : empty("No app yet", "An app is a program that asks people for access to their data here, by OAuth 2: a dashboard of a partner, a bot, a "
      + "command-line tool. Each person decides what it may do, and can end that at any time. For a program of your own that acts for the "
      + "organization alone, an API key is enough.", mayRegister ? registerButton() : null));
  const apps = list((cursor) => get(ofOrg("/apps"), { limit: 50, cursor, ...form.values() }), tableOfApps, none);
  apps.load();
  replace(main, h("p", { class: "lead" }, "Apps that people let act for them, by OAuth 2."), form, h("div", { class: "panel" }, apps));
}

function tableOfApps(items) {
  return table("Apps", [
    ["App", (app) => [
      h("a", { href: pageUrl("/apps", { app: app.id }), class: "name" }, h("bdi", {}, app.name)),
      h("div", { class: "copied" }, h("code", { class: "whole" }, app.client_id), copyButton(app.client_id, "Copy id")),
    ]],
    ["Kind", (app) => KINDS[app.kind], "whole"], ["Status", (app) => status(app.status)], ["Scopes", (app) => scopes(app.scopes, 2), "whole"],
    ["Created", (app) => when(app.created_at)], ["Last use", (app) => when(app.last_used_at, "not used yet")],
  ], items);
}

/** The form's catalog, or nothing when it can't be had. */
async function catalogFor(button) {
  let matrix;
  await run(button, async () => { matrix = await catalog(); }, complain);
  return matrix;
}

async function register(button) {
  const matrix = await catalogFor(button);
  if (!matrix) return;
  const answer = await open("Register an app", (close) => appForm({
    matrix, label: "Register", close, act: async (json) => close(await post(ofOrg("/apps"), json)),
  }), { wide: true });
  if (!answer) return;
  await showCredentials(`${answer.app.name} is registered`, answer.app, answer.client_secret);
  location.assign(pageUrl("/apps", { app: answer.app.id }));
}

// One app

function showApp(main, id, role) {
  const place = loaded(() => get(ofOrg(`/apps/${encodeURIComponent(id)}`)), (app) => {
    document.title = `${app.name} · Developer Portal · StatusPulse`;
    return build(app, role, async (title) => {
      await place.load();
      // What was pressed is gone: on with the part that it stood in.
      const headings = [...place.querySelectorAll("h2")];
      const heading = headings.find((one) => one.textContent === title) ?? headings[0];
      heading?.setAttribute("tabindex", "-1");
      heading?.focus();
    });
  });
  place.classList.add("one-app");
  replace(main, h("p", {}, h("a", { href: pageUrl("/apps") }, "All apps")), place);
}

function build(app, role, changed) {
  const mayChange = role !== "auditor";
  return [
    summary(app, mayChange, changed), app.kind === "confidential" ? secretsOf(app, mayChange, changed) : null, endpointsOf(app),
    failuresOf(app), mayChange ? endings(app, role, changed) : null,
  ];
}

function summary(app, mayChange, changed) {
  const isOn = (on) => (on ? badge("on", "good") : badge("off", "warn"));
  const actions = mayChange ? [
    h("button", { type: "button", class: "button", onclick: (event) => edit(event.currentTarget, app, changed) }, "Edit"),
    h("button", { type: "button", class: "button", onclick: () => toggle(app, changed) }, app.status === "active" ? "Suspend" : "Resume"),
  ] : null;
  return section(h("bdi", {}, app.name), { actions }, app.status === "suspended"
    ? h("p", { class: "note warn" }, "Suspended: nothing is issued to this app, and all of its tokens are refused. "
      + "Codes and tokens of before stay dead when it is resumed.")
    : null, facts([
    ["Status", status(app.status)],
    ["Client id", h("span", { class: "copied" }, h("code", {}, app.client_id), copyButton(app.client_id, "Copy client id"))],
    ["Kind", KINDS[app.kind]], ["Redirect URIs", app.redirect_uris.map((uri) => h("div", {}, h("code", {}, uri)))],
    ["May ask for", scopes(app.scopes)],
    ["By default", app.default_scopes.length ? scopes(app.default_scopes) : h("span", { class: "quiet" }, "no default: a request has to name its scopes")],
    ["State Parameter Validation", isOn(app.require_state)], ["PKCE", isOn(app.require_pkce)],
    ["Access tokens", app.access_token_format === "jwt" ? "Signed (JWT)" : "Opaque"],
    ["Refresh retry window", app.refresh_retry_seconds ? plural(app.refresh_retry_seconds, "second") : "none: each refresh token works once"],
    app.any_port_on_localhost ? ["Localhost", "any port"] : null,
    ["Networks", app.allowed_cidrs ? scopes(app.allowed_cidrs) : h("span", { class: "quiet" }, "from anywhere")],
    ["Audiences", scopes(app.audiences)],
    ["Created", [when(app.created_at), app.created_by.email ? ` by ${app.created_by.email}` : ""]],
    ["Last use", when(app.last_used_at, "not used yet")],
  ]));
}

async function edit(button, app, changed) {
  const matrix = await catalogFor(button);
  if (!matrix) return;
  const saved = await open("Edit the app", (close) => appForm({
    app, matrix, label: "Save", close,
    act: async (json) => close(Object.keys(json).length ? await patch(ofOrg(`/apps/${app.id}`), json) : undefined),
  }), { wide: true });
  if (!saved) return;
  notify("The app is changed.");
  await changed();
}

async function toggle(app, changed) {
  const suspends = app.status === "active";
  const done = await confirm(suspends ? `Suspend ${app.name}?` : `Resume ${app.name}?`, {
    text: suspends
      ? ["Nothing is issued any more, and all of its codes and tokens are dead on every instance within a second.",
        "You can resume it later; what was issued before stays dead."]
      : "It can get new tokens again. Codes and tokens of before stay dead: people go through the flow again.",
    label: suspends ? "Suspend" : "Resume", danger: suspends,
    act: () => patch(ofOrg(`/apps/${app.id}`), { status: suspends ? "suspended" : "active" }),
  });
  if (!done) return;
  notify(suspends ? "The app is suspended." : "The app is active again.");
  await changed();
}

function endings(app, role, changed) {
  const mayEnd = role === "owner" || role === "admin";
  const line = (text, label, press) => h("div", { class: "ending" }, h("p", {}, text),
    h("button", { type: "button", class: "button", onclick: press }, label));
  return section("End", {},
    mayEnd ? line("Takes away what people of this organization have granted to the app. The app stays, and may ask again.",
      "End all access of this app", () => endAccess(app, changed)) : null,
    line("Deletes the app with everything that was issued to it, for good.", "Delete the app", () => deleteApp(app)));
}

async function endAccess(app, changed) {
  const answer = await confirm(`End all access of ${app.name}?`, {
    text: ["Everything that people of this organization have granted to it ends, with all of its tokens, on every instance within a second.",
      "They are asked again when they use it the next time."],
    label: "End all access", danger: true, act: () => post(ofOrg("/grants/revoke"), { app: app.id }),
  });
  if (!answer) return;
  notify(answer.revoked ? `${plural(answer.revoked, "access", "accesses")} ended.` : "There was no access to end.");
  await changed("End");
}

async function deleteApp(app) {
  const done = await confirm(`Delete ${app.name}?`, {
    text: "Its client id, its secrets and everything that people have granted to it are gone within a second, and can't be brought back.",
    typed: app.name, label: "Delete the app", danger: true, act: () => remove(ofOrg(`/apps/${app.id}`)),
  });
  if (done) location.assign(pageUrl("/apps"));
}
