// Texts that callers chose: nothing in them may turn a line round, break it or hide in it.

import { h } from "./dom.js";

/** Control and format characters (directions, joiners, byte order marks), separators of lines, halves of pairs, unassigned and
 *  private ones. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** The text with each character that can't be seen as `\u{…}`. */
export function escaped(text) {
  return String(text).replace(UNSEEN, escape);
}

function escape(character) {
  return `\\u{${character.codePointAt(0).toString(16).padStart(4, "0")}}`;
}

/** The same as an element of a direction of its own, which may be broken behind its signs rather than within its words. */
export function inert(text, name) {
  return h("bdi", { class: name }, escaped(text).split(/(?<=[/_.@])/).map((part, index) => [index ? h("wbr") : null, part]));
}

/** A value as JSON of several lines: the breaks between them are ours, those within texts are escaped. */
export function json(value) {
  return JSON.stringify(value, null, 2).split("\n").map(escaped).join("\n");
}
