// The permission matrix: resources by actions, as GET /v1/scopes has them. Nothing here knows a scope by its name.

import { get } from "./api.js";
import { h, replace, uid } from "./dom.js";
import { plural } from "./format.js";

let asked = null;

/** What GET /v1/scopes says; asked once per page. */
export function permissions() {
  asked ??= get("/v1/scopes").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** A table of checkboxes for the scopes of `permitted` (of `permissions`). `value()` are the chosen names, `choose(names)` sets
 *  them. In a read-only environment (`within(environment)`) what writes can't be chosen; what was chosen comes back with the
 *  next environment that allows it. */
export function scopeMatrix(permitted, { chosen = [], environment } = {}) {
  const { resources, presets } = permitted;
  const actions = [...new Set(resources.flatMap((resource) => resource.scopes.map((scope) => scope.action)))];
  const wanted = new Set(chosen);
  const boxes = new Map();
  const alls = [];
  let place = environment;

  const allowed = (scope) => !place?.read_only || scope.read_only !== false;
  const every = resources.flatMap((resource) => resource.scopes);
  const count = h("p", { class: "hint", role: "status" });
  const about = h("p", { class: "hint about" });
  const left = h("p", { class: "note warn", hidden: true });
  const explain = (scope) => replace(about, h("code", {}, scope.name), " ", scope.description,
    allowed(scope) ? "" : ` (not for ${place.name} keys: they only read)`);

  function draw() {
    for (const scope of every) {
      const box = boxes.get(scope.name);
      box.disabled = !allowed(scope);
      box.checked = wanted.has(scope.name) && allowed(scope);
    }
    for (const [box, group] of alls) {
      const open = group.filter(allowed);
      const set = open.filter((scope) => wanted.has(scope.name)).length;
      box.disabled = open.length === 0;
      box.checked = open.length > 0 && set === open.length;
      box.indeterminate = set > 0 && set < open.length;
    }
    const value = names();
    for (const [button, preset] of buttons) button.setAttribute("aria-pressed", String(same(value, preset.scopes)));
    count.textContent = `${value.length} of ${plural(every.length, "permission")} chosen`;
    const out = every.filter((scope) => wanted.has(scope.name) && !allowed(scope)).map((scope) => scope.name);
    left.hidden = out.length === 0;
    left.textContent = `Left out, since ${place?.name} keys only read: ${out.join(", ")}.`;
  }

  const names = () => every.filter((scope) => wanted.has(scope.name) && allowed(scope)).map((scope) => scope.name);
  const same = (one, other) => one.length === other.length && other.every((name) => one.includes(name));

  function choose(list) {
    wanted.clear();
    for (const name of list) wanted.add(name);
    draw();
  }

  function set(scopes, on) {
    for (const scope of scopes.filter(allowed)) {
      if (on) wanted.add(scope.name);
      else wanted.delete(scope.name);
    }
    draw();
  }

  function cell(scope) {
    const id = uid("scope");
    const box = h("input", {
      type: "checkbox", "aria-label": scope.name, "aria-describedby": id,
      onchange: () => set([scope], box.checked), onfocus: () => explain(scope),
    });
    boxes.set(scope.name, box);
    return h("td", { title: scope.description, onmouseenter: () => explain(scope) },
      h("label", { class: "tick" }, box), h("span", { class: "hidden", id }, scope.description));
  }

  function all(text, group) {
    const box = h("input", { type: "checkbox", "aria-label": text, onchange: () => set(group, box.checked) });
    alls.push([box, group]);
    return h("label", { class: "tick" }, box);
  }

  const buttons = presets.map((preset) => [
    h("button", { type: "button", class: "button small", onclick: () => choose(preset.scopes) }, preset.title), preset,
  ]);
  const rows = resources.map((resource) => h("tr", {},
    h("th", { scope: "row" }, h("div", { class: "row-head" }, all(`All of ${resource.name}`, resource.scopes),
      h("span", {}, resource.name, h("span", { class: "hint" }, resource.description)))),
    actions.map((action) => {
      const scope = resource.scopes.find((one) => one.action === action);
      return scope ? cell(scope) : h("td", {});
    })));
  const table = h("table", { class: "matrix", onkeydown: move },
    h("caption", { class: "hidden" }, "Permissions: resources by actions. The arrow keys move between the boxes."),
    h("thead", {}, h("tr", {}, h("td", {}), actions.map((action) => h("th", { scope: "col" },
      h("div", {}, action, all(`All of ${action}`, every.filter((scope) => scope.action === action))))))),
    h("tbody", {}, rows));

  /** The next box in the arrow's direction, over gaps and what is disabled. */
  function move(event) {
    const step = ARROWS[event.key];
    const from = event.target.closest("td, th");
    if (!step || !from) return;
    event.preventDefault();
    let row = from.parentElement.rowIndex;
    let column = from.cellIndex;
    for (;;) {
      row += step[0];
      column += step[1];
      const at = table.rows[row]?.cells[column];
      if (!at) return;
      const box = at.querySelector("input:not(:disabled)");
      if (box) {
        box.focus();
        return;
      }
    }
  }

  const element = h("div", { class: "permissions" },
    h("div", { class: "presets", role: "group", "aria-label": "Presets" }, buttons.map(([button]) => button),
      h("button", { type: "button", class: "button small", onclick: () => choose([]) }, "None")),
    table, about, count, left);
  replace(about, "Focus a box to read what it allows.");
  draw();
  return {
    element, value: names, choose,
    within: (next) => {
      place = next;
      draw();
    },
  };
}
