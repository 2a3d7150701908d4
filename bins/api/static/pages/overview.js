import { h } from "../dom.js";

export async function start(main) {
  main.replaceChildren(h("p", {}, "…"));
}
