// How times, numbers and names are said.

import { h } from "./dom.js";

const ABSOLUTE = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const SHORT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const RELATIVE = new Intl.RelativeTimeFormat("en");
const NUMBER = new Intl.NumberFormat("en");
/** Units with their length, and from when on a time is said in them, in seconds: never less than two of a unit, which a rounded
 *  number would misstate. Lifespans are counted in days, up to 90 of them. */
const STEPS = [
  ["year", 31_536_000, 63_072_000], ["month", 2_629_746, 8_640_000], ["day", 86_400, 172_800], ["hour", 3_600, 7_200], ["minute", 60, 120], ["second", 1, 5],
];

/** "in 3 days", "2 hours ago". */
export function relative(at, now = Date.now()) {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const step = STEPS.find(([, , least]) => Math.abs(seconds) >= least);
  return step ? RELATIVE.format(Math.round(seconds / step[1]), step[0]) : "now";
}

/** With seconds and the reader's time zone. */
export function absolute(at) {
  return ABSOLUTE.format(new Date(at));
}

/** Both forms as a text, for a sentence. */
export function moment(at) {
  return `${relative(at)} (${absolute(at)})`;
}

/** The reader's time zone, for fields and axes that have no room for it at each time. */
export const ZONE = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(new Date()).find(({ type }) => type === "timeZoneName").value;

/** A day of the reader's zone. */
export function day(at) {
  return DAY.format(new Date(at));
}

/** Without seconds, with the reader's time zone. */
export function short(at) {
  return SHORT.format(new Date(at));
}

/** A moment in both forms, with seconds when `precise`; the relative one keeps up with the clock. `null` is said by `never`. */
export function when(at, never = "never", precise = false) {
  if (!at) return h("span", { class: "quiet" }, never);
  return h("time", { datetime: at, title: absolute(at), class: "when" },
    h("span", { dataset: { at } }, relative(at)), " ", h("span", { class: "quiet" }, precise ? absolute(at) : short(at)));
}

setInterval(() => {
  for (const element of document.querySelectorAll("[data-at]")) {
    const text = relative(element.dataset.at);
    if (element.textContent !== text) element.textContent = text;
  }
}, 10_000);

export function number(value) {
  return NUMBER.format(value);
}

/** "1 key", "2 keys". */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** "ip_not_allowed" as words. */
export function words(name) {
  const text = String(name).replaceAll("_", " ").replaceAll(".", " › ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const REGIONS = new Intl.DisplayNames(["en"], { type: "region" });

/** The name of a country by its two letters. */
export function country(code) {
  if (!code) return "unknown place";
  try {
    return REGIONS.of(code) ?? code;
  } catch {
    return code;
  }
}
