// 'Security Controls': from where keys may be used, how long they live, who is told, who belongs here, what opens alerts.

import { h, replace } from "../dom.js";
import { section } from "../parts.js";
import { attention, keyLists, organizationList } from "../security-allowlists.js";
import { notices } from "../security-notices.js";
import { kept, renew } from "../security-parts.js";
import { members, sessions } from "../security-people.js";
import { addRanges } from "../security-ranges.js";
import { alertRules, lifespans } from "../security-rules.js";
import { webhooks } from "../webhooks.js";

export async function start(main, context) {
  const add = async (given) => {
    if (await addRanges(given)) await Promise.all([renew(lists), wanted.load()]);
  };
  const lists = keyLists(context, add);
  const wanted = attention(context, add);
  const sections = [organizationList(context), lists, wanted, lifespans(context), told(context), members(context), sessions(context), alertRules(context)];
  replace(main, jumps(sections), sections);
  if (context.role !== "auditor") {
    replace(document.getElementById("actions"), h("button", { type: "button", class: "button strong", onclick: () => add() }, "Add a range"));
  }
  // The address may name a section, which wasn't there when the browser looked for it.
  const named = location.hash.slice(1);
  (document.getElementById(named) ?? document.getElementById(named.split("-")[0]))?.scrollIntoView();
}

function told(context) {
  const heard = kept(() => notices(context), "26rem");
  // Who hears what changes with the endpoints below, which are changed in dialogs.
  const left = (changes) => changes.some(({ removedNodes }) => [...removedNodes].some((node) => node.nodeName === "DIALOG"));
  const watch = new MutationObserver((changes) => { if (left(changes)) heard.load(); });
  if (context.role !== "developer") watch.observe(document.body, { childList: true });
  return section("Notices, webhooks and Slack", {
    id: "webhooks",
    lead: "What programs and people are told of by themselves. Each event goes to the endpoints and Slack channels that have asked for it.",
  }, heard, context.role === "developer" ? null : kept(() => webhooks({}), "20rem"));
}

/** The page is long: links to its sections. */
function jumps(sections) {
  return h("nav", { class: "jumps", "aria-label": "On this page" },
    sections.map((part) => h("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
}
