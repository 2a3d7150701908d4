// Who belongs to the organization, and where one is signed in.

import { ApiError, get, ofOrg, patch, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { plural, when, words } from "./format.js";
import { showOnce } from "./once.js";
import { badge, copyButton, empty, facts, field, list, notify, section, table } from "./parts.js";
import { begun, kept, renew } from "./security-parts.js";

const ROLES = {
  owner: "Everything, members included.",
  admin: "Everything but members.",
  developer: "Makes, changes and rotates keys and apps, within the scopes that developers may hand out.",
  auditor: "Sees everything, changes nothing.",
};

const NAMES = Object.keys(ROLES).map((role) => [role, words(role)]);

export function members(context) {
  const mayChange = context.role === "owner";
  const found = kept(() => begun(list((cursor) => get(ofOrg("/members"), { limit: 25, cursor }),
    (items) => table("Members", columns(context, mayChange, () => renew(found)), items),
    () => empty("No member", "Nobody belongs to this organization."))), "20rem");
  const button = mayChange
    ? h("button", { type: "button", class: "button", onclick: async () => { if (await addMember()) renew(found); } }, "Add a member") : null;
  return section("Members and roles", { id: "members", actions: button }, found,
    h("details", { class: "fold" }, h("summary", {}, "What each role may do"),
      facts(Object.entries(ROLES).map(([role, text]) => [words(role), text]))));
}

function columns(context, mayChange, changed) {
  const act = (label, name, does) => h("button", {
    type: "button", class: "button small", "aria-label": `${label}: ${name}`, onclick: async () => { if (await does()) changed(); },
  }, label);
  return [
    ["Member", (member) => [h("span", { class: "name" }, member.name), member.id === context.user.id ? [" ", badge("you")] : null, h("br"),
      h("span", { class: "quiet" }, member.email)]],
    ["Role", (member) => words(member.role), "one-line"],
    ["Since", (member) => when(member.created_at)],
    ["Last sign-in", (member) => when(member.last_sign_in_at, "not signed in")],
    ...(mayChange ? [["Actions", (member) => h("div", { class: "panel-actions" },
      act("Change role", member.email, () => changeRole(context, member)),
      act("Remove", member.email, () => removeMember(context, member))), "end"]] : []),
  ];
}

async function addMember() {
  const added = await confirm("Add a member", {
    text: [],
    fields: [
      field({ label: "Email", name: "email", type: "email", required: true, autocomplete: "off", autofocus: true }),
      field({ label: "Name", name: "name", autocomplete: "off", maxlength: 100, hint: "Optional. Somebody who has an account keeps the own name." }),
      roleField("developer"),
    ],
    label: "Add",
    act: ({ email, name, role }) => post(ofOrg("/members"), { email: email.trim(), role, ...(name.trim() ? { name: name.trim() } : {}) }),
  });
  if (!added) return false;
  if (added.password) await showPassword(added);
  else notify(`${added.member.email} is a member now, and signs in with the password that is there.`);
  return true;
}

function roleField(role) {
  const said = h("p", { class: "hint", role: "status" }, ROLES[role]);
  return h("div", {}, field({
    label: "Role", name: "role", options: NAMES, value: role, onchange: (event) => { said.textContent = ROLES[event.target.value]; },
  }), said);
}

function showPassword({ member, password }) {
  return showOnce("The new account's password", [
    h("p", {}, h("span", { class: "name" }, member.email), " signs in with this password. It is shown now and never again: hand it over on a safe way."),
    h("pre", { tabindex: "0", role: "region", "aria-label": "Password" }, password),
  ], { actions: copyButton(password, "Copy the password"), done: "I have kept it" });
}

async function changeRole(context, member) {
  const own = member.id === context.user.id;
  const saved = await confirm(`Role of ${member.name}`, {
    text: own ? "This is you. You can't give yourself back what you give away." : "What the member has authorized beyond the new role ends.",
    fields: roleField(member.role), label: "Change role",
    act: async ({ role }) => {
      const answer = await patch(ofOrg(`/members/${encodeURIComponent(member.id)}`), { role });
      notify(`${member.name} is ${role} now.`);
      return answer;
    },
  });
  // What this page offers belongs to the role of before.
  if (saved && own && saved.role !== context.role) location.reload();
  return saved;
}

function removeMember(context, member) {
  return confirm(`Remove ${member.name}?`, {
    text: [
      `${member.email} loses the organization at once, and what the person has authorized for it ends.`,
      "Keys that the person made stay: rotate those whose tokens the person may have.",
    ],
    label: "Remove", danger: true, typed: member.id === context.user.id ? member.email : undefined,
    act: async () => {
      await remove(ofOrg(`/members/${encodeURIComponent(member.id)}`));
      notify(`${member.name} is no member any more.`);
      if (member.id === context.user.id) location.reload();
    },
  });
}

export function sessions(context) {
  const found = kept(() => begun(list((cursor) => get("/v1/me/sessions", { limit: 20, cursor }),
    (items) => table("Your sessions", [
      ["Browser", (session) => [h("span", { class: "name" }, browser(session.user_agent)), session.current ? [" ", badge("this one", "good")] : null,
        session.user_agent ? h("details", {}, h("summary", {}, "As it calls itself"), h("code", {}, session.user_agent)) : null]],
      ["Signed in from", (session) => (session.ip ? h("code", {}, session.ip) : h("span", { class: "quiet" }, "unknown address"))],
      ["Signed in", (session) => when(session.created_at)],
      ["Last seen", (session) => when(session.last_seen_at)],
      ["Ends", (session) => when(session.expires_at)],
      ["Actions", (session) => (session.current ? h("span", { class: "quiet" }, "in use") : h("button", {
        type: "button", class: "button small",
        "aria-label": `End the session of ${browser(session.user_agent)} from ${session.ip ?? "an unknown address"}`,
        onclick: async () => { if (await endOne(session)) renew(found); },
      }, "End")), "end"],
    ], items), () => empty("No session", "You are signed in nowhere else."))), "20rem");
  const button = (label, act) => h("button", { type: "button", class: "button", onclick: async () => { if (await act()) renew(found); } }, label);
  return section("Your sessions", {
    id: "sessions", actions: [button("End all others", endOthers), button("Change your password", () => changePassword(context))],
    lead: "Where you are signed in. Is there a session that you don't know? A new password ends all but this one.",
  }, found);
}

/** Both forms of the new password are compared here: the API gets one. */
async function changePassword(context) {
  const secret = (label, name, autocomplete, more) => field({ label, name, type: "password", autocomplete, required: true, ...more });
  const changed = await confirm("Change your password", {
    text: "You stay signed in here. All your other sessions end; what you have given apps access to stays as it is.",
    fields: [
      // For the programs that keep passwords.
      h("input", { type: "email", autocomplete: "username", value: context.user.email, readonly: true, hidden: true }),
      secret("Current password", "current_password", "current-password", { autofocus: true }),
      secret("New password", "new_password", "new-password", { hint: "8 to 256 characters." }),
      secret("New password, again", "again", "new-password"),
    ],
    label: "Change password",
    act: ({ current_password, new_password, again }) => {
      if (again !== new_password) {
        throw new ApiError({ status: 422, code: "not_the_same", errors: [{ field: "again", detail: "This is not the same as the new password." }] });
      }
      return post("/v1/me/password", { current_password, new_password });
    },
  });
  if (changed) notify(changed.ended ? `Your password is changed, and ${plural(changed.ended, "other session has", "other sessions have")} ended.` : "Your password is changed.");
  return changed;
}

function endOne(session) {
  return confirm("End this session?", {
    text: `${browser(session.user_agent)}${session.ip ? `, signed in from ${session.ip},` : ""} has to sign in again.`, label: "End", danger: true,
    act: async () => {
      await remove(`/v1/me/sessions/${encodeURIComponent(session.id)}`);
      notify("The session has ended.");
    },
  });
}

function endOthers() {
  return confirm("End all your other sessions?", {
    text: "Every other browser where you are signed in has to sign in again. This one stays.", label: "End all others", danger: true,
    act: async () => {
      const { ended } = await remove("/v1/me/sessions");
      notify(ended ? `${plural(ended, "session")} ended.` : "There was no other session.");
    },
  });
}

const BROWSERS = [["Edg", "Edge"], ["OPR/", "Opera"], ["SamsungBrowser", "Samsung Internet"], ["Firefox/", "Firefox"], ["FxiOS", "Firefox"],
  ["CriOS", "Chrome"], ["Chrome/", "Chrome"], ["Safari/", "Safari"], ["curl/", "curl"]];
const SYSTEMS = [["iPhone", "iPhone"], ["iPad", "iPad"], ["Android", "Android"], ["CrOS", "ChromeOS"],
  ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]];

/** "Firefox on Linux". Browsers name others, too, so the order matters. */
export function browser(agent) {
  const find = (names) => names.find(([part]) => agent?.includes(part))?.[1];
  const program = find(BROWSERS);
  const system = find(SYSTEMS);
  if (program && system) return `${program} on ${system}`;
  return program ?? (system ? `A program on ${system}` : "Unknown program");
}
