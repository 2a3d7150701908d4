// Elements are made, never parsed: what the API says becomes text, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `on…` properties are listeners, `class`, `dataset` and `style` (of custom properties too) what they say;
 *  `true` is an attribute without a value, `false`, `null` and `undefined` none. Children: nodes, texts, lists of them. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same of SVG. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Puts these children in the place of all that are there. */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let count = 0;

/** An id that no other element has. */
export function uid(prefix = "id") {
  count += 1;
  return `${prefix}-${count}`;
}

/** Calls back when nothing more has happened for a moment: for what is typed. */
export function settled(callback, milliseconds = 250) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...values), milliseconds);
  };
}
