// Charts as SVG: bars over time. The numbers stand in a table for those who don't see them.

import { h, svg } from "./dom.js";
import { absolute, day, number } from "./format.js";

const WIDTH = 720;
const HEIGHT = 160;
const BOTTOM = 20;

/** Stacked bars. `buckets`: `{at, …}` oldest first; `series`: `[key, title, class]`, the lowest first. */
export function bars(title, buckets, series) {
  const total = (bucket) => series.reduce((sum, [key]) => sum + bucket[key], 0);
  const highest = Math.max(1, ...buckets.map(total));
  const step = WIDTH / Math.max(1, buckets.length);
  const drawn = [];
  buckets.forEach((bucket, index) => {
    let top = HEIGHT;
    const parts = series.filter(([key]) => bucket[key] > 0).map(([key, , name]) => {
      const height = Math.max(1, (bucket[key] / highest) * (HEIGHT - 8));
      top -= height;
      return svg("rect", { x: index * step + step * 0.1, y: top, width: step * 0.8, height, class: name });
    });
    const said = `${absolute(bucket.at)}: ${series.map(([key, name]) => `${number(bucket[key])} ${name.toLowerCase()}`).join(", ")}`;
    drawn.push(svg("g", {}, svg("title", {}, said), svg("rect", { x: index * step, y: 0, width: step, height: HEIGHT, class: "hit" }), parts));
  });
  const ticks = [0, Math.floor(buckets.length / 2), buckets.length - 1].filter((value, index, list) => buckets[value] && list.indexOf(value) === index);
  const labels = ticks.map((index) => svg("text", {
    x: index * step + step / 2, y: HEIGHT + 15, "text-anchor": index === 0 ? "start" : index === buckets.length - 1 ? "end" : "middle",
  }, day(buckets[index].at)));
  const sums = series.map(([key, name, tone]) => [name, tone, buckets.reduce((sum, bucket) => sum + bucket[key], 0)]);
  return h("figure", { class: "chart" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + BOTTOM}`, role: "img", "aria-label": `${title}: ${sums.map(([name, , sum]) => `${number(sum)} ${name.toLowerCase()}`).join(", ")}` },
      svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" }), drawn, labels),
    h("figcaption", {}, sums.map(([name, tone, sum]) => h("span", { class: "key" }, h("span", { class: `swatch ${tone}` }), `${name}: ${number(sum)}`)),
      h("span", { class: "quiet" }, `highest: ${number(highest)}`)),
    h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} as a table` },
      h("table", { class: "plain" }, h("caption", { class: "hidden" }, title), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), series.map(([, name]) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, buckets.filter((bucket) => total(bucket) > 0).map((bucket) => h("tr", {}, h("th", { scope: "row" }, absolute(bucket.at)), series.map(([key]) => h("td", {}, number(bucket[key]))))))))));
}
