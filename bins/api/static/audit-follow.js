// Following the trail: a look every two seconds, since the server pushes nothing.

import { ApiError } from "./api.js";
import { h } from "./dom.js";
import { number, plural } from "./format.js";
import { choice } from "./parts.js";

const EVERY = 2000;
/** Whoever has gone away shouldn't be followed for, nor stay signed in by it. */
const LONGEST = 1_800_000;

/** The switch, with its words. `look()` gives how many events have come, or `null` when they were too many to be added; it isn't
 *  called while the page is out of sight or the look before is under way. The element has `stop(why)`. */
export function follower(look, stopped) {
  const said = h("p", { class: "hint", role: "status" });
  const toggle = choice({
    label: "Follow live", role: "switch",
    onchange: (event) => (event.target.checked ? begin() : element.stop("Not following.")),
  });
  const input = toggle.querySelector("input");
  const element = h("div", { class: "live" }, toggle, said);
  let timer;
  let turn = 0;
  let sum = 0;
  let end = 0;

  function begin() {
    sum = 0;
    end = Date.now() + LONGEST;
    said.textContent = "Following: new events appear at the top.";
    turn += 1;
    next(turn);
  }

  function next(mine) {
    timer = setTimeout(async () => {
      if (Date.now() > end) {
        element.stop("Stopped following after 30 minutes: switch it on to go on.");
        return;
      }
      try {
        const count = document.hidden ? 0 : await look();
        if (mine !== turn) return;
        if (count === null) said.textContent = "More came at once than a page holds: the list has begun anew with the newest.";
        else if (count > 0) {
          sum += count;
          said.textContent = `${plural(count, "new event")}, ${number(sum)} since you follow.`;
        }
        next(mine);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (mine === turn) element.stop(`Stopped following: ${error.message}`);
      }
    }, EVERY);
  }

  element.stop = (why) => {
    clearTimeout(timer);
    turn += 1;
    input.checked = false;
    said.textContent = why;
    stopped();
  };
  /** Off, with the reason, or possible again. */
  element.allow = (reason) => {
    if (reason && input.checked) element.stop(reason);
    else if (input.disabled !== Boolean(reason)) said.textContent = reason ?? "";
    input.disabled = Boolean(reason);
  };
  return element;
}
