// A new key has no calls yet: its list is compared with the networks that the other keys of its environment are used from.

import { ipv4, ipv6, wrongWith } from "./allowlist-editor.js";
import { ApiError } from "./api.js";
import { h } from "./dom.js";
import { country, number, plural } from "./format.js";

const SHOWN = 20;

/** The bits of an address, and how many they are. */
function bitsOf(address) {
  const four = ipv4(address);
  if (four !== null) return [BigInt(four), 32];
  if (!ipv6(address)) return null;
  const groups = (text) => text.split(":").filter(Boolean).flatMap((group) => {
    const end = ipv4(group);
    return end === null ? [parseInt(group, 16)] : [Math.floor(end / 65_536), end % 65_536];
  });
  const [head, tail] = address.split("::").map(groups);
  const all = tail ? [...head, ...Array(Math.max(0, 8 - head.length - tail.length)).fill(0), ...tail] : head;
  return [all.reduce((bits, group) => bits * 65_536n + BigInt(group), 0n), 128];
}

/** The first and the last address of a network, or `null`. */
function span(network) {
  const [address, length] = (network ?? "").split("/");
  const found = bitsOf(address);
  if (!found) return null;
  const [bits, full] = found;
  const size = 1n << BigInt(full - Number(length ?? full));
  const first = bits - (bits % size);
  return { full, first, last: first + size - 1n };
}

/** How much of a network a list lets in: "all", "part" or "none". */
function letIn(network, list) {
  const source = span(network);
  if (!source) return "none";
  const near = list.filter(({ full, first, last }) => full === source.full && first <= source.last && last >= source.first)
    .sort((one, other) => (one.first < other.first ? -1 : 1));
  let next = source.first;
  for (const { first, last } of near) if (first <= next && last >= next) next = last + 1n;
  if (next > source.last) return "all";
  return near.length ? "part" : "none";
}

/** The networks that the keys were used from, busiest first. The same network is told of each key. */
function sourcesOf(keys) {
  const networks = new Map();
  for (const { network, country: place, calls } of keys.flatMap((key) => key.sources)) {
    networks.set(network, { network, place, calls: calls + (networks.get(network)?.calls ?? 0) });
  }
  return [...networks.values()].sort((one, other) => other.calls - one.calls);
}

const WORDS = { all: "yes", part: "partly", none: "no" };

/** What of the `environment`'s use a list would have let in. `answer` is a preview of its keys without further ranges. */
export function compared({ calls, keys }, entries, environment) {
  const errors = entries.map((entry, index) => ({ field: `allowed_cidrs[${index}]`, detail: wrongWith(entry)?.text })).filter(({ detail }) => detail);
  if (errors.length) throw new ApiError({ status: 422, detail: "A network can't be read.", errors });
  if (!calls) return h("p", { class: "note" }, `No key of ${environment} was used in the last 7 days, so nothing would have been refused.`);
  const list = entries.map(span);
  const sources = sourcesOf(keys).map((source) => ({ ...source, letIn: letIn(source.network, list) }));
  const out = sources.filter((source) => source.letIn === "none");
  const part = sources.filter((source) => source.letIn === "part").length;
  const untold = calls - sources.reduce((sum, source) => sum + source.calls, 0);
  const refused = out.length
    ? ` From ${number(out.length)} of them ${plural(out.reduce((sum, source) => sum + source.calls, 0), "call")} would have been refused.`
    : part ? "" : " None of their calls would have been refused.";
  return [
    h("p", { class: out.length || part ? "note warn" : "note" },
      `The key is new, but the keys of ${environment} were used from ${plural(sources.length, "network")} in the last 7 days.${refused}`,
      part ? ` ${number(part)} of them ${part === 1 ? "is" : "are"} only partly in the list: calls from there may have been refused.` : ""),
    h("table", { class: "plain" }, h("caption", { class: "hidden" }, `Networks that the keys of ${environment} were used from`),
      h("thead", {}, h("tr", {}, ["Network", "Country", "Calls", "In this list"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, sources.slice(0, SHOWN).map((source) => h("tr", {}, h("th", { scope: "row" }, source.network ?? "unknown address"),
        h("td", {}, country(source.place)), h("td", {}, number(source.calls)), h("td", {}, WORDS[source.letIn]))))),
    sources.length > SHOWN ? h("p", { class: "hint" }, `The ${SHOWN} busiest of ${number(sources.length)} are shown.`) : null,
    untold > 0 ? h("p", { class: "hint" }, `${plural(untold, "call")} came from further networks, which aren't compared.`) : null,
  ];
}
