// What vouches for the trail: the newest checkpoint, and how somebody else checks it.

import { get, ofOrg } from "./api.js";
import { h } from "./dom.js";
import { number, plural, when } from "./format.js";
import { inert } from "./inert.js";
import { badge, copyButton, download, empty, facts, loaded, section, table } from "./parts.js";

/** One is made every minute; what is older than some of them means that something stands still. */
const LATE = 300_000;

const command = (text) => h("p", { class: "copyable" }, h("code", {}, text), copyButton(text, "Copy command"));

const saved = (label, name, text) => h("button", { type: "button", class: "button small", onclick: () => download(name, text) }, label);

function state(checkpoint) {
  const late = Date.now() - new Date(checkpoint.at) > LATE;
  return h("p", {}, badge(late ? "late" : "up to date", late ? "warn" : "good"),
    ` Checkpoint ${number(checkpoint.number)} was signed `, when(checkpoint.at),
    late ? ". One is due every minute: ask your operator." : ".");
}

function streams(checkpoint) {
  return table("How far each stream is vouched for", [
    ["Stream", (stream) => inert(stream.stream, "mono")],
    ["Vouched for up to", (stream) => `event ${number(stream.sequence)}`],
    ["Signed", () => when(checkpoint.at)],
    ["Signing key", () => inert(checkpoint.key_id, "mono")],
  ], checkpoint.streams);
}

function build({ items, keys }) {
  const [checkpoint] = items;
  if (!checkpoint) {
    return empty("No checkpoint yet",
      "The first is signed about a minute after the service has started. Until then only the chain of hashes holds the events together.");
  }
  const pem = keys.map((key) => key.public_key_pem).join("");
  const name = `checkpoint-${checkpoint.number}.jsonl`;
  return [
    state(checkpoint),
    h("details", {}, h("summary", {}, "What it covers, and how to check it yourself"),
      h("h3", {}, "What it covers"),
      facts([
        ["Since the one before", plural(checkpoint.leaves, "event")],
        ["Merkle root", inert(checkpoint.root, "mono")],
        ["Sealed days in it", plural(checkpoint.sealed.length, "day")],
      ]),
      checkpoint.streams.length
        ? [streams(checkpoint), h("p", { class: "hint" },
          "A stream is one process from its start. One that stands still is left out after a day; newer events are covered by the next checkpoint.")]
        : h("p", {}, "No stream has moved within a day."),
      h("h3", {}, "Check it yourself"),
      h("p", {}, "A copy that the operators can't change is what the proof rests on. ",
        "Keep this checkpoint and the public key elsewhere; later the trail has to agree with them."),
      h("p", { class: "links" },
        saved("Download the checkpoint", name, `${JSON.stringify(checkpoint)}\n`),
        saved(`Download the public ${keys.length === 1 ? "key" : "keys"}`, "key.pem", pem)),
      h("p", {}, "Beside the database, by an operator:"),
      command(`statuspulse-admin audit verify --checkpoints ${name} --public-key key.pem`),
      h("p", {}, "Without it, on the JSONL export of this organization: each record by itself, by its neighbours and by the heads that fall on it."),
      command(`statuspulse-admin audit verify --partial --jsonl trail.jsonl --checkpoints ${name} --public-key key.pem`),
      h("p", {}, "A single event, with nothing of ours but the format's description:"),
      command("scripts/check-proof proof.json key.pem"),
      h("p", { class: "hint" }, "Exit code 0: whole. 10: tampered. 11: incomplete. 1 or 2: nothing was found out.")),
  ];
}

/** The part of the page. Developers may not ask for checkpoints. */
export function verification() {
  const body = loaded(() => get(ofOrg("/audit/checkpoints"), { limit: 1 }), build);
  const again = h("button", { type: "button", class: "button small", onclick: () => body.load() }, "Look again");
  return section("Verification", { actions: again, id: "verification" }, body);
}
