// Charts as SVG: bars over time. The picture stretches with the page and the texts beside it don't, so that they can be read
// on a phone. The numbers stand in a table for those who don't see them.

import { h, svg } from "./dom.js";
import { ZONE, absolute, day, number } from "./format.js";

const HEIGHT = 100;
const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const TWO_DAYS = 2 * 86_400_000;

/** The least round number that is not below `value` and can be halved: what the axis ends with. */
function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return Math.max(2, [1, 2, 4, 6, 8, 10].map((times) => times * unit).find((round) => round >= value));
}

/** Stacked bars. `buckets`: `{at, …}` oldest first; `series`: `[key, title, class]`, the lowest first. `more(bucket)` is what is
 *  said of a bar besides its numbers. */
export function bars(title, buckets, series, { more } = {}) {
  const total = (bucket) => series.reduce((sum, [key]) => sum + bucket[key], 0);
  const highest = Math.max(0, ...buckets.map(total));
  const top = ceiling(highest);
  const numbers = (bucket) => series.map(([key, name]) => `${number(bucket[key])} ${name.toLowerCase()}`).join(", ");
  const say = (bucket) => `${absolute(bucket.at)}: ${[numbers(bucket), more?.(bucket)].filter(Boolean).join(" · ")}`;
  const sums = series.map(([key, name, tone]) => [name, tone, buckets.reduce((sum, bucket) => sum + bucket[key], 0)]);
  const summary = `${title}: ${sums.map(([name, , sum]) => `${number(sum)} ${name.toLowerCase()}`).join(", ")}`;
  return h("figure", { class: "chart" },
    h("div", { class: "plot-frame" },
      h("div", { class: "plot-scale", "aria-hidden": "true" }, [top, top / 2, 0].map((value) => h("span", {}, number(value)))),
      plot(title, summary, buckets, drawn(buckets, series, top), say)),
    h("figcaption", {}, sums.map(([name, tone, sum]) => h("span", { class: "key" }, h("span", { class: `swatch ${tone}` }), `${name}: ${number(sum)}`)),
      h("span", { class: "quiet" }, `highest: ${number(highest)}`), h("span", { class: "quiet" }, `times in ${ZONE}`)),
    h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} as a table` },
      numbersTable(title, buckets.filter((bucket) => total(bucket) > 0), series))));
}

function numbersTable(title, buckets, series) {
  const row = (bucket) => h("tr", {}, h("th", { scope: "row" }, absolute(bucket.at)), series.map(([key]) => h("td", {}, number(bucket[key]))));
  return h("table", { class: "plain" }, h("caption", { class: "hidden" }, title),
    h("thead", {}, h("tr", {}, ["Time", ...series.map(([, name]) => name)].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, buckets.map(row)));
}

/** The bars, each one wide. */
function drawn(buckets, series, top) {
  return buckets.flatMap((bucket, index) => {
    let y = HEIGHT;
    return series.filter(([key]) => bucket[key] > 0).map(([key, , name]) => {
      const height = Math.max(1, (bucket[key] / top) * HEIGHT);
      y -= height;
      return svg("rect", { x: index + 0.1, y, width: 0.8, height, class: name });
    });
  });
}

/** The picture, and a slider over it that has no look of its own: the platform's arrow keys walk from bar to bar, and what it
 *  stands at is read out. */
function plot(title, summary, buckets, rects, say) {
  const last = buckets.length - 1;
  // No part of the picture: browsers take what moves within one, also where the pointer only rests, for a jump of the page.
  const mark = h("div", { class: "mark", style: { "--count": String(Math.max(1, buckets.length)) } });
  const readout = h("p", { class: "plot-readout quiet" }, "Point at a bar, or walk along with the arrow keys.");
  const slider = h("input", {
    type: "range", min: 0, max: Math.max(0, last), value: last, class: "plot-slider", "aria-label": `${title}, one bar`,
    "aria-valuetext": buckets[last] ? say(buckets[last]) : null, onfocus: () => show(Number(slider.value)), oninput: () => show(Number(slider.value)),
  });
  function show(index) {
    if (!buckets[index]) return;
    mark.style.setProperty("--at", String(index));
    mark.classList.add("shown");
    slider.value = index;
    readout.textContent = say(buckets[index]);
    slider.setAttribute("aria-valuetext", readout.textContent);
  }
  const point = (event) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    show(Math.max(0, Math.min(last, Math.floor(((event.clientX - left) / width) * buckets.length))));
  };
  const area = h("div", { class: "plot", onpointermove: point, onpointerdown: point }, mark,
    svg("svg", { viewBox: `0 0 ${Math.max(1, buckets.length)} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
      [[0, "grid-line"], [HEIGHT / 2, "grid-line"], [HEIGHT, "axis"]].map(([y, name]) =>
        svg("line", { x1: 0, x2: buckets.length, y1: y, y2: y, class: name })), rects),
    slider);
  return h("div", { class: "plot-column" }, area, h("div", { class: "plot-times", "aria-hidden": "true" }, times(buckets)), readout);
}

/** Up to four moments at equal distances below the picture: hours where it shows two days or less. */
function times(buckets) {
  if (!buckets.length) return [];
  const span = new Date(buckets.at(-1).at) - new Date(buckets[0].at);
  const name = (at) => (span <= TWO_DAYS ? HOUR.format(new Date(at)) : day(at));
  const count = Math.min(4, buckets.length);
  return Array.from({ length: count }, (_, place) => h("span", {}, name(buckets[Math.floor((place * buckets.length) / count)].at)));
}
