// The form of an app: to register one, and to change one.

import { get } from "./api.js";
import { h, replace, settled, uid } from "./dom.js";
import { choice, clearErrors, field, problem, run, showErrors, table } from "./parts.js";
import { wrongWith } from "./redirect-uri.js";

const MOST_URIS = 20;
const FRESH = {
  name: "", kind: "confidential", redirect_uris: [""], scopes: [], default_scopes: [], require_state: true, require_pkce: true,
  access_token_format: "opaque", refresh_retry_seconds: 0, any_port_on_localhost: false, allowed_cidrs: null, audiences: [],
};

const EXACT = "https, or http on 127.0.0.1 and [::1], where any port matches. No fragment. Compared byte for byte: a slash too many is another address.";
const EXACT_PUBLIC = `${EXACT} A public app may also use http on localhost, and a scheme of its own with a dot in it (com.example.app:/callback).`;

/** The permission matrix, asked for when a form is opened. */
export const catalog = () => get("/v1/scopes");

/** The form of an app. `app`: the one to change, or nothing to register one. `matrix`: the catalog of scopes. `act(json)` gets the
 *  fields of a new app or the changed ones, `close` leaves. */
export function appForm({ app, matrix, label, act, close }) {
  const given = { ...FRESH, ...app };
  const said = problem();
  const uris = redirectUris(given.redirect_uris, () => isPublic());
  const permissions = scopeMatrix(matrix, given);
  const pkce = choice({ label: "PKCE", name: "require_pkce", checked: given.require_pkce, hint: " " });
  const state = choice({
    label: "State Parameter Validation", name: "require_state", checked: given.require_state,
    hint: "A request must carry a state, which comes back unchanged for the app to compare. Without it, another site can start the "
      + "flow in somebody's browser and slip its own account under the app's session (login CSRF).",
  });
  const anyPort = choice({
    label: "Any port on localhost", name: "any_port_on_localhost", checked: given.any_port_on_localhost,
    hint: "A registered http://localhost address matches with every port, as 127.0.0.1 always does. Another program on the same "
      + "computer can then listen there too.",
  });
  const kinds = app ? null : kindChoice(given.kind, () => follow());
  const more = advanced(given, anyPort);
  const button = h("button", { type: "submit", class: "button strong" }, label);
  const isPublic = () => (app ? app.kind : kinds.querySelector(":checked").value) === "public";

  /** What depends on the kind. */
  function follow() {
    const input = pkce.querySelector("input");
    input.disabled = isPublic();
    if (isPublic()) input.checked = true;
    replace(pkce.querySelector(".hint"), isPublic()
      ? "Always on for a public app: nothing else proves that who redeems the code is the one that asked."
      : "The app proves with a one-time verifier (S256) that it began the flow. Without it, a stolen code can be redeemed by anybody "
        + "who also has a client secret, or be injected into another person's session.");
    anyPort.hidden = !isPublic();
    replace(uris.querySelector(".hint"), isPublic() ? EXACT_PUBLIC : EXACT);
    uris.judge();
  }

  const form = h("form", { novalidate: true, onsubmit: submit },
    field({ label: "Name", name: "name", value: given.name, required: true, maxlength: 100, autocomplete: "off", autofocus: !app,
      hint: "People read it when they are asked for access." }),
    kinds, uris, permissions,
    h("fieldset", {}, h("legend", {}, "Security"), state, pkce, errorsOf("require_state"), errorsOf("require_pkce")), more, said,
    h("div", { class: "actions" }, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), button));

  function values() {
    const of = (name) => form.elements.namedItem(name);
    return {
      name: of("name").value.trim(), ...(app ? {} : { kind: isPublic() ? "public" : "confidential" }),
      redirect_uris: uris.values(), ...permissions.values(), require_state: of("require_state").checked,
      require_pkce: of("require_pkce").checked, access_token_format: of("access_token_format").value,
      refresh_retry_seconds: Number(of("refresh_retry_seconds").value),
      any_port_on_localhost: isPublic() && of("any_port_on_localhost").checked,
      allowed_cidrs: lines(of("allowed_cidrs").value), audiences: lines(of("audiences").value),
    };
  }

  async function submit(event) {
    event.preventDefault();
    clearErrors(form, said);
    const sent = app ? changed(before, values()) : values();
    await run(button, () => act(sent), (error) => {
      if (error.errors.some((wrong) => more.querySelector(`[data-field="${CSS.escape(wrong.field.split("[")[0])}"]`))) more.open = true;
      showErrors(form, said, error);
    });
  }

  follow();
  const before = values();
  return form;
}

/** The fields whose values differ. */
function changed(before, after) {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
}

/** One value a line; none at all is `null`, which the API reads as no rule. */
function lines(text) {
  const found = text.split(/[\s,]+/).filter(Boolean);
  return found.length ? found : null;
}

/** Where an error of a field without a place of its own is told. */
function errorsOf(name) {
  return h("div", { dataset: { field: name } }, h("p", { class: "field-error" }));
}

function kindChoice(kind, changedTo) {
  const one = (value, label, hint) =>
    choice({ type: "radio", name: "kind", value, label, hint, checked: kind === value, onchange: changedTo });
  return h("fieldset", {}, h("legend", {}, "Kind"),
    one("confidential", "Confidential", "Runs on a server, which can keep a secret."),
    one("public", "Public", "Runs where others can read it: a command-line tool, a page in a browser, a mobile app, an MCP client. "
      + "It has no secret."),
    h("p", { class: "hint" }, "It can't be changed later."), errorsOf("kind"));
}

