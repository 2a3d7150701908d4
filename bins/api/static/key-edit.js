// What of a key can be changed: all but its environment and its token.

import { allowlistEditor } from "./allowlist-editor.js";
import { ofOrg, patch, post } from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { ZONE } from "./format.js";
import { mayDecide, openHidden, part, rateLimit } from "./key-create.js";
import { field, notify, problem, run, showErrors } from "./parts.js";
import { permissions, scopeMatrix } from "./scope-matrix.js";

/** A moment as `<input type="datetime-local">` has it: in the reader's zone, by the minute. */
function local(at) {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Opens the editor of a key; `changed(key)` is called with the new one. */
export async function editKey(key, changed) {
  const permitted = await permissions();
  const answer = await open(`Edit ${key.name}`, (close) => form(key, permitted, close), { wide: true });
  if (!answer) return;
  changed(answer);
  notify(`${answer.name} is changed.`);
}

function form(key, permitted, close) {
  const environment = permitted.environments.find((one) => one.name === key.environment);
  const matrix = scopeMatrix(permitted, { chosen: key.scopes, environment });
  const allowlist = allowlistEditor({
    cidrs: key.allowed_cidrs, notes: key.allowlist_notes, allowAny: key.allow_any, mayAllowAny: mayDecide(),
    preview: (cidrs) => post(ofOrg(`/keys/${key.id}/allowlist/preview`), { allowed_cidrs: cidrs, days: 7 }),
  });
  const before = state();
  const said = problem();
  const button = h("button", { type: "submit", class: "button strong" }, "Save changes");

  function state(values = { name: key.name, expires: local(key.expires_at), rate_limit_per_minute: key.rate_limit_per_minute ?? "" }) {
    const limit = String(values.rate_limit_per_minute);
    return {
      name: values.name, scopes: matrix.value(), expires_at: values.expires, rate_limit_per_minute: limit ? Number(limit) : null, ...allowlist.value(),
    };
  }

  /** Only what has changed, so that nobody's change of something else is undone. */
  function changes(values) {
    const now = state(values);
    const fields = Object.keys(now).filter((name) => JSON.stringify(now[name]) !== JSON.stringify(before[name]));
    // A list and its notes belong together.
    if (fields.includes("allowed_cidrs") && now.allowed_cidrs && !fields.includes("allowlist_notes")) fields.push("allowlist_notes");
    const body = Object.fromEntries(fields.map((name) => [name, now[name]]));
    if (body.expires_at) body.expires_at = new Date(body.expires_at).toISOString();
    return body;
  }

  return h("form", {
    class: "sheet",
    onsubmit: async (event) => {
      event.preventDefault();
      const own = event.currentTarget;
      await run(button, async () => {
        const body = changes(Object.fromEntries(new FormData(own)));
        if (Object.keys(body).length === 0) close(null);
        else close(await patch(ofOrg(`/keys/${key.id}`), body));
      }, (error) => {
        showErrors(own, said, error);
        openHidden(own);
      });
    },
  },
  h("div", { class: "sheet-body" }, field({ label: "Name", name: "name", value: key.name, required: true, maxlength: 100, autocomplete: "off" }),
  part(`Permissions (${key.environment})`, matrix.element, "scopes"),
  part("Where it may be used", allowlist.element),
  h("div", { class: "pair" },
    field({
      label: `Ends (your time, ${ZONE})`, name: "expires", type: "datetime-local", value: local(key.expires_at), required: true, error: "expires_at",
      hint: "Earlier at any time; later up to the environment's longest life. Rotate for more.",
    }), rateLimit(key.rate_limit_per_minute ?? ""))),
  h("div", { class: "actions foot" }, said, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), button));
}
