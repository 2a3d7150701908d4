// What a key could do without, and the two presses that take it away.

import { context, get, ofOrg, patch, put } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { coded, loaded, notify, scopes, section } from "./parts.js";

/** A section with what the last days of calls suggest. `current()` is the key as it is now; the element has `load()`. */
export function suggestions(current, changed) {
  const view = loaded(() => get(ofOrg(`/keys/${current().id}/suggestions`)), (answer) => h("div", { class: "grid" },
    unused(answer, current(), done), addresses(answer, current(), done)));
  const element = section("Suggestions", { lead: "Drawn from the calls of this key. Nothing changes until you say so." }, view);
  const heading = element.querySelector("h2");
  heading.tabIndex = -1;
  // The pressed button goes when there is nothing left to do.
  const done = (key, text) => {
    changed(key);
    notify(text);
    setTimeout(() => heading.focus());
  };
  element.load = view.load;
  return element;
}

/** Whether the person at hand may change this key. The API has the last word, on each scope too. */
const changeable = (key) => context.role !== "auditor" && (key.status === "active" || key.status === "disabled");

const basisOf = ({ calls, days }) => `${plural(calls, "accepted call")} in the last ${plural(days, "day")}`;

function part(title, ...children) {
  return h("div", {}, h("h3", {}, title), children);
}

/** The same where there is nothing to suggest, with the reason. */
function nothing(title, why) {
  return part(title, h("p", { class: "quiet" }, why));
}

function unused({ unused_scopes: idle, basis }, key, done) {
  const rest = key.scopes.filter((scope) => !idle.includes(scope));
  if (!basis.calls) return nothing("Scopes", `No accepted calls in the last ${plural(basis.days, "day")}, so nothing can be said yet.`);
  if (!idle.length) return nothing("Scopes", `Every scope was needed by ${basisOf(basis)}. There is nothing to remove.`);
  const text = h("p", {}, `${plural(idle.length, "scope")} of ${key.scopes.length} went unused by ${basisOf(basis)}:`);
  if (!rest.length) {
    return part("Scopes", text, scopes(idle), h("p", { class: "hint" }, "A key keeps at least one scope. Revoke it if nothing needs it."));
  }
  const act = async () => {
    done(await patch(ofOrg(`/keys/${key.id}`), { scopes: rest }), `Removed ${plural(idle.length, "unused scope")}.`);
  };
  return part("Scopes", text, scopes(idle), changeable(key) ? h("div", { class: "follow" }, h("button", {
    type: "button", class: "button", onclick: () => confirm("Remove unused scopes", {
      text: ["The key loses these scopes at once, in all its versions:", scopes(idle), h("p", { class: "part" }, "It keeps:"), scopes(rest),
        h("p", { class: "part quiet" }, "Calls that are made less often than the days looked at may need one of them. You can give it back later.")],
      label: "Remove unused scopes", act,
    }),
  }, "Remove unused scopes")) : null);
}

function addresses({ allowlist, basis }, key, done) {
  const ranges = (list) => h("span", { class: "codes" }, list.map((range) => h("code", {}, range)));
  const now = key.allowed_cidrs;
  if (!basis.calls) return nothing("Allowlist", `No accepted calls in the last ${plural(basis.days, "day")}, so no list can be drawn up yet.`);
  if (!allowlist.length) return nothing("Allowlist", "The calls came from too many networks, or from unknown ones, for a list.");
  const gone = (now ?? []).filter((range) => !allowlist.includes(range));
  const fresh = allowlist.filter((range) => !now?.includes(range));
  if (!gone.length && !fresh.length) return nothing("Allowlist", `The allowlist is what ${basisOf(basis)} needed. There is nothing to change.`);
  const act = async () => {
    const { key: changedKey, warnings } = await put(ofOrg(`/keys/${key.id}/allowlist`), { allowed_cidrs: allowlist });
    done(changedKey, coded(["The allowlist is in force.", ...warnings.map((warning) => warning.detail)].join(" ")));
  };
  return part("Allowlist", h("p", {}, `${basisOf(basis)}, all from:`), ranges(allowlist), changeable(key) ? h("div", { class: "follow" }, h("button", {
    type: "button", class: "button", onclick: () => confirm("Use this allowlist", {
      text: ["From now on only these addresses may use the key:", ranges(allowlist),
        now ? null : h("p", { class: "part" }, "Now any address may use it."),
        gone.length ? [h("p", { class: "part" }, "No longer in the list:"), ranges(gone)] : null,
        now && fresh.length ? [h("p", { class: "part" }, "New in the list:"), ranges(fresh)] : null,
        h("p", { class: "part quiet" }, "Calls from anywhere else are refused with 403.")],
      label: "Use this list", act,
    }),
  }, "Use this list")) : null);
}