/** Rows of addresses, each judged while it is typed. */
function redirectUris(given, isPublic) {
  const rows = h("div", { class: "uris" });
  // Rows that were sent as they are: the server's words about them stay until they are changed.
  const sent = new WeakSet();
  const hint = uid("uris");
  const add = h("button", { type: "button", class: "button small", onclick: addRow }, "Add another");

  function addRow() {
    insert("");
    rows.lastElementChild.querySelector("input").focus();
  }

  function insert(value) {
    const later = settled(() => judgeRow(row), 400);
    const cell = field({
      label: "Redirect URI", name: "redirect_uri", value, type: "url", inputmode: "url", autocomplete: "off", spellcheck: "false",
      class: "broad", placeholder: "https://app.example/callback", "aria-describedby": undefined,
      // Not when the row is left: words that come then move the button that is being pressed away.
      oninput: () => { sent.delete(row); later(); },
    });
    const input = cell.querySelector("input");
    input.setAttribute("aria-describedby", `${hint} ${cell.querySelector(".field-error").id}`);
    const row = h("div", { class: "uri" }, cell,
      h("button", { type: "button", class: "icon", onclick: () => take(row) }, "×"));
    rows.append(row);
    number();
  }

  function take(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    number();
    next.querySelector("input").focus();
  }

  function number() {
    [...rows.children].forEach((row, index) => {
      row.querySelector("label").textContent = `Redirect URI ${index + 1}`;
      row.querySelector(".icon").setAttribute("aria-label", `Remove redirect URI ${index + 1}`);
      row.querySelector(".icon").hidden = rows.children.length === 1;
    });
    add.hidden = rows.children.length >= MOST_URIS;
  }

  function judgeRow(row) {
    const input = row.querySelector("input");
    if (sent.has(row)) return;
    const wrong = wrongWith(input.value.trim(), isPublic());
    row.querySelector(".field-error").textContent = wrong;
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  given.forEach(insert);
  const element = h("fieldset", {}, h("legend", {}, "Redirect URIs"), h("p", { class: "hint", id: hint }), rows,
    errorsOf("redirect_uris"), add);
  element.judge = () => [...rows.children].forEach((row) => {
    sent.delete(row);
    judgeRow(row);
  });
  /** Rows that hold nothing aren't sent: the others learn by which index the server will speak of them. */
  element.values = () => {
    const filled = [...rows.children].filter((row) => {
      delete row.firstElementChild.dataset.field;
      sent.add(row);
      return row.querySelector("input").value.trim();
    });
    return filled.map((row, index) => {
      row.firstElementChild.dataset.field = `redirect_uris[${index}]`;
      return row.querySelector("input").value.trim();
    });
  };
  return element;
}

/** Each scope with two boxes: whether the app may ask for it, and whether it gets it when it asks for nothing. */
function scopeMatrix(matrix, given) {
  const all = matrix.resources.flatMap((resource) => resource.scopes);
  const box = (name, scope, label, properties) => h("input", {
    type: "checkbox", class: "box", name, value: scope.name, "aria-label": `${label}: ${scope.name}`, ...properties,
  });
  const pairs = all.map((scope) => {
    const usual = box("default_scopes", scope, "By default", { checked: given.default_scopes.includes(scope.name) });
    const asked = box("scopes", scope, "May ask for", { checked: given.scopes.includes(scope.name), onchange: () => follow() });
    const follow = () => {
      usual.disabled = !asked.checked;
      usual.checked &&= asked.checked;
    };
    follow();
    return { scope, asked, usual };
  });
  const element = h("fieldset", {}, h("legend", {}, "Scopes"),
    h("p", { class: "hint" }, "The most that the app may ask people for. A default is what it gets when a request names no scope."),
    h("div", { class: "permissions" }, table("Scopes of the app", [
      ["Scope", ({ scope }) => [h("code", {}, scope.name), " ", h("span", { class: "quiet" }, scope.description)]],
      ["May ask for", ({ asked }) => asked], ["By default", ({ usual }) => usual],
    ], pairs)), errorsOf("scopes"), errorsOf("default_scopes"));
  const names = (box) => pairs.filter((pair) => pair[box].checked).map(({ scope }) => scope.name);
  element.values = () => {
    const usual = names("usual");
    return { scopes: names("asked"), default_scopes: usual.length ? usual : null };
  };
  return element;
}

/** What few apps need. */
function advanced(given, anyPort) {
  return h("details", { class: "more-settings" }, h("summary", {}, "Tokens, networks and audiences"),
    field({
      label: "Access tokens", name: "access_token_format", value: given.access_token_format,
      options: [["opaque", "Opaque: each use is asked about"], ["jwt", "Signed (JWT): can be checked offline"]],
      hint: "Who checks signed tokens offline sees a revocation only when the token ends, two hours at most.",
    }),
    field({
      label: "Retry window of refresh tokens, in seconds", name: "refresh_retry_seconds", type: "number", min: 0, max: 60, step: 1,
      value: String(given.refresh_retry_seconds),
      hint: "0 to 60. Within it, a used refresh token gives the same successor again: a lost answer or two tabs don't end the access. "
        + "The price: a thief inside the window is found out one refresh later.",
    }),
    anyPort, errorsOf("any_port_on_localhost"),
    field({
      label: "Networks", name: "allowed_cidrs", rows: 3, value: (given.allowed_cidrs ?? []).join("\n"), placeholder: "203.0.113.0/24",
      hint: "One a line, at most 50. The app and its access tokens work from there only. Empty: from anywhere.",
    }),
    field({
      label: "Audiences", name: "audiences", rows: 2, value: given.audiences.join("\n"),
      hint: "For resource servers: what the app stands for when it introspects tokens, one a line. Empty: this server's own address.",
    }));
}
