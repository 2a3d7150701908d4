// How times, numbers and names are said.

import { h } from "./dom.js";

const ABSOLUTE = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const SHORT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const NUMBER = new Intl.NumberFormat("en");
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60]];

/** "in 3 days", "2 hours ago". */
export function relative(at, now = Date.now()) {
  const seconds = (new Date(at).getTime() - now) / 1000;
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return RELATIVE.format(Math.trunc(seconds / length), unit);
  }
  return Math.abs(seconds) < 5 ? "now" : RELATIVE.format(Math.trunc(seconds), "second");
}

/** With seconds and the reader's time zone. */
export function absolute(at) {
  return ABSOLUTE.format(new Date(at));
}

/** A day of the reader's zone. */
export function day(at) {
  return DAY.format(new Date(at));
}

/** A day of the reader's zone, with its year. */
export function date(at) {
  return DATE.format(new Date(at));
}

/** A moment in both forms, with seconds when `precise`; the relative one keeps up with the clock. `null` is said by `never`. */
export function when(at, never = "never", precise = false) {
  if (!at) return h("span", { class: "quiet" }, never);
  return h("time", { datetime: at, title: absolute(at), class: "when" },
    h("span", { dataset: { at } }, relative(at)), " ", h("span", { class: "quiet" }, (precise ? ABSOLUTE : SHORT).format(new Date(at))));
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
