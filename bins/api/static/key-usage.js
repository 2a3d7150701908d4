// What a key did by the hour, and from where.

import { context, get, ofOrg, pageUrl } from "./api.js";
import { bars } from "./chart.js";
import { h } from "./dom.js";
import { country, number, plural, when } from "./format.js";
import { empty, loaded, section, table } from "./parts.js";

const SERIES = [["accepted", "Accepted", "calls"], ["refused", "Refused", "refused"]];

/** A section with the chart of a key's calls and the countries they came from. `current()` is the key as it is now. */
export function usage(current) {
  const { id, created_by: maker } = current();
  let days = 7;
  const view = loaded(() => get(ofOrg(`/keys/${id}/usage`), { days }), (answer) => [chart(answer, current()), places(answer.places)]);
  view.classList.add("usage");
  const buttons = [[1, "24 hours"], [7, "7 days"]].map(([value, text]) => h("button", {
    type: "button", class: "button small", "aria-pressed": String(value === days),
    onclick: (event) => {
      days = value;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      view.load();
    },
  }, text));
  return section("Usage", {
    id: "usage",
    actions: [h("div", { class: "switch", role: "group", "aria-label": "Time shown" }, buttons),
      // The trail of others' keys isn't shown to developers.
      context.role === "developer" && maker.id !== context.user.id
        ? null : h("a", { class: "button small", href: pageUrl("/audit", { actor: id }) }, "Show in audit log")],
  }, view);
}

function chart({ buckets }, key) {
  const hours = buckets.map(({ at, calls, refused, busiest_minute: busiest }) => ({ at, accepted: calls - refused, refused, busiest }));
  if (!hours.some((hour) => hour.accepted + hour.refused > 0)) {
    return empty("No calls in this time", "Calls show up here a few seconds after they were made.");
  }
  const busiest = Math.max(...hours.map((hour) => hour.busiest));
  const limit = key.rate_limit_per_minute;
  return [
    bars("Calls by hour", hours, SERIES, { more: (hour) => (hour.busiest ? `busiest minute ${plural(hour.busiest, "call")}` : "") }),
    h("p", { class: "hint" }, `Busiest minute: ${plural(busiest, "call")}${limit ? `, where the rate limit is ${number(limit)}` : ""}.`),
  ];
}

function places(items) {
  if (!items.length) return null;
  return [h("h3", { class: "part" }, "Countries it was used from"), table("Countries the key was used from", [
    ["Country", (place) => country(place.country)],
    ["First call", (place) => when(place.first_seen_at)],
    ["Last call", (place) => when(place.last_seen_at)],
  ], items)];
}
