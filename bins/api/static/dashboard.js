// What all pages of the dashboard do: the menu closes by Escape and by a press elsewhere (the platform's popover), and the
// page's own module fills the main part.

import { ApiError, context } from "./api.js";
import { h } from "./dom.js";

const main = document.getElementById("content");
const { start } = await import(`./pages/${document.body.dataset.page}.js`);
try {
  await start(main, context);
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  main.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
}
